//! Reading a recording while a writer writes it.

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::*;
use datasets::*;
use record_bpf::Class;

fn storage(rows: usize, background: bool, keep: Keep) -> Storage {
    let journal = Some(Duration::ZERO);
    Storage { journal, background, keep, ..rotation(rows).into() }
}

/// A recorder that says after each step what it has written.
struct Recorder {
    writer: RecordingWriter,
    pushed: Vec<Event>,
    steps: usize,
}

impl Recorder {
    fn begin(dir: &Path, storage: Storage) -> Recorder {
        let writer = RecordingWriter::create_with(dir, manifest(), storage).unwrap();
        Recorder { writer, pushed: Vec::new(), steps: 0 }
    }

    /// Takes events, all of before `until`.
    fn step(&mut self, events: &[Event], until: i64) {
        for event in events {
            self.writer.push(event).unwrap();
        }
        self.pushed.extend_from_slice(events);
        let (processes, containers, addresses) = (processes(), containers(), addresses());
        // One row changes, one ends, and now and then the table's journal is written anew.
        let [first, rest @ ..] = &processes[..] else { unreachable!() };
        let known = Known {
            at_ns: until,
            until_ns: until,
            accounting: lossless(&self.pushed),
            processes: if self.steps == 0 { &processes } else { rest },
            all_processes: self.steps % 3 == 2,
            ended: if self.steps == 1 { std::slice::from_ref(first) } else { &[] },
            containers: if self.steps == 0 { &containers } else { &[] },
            addresses: if self.steps == 1 { &addresses } else { &[] },
        };
        self.steps += 1;
        self.writer.journal(known).unwrap();
        self.writer.tick().unwrap();
    }

    fn finish(mut self) {
        let ended = i64::MAX;
        self.writer.write_processes(&processes()[1..]).unwrap();
        self.writer.write_containers(&containers()).unwrap();
        self.writer.write_addresses(&addresses()).unwrap();
        self.writer.finish(lossless(&self.pushed), ended - 1).unwrap();
    }
}

/// Looks until something has come, and takes it.
fn look(follow: &mut Follow, events: &mut Vec<Event>) -> Growth {
    let began = Instant::now();
    loop {
        let growth = follow.poll().unwrap();
        events.extend(follow.ready().map(Result::unwrap));
        if growth != Growth::Nothing {
            return growth;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nothing comes");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn assert_in_order(events: &[Event]) {
    let key = |event: &Event| (event.common().ts, event.common().cpu, event.common().seq);
    assert!(events.is_sorted_by_key(key));
}

#[test]
fn every_row_comes_once_and_in_order_however_segments_turn() {
    // Segments of a few rows, of more than an interval has, and never a whole one; encoded at once, and beside.
    for (rows, background) in [(7, false), (30, true), (90, true), (1_000_000, true)] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("recording");
        let all = in_order(events(7, 1000, 3));
        let mut recorder = Recorder::begin(&dir, storage(rows, background, Keep::All));
        let (mut early, mut late) = (Follow::begin(&dir, &Class::ALL).unwrap(), None);
        let (mut got, mut caught_up) = (Vec::new(), Vec::new());
        assert_eq!(early.poll().unwrap(), Growth::Nothing, "it has said nothing yet");
        for (n, chunk) in all.chunks(100).enumerate() {
            // Out of the ring they come a little out of order.
            let mut chunk = chunk.to_vec();
            chunk.rotate_left(n % 7);
            let until = chunk.iter().map(|event| event.common().ts).max().unwrap();
            recorder.step(&chunk, until);
            assert_eq!(look(&mut early, &mut got), Growth::Grown);
            let before = |event: &&Event| event.common().ts < until;
            assert_eq!(got, all.iter().filter(before).cloned().collect::<Vec<_>>(), "{rows} rows, step {n}");
            if n == 4 {
                late = Some(Follow::begin(&dir, &Class::ALL).unwrap());
            }
            if let Some(late) = late.as_mut().filter(|_| n % 2 == 0) {
                assert_eq!(look(late, &mut caught_up), Growth::Grown);
                assert_eq!(caught_up, got, "{rows} rows, begun late");
            }
        }
        recorder.finish();
        assert_eq!(look(&mut early, &mut got), Growth::Complete);
        assert_eq!(look(late.as_mut().unwrap(), &mut caught_up), Growth::Complete);
        assert_eq!(got, all, "{rows} rows");
        assert_eq!(caught_up, all, "{rows} rows, begun late");
        assert_eq!((early.late(), early.gone()), (0, 0));
        assert_eq!(early.manifest().state, State::Complete);
        assert_eq!(read(&dir), all);
    }
}

#[test]
fn only_the_classes_asked_for_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("recording");
    let all = in_order(events(3, 400, 2));
    let mut recorder = Recorder::begin(&dir, storage(60, true, Keep::All));
    let mut follow = Follow::begin(&dir, &[Class::File, Class::Dns]).unwrap();
    let mut got = Vec::new();
    for chunk in all.chunks(100) {
        recorder.step(chunk, i64::MAX - 1);
        look(&mut follow, &mut got);
    }
    recorder.finish();
    look(&mut follow, &mut got);
    let wanted = all.into_iter().filter(|event| matches!(event.class(), Class::File | Class::Dns));
    assert_eq!(got, wanted.collect::<Vec<_>>());
}

