//! Writing and reading recordings: events per second.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use datasets::Recording;
use record_bpf::Class;

const EVENTS: usize = 100_000;

/// Columns, sorting, Parquet, fsync and rename of one segment per class.
fn write(c: &mut Criterion) {
    let events = benches::events(EVENTS);
    let mut group = c.benchmark_group("write");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("a recording", |b| {
        let fresh = || tempfile::tempdir().expect("a temporary directory");
        let write = |dir: tempfile::TempDir| {
            let manifest = benches::write(&dir.path().join("rec"), &events).expect("written");
            assert_eq!(manifest.rows(), EVENTS as u64);
            // Removed outside the measured time.
            dir
        };
        b.iter_batched(fresh, write, BatchSize::PerIteration);
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("rec");
    let manifest = benches::write(&path, &benches::events(EVENTS)).expect("written");
    let recording = Recording::open(&path).expect("a recording");
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("typed events in order", |b| {
        b.iter(|| assert_eq!(count(&recording), EVENTS));
    });
    let files: u64 = manifest.class_segments(Class::File).map(|segment| segment.rows).sum();
    group.throughput(Throughput::Elements(files));
    group.bench_function("three columns as batches", |b| {
        b.iter(|| {
            let batches = recording.batches(Class::File, Some(&["ts", "exec_id", "path"])).expect("known columns");
            let rows: usize = batches.map(|batch| black_box(batch.expect("readable")).num_rows()).sum();
            assert_eq!(rows as u64, files);
        });
    });

    let shipped = Recording::shipped("xmrig").expect("the recording that ships");
    let rows = shipped.manifest().rows();
    group.throughput(Throughput::Elements(rows));
    group.bench_function("the shipped xmrig recording", |b| {
        b.iter(|| assert_eq!(count(&shipped) as u64, rows));
    });
    group.finish();
}

fn count(recording: &Recording) -> usize {
    recording.events().inspect(|event| assert!(black_box(event).is_ok())).count()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(8));
    targets = write, read
}
criterion_main!(benches);
