//! `replay --follow` beside a writer that plays a recording as if it were being made.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use common::{BEGIN, SECOND, Script, attacked, ordinary, replay, stderr};
use datasets::{Accounting, Event, Known, Manifest, Process, Recording, RecordingWriter, Storage};
use record_bpf::Class;
use serde_json::Value;

/// Between two steps of the player: the follower looks more often than that.
const STEP: Duration = Duration::from_millis(120);

/// Makes a recording anew, step by step.
struct Player {
    writer: RecordingWriter,
    source: Recording,
    events: Vec<Event>,
    processes: Vec<Process>,
    played: usize,
    told: bool,
}

impl Player {
    fn begin(source: &Path, dir: &Path) -> Player {
        let source = Recording::open(source).unwrap();
        let mut manifest = Manifest::new(
            source.manifest().recorder.clone(),
            source.manifest().kernel.clone(),
            source.manifest().started.ns,
            Vec::new(),
            &Class::ALL,
        );
        manifest.scenario = source.manifest().scenario.clone();
        let mut storage = Storage { journal: Some(Duration::ZERO), background: true, ..Storage::default() };
        storage.rotation.rows = 150;
        let writer = RecordingWriter::create_with(dir, manifest, storage).unwrap();
        let events = source.events().map(Result::unwrap).collect();
        let processes = source.processes().unwrap();
        Player { writer, source, events, processes, played: 0, told: false }
    }

    /// Plays on to `until`, a second of the recording.
    fn play(&mut self, until: i64) {
        let until = BEGIN + until * SECOND;
        let end = self.events.partition_point(|event| event.common().ts < until);
        for event in &self.events[self.played..end] {
            self.writer.push(event).unwrap();
        }
        self.played = end;
        // A process is known when it has begun.
        let (begun, rest) = std::mem::take(&mut self.processes)
            .into_iter()
            .partition(|row| row.start.is_none_or(|start| start < until));
        self.processes = rest;
        let begun: Vec<Process> = begun;
        let containers = self.source.containers().unwrap();
        let known = Known {
            at_ns: until,
            until_ns: until,
            accounting: Accounting::default(),
            processes: &begun,
            all_processes: false,
            ended: &[],
            containers: if self.told { &[] } else { &containers },
            addresses: &[],
        };
        self.told = true;
        self.writer.journal(known).unwrap();
        self.writer.tick().unwrap();
        std::thread::sleep(STEP);
    }

    fn play_all(&mut self) {
        (10..=290).step_by(20).for_each(|until| self.play(until));
    }

    fn finish(mut self) {
        self.writer.write_processes(&self.source.processes().unwrap()).unwrap();
        self.writer.write_containers(&self.source.containers().unwrap()).unwrap();
        self.writer.write_labels(&self.source.labels().unwrap()).unwrap();
        let end = self.events.last().map_or(BEGIN, |event| event.common().ts);
        self.writer.finish(Accounting::default(), end).unwrap();
    }
}

/// A running `replay --follow`.
struct Follower {
    child: Child,
    lines: Receiver<Value>,
}

impl Follower {
    fn start(dir: &Path, out: &Path, options: &[&str]) -> Follower {
        let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(["--follow", dir.to_str().unwrap(), "-o", out.to_str().unwrap(), "--format", "json"])
            .args(options)
            .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
            }
        });
        Follower { child, lines }
    }

    /// The next line that `wanted` holds for.
    fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("{what} did not come"));
            if wanted(&line) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Exit code, the lines that were left, and stderr.
    fn end(mut self) -> (Option<i32>, Vec<Value>, String) {
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let status = self.child.wait().unwrap();
        (status.code(), self.lines.iter().collect(), errors)
    }
}

fn severity(line: &Value) -> &str {
    line["alert"]["severity"].as_str().unwrap_or("")
}

