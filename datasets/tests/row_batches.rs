//! Rows that come as columns, in row groups of any size.

mod common;

use std::fs::File;
use std::num::NonZeroUsize;

use arrow::array::RecordBatch;
use common::*;
use datasets::*;
use parquet::file::metadata::ParquetMetaDataReader;
use record_bpf::Class;

#[test]
fn what_is_read_as_columns_can_be_written_in_any_segments_and_row_groups() {
    let source = tempfile::tempdir().unwrap();
    let all = events(11, 2_000, 3);
    record(source.path(), &all, lossless(&all), rotation(120));
    let recording = Recording::open(source.path()).unwrap();
    for (segment, group) in [(90, 7), (10_000, 37), (64, 64), (40, 1_000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RecordingWriter::create_with(dir.path(), manifest(), rotation(segment)).unwrap();
        writer.set_group_rows(NonZeroUsize::new(group).unwrap());
        for class in Class::ALL {
            // Backwards: the writer sorts.
            let batches: Vec<RecordBatch> = recording.batches(class, None).unwrap().map(Result::unwrap).collect();
            batches.iter().rev().for_each(|batch| writer.push_batch(class, batch).unwrap());
        }
        writer
            .write_processes_from(|| processes().chunks(2).map(<[Process]>::to_vec).collect::<Vec<_>>().into_iter())
            .unwrap();
        writer.write_containers(&containers()).unwrap();
        writer.write_addresses(&addresses()).unwrap();
        let written = writer.finish(lossless(&all), recording.manifest().ended.as_ref().unwrap().ns).unwrap();
        for segment in &written.segments {
            let file = File::open(dir.path().join(&segment.file)).unwrap();
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
            assert_eq!(metadata.num_row_groups(), (segment.rows as usize).div_ceil(group), "{}", segment.file);
        }
        let report = verify(dir.path(), |_| {}).unwrap();
        assert_eq!(report.verdict, Verdict::Intact, "{:#?}", report.findings);
        assert!(read(dir.path()) == in_order(all.clone()), "{segment} rows a segment, {group} a group");
        assert_eq!(Recording::open(dir.path()).unwrap().processes().unwrap(), processes());
    }
}

#[test]
fn columns_of_another_class_are_refused() {
    let source = tempfile::tempdir().unwrap();
    let all = events(12, 500, 1);
    record(source.path(), &all, lossless(&all), Rotation::default());
    let recording = Recording::open(source.path()).unwrap();
    let batch = |class, columns| recording.batches(class, columns).unwrap().next().unwrap().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RecordingWriter::create(dir.path(), manifest()).unwrap();
    for wrong in [batch(Class::File, None), batch(Class::Network, Some(&["ts", "cpu", "seq"][..]))] {
        let error = writer.push_batch(Class::Network, &wrong).unwrap_err();
        assert!(matches!(error, Error::Column { .. }), "{error}");
    }
    assert_eq!(writer.pending_rows(), 0);
    writer.push_batch(Class::Network, &batch(Class::Network, None)).unwrap();
    assert!(writer.pending_rows() > 0);
}
