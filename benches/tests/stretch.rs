//! A stretched recording is a recording: it verifies, keeps the rates, replays, and is the same every time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use benches::stretch::{Day, Plan, stretch};
use datasets::{Recording, Verdict, verify};
use record_bpf::Class;
use replay::config;
use replay::judge::Judges;
use replay::pipeline::{self, Stage, Start, World};

const PLAN: Plan = Plan { times: 3, replicas: 2, seed: 5, segment_rows: 4_000, day: None };

/// With losses, labels, DNS, samples and streams of softirqs.
fn source() -> Recording {
    Recording::shipped("port-scan-21").unwrap()
}

fn by_class(recording: &Recording) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for segment in &recording.manifest().segments {
        *rows.entry(segment.class.clone()).or_default() += segment.rows;
    }
    rows
}

fn seconds(recording: &Recording) -> f64 {
    let manifest = recording.manifest();
    (manifest.ended.as_ref().unwrap().ns - manifest.started.ns) as f64 / 1e9
}

fn verified(dir: &Path) {
    let report = verify(dir, |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:#?}", report.findings);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// Every file with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn a_stretched_recording_verifies_and_is_the_same_every_time() {
    let tmp = tempfile::tempdir().unwrap();
    let (first, second, other) = (tmp.path().join("a"), tmp.path().join("b"), tmp.path().join("c"));
    let mut told = 0;
    let made = stretch(&source(), &first, PLAN, |rows| told += rows).unwrap();
    verified(&first);
    assert_eq!(made.rows(), 6 * source().manifest().rows());
    assert_eq!(told, made.rows());
    assert!(made.class_segments(Class::File).count() > 3, "several segments");
    stretch(&source(), &second, PLAN, |_| {}).unwrap();
    assert!(files(&first) == files(&second), "the same arguments, other bytes");
    stretch(&source(), &other, Plan { seed: 6, ..PLAN }, |_| {}).unwrap();
    verified(&other);
    assert!(files(&first) != files(&other), "another seed, the same bytes");
}

#[test]
fn end_to_end_the_rates_of_every_class_are_the_sources() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("rec");
    stretch(&source(), &dir, Plan { times: 4, replicas: 1, ..PLAN }, |_| {}).unwrap();
    verified(&dir);
    let (source, long) = (source(), Recording::open(&dir).unwrap());
    // The last events of a recording may come a few ms after its end in the manifest; a copy is as long as both.
    assert!((seconds(&long) / seconds(&source) - 4.0).abs() < 0.01);
    let (before, after) = (by_class(&source), by_class(&long));
    assert!(before.len() > 4, "{before:?}");
    for (class, rows) in &before {
        assert_eq!(after[class], 4 * rows, "{class}");
    }
    // One after the other: in each quarter as many as in any other.
    let began = long.manifest().started.ns;
    let quarter = (seconds(&long) * 1e9 / 4.0).round() as i64;
    let mut quarters = [0u64; 4];
    for event in long.events() {
        quarters[((event.unwrap().common().ts - began) / quarter).clamp(0, 3) as usize] += 1;
    }
    assert_eq!(quarters, [source.manifest().rows(); 4]);
    let labels = long.labels().unwrap();
    assert_eq!(labels.len(), 4 * source.labels().unwrap().len());
    assert!(!labels.is_empty());
}

#[test]
fn a_day_with_a_shape_is_a_recording_with_quiet_hours() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("rec");
    let source = Recording::shipped("redis-pair-1").unwrap();
    let times = Plan::times_over(&source, 1.0).unwrap();
    let day = Some(Day { depth: 1.0, keep: 0.02 });
    let made = stretch(&source, &dir, Plan { times, replicas: 2, day, ..PLAN }, |_| {}).unwrap();
    verified(&dir);
    let long = Recording::open(&dir).unwrap();
    assert!((seconds(&long) / 86_400.0 - 1.0).abs() < 0.01, "a whole day, whatever was left out");
    let copies = made.rows() / source.manifest().rows() / 2;
    assert!((5..30).contains(&copies) && made.rows() == copies * 2 * source.manifest().rows(), "{copies}");
    let hour = |ts: i64| ts.rem_euclid(86_400_000_000_000) / 3_600_000_000_000;
    let by_night = long.events().filter(|event| !(8..20).contains(&hour(event.as_ref().unwrap().common().ts))).count();
    assert!(by_night as u64 * 3 < made.rows(), "{by_night} of {} at night", made.rows());
    // A place that is left out leaves no process and no number behind.
    assert_eq!(long.processes().unwrap().len() as u64, copies * 2 * source.processes().unwrap().len() as u64);
}

