//! Every damage is detected, told apart and placed; bad input gives a typed error that names the file.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use common::*;
use datasets::*;
use parquet::arrow::ArrowWriter;
use record_bpf::Class;

fn check(dir: &Path) -> VerifyReport {
    verify(dir, |_| {}).unwrap()
}

/// The kinds found at a place.
fn at(report: &VerifyReport, place: &str) -> Vec<FindingKind> {
    report.findings.iter().filter(|finding| finding.place == place).map(|finding| finding.kind).collect()
}

fn sound() -> (tempfile::TempDir, Vec<Event>) {
    let dir = tempfile::tempdir().unwrap();
    let events = events(11, 3000, 2);
    record(dir.path(), &events, lossless(&events), rotation(400));
    let scenario = Scenario { name: "s".into(), description: "d".into(), seed: 1, ..Scenario::default() };
    let mut labels = labels();
    // Only label what is there.
    labels.retain(|label| events.iter().any(|e| (e.common().cpu, e.common().seq) == (label.cpu, label.seq)));
    add_labels(dir.path(), &labels, scenario).unwrap();
    (dir, events)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let manifest = Recording::open(dir).unwrap().manifest().clone();
    let tables = manifest.tables.iter().map(|table| dir.join(&table.file));
    manifest.segments.iter().map(|segment| dir.join(&segment.file)).chain(tables).collect()
}

/// Changes the manifest behind its digest's back.
fn edit(dir: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = dir.join("manifest.json");
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_string(&value).unwrap()).unwrap();
}

#[test]
fn a_sound_recording_is_intact_and_progress_reaches_the_total() {
    let (dir, events) = sound();
    let mut last = None;
    let report = verify(dir.path(), |progress| last = Some(progress)).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict, Verdict::Intact);
    assert_eq!(report.rows, events.len() as u64);
    let last = last.unwrap();
    assert_eq!(last.done, last.total);
    assert!(report.cpus.iter().all(|cpu| cpu.missing == 0 && cpu.gaps.is_empty() && cpu.duplicates == 0));
    assert_eq!(report.cpus.iter().map(|cpu| cpu.rows).sum::<u64>(), report.rows);
}

#[test]
fn a_flipped_byte_is_detected_in_every_file_wherever_it_is() {
    let (dir, _) = sound();
    let mut random = Random(5);
    for path in files(dir.path()) {
        let original = fs::read(&path).unwrap();
        let place = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        // The magic, the data, the footer's length, and somewhere.
        let n = original.len();
        for at_byte in [0, n / 2, n - 5, n - 1, random.below(n as u64) as usize, random.below(n as u64) as usize] {
            let mut bytes = original.clone();
            bytes[at_byte] ^= 1 << random.below(8);
            fs::write(&path, &bytes).unwrap();
            let report = check(dir.path());
            assert_eq!(report.verdict, Verdict::Damaged);
            assert!(at(&report, &place).contains(&FindingKind::Altered), "{place} byte {at_byte}: {report:?}");
            // Reading it gives an error or other rows, and never a panic.
            let recording = Recording::open(dir.path()).unwrap();
            let _ = recording.events().take_while(Result::is_ok).count();
            let _ = (recording.processes(), recording.containers(), recording.addresses(), recording.labels());
        }
        fs::write(&path, original).unwrap();
    }
    assert_eq!(check(dir.path()).verdict, Verdict::Intact);
}

#[test]
fn a_flipped_byte_in_the_manifest_is_detected() {
    let (dir, _) = sound();
    let path = dir.path().join("manifest.json");
    let original = fs::read(&path).unwrap();
    for at_byte in (0..original.len()).step_by(97) {
        let mut bytes = original.clone();
        bytes[at_byte] ^= 1;
        fs::write(&path, &bytes).unwrap();
        match verify(dir.path(), |_| {}) {
            // Not even a manifest any more.
            Err(error) => assert!(error.to_string().contains("manifest.json"), "{error}"),
            Ok(report) => assert!(at(&report, "manifest.json").contains(&FindingKind::Altered), "byte {at_byte}"),
        }
    }
}