#[test]
fn the_tables_grow_as_their_journals_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("recording");
    let mut recorder = Recorder::begin(&dir, storage(1000, false, Keep::All));
    let mut follow = Follow::begin(&dir, &Class::ALL).unwrap();
    let all = events(1, 90, 1);
    let mut none = Vec::new();
    recorder.step(&all[..30], START);
    look(&mut follow, &mut none);
    let first = Grown { processes: processes(), containers: containers(), addresses: Vec::new() };
    assert_eq!(follow.take_tables(), first);
    recorder.step(&all[30..60], START);
    look(&mut follow, &mut none);
    let mut changed = processes();
    changed.rotate_left(1);
    assert_eq!(follow.take_tables(), Grown { processes: changed, containers: Vec::new(), addresses: addresses() });
    // The journal of the processes is another file from here on.
    recorder.step(&all[60..], START);
    look(&mut follow, &mut none);
    assert_eq!(follow.take_tables().processes, &processes()[1..]);
    recorder.finish();
    look(&mut follow, &mut none);
    let mut whole = follow.take_tables();
    whole.processes.sort_by_key(|row| row.exec_id);
    let mut wanted = processes();
    wanted.sort_by_key(|row| row.exec_id);
    assert_eq!(whole, Grown { processes: wanted, containers: containers(), addresses: addresses() });
}

#[test]
fn what_comes_late_is_given_at_once_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("recording");
    let all = in_order(events(5, 300, 2));
    let mut recorder = Recorder::begin(&dir, storage(70, true, Keep::All));
    let mut follow = Follow::begin(&dir, &Class::ALL).unwrap();
    let mut got = Vec::new();
    recorder.step(&all[100..], all[200].common().ts);
    look(&mut follow, &mut got);
    assert_eq!(got, all[100..200]);
    recorder.step(&all[..100], i64::MAX - 1);
    look(&mut follow, &mut got);
    assert_eq!((got.len(), follow.late()), (300, 100));
    recorder.finish();
    look(&mut follow, &mut got);
    assert_eq!(in_order(got), all, "each once");
}

#[test]
fn segments_removed_to_make_room_are_counted_and_nothing_comes_twice() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("recording");
    let all = in_order(events(9, 1000, 2));
    let keep = Keep::Newest { bytes: Some(1), age: None };
    let mut recorder = Recorder::begin(&dir, storage(20, false, keep));
    let (mut along, mut behind) =
        (Follow::begin(&dir, &Class::ALL).unwrap(), Follow::begin(&dir, &Class::ALL).unwrap());
    let (mut got, mut little) = (Vec::new(), Vec::new());
    for chunk in all.chunks(100) {
        recorder.step(chunk, chunk[chunk.len() - 1].common().ts);
        look(&mut along, &mut got);
    }
    recorder.finish();
    look(&mut along, &mut got);
    assert_in_order(&got);
    got.dedup_by_key(|event| (event.common().cpu, event.common().seq));
    // Segments that were filled and removed within one interval were on disk for no moment at which this could look.
    assert!(along.gone() > 0 && got.len() > read(&dir).len(), "{} gone, {} rows", along.gone(), got.len());
    assert_eq!(look(&mut behind, &mut little), Growth::Complete);
    assert_eq!(little, read(&dir), "who looks once sees what is left");
}

#[test]
fn a_killed_recorder_is_noticed_and_what_it_left_is_given() {
    for (rows, background) in [(45, true), (1_000_000, false)] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("recording");
        let all = in_order(events(2, 600, 2));
        let mut recorder = Recorder::begin(&dir, storage(rows, background, Keep::All));
        let mut follow = Follow::begin(&dir, &Class::ALL).unwrap();
        let mut got = Vec::new();
        for chunk in all.chunks(100) {
            // It is killed before it knows that the last hundred are all there are of before.
            recorder.step(chunk, chunk[0].common().ts);
            look(&mut follow, &mut got);
        }
        assert!(got.len() < all.len());
        drop(recorder);
        let mut files = std::fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.to_str().unwrap().ends_with(".rows")).unwrap();
        OpenOptions::new().append(true).open(file).unwrap().write_all(b"RSJ1 half a frame").unwrap();
        assert_eq!(look(&mut follow, &mut got), Growth::Killed);
        assert_eq!(got, all, "{rows} rows");
        recover(&dir).unwrap();
        assert_eq!(read(&dir), all);
    }
}

