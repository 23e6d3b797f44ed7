//! A recorder that was killed leaves what `recover` completes: every journaled row, and an account that holds.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use datasets::*;
use record_bpf::Class;

/// Journals when told, encodes at once.
fn storage(rows: usize) -> Storage {
    Storage { rotation: rotation(rows), journal: Some(Duration::ZERO), ..Storage::default() }
}

/// Pushes the events, journals after every `every`, and is gone, as after kill -9.
fn killed(dir: &Path, events: &[Event], every: usize, storage: Storage) {
    let mut writer = RecordingWriter::create_with(dir, manifest(), storage).unwrap();
    for (n, chunk) in events.chunks(every).enumerate() {
        for event in chunk {
            writer.push(event).unwrap();
        }
        let pushed = &events[..n * every + chunk.len()];
        let all = n % 3 == 2;
        let rows = if n == 0 || all { processes() } else { Vec::new() };
        // It had ended, and is not held any more.
        let ended = if n == 4 { vec![processes().remove(0)] } else { Vec::new() };
        let known = Known {
            at_ns: START + n as i64,
            until_ns: START + n as i64,
            accounting: lossless(pushed),
            processes: &rows,
            containers: if n == 0 { &containers()[..] } else { &[] },
            addresses: &[],
            all_processes: all,
            ended: &ended,
        };
        assert!(writer.journal_due());
        writer.journal(known).unwrap();
    }
    assert!(matches!(recover(dir), Err(Error::Busy { .. })), "not while it is being recorded");
}

fn check(dir: &Path) -> VerifyReport {
    verify(dir, |_| {}).unwrap()
}

fn assert_recovered(dir: &Path) -> VerifyReport {
    let report = check(dir);
    assert_eq!(report.verdict, Verdict::Recovered, "{:?}", report.findings);
    assert_eq!(report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Recovered]);
    assert!(!dir.join("journal").exists());
    report
}

fn journals(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_str().unwrap().ends_with(".rows")).collect();
    files.sort();
    files
}

#[test]
fn what_was_journaled_is_recovered_once_and_for_all() {
    for (rows, every) in [(3, 30), (70, 300), (100_000, 300)] {
        let dir = tempfile::tempdir().unwrap();
        let events = events(21, every * 9 - 1, 3);
        killed(dir.path(), &events, every, storage(rows));
        assert_eq!(check(dir.path()).verdict, Verdict::Unfinished);

        let recovery = recover(dir.path()).unwrap();
        assert!(!recovery.was_complete);
        assert_eq!((recovery.torn_bytes, recovery.unsaved, recovery.unattributed), (0, 0, 0));
        assert_eq!(recovery.known_until, Some(Moment::from_ns(START + 8)));
        assert_recovered(dir.path());
        assert_eq!(read(dir.path()), in_order(events));
        let recording = Recording::open(dir.path()).unwrap();
        // What ended comes first; no process twice.
        assert_eq!(recording.processes().unwrap(), processes());
        assert_eq!(recording.containers().unwrap(), containers());
        assert_eq!(recording.manifest().state, State::Recovered);

        let before = fs::read(dir.path().join("manifest.json")).unwrap();
        assert!(recover(dir.path()).unwrap().was_complete);
        assert_eq!(fs::read(dir.path().join("manifest.json")).unwrap(), before, "nothing to do the second time");
    }
}

#[test]
fn how_often_rows_are_journaled_changes_no_byte_of_a_segment() {
    let events = events(24, 3000, 2);
    let segments = |every: usize| {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RecordingWriter::create_with(dir.path(), manifest(), storage(100_000)).unwrap();
        for chunk in events.chunks(every) {
            for event in chunk {
                writer.push(event).unwrap();
            }
            let known = Known {
                at_ns: START,
                until_ns: START,
                accounting: Accounting::default(),
                processes: &[],
                containers: &[],
                addresses: &[],
                all_processes: false,
                ended: &[],
            };
            writer.journal(known).unwrap();
        }
        writer.finish(lossless(&events), START).unwrap();
        assert_eq!(read(dir.path()), in_order(events.clone()));
        let manifest = Recording::open(dir.path()).unwrap().manifest().clone();
        manifest.segments.into_iter().map(|segment| (segment.file, segment.sha256)).collect::<Vec<_>>()
    };
    let once = segments(3000);
    // Eight batches are packed: not once, and many times over.
    for every in [400, 40, 7] {
        assert_eq!(segments(every), once, "{every}");
    }
}

#[test]
fn what_was_counted_and_is_not_on_the_disk_is_named_as_unsaved() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(22, 1000, 2);
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), storage(100_000)).unwrap();
    for event in &events[..600] {
        writer.push(event).unwrap();
    }
    // The counters are ahead of what has come out of the ring.
    let known = Known {
        at_ns: START,
        until_ns: START,
        accounting: lossless(&events),
        processes: &[],
        containers: &[],
        addresses: &[],
        all_processes: false,
        ended: &[],
    };
    writer.journal(known).unwrap();
    drop(writer);
    let recovery = recover(dir.path()).unwrap();
    assert_eq!((recovery.rows, recovery.unsaved), (600, 400));
    let report = assert_recovered(dir.path());
    assert_eq!(report.cpus.iter().map(|cpu| cpu.missing).sum::<u64>(), 400);
}

