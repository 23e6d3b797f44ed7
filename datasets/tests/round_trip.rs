//! What is written is what is read.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, UInt64Type};
use common::*;
use datasets::*;
use record_bpf::{Class, Kind};

#[test]
fn events_come_back_equal_and_in_order_for_many_seeds_and_rotations() {
    for (seed, rows) in [(1, usize::MAX), (2, 100), (3, 1), (4, 37), (5, 4096)] {
        let dir = tempfile::tempdir().unwrap();
        let events = events(seed, if rows == 1 { 150 } else { 20_000 }, 4);
        let manifest = record(dir.path(), &events, lossless(&events), rotation(rows));
        assert_eq!(manifest.rows(), events.len() as u64);
        let per_class = |class| events.iter().filter(|event| event.class() == class).count();
        let segments: usize = Class::ALL.into_iter().map(|class| per_class(class).div_ceil(rows)).sum();
        assert_eq!(manifest.segments.len(), segments, "{rows} rows a segment");
        let back = read(dir.path());
        let expected = in_order(events);
        assert_eq!(back.len(), expected.len());
        for (back, expected) in back.iter().zip(&expected) {
            assert_eq!(back, expected);
        }
    }
}

#[test]
fn dimension_tables_come_back_equal() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &[], Accounting::default(), Rotation::default());
    let recording = Recording::open(dir.path()).unwrap();
    assert_eq!(recording.processes().unwrap(), processes());
    assert_eq!(recording.containers().unwrap(), containers());
    assert_eq!(recording.addresses().unwrap(), addresses());
    assert_eq!(recording.labels().unwrap(), []);
    assert_eq!(recording.events().count(), 0);

    let scenario = Scenario { name: "s".into(), description: "d".into(), seed: 1, ..Scenario::default() };
    let returned = add_labels(dir.path(), &labels(), scenario.clone()).unwrap();
    let recording = Recording::open(dir.path()).unwrap();
    assert_eq!(recording.labels().unwrap(), labels());
    assert_eq!(recording.manifest().scenario, Some(scenario));
    assert_eq!(*recording.manifest(), returned);
}

#[test]
fn equal_strings_share_memory_across_batches_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    let events: Vec<Event> = (0..20_000)
        .map(|i| {
            let Event::File(mut row) = event(&mut random, Kind::Open, START + i as i64, 0, i) else { unreachable!() };
            row.path = Some("/etc/passwd".into());
            Event::File(row)
        })
        .collect();
    record(dir.path(), &events, lossless(&events), rotation(15_000));
    let mut paths = read(dir.path()).into_iter().map(|event| match event {
        Event::File(row) => row.path.unwrap(),
        _ => unreachable!(),
    });
    let first = paths.next().unwrap();
    assert!(paths.all(|path| Arc::ptr_eq(&first, &path)));
}

#[test]
fn the_manifest_says_what_is_there_while_recording_and_after() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/recording");
    let events = events(9, 500, 2);
    let mut writer = RecordingWriter::create_with(&dir, manifest(), rotation(10)).unwrap();
    for event in &events {
        writer.push(event).unwrap();
    }
    // As after kill -9: what the manifest lists can be read.
    let open = Recording::open(&dir).unwrap();
    assert_eq!(open.manifest().state, State::Recording);
    assert_eq!(open.events().map(Result::unwrap).count() + writer.pending_rows(), events.len());
    writer.flush().unwrap();
    assert_eq!(read(&dir), in_order(events.clone()));

    writer.set_scenario(Scenario { name: "s".into(), description: String::new(), seed: 0, ..Scenario::default() });
    let mut accounting = lossless(&events);
    accounting.failures.insert("path_truncated".to_owned(), 3);
    let finished = writer.finish(accounting, START + 1).unwrap();
    let manifest = Recording::open(&dir).unwrap().manifest().clone();
    assert_eq!(manifest, finished);
    assert_eq!(manifest.state, State::Complete);
    assert_eq!(manifest.ended, Some(Moment { utc: "2026-09-21T14:13:20.000000001Z".to_owned(), ns: START + 1 }));
    let accounting = manifest.accounting.unwrap();
    assert_eq!(accounting.failures["path_truncated"], 3);
    assert!(accounting.cpus.iter().flat_map(|cpu| cpu.classes.values()).all(ClassAccount::holds));

    for entry in [".", "file", "manifest.json", "file/00000.parquet"] {
        let mode = fs::metadata(dir.join(entry)).unwrap().permissions().mode() & 0o777;
        let expected = if entry == "." || entry == "file" { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{entry}");
    }
}