#[test]
fn a_frame_that_is_being_written_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("recording");
    let all = in_order(events(4, 200, 1));
    let mut recorder = Recorder::begin(&dir, storage(1_000_000, false, Keep::All));
    recorder.step(&all, i64::MAX - 1);
    let mut follow = Follow::begin(&dir, &[Class::File]).unwrap();
    let path = dir.join("journal/file-00000.rows");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(follow.poll().unwrap(), Growth::Nothing);
    assert_eq!(follow.ready().count(), 0);
    std::fs::write(&path, &whole).unwrap();
    let mut got = Vec::new();
    assert_eq!(look(&mut follow, &mut got), Growth::Grown);
    assert_eq!(got.len(), all.iter().filter(|event| event.class() == Class::File).count());
}

#[test]
fn what_cannot_be_followed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(Follow::begin(&missing, &Class::ALL), Err(Error::NotFound { .. })));
    assert!(matches!(Follow::begin(dir.path(), &Class::ALL), Err(Error::NoManifest { .. })));
    let without = dir.path().join("without");
    let _writer = RecordingWriter::create(&without, manifest()).unwrap();
    let mut follow = Follow::begin(&without, &Class::ALL).unwrap();
    let began = Instant::now();
    let error = loop {
        match follow.poll() {
            Ok(growth) => assert_eq!(growth, Growth::Nothing),
            Err(error) => break error,
        }
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(matches!(error, Error::NoJournal { .. }), "{error}");
}

#[test]
fn a_copy_beside_the_recorder_has_each_segment_when_it_is_finished_and_is_the_recording_in_the_end() {
    let tmp = tempfile::tempdir().unwrap();
    let (dir, copied) = (tmp.path().join("rec"), tmp.path().join("copy"));
    let events = in_order(events(7, 600, 2));
    // A ring: what is removed to make room is not in the end either.
    let keep = Keep::Newest { bytes: Some(1), age: None };
    let mut recorder = Recorder::begin(&dir, storage(40, false, keep));
    let every = Duration::from_millis(20);
    let copy = std::thread::spawn({
        let (dir, copied) = (dir.clone(), copied.clone());
        move || copy_growing(&dir, &copied, every, |_| ())
    });
    for part in events.chunks(60) {
        recorder.step(part, part.last().unwrap().common().ts);
        std::thread::sleep(2 * every);
    }
    let began = Instant::now();
    while !copied.join("manifest.json").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing is copied");
        std::thread::sleep(every);
    }
    // Before the end it is a recording that is not finished.
    assert_eq!(Recording::open(&copied).unwrap().manifest().state, State::Recording);
    let early = std::fs::read_dir(&copied).unwrap().count();
    assert!(early > 1, "segments are there");
    recorder.finish();
    let done = copy.join().unwrap().unwrap();
    let manifest = std::fs::read(dir.join("manifest.json")).unwrap();
    assert_eq!(std::fs::read(copied.join("manifest.json")).unwrap(), manifest);
    let (report, original) = (verify(&copied, |_| ()).unwrap(), verify(&dir, |_| ()).unwrap());
    assert_eq!((report.verdict, report.findings.len()), (original.verdict, original.findings.len()), "{report:?}");
    assert_eq!(read(&copied), read(&dir));
    let listed = Recording::open(&dir).unwrap();
    let listed = listed.manifest().segments.len() + listed.manifest().tables.len() + 1;
    assert_eq!(done.files as usize, listed);
}

#[test]
fn a_copy_beside_a_recorder_that_is_killed_ends_unfinished() {
    let tmp = tempfile::tempdir().unwrap();
    let (dir, copied) = (tmp.path().join("rec"), tmp.path().join("copy"));
    let events = in_order(events(8, 200, 2));
    let mut recorder = Recorder::begin(&dir, storage(40, false, Keep::All));
    recorder.step(&events, events.last().unwrap().common().ts);
    drop(recorder);
    let error = copy_growing(&dir, &copied, Duration::from_millis(20), |_| ()).unwrap_err();
    assert!(matches!(error, Error::Killed { .. }), "{error}");
    assert!(error.hint().contains("datasets recover"), "{}", error.hint());
    assert_eq!(Recording::open(&copied).unwrap().manifest().state, State::Recording);
}