#[test]
fn rows_beyond_the_last_account_are_kept_and_what_is_missing_before_them_has_no_class() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(23, 1000, 1);
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), storage(100_000)).unwrap();
    for event in events[..600].iter().chain(&events[700..]) {
        writer.push(event).unwrap();
    }
    let known = Known {
        at_ns: START,
        until_ns: START,
        accounting: lossless(&events[..500]),
        processes: &[],
        containers: &[],
        addresses: &[],
        all_processes: false,
        ended: &[],
    };
    writer.journal(known).unwrap();
    drop(writer);
    let recovery = recover(dir.path()).unwrap();
    assert_eq!((recovery.rows, recovery.unsaved, recovery.unattributed), (900, 0, 100));
    assert_recovered(dir.path());
}

#[test]
fn without_a_journal_the_complete_segments_are_all_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(24, 1000, 2);
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), rotation(50)).unwrap();
    for event in &events {
        writer.push(event).unwrap();
    }
    let left = writer.pending_rows();
    drop(writer);
    let recovery = recover(dir.path()).unwrap();
    assert_eq!((recovery.rows, recovery.written, recovery.known_until), (0, 0, None));
    let report = assert_recovered(dir.path());
    assert_eq!(report.rows as usize, events.len() - left);
}

#[test]
fn a_complete_segment_that_the_manifest_does_not_list_is_taken_in_and_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(25, 900, 2);
    killed(dir.path(), &events, 200, storage(40));
    // As if it had been killed right before the last of them was listed.
    let path = dir.path().join("manifest.json");
    let mut value: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    value["segments"].as_array_mut().unwrap().pop().unwrap();
    fs::write(&path, value.to_string()).unwrap();
    assert_eq!(recover(dir.path()).unwrap().adopted, 1);
    assert_recovered(dir.path());
    assert_eq!(read(dir.path()), in_order(events));
}

#[test]
fn a_torn_journal_gives_every_row_before_the_tear() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(26, 600, 2);
    killed(dir.path(), &events, 60, storage(100_000));
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
    };
    let parent = tempfile::tempdir().unwrap();
    copy(dir.path(), &parent.path().join("whole"));
    let mut random = Random(4);
    for (n, file) in journals(dir.path()).iter().enumerate() {
        let name = file.strip_prefix(dir.path()).unwrap();
        let length = fs::metadata(file).unwrap().len();
        for cut in [0, 1, length - 1, random.below(length), random.below(length)] {
            let torn = parent.path().join(format!("torn-{n}-{cut}"));
            copy(&parent.path().join("whole"), &torn);
            fs::OpenOptions::new().write(true).open(torn.join(name)).unwrap().set_len(cut).unwrap();
            let recovery = recover(&torn).unwrap();
            assert!(recovery.torn_bytes <= cut, "{name:?} cut at {cut}");
            assert_recovered(&torn);
            let found: Vec<Event> = read(&torn);
            // What is missing is counted, and only of the class whose journal was cut.
            assert_eq!(found.len() as u64 + recovery.unsaved, events.len() as u64, "{name:?} cut at {cut}");
            let key = |event: &Event| (event.common().cpu, event.common().seq);
            let there: BTreeSet<_> = found.iter().map(key).collect();
            let lost: BTreeSet<_> =
                events.iter().filter(|event| !there.contains(&key(event))).map(Event::class).collect();
            assert!(
                lost.len() <= 1 && lost.iter().all(|class| name.to_str().unwrap().contains(class.name())),
                "{lost:?}"
            );
            fs::remove_dir_all(&torn).unwrap();
        }
    }
}

#[test]
fn a_recovery_that_is_killed_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(27, 3000, 2);
    killed(dir.path(), &events, 500, storage(200));
    let mut random = Random(9);
    let mut stopped = 0;
    for _ in 0..200 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_datasets"))
            .args(["recover", dir.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(2_000 + random.below(20_000)));
        child.kill().unwrap(); // SIGKILL
        if child.wait().unwrap().success() {
            break;
        }
        stopped += 1;
    }
    assert!(stopped > 0, "it was stopped at least once");
    recover(dir.path()).unwrap();
    assert_recovered(dir.path());
    assert_eq!(read(dir.path()), in_order(events));
}