#[test]
fn replicas_share_nothing_but_their_images() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("rec");
    stretch(&source(), &dir, PLAN, |_| {}).unwrap();
    let (source, long) = (source(), Recording::open(&dir).unwrap());
    let (one, both) = (source.containers().unwrap(), long.containers().unwrap());
    assert_eq!(both.len(), 2 * one.len());
    let distinct = |of: &dyn Fn(&datasets::Container) -> String| both.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&|container| container.id.to_string()), both.len());
    assert_eq!(distinct(&|container| container.cgroup.clone()), both.len());
    assert_eq!(distinct(&|container| format!("{:?}", container.name)), both.len());
    assert_eq!(distinct(&|container| format!("{:?}", container.image)), {
        one.iter().map(|container| format!("{:?}", container.image)).collect::<BTreeSet<_>>().len()
    });
    let addresses: Vec<String> = both.iter().flat_map(|container| container.addresses.clone()).collect();
    assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len(), "{addresses:?}");

    // Who did what: no incarnation, and at no time a process id, is in two containers.
    let processes = long.processes().unwrap();
    let ids: BTreeSet<u64> = processes.iter().map(|process| process.exec_id).collect();
    assert_eq!(ids.len(), 6 * source.processes().unwrap().len());
    let (mut whose, mut pids, mut rows) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for event in long.events() {
        let event = event.unwrap();
        let common = event.common();
        let Some(container) = common.container.clone() else { continue };
        *rows.entry(container.clone()).or_insert(0) += 1;
        if let Some(id) = common.exec_id {
            assert_eq!(*whose.entry(id).or_insert_with(|| container.clone()), container);
        }
        if common.pid > 1 {
            assert_eq!(*pids.entry(common.pid).or_insert_with(|| container.clone()), container);
        }
    }
    for (container, copy) in both[..one.len()].iter().zip(&both[one.len()..]) {
        assert_eq!(rows.get(&container.id), rows.get(&copy.id), "{:?} and {:?}", container.name, copy.name);
    }
}

#[test]
fn a_replay_of_the_copies_learns_what_one_has_to_teach() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("rec");
    let source = Recording::shipped("redis-pair-1").unwrap();
    stretch(&source, &dir, Plan { times: 2, replicas: 2, ..PLAN }, |_| {}).unwrap();
    let config = config::load(None, &["args.embedding.enabled=false".to_owned()]).unwrap();
    let judges = Judges::open(&config).unwrap();
    let learned = |recording: &Recording| {
        let world = World::load(recording, &config).unwrap();
        let rules = judges.of(&world);
        let vectors = &benches::replayed::NoModel;
        let stage = Stage { world: &world, start: Start::LearnAll, config: &config, vectors, rules: &rules };
        let streamed = pipeline::stream(recording, &stage, |_| {}).unwrap();
        streamed.images.iter().map(|state| (state.image.clone(), state.counts.events)).collect::<BTreeMap<_, _>>()
    };
    let (one, four) = (learned(&source), learned(&Recording::open(&dir).unwrap()));
    assert!(!one.is_empty());
    assert_eq!(one.into_iter().map(|(image, events)| (image, 4 * events)).collect::<BTreeMap<_, _>>(), four);
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stretch")).args(args).output().unwrap()
}

#[test]
fn the_program_makes_as_many_events_as_it_is_asked_for_and_says_what_is_wrong() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("rec");
    let dir = dir.to_str().unwrap();
    let made = run(&["redis-pair-1", "-o", dir, "--events", "20k", "--replicas", "2"]);
    assert!(made.status.success(), "{made:?}");
    verified(Path::new(dir));
    let rows = Recording::open(dir).unwrap().manifest().rows();
    let copy = 2 * Recording::shipped("redis-pair-1").unwrap().manifest().rows();
    assert!(rows >= 20_000 && rows < 20_000 + copy, "{rows}");
    assert!(String::from_utf8_lossy(&made.stdout).contains(&rows.to_string()));

    let stderr = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let again = run(&["redis-pair-1", "-o", dir]);
    assert_eq!(again.status.code(), Some(5), "{}", stderr(&again));
    let none = run(&["no-such-thing", "-o", "x"]);
    assert_eq!(none.status.code(), Some(4), "{}", stderr(&none));
    assert!(stderr(&none).contains("hint: "), "{}", stderr(&none));
    let large = tmp.path().join("large");
    let large = run(&["redis-pair-1", "-o", large.to_str().unwrap(), "--replicas", "60000"]);
    assert_eq!(large.status.code(), Some(4), "{}", stderr(&large));
    assert_eq!(run(&["redis-pair-1", "-o", "x", "--events", "many"]).status.code(), Some(2));
}