#[test]
fn a_quiet_class_is_rotated_by_time_and_a_busy_one_by_memory() {
    let dir = tempfile::tempdir().unwrap();
    let by_time = Rotation { time: std::time::Duration::ZERO, ..Rotation::default() };
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), by_time).unwrap();
    let events = events(3, 10, 1);
    writer.push(&events[0]).unwrap();
    assert_eq!(writer.manifest().segments.len(), 0);
    writer.tick().unwrap();
    assert_eq!(writer.manifest().segments.len(), 1);
    writer.tick().unwrap();
    assert_eq!(writer.manifest().segments.len(), 1, "an empty segment is not written");

    let dir = tempfile::tempdir().unwrap();
    let by_memory = Rotation { bytes: 1, ..Rotation::default() };
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), by_memory).unwrap();
    writer.push(&events[0]).unwrap();
    assert_eq!(writer.pending_rows(), 0);
}

#[test]
fn batches_give_the_columns_asked_for_in_that_order() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(4, 3000, 2);
    record(dir.path(), &events, lossless(&events), rotation(500));
    let recording = Recording::open(dir.path()).unwrap();
    let batches: Vec<RecordBatch> =
        recording.batches(Class::File, Some(&["path", "seq"])).unwrap().map(Result::unwrap).collect();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, events.iter().filter(|event| event.class() == Class::File).count());
    for batch in &batches {
        assert_eq!(batch.schema().field(0).name(), "path");
        batch.column(0).as_dictionary::<Int32Type>();
        batch.column(1).as_primitive::<UInt64Type>();
    }
    let all = recording.batches(Class::Process, None).unwrap().next().unwrap().unwrap();
    assert_eq!(all.num_columns(), record_bpf::schema::class_schema(Class::Process).fields().len());
    assert!(matches!(recording.batches(Class::File, Some(&["no"])), Err(Error::Column { .. })));
}

#[test]
fn a_recording_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "x").unwrap();
    assert!(matches!(RecordingWriter::create(dir.path(), manifest()), Err(Error::Exists { .. })));
    assert!(matches!(RecordingWriter::create(dir.path().join("mine"), manifest()), Err(Error::Exists { .. })));
    assert!(matches!(RecordingWriter::create(dir.path().join("mine/x"), manifest()), Err(Error::Write { .. })));
}

#[test]
fn a_failed_write_is_typed_and_what_came_before_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(6, 900, 1);
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), rotation(100_000)).unwrap();
    for event in &events[..500] {
        writer.push(event).unwrap();
    }
    writer.flush().unwrap();
    for event in &events[500..] {
        writer.push(event).unwrap();
    }
    // A directory where the next segment's temporary file goes: the write fails for root, too.
    fs::create_dir(dir.path().join("file/00001.parquet.tmp")).unwrap();
    let error = writer.flush().unwrap_err();
    assert!(matches!(&error, Error::Write { path, .. } if path.ends_with("file/00001.parquet")), "{error}");
    let manifest = writer.finish(lossless(&events), START).unwrap();
    let failed: u64 = manifest.accounting.unwrap().cpus[0].classes["file"].dropped.write_failed;
    assert_eq!(failed, events[500..].iter().filter(|event| event.class() == Class::File).count() as u64);
    fs::remove_dir(dir.path().join("file/00001.parquet.tmp")).unwrap();
    let report = verify(dir.path(), |_| {}).unwrap();
    assert_eq!(report.findings, [], "what could not be written is accounted for");
    assert_eq!(report.cpus[0].missing, failed);
}
