//! A segment's way to its file, class by class: rows to columns, columns to Parquet; and the Parquet crate's own writer beside
//! it. process, file and network rows are those of the shipped xmrig recording; system calls are made up in the mix of a find
//! and grep, the other classes' rows by `made.rs`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datasets::{Event, Recording, segment};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use record_bpf::Class;

const CALLS: usize = 100_000;
/// Rows of the other classes that are made up.
const MADE: usize = 10_000;

fn rows() -> Vec<(Class, Vec<Event>)> {
    let shipped = Recording::shipped("xmrig").expect("the recording that ships");
    let of = |class: Class| shipped.events_of(&[class]).collect::<Result<Vec<_>, _>>().expect("readable");
    let mut rows: Vec<_> = [Class::Process, Class::File, Class::Network].map(|class| (class, of(class))).into();
    rows.push((Class::Syscall, benches::calls(CALLS)));
    let made = [Class::Security, Class::Dns, Class::Tls, Class::Flow, Class::Resource];
    rows.extend(made.map(|class| (class, benches::made::rows(class, MADE))));
    rows
}

fn columns(c: &mut Criterion) {
    for (class, events) in rows() {
        let batch = segment::batch(class, &events);
        let bytes = batch.get_array_memory_size() as u64;
        let file = segment::parquet(class, &batch).expect("the writer's own columns");
        let per_event = file.len() as f64 / events.len() as f64;
        eprintln!("{class}: {} rows, {per_event:.2} bytes per event", events.len());
        let mut group = c.benchmark_group(format!("columns/{class}"));

        group.throughput(Throughput::ElementsAndBytes { elements: events.len() as u64, bytes });
        group.bench_function("rows to columns", |b| {
            b.iter(|| assert_eq!(segment::batch(class, black_box(&events)).num_rows(), events.len()));
        });
        group.bench_function("columns to Parquet", |b| {
            b.iter(|| {
                let file = segment::parquet(class, black_box(&batch)).expect("the writer's own columns");
                assert_eq!(rows_of(file), events.len());
            });
        });
        group.bench_function("columns to Parquet by the crate's writer", |b| {
            b.iter(|| {
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
                let mut writer =
                    ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).expect("a schema");
                writer.write(black_box(&batch)).expect("rows");
                assert_eq!(rows_of(writer.into_inner().expect("a file")), events.len());
            });
        });
        group.finish();
    }
}

/// What the file's footer says.
fn rows_of(file: Vec<u8>) -> usize {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).expect("a Parquet file");
    reader.metadata().file_metadata().num_rows() as usize
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));
    targets = columns
}
criterion_main!(benches);