#[test]
fn truncation_is_told_from_alteration() {
    let (dir, _) = sound();
    for path in files(dir.path()) {
        let original = fs::read(&path).unwrap();
        let place = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        for keep in [0, 3, original.len() / 2, original.len() - 1] {
            fs::write(&path, &original[..keep]).unwrap();
            let found = at(&check(dir.path()), &place);
            assert_eq!(found, [FindingKind::Truncated, FindingKind::Unreadable], "{place} cut to {keep}");
            let recording = Recording::open(dir.path()).unwrap();
            let error = match Class::from_name(place.split('/').next().unwrap()) {
                Some(class) => recording.events_of(&[class]).find_map(Result::err),
                None => [
                    recording.processes().err(),
                    recording.containers().err(),
                    recording.addresses().err(),
                    recording.losses().err(),
                    recording.labels().err(),
                ]
                .into_iter()
                .flatten()
                .next(),
            };
            let error = error.unwrap();
            assert!(matches!(&error, Error::Parquet { path: named, .. } if *named == path), "{error}");
        }
        fs::write(&path, original).unwrap();
    }
}

#[test]
fn a_missing_file_is_named() {
    let (dir, _) = sound();
    for path in files(dir.path()) {
        let place = path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        let aside = dir.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        assert!(matches!(Recording::open(dir.path()), Err(Error::MissingFile { path: named }) if named == path));
        assert_eq!(at(&check(dir.path()), &place), [FindingKind::Missing]);
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_segment_taken_out_of_the_manifest_breaks_the_chain_and_leaves_an_unlisted_file() {
    let (dir, _) = sound();
    let mut taken = String::new();
    let mut next = String::new();
    edit(dir.path(), |manifest| {
        let segments = manifest["segments"].as_array_mut().unwrap();
        taken = segments.remove(1)["file"].as_str().unwrap().to_owned();
        next = segments[1]["file"].as_str().unwrap().to_owned();
    });
    let report = check(dir.path());
    assert_eq!(at(&report, &taken), [FindingKind::Unlisted]);
    assert_eq!(at(&report, &next), [FindingKind::Chain]);
    assert!(report.findings.iter().any(|finding| finding.kind == FindingKind::Miscounted));
}

#[test]
fn counts_that_do_not_add_up_are_placed() {
    let (dir, _) = sound();
    let first = files(dir.path())[0].strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
    edit(dir.path(), |manifest| {
        manifest["segments"][0]["rows"] = 1.into();
        manifest["accounting"]["cpus"][0]["classes"]["file"]["emitted"] = 1.into();
        manifest["accounting"]["cpus"][1]["classes"]["network"]["stored"] = 1.into();
    });
    let report = check(dir.path());
    assert_eq!(at(&report, &first), [FindingKind::Miscounted]);
    assert_eq!(at(&report, "cpu 0, file"), [FindingKind::Miscounted]);
    assert_eq!(at(&report, "cpu 0"), [FindingKind::Miscounted], "next_seq is not the sum of emitted");
    // Not the rows, and the identity does not hold.
    assert_eq!(at(&report, "cpu 1, network"), [FindingKind::Miscounted, FindingKind::Miscounted]);
    assert_eq!(at(&report, "cpu 1"), []);
}

#[test]
fn loss_that_is_accounted_is_intact_and_its_gaps_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let all = events(21, 4000, 2);
    let accounting = lossless(&all);
    // On CPU 0 the kernel drops 10..=12 and the last; on CPU 1 user space discards 0, the kernel leaves out 5 and 7.
    let last = all.iter().filter(|event| event.common().cpu == 0).count() as u64 - 1;
    let lost = |event: &Event| match event.common().cpu {
        0 => (10..=12).contains(&event.common().seq) || event.common().seq == last,
        _ => matches!(event.common().seq, 0 | 5 | 7),
    };
    let (gone, kept): (Vec<Event>, Vec<Event>) = all.iter().cloned().partition(lost);
    let mut accounted = accounting.clone();
    for event in &gone {
        let account = &mut accounted.cpus[usize::from(event.common().cpu)];
        let counts = account.classes.get_mut(event.class().name()).unwrap();
        let cause = match (event.common().cpu, event.common().seq) {
            (0, _) => &mut counts.dropped.ring_full,
            (_, 0) => &mut counts.filtered,
            (_, 5) => &mut counts.sampled_out,
            _ => &mut counts.known,
        };
        *cause += 1;
    }
    record(dir.path(), &kept, accounted, Rotation::default());
    let report = check(dir.path());
    assert_eq!(report.findings, []);
    let [zero, one] = &report.cpus[..] else { panic!("two CPUs") };
    assert_eq!((zero.missing, zero.dropped, zero.filtered, zero.gap_count), (4, 4, 0, 2));
    assert_eq!((one.missing, one.dropped, one.gap_count), (3, 0, 3));
    assert_eq!((one.filtered, one.sampled_out, one.known), (1, 1, 1));
    // Nobody told the writer when: each loss may be behind each gap of its CPU.
    let causes = |cpu: u16| -> Vec<GapCause> {
        let mut causes: Vec<GapCause> = gone
            .iter()
            .filter(|event| event.common().cpu == cpu)
            .map(|event| {
                let cause = match (cpu, event.common().seq) {
                    (0, _) => "ring_full",
                    (_, 0) => "filtered",
                    (_, 5) => "sampled_out",
                    _ => "known",
                };
                GapCause { class: event.class().name(), cause }
            })
            .collect();
        causes.sort();
        causes.dedup();
        causes
    };
    let time = |cpu: u16, seq: u64| {
        all.iter().map(Event::common).find(|c| (c.cpu, c.seq) == (cpu, seq)).map(|c| Moment::from_ns(c.ts))
    };
    assert_eq!(zero.gaps[0], Gap { from: 10, to: 12, after: time(0, 9), before: time(0, 13), causes: causes(0) });
    assert_eq!(zero.gaps[1], Gap { from: last, to: last, after: time(0, last - 1), before: None, causes: causes(0) });
    assert_eq!(one.gaps[0], Gap { from: 0, to: 0, after: None, before: time(1, 1), causes: causes(1) });

    // The same rows, with an account that hides the loss.
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &kept, accounting, Rotation::default());
    let report = check(dir.path());
    assert_eq!(report.verdict, Verdict::Damaged);
    assert_eq!(at(&report, "cpu 0"), [FindingKind::Miscounted]);
    assert_eq!(at(&report, "cpu 1"), [FindingKind::Miscounted]);
}