#[test]
fn a_ring_of_segments_keeps_the_newest_and_its_account_and_chain_hold() {
    let keep = Keep::Newest { bytes: Some(400_000), age: None };
    let events = events(28, 6000, 2);
    let ring = Storage { keep, ..storage(100) };

    let dir = tempfile::tempdir().unwrap();
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), ring).unwrap();
    for event in &events {
        writer.push(event).unwrap();
        assert!(writer.bytes() <= 400_000);
    }
    let manifest = writer.finish(lossless(&events), START).unwrap();
    let pruned = manifest.pruned.clone().unwrap();
    assert!(pruned.segments > 10 && pruned.rows + manifest.rows() == 6000, "{pruned:?}");
    let report = check(dir.path());
    assert_eq!((report.verdict, report.findings.len()), (Verdict::Intact, 0), "{:?}", report.findings);
    let last = events.last().unwrap();
    assert!(read(dir.path()).contains(last), "the newest are there");

    // Taken away by somebody else, the first one is missed.
    let path = dir.path().join("manifest.json");
    let mut value: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    value["segments"].as_array_mut().unwrap().remove(0);
    fs::write(&path, value.to_string()).unwrap();
    assert!(check(dir.path()).findings.iter().any(|finding| finding.kind == FindingKind::Chain));

    // And after a kill.
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path(), &events, 500, ring);
    recover(dir.path()).unwrap();
    assert_recovered(dir.path());
    assert!(read(dir.path()).contains(last));
}

#[test]
fn old_segments_go_by_age_and_a_recording_is_full_at_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let age = Duration::from_micros(500);
    let keep = Keep::Newest { bytes: None, age: Some(age) };
    let events = events(29, 6000, 2);
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), Storage { keep, ..storage(100) }).unwrap();
    for event in &events {
        writer.push(event).unwrap();
        assert!(!writer.is_full());
    }
    let manifest = writer.finish(lossless(&events), START).unwrap();
    let newest = manifest.segments.iter().map(|segment| segment.last_ts).max().unwrap();
    assert!(manifest.segments[0].last_ts >= newest - 500_000 && manifest.pruned.unwrap().segments > 10);
    assert_eq!(check(dir.path()).verdict, Verdict::Intact);

    for journal in [None, Some(Duration::ZERO)] {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage { keep: Keep::Oldest(300_000), journal, ..storage(100) };
        let mut writer = RecordingWriter::create_with(dir.path(), common::manifest(), storage).unwrap();
        let mut pushed = 0;
        while !writer.is_full() {
            writer.push(&events[pushed]).unwrap();
            pushed += 1;
        }
        let finished = writer.finish(lossless(&events[..pushed]), START).unwrap();
        assert!(finished.bytes() <= 300_000 && finished.bytes() > 100_000, "{}", finished.bytes());
        assert_eq!(check(dir.path()).verdict, Verdict::Intact);
    }
}

#[test]
fn all_open_segments_together_are_bounded_and_encoded_beside() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(30, 30_000, 2);
    let storage = Storage { memory: 1 << 20, background: true, reserve: true, ..storage(1_000_000) };
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), storage).unwrap();
    for (n, event) in events.iter().enumerate() {
        writer.push(event).unwrap();
        if n % 1000 == 0 {
            writer.tick().unwrap();
            let known = Known {
                at_ns: START,
                until_ns: START,
                accounting: lossless(&[]),
                processes: &[],
                containers: &[],
                addresses: &[],
                all_processes: false,
                ended: &[],
            };
            writer.journal(known).unwrap();
        }
    }
    let manifest = writer.finish(lossless(&events), START).unwrap();
    // 30,000 rows of every column are about 12 MB: without the bound they would be nine segments.
    assert!(manifest.segments.len() > Class::ALL.len() * 2, "{}", manifest.segments.len());
    assert_eq!(check(dir.path()).verdict, Verdict::Intact);
    assert_eq!(read(dir.path()), in_order(events));
    assert!(!dir.path().join("journal").exists());
}

#[test]
fn losses_and_other_filters_outlive_the_recorder() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("killed");
    let events = events(31, 500, 2);
    let mut accounting = lossless(&events);
    let cpu = &mut accounting.cpus[0];
    let counts = cpu.classes.get_mut("file").unwrap();
    (counts.emitted, counts.dropped.ring_full, counts.filtered) = (counts.emitted + 5, 3, 2);
    cpu.next_seq += 5;
    let mut writer = RecordingWriter::create_with(&dir, manifest(), storage(10_000)).unwrap();
    events.iter().for_each(|event| writer.push(event).unwrap());
    let change = FilterChange { at: Moment::from_ns(START + 5), filter: vec!["container = shop-*".to_owned()] };
    writer.filter_changed(change.clone());
    let (processes, containers) = (processes(), containers());
    let known = Known {
        at_ns: START + 9,
        until_ns: START + 9,
        accounting,
        processes: &processes,
        containers: &containers,
        addresses: &[],
        all_processes: true,
        ended: &[],
    };
    writer.journal(known).unwrap();
    drop(writer);
    recover(&dir).unwrap();
    assert_recovered(&dir);
    let recording = Recording::open(&dir).unwrap();
    assert_eq!(recording.manifest().filter_changes, [change]);
    let losses: Vec<_> =
        recording.losses().unwrap().iter().map(|loss| (loss.cpu, loss.class, loss.cause, loss.count)).collect();
    assert_eq!(losses, [(0, Class::File, Cause::RingFull, 3), (0, Class::File, Cause::Filtered, 2)]);
    assert!(recording.losses().unwrap().iter().all(|loss| loss.from == manifest().started.ns && loss.to >= START + 9));
}