/// All files of a result but what it says of itself, and `run.json` without its timings.
fn assert_same_results(followed: &Path, offline: &Path) {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| name != "follow.json").collect();
        names.sort();
        names
    };
    assert_eq!(names(followed), names(offline));
    for name in names(offline) {
        let [mut a, mut b] = [followed, offline].map(|dir| std::fs::read(dir.join(&name)).unwrap());
        if name == "run.json" {
            [a, b] = [a, b].map(|bytes| {
                let mut run: Value = serde_json::from_slice(&bytes).unwrap();
                run.as_object_mut().unwrap().remove("timings").unwrap();
                serde_json::to_vec(&run).unwrap()
            });
        }
        assert!(a == b, "{name} differs");
    }
}

fn follow_report(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("follow.json")).unwrap()).unwrap()
}

fn paths<const N: usize>(names: [&str; N]) -> (tempfile::TempDir, [PathBuf; N]) {
    let tmp = tempfile::tempdir().unwrap();
    let paths = names.map(|name| tmp.path().join(name));
    (tmp, paths)
}

/// Followed from before it was begun, and replayed once it was complete.
fn follow_and_replay(learn: bool) {
    let (_tmp, [source, baseline, live, out, offline]) = paths(["source", "baseline", "live", "out", "offline"]);
    attacked(&source);
    ordinary(&baseline);
    let options = if learn { vec!["--learn", baseline.to_str().unwrap()] } else { Vec::new() };
    let follower = Follower::start(&live, &out, &options);
    let mut player = Player::begin(&source, &live);
    player.play_all();
    // The recording still goes on.
    let first = follower.wait("an alert", |line| line["live"] == "alert");
    assert_eq!((first["provisional"].as_bool(), first["number"].as_u64()), (Some(true), Some(1)));
    player.finish();
    let (code, mut lines, errors) = follower.end();
    assert_eq!(code, Some(0), "{errors}");
    let end = lines.pop().unwrap();
    assert_eq!((end["live"].as_str(), end["ended"].as_str()), (Some("end"), Some("complete")));
    lines.insert(0, first);

    let output = replay(&[&[live.to_str().unwrap(), "-o", offline.to_str().unwrap()], &options[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert_same_results(&out, &offline);

    // Each alert that is raised in the end was told, with its severity, and no other.
    let mut told: Vec<(u64, String)> = Vec::new();
    for line in &lines {
        let who = line["alert"]["exec_id"].as_u64().unwrap_or(0);
        told.retain(|(known, _)| *known != who);
        told.push((who, severity(line).to_owned()));
    }
    told.sort();
    let alerts = std::fs::read_to_string(offline.join("alerts.jsonl")).unwrap();
    let alerts = alerts.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let raised = alerts.filter(|alert| alert["severity"] != "low");
    let mut raised: Vec<(u64, String)> = raised
        .map(|alert| (alert["exec_id"].as_u64().unwrap_or(0), alert["severity"].as_str().unwrap().to_owned()))
        .collect();
    raised.sort();
    assert!(raised.len() >= 3, "{raised:?}");
    assert_eq!(told, raised);
    let report = follow_report(&out);
    assert_eq!(report["changed"], Value::Array(Vec::new()));
    assert_eq!((report["late"].as_u64(), report["segments_gone"].as_u64()), (Some(0), Some(0)));
    assert_eq!(report["told"].as_u64(), Some(raised.len() as u64));
}

#[test]
fn followed_with_a_baseline_it_ends_with_what_a_replay_gives() {
    follow_and_replay(true);
}

#[test]
fn followed_while_it_learns_it_ends_with_what_a_replay_gives() {
    follow_and_replay(false);
}

#[test]
fn a_killed_recorder_ends_it_with_what_there_was_and_the_way_out() {
    let (_tmp, [source, baseline, live, out]) = paths(["source", "baseline", "live", "out"]);
    attacked(&source);
    ordinary(&baseline);
    let follower = Follower::start(&live, &out, &["--learn", baseline.to_str().unwrap()]);
    let mut player = Player::begin(&source, &live);
    player.play_all();
    drop(player);
    let (code, lines, errors) = follower.end();
    assert_eq!(code, Some(4), "{errors}");
    assert!(errors.contains("killed") && errors.contains("datasets recover"), "{errors}");
    assert_eq!(lines.last().unwrap()["ended"], "recorder_killed");
    assert!(lines.iter().any(|line| line["live"] == "alert" && severity(line) != "medium"), "{lines:#?}");
    assert!(std::fs::read_to_string(out.join("alerts.jsonl")).unwrap().contains("xmrig"));
}

#[test]
fn rules_are_read_again_when_their_files_change_and_on_request() {
    let (_tmp, [source, baseline, live, out, rules]) = paths(["source", "baseline", "live", "out", "rules"]);
    let mut script = Script::new();
    script.ordinary(0, 200);
    for (second, what) in [(100, "files"), (150, "users"), (190, "ports")] {
        // Each a program of its own: equal deviations are one, and a rule that hits a later one hits all.
        let program = format!("/srv/app/bin/audit-{what}");
        let job = script.exec(BEGIN + second * SECOND + 77, 1, &program, &["audit", "--all"]);
        script.open(BEGIN + second * SECOND + 78, job, "/srv/app/data/items/1.json", 0, 3);
    }
    script.write(&source);
    ordinary(&baseline);
    std::fs::create_dir(&rules).unwrap();
    let set = format!("engines.rules={:?}", rules.to_str().unwrap());
    let follower = Follower::start(&live, &out, &["--learn", baseline.to_str().unwrap(), "--set", &set]);
    let mut player = Player::begin(&source, &live);
    player.play(90);
    // Half a file, as an editor may leave it.
    std::fs::write(rules.join("audit.yml"), "title: Audit\nlogsource:\n  product: linux\n  cat").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    player.play(120);
    let rule = "title: Audit is not run here\nid: 0c3d5b1e-6a43-4c39-9a0e-3f0a1b2c3d4e\nlevel: critical\n\
                logsource:\n  product: linux\n  category: process_creation\n\
                detection:\n  selection:\n    Image|contains: /audit-\n  condition: selection\n";
    std::fs::write(rules.join("audit.yml"), rule).unwrap();
    follower.signal("-HUP");
    std::thread::sleep(Duration::from_millis(1500));
    player.play(160);
    let hit = |line: &Value| line["alert"]["engines"].to_string().contains("Audit is not run here");
    let line = follower.wait("an alert by the new rule", |line| line["live"] != "end" && hit(line));
    assert!(line["alert"]["ts"].as_i64().unwrap() >= BEGIN + 150 * SECOND, "{line}");
    std::fs::remove_file(rules.join("audit.yml")).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    player.play(210);
    follower.signal("-TERM");
    let (code, lines, errors) = follower.end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!lines.iter().any(|line| hit(line) && line["live"] == "alert"), "the rule is gone: {lines:#?}");
    assert!(errors.contains("rules stay as they are") && errors.contains("audit.yml"), "{errors}");
    let report = follow_report(&out);
    assert_eq!(report["ended"], "asked");
    let sets = report["rules"].as_array().unwrap();
    let (first, last) = (&sets[0], &sets[sets.len() - 1]);
    assert!(sets.len() >= 3 && first["sha256"] == last["sha256"] && first["from"].is_null(), "{sets:#?}");
    assert_eq!(first["rules"].as_u64().unwrap() + 1, sets[1]["rules"].as_u64().unwrap());
    assert!(std::fs::read_to_string(out.join("alerts.jsonl")).unwrap().contains("Audit is not run here"));
}

#[test]
fn what_is_not_there_is_waited_for_and_then_named() {
    let (_tmp, [missing, out]) = paths(["missing", "out"]);
    let began = Instant::now();
    let (code, lines, errors) = Follower::start(&missing, &out, &["--wait", "1"]).end();
    assert_eq!((code, lines.len()), (Some(4), 0), "{errors}");
    assert!(errors.contains("missing") && errors.contains("hint: "), "{errors}");
    assert!((1..20).contains(&began.elapsed().as_secs()));
}