#[test]
fn a_row_twice_and_rows_beyond_the_account_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = events(8, 1000, 1);
    let mut accounting = lossless(&events);
    let repeated = events[5].clone();
    let class = repeated.class().name();
    accounting.cpus[0].classes.get_mut(class).unwrap().emitted += 1;
    accounting.cpus[0].next_seq += 1;
    events.push(repeated);
    record(dir.path(), &events, accounting, Rotation::default());
    let found = at(&check(dir.path()), "cpu 0");
    assert!(found.contains(&FindingKind::Duplicate) && found.contains(&FindingKind::Miscounted), "{found:?}");

    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), &events[..1000], Accounting::default(), Rotation::default());
    let found = at(&check(dir.path()), "cpu 0");
    assert!(found.contains(&FindingKind::Miscounted), "{found:?}");
}

#[test]
fn a_recording_cut_short_is_unfinished_and_its_rows_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(2, 1000, 2);
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), rotation(100)).unwrap();
    for event in &events {
        writer.push(event).unwrap();
    }
    let safe = writer.manifest().rows();
    drop(writer);
    // As when killed between a segment's rename and the manifest's.
    fs::copy(dir.path().join("file/00000.parquet"), dir.path().join("file/00099.parquet")).unwrap();
    let report = check(dir.path());
    assert_eq!((report.verdict, report.rows), (Verdict::Unfinished, safe));
    assert_eq!(at(&report, "manifest.json"), [FindingKind::Unfinished]);
    assert_eq!(at(&report, "file/00099.parquet"), [FindingKind::Unlisted]);
}

/// Replaces a listed file by a Parquet file with these columns.
fn replace(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn foreign_parquet_is_refused_by_column() {
    let (dir, _) = sound();
    let path = dir.path().join("file/00000.parquet");
    let numbers = || Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef;
    replace(&path, vec![("a", numbers())]);
    let recording = Recording::open(dir.path()).unwrap();
    let error = recording.events().find_map(Result::err).unwrap();
    assert_eq!(
        error.to_string(),
        format!("{}: column ts: expected Timestamp(ns, \"UTC\"), found no such column", path.display())
    );
    replace(&path, vec![("ts", numbers())]);
    let error = recording.events().find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::Column { column, found, .. } if column == "ts" && found == "Int64"), "{error}");
    let error = recording.batches(Class::File, Some(&["cpu"])).unwrap().find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::Column { column, .. } if column == "cpu"), "{error}");
    assert!(at(&check(dir.path()), "file/00000.parquet").contains(&FindingKind::Schema));

    fs::write(&path, "PAR1 this is not Parquet PAR1").unwrap();
    let error = recording.events().find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::Parquet { path: named, .. } if *named == path), "{error}");
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn rows_out_of_order_are_found_and_not_replayed() {
    let (dir, _) = sound();
    let recording = Recording::open(dir.path()).unwrap();
    let path = dir.path().join("process/00000.parquet");
    // The same rows, read as they are and written the other way round.
    let file = fs::File::open(&path).unwrap();
    let mut reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 4096).unwrap();
    let batch = reader.next().unwrap().unwrap();
    let backwards = arrow::array::UInt32Array::from_iter_values((0..batch.num_rows() as u32).rev());
    let batch = arrow::compute::take_record_batch(&batch, &backwards).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();

    let error = recording.events().find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::Order { path: named, row: 1 } if *named == path), "{error}");
    let found = at(&check(dir.path()), "process/00000.parquet");
    assert!(found.contains(&FindingKind::Reordered) && !found.contains(&FindingKind::Miscounted), "{found:?}");
}

