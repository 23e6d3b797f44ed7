//! `kill -9` at any moment: what was finished stays readable, at most the last second is lost, and `recover` completes it.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{can_record, python, recorder};
use datasets::{Event, Recording, State, Verdict};
use record_bpf::Kind;

/// Numbers its actions: each opens a name that holds the number and the time. Ends when its parent, the recorder, is gone.
const LOAD: &str = "
import os, sys, time
parent, n = os.getppid(), 0
while os.getppid() == parent:
    for _ in range(64):
        try: os.open(f'/numbered/{n}-{time.time_ns()}', os.O_RDONLY)
        except FileNotFoundError: pass
        n += 1
    time.sleep(0.002)
";

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

fn numbered(path: &str) -> Option<(u64, i64)> {
    let (number, time) = path.strip_prefix("/numbered/")?.split_once('-')?;
    Some((number.parse().ok()?, time.parse().ok()?))
}

fn wait_for(what: &str, child: &mut Child, ready: impl Fn() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(child.try_wait().unwrap().is_none(), "the recorder ended before {what}");
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a recorder `after` its journal began; returns by how many ms the last recorded action is older than the kill.
fn kill_once(after: Duration) -> i64 {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("recording");
    let options = ["--events", "process,file", "--segment-time", "1s", "--segment-size", "1", "-q", "--"];
    let python = python();
    let mut command = recorder(dir.path(), &[&options[..], &[&python, "-I", "-S", "-c", LOAD]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the journal", &mut child, || recording.join("journal/account-1").exists());
    std::thread::sleep(after);
    let killed = now_ns();
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();

    // What the manifest lists is whole as it is.
    let report = datasets::verify(&recording, |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Unfinished, "{:?}", report.findings);
    let listed = Recording::open(&recording).unwrap();
    assert_eq!(listed.manifest().state, State::Recording);
    let finished = listed.events().map(Result::unwrap).count() as u64;
    assert_eq!(finished, listed.manifest().rows());

    let recovery = datasets::recover(&recording).unwrap();
    let report = datasets::verify(&recording, |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Recovered, "{:?}", report.findings);
    let recovered = Recording::open(&recording).unwrap();
    assert!(recovered.processes().unwrap().iter().any(|row| row.argv.as_ref().is_some_and(|argv| argv.len() > 4)));
    let mut numbers = BTreeSet::new();
    let mut last = 0;
    for event in recovered.events() {
        if let Event::File(row) = event.unwrap()
            && row.common.kind == Kind::Open
            && let Some((number, time)) = row.path.as_deref().and_then(numbered)
        {
            assert!(numbers.insert(number), "{number} twice");
            last = last.max(time);
        }
    }
    let dropped: u64 = report.cpus.iter().map(|cpu| cpu.missing).sum();
    assert_eq!(dropped, recovery.unsaved + recovery.unattributed, "nothing else was lost");
    let end = numbers.last().copied().unwrap_or(0) + 1;
    let holes = end - numbers.len() as u64;
    assert!(holes <= dropped, "{holes} numbers below {end} are missing");
    (killed - last) / 1_000_000
}

fn kill(times: u64, seed: u64) {
    let mut state = seed;
    let mut lost: Vec<i64> = Vec::new();
    for _ in 0..times {
        // splitmix64's step is a good enough draw for a delay.
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
        lost.push(kill_once(Duration::from_millis(state >> 33 & 2047)));
    }
    lost.sort_unstable();
    eprintln!("killed {times} times; ms lost: median {}, most {}", lost[lost.len() / 2], lost[lost.len() - 1]);
    assert!(lost[lost.len() - 1] <= 1000, "more than the last second: {lost:?}");
}

#[test]
fn killed_at_any_moment_it_loses_at_most_the_last_second() {
    if can_record("killed_at_any_moment_it_loses_at_most_the_last_second") {
        kill(8, 1);
    }
}

/// The same at fifty moments, three minutes: `cargo test -p record --test crash -- --ignored --nocapture`.
#[test]
#[ignore = "three minutes"]
fn killed_at_fifty_moments() {
    if can_record("killed_at_fifty_moments") {
        kill(50, 2);
    }
}

/// Runs a script in a mount namespace of its own. `$RECORD`, `$DIR` (its own) and `$LOAD` are set.
fn in_own_mounts(dir: &Path, script: &str) -> std::process::Output {
    let load = "import os, sys\nfor i in range(int(sys.argv[1])):\n try: os.open(f'/full/{os.urandom(12).hex()}', 0)\n except OSError: pass\n";
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .env("RECORD", env!("CARGO_BIN_EXE_record"))
        .env("DIR", dir)
        .env("PYTHON", python())
        .env("LOAD", load)
        .output()
        .unwrap()
}

fn assert_ended_cleanly(output: &std::process::Output, recording: &Path, why: &str) -> datasets::VerifyReport {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    assert!(stderr.contains(why) && stderr.contains("hint: "), "{stderr}");
    datasets::verify(recording, |_| {}).unwrap()
}

#[test]
fn a_full_disk_ends_the_recording_with_everything_before_in_it_and_all_counted() {
    if !can_record("a_full_disk_ends_the_recording_with_everything_before_in_it_and_all_counted") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (size, journal) in [("7m", "200ms"), ("6m", "off")] {
        let script = format!(
            "mkdir $DIR/{size} && mount -t tmpfs -o size={size} tmpfs $DIR/{size} &&
             $RECORD -q -o $DIR/{size}/r --events process,file --segment-size 1 --journal {journal} -- \
                $PYTHON -I -S -c \"$LOAD\" 250000 >/dev/null; code=$?
             mkdir $DIR/out-{size} && cp -r $DIR/{size}/r/. $DIR/out-{size} && umount $DIR/{size}; exit $code"
        );
        let output = in_own_mounts(dir.path(), &script);
        let recording = dir.path().join(format!("out-{size}"));
        let report = assert_ended_cleanly(&output, &recording, "No space left on device");
        assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
        let manifest = Recording::open(&recording).unwrap().manifest().clone();
        assert_eq!(manifest.state, State::Complete);
        assert!(
            matches!(&manifest.end, Some(datasets::End::WriteFailed(why)) if why.contains("No space")),
            "{:?}",
            manifest.end
        );
        assert!(manifest.rows() > 1000 && manifest.table("processes.parquet").is_some());
        assert!(!recording.join("journal").exists());
    }
}

#[test]
fn a_directory_that_is_removed_or_becomes_read_only_ends_the_recording() {
    if !can_record("a_directory_that_is_removed_or_becomes_read_only_ends_the_recording") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Nothing is open for writing between two journals: the remount succeeds after a few tries.
    let script = "mkdir $DIR/ro && mount -t tmpfs tmpfs $DIR/ro &&
        { $RECORD -q -o $DIR/ro/r --events process,file --segment-time 1s -- sh -c 'exec sleep 20 2>/dev/null' >/dev/null & } && pid=$! &&
        sleep 3 && until mount -o remount,ro $DIR/ro 2>/dev/null; do sleep 0.01; done
        wait $pid; code=$?
        mkdir $DIR/out && cp -r $DIR/ro/r/. $DIR/out && umount $DIR/ro; exit $code";
    let began = Instant::now();
    let output = in_own_mounts(dir.path(), script);
    assert!(began.elapsed() < Duration::from_secs(18), "it ended before its command");
    let recording = dir.path().join("out");
    let report = assert_ended_cleanly(&output, &recording, "Read-only file system");
    assert_eq!(report.verdict, Verdict::Unfinished, "{:?}", report.findings);
    datasets::recover(&recording).unwrap();
    assert_eq!(datasets::verify(&recording, |_| {}).unwrap().verdict, Verdict::Recovered);

    let script =
        "$RECORD -q -o $DIR/gone --events process,file -- sh -c 'exec sleep 20 2>/dev/null' >/dev/null & pid=$!
        sleep 3; rm -r $DIR/gone; wait $pid";
    let began = Instant::now();
    let output = in_own_mounts(dir.path(), script);
    assert!(began.elapsed() < Duration::from_secs(18), "it ended before its command");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("No such file or directory") && stderr.contains("hint: "), "{stderr}");
    assert!(!dir.path().join("gone").exists(), "it is not made anew");
}