#[test]
fn what_is_not_a_recording_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Recording::open(dir.path()).unwrap_err();
    assert!(matches!(Recording::open(dir.path().join("no")), Err(Error::NotFound { .. })));
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(Recording::open(&file), Err(Error::NotFound { .. })));
    assert!(matches!(open(), Error::NoManifest { .. }));

    let manifest = dir.path().join("manifest.json");
    for foreign in ["", "no JSON", "[1, 2]", "{}", r#"{"kind": "other"}"#, r#"{"kind": "retroscope recording"}"#] {
        fs::write(&manifest, foreign).unwrap();
        assert!(matches!(open(), Error::ForeignManifest { .. }), "{foreign}");
        assert!(!open().to_string().contains('\n'));
        assert!(!open().hint().is_empty());
    }
    fs::write(&manifest, [0xff, 0xfe]).unwrap();
    assert!(matches!(open(), Error::ForeignManifest { .. }));
    for (format, schema, what) in [("2", "1.0", "format"), ("1", "2.0", "schema"), ("1", "10.0", "schema")] {
        let text = format!(
            r#"{{"kind": "retroscope recording", "format_version": "{format}", "schema_version": "{schema}"}}"#
        );
        fs::write(&manifest, text).unwrap();
        assert!(matches!(open(), Error::UnknownVersion { what: named, .. } if named == what));
    }
}

#[test]
fn a_newer_minor_version_is_read_and_an_older_one_lacks_only_nullable_columns() {
    let (dir, events) = sound();
    edit(dir.path(), |manifest| manifest["schema_version"] = "1.7".into());
    assert_eq!(read(dir.path()), in_order(events));

    // A column appended by a newer version is ignored; a nullable one that an older version did not have is null.
    let path = dir.path().join("file/00000.parquet");
    let file = fs::File::open(&path).unwrap();
    let mut reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 4096).unwrap();
    let batch = reader.next().unwrap().unwrap();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name() != "inode" {
            columns.push((field.name().clone(), column.clone()));
        }
    }
    columns.push(("later".to_owned(), Arc::new(Int64Array::from(vec![1; batch.num_rows()]))));
    replace(&path, columns.iter().map(|(name, column)| (name.as_str(), column.clone())).collect());
    let first = read(dir.path()).into_iter().find_map(|event| match event {
        Event::File(row) => Some(row),
        _ => None,
    });
    assert_eq!(first.unwrap().inode, None);
}

#[test]
fn a_manifest_cannot_name_files_elsewhere() {
    for file in ["../outside.parquet", "/etc/passwd", ""] {
        let (dir, _) = sound();
        edit(dir.path(), |manifest| manifest["segments"][0]["file"] = file.into());
        assert!(matches!(Recording::open(dir.path()), Err(Error::ForeignManifest { .. })), "{file}");
        assert_eq!(at(&check(dir.path()), file), [FindingKind::Schema]);
    }
}

#[test]
fn recordings_are_found_by_name_and_by_path() {
    let (dir, _) = sound();
    assert!(Recording::find(dir.path().to_str().unwrap()).is_ok());
    let error = Recording::find("no-such-recording").unwrap_err();
    assert!(matches!(&error, Error::UnknownName { name, .. } if name == "no-such-recording"), "{error}");
    assert!(matches!(Recording::find("./no/such"), Err(Error::NotFound { .. })));
    assert!(matches!(Recording::shipped("../datasets"), Err(Error::UnknownName { .. })));
}
