//! What the cache of embeddings saves: opening the default model and embedding command lines, without it and out of it.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use replay::embed::{self, Options, Place};

/// As many as a small replay asks about.
const LINES: usize = 256;

fn lines() -> Vec<String> {
    let line =
        |n: usize| format!("/usr/bin/tool --level {n} {} -o /srv/out/{}", "input ".repeat(n % 9), n * 7919 % 1000);
    (0..LINES).map(line).collect()
}

fn cache(c: &mut Criterion) {
    let lines = lines();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = Place { folder: folder.path().to_owned(), limit: 1 << 26 };
    let run = |cache: Option<Place>| {
        let model = embed::open(&Options { cache, ..Options::default() }).expect("./dev setup base");
        model.embed(&texts).expect("embeddings")
    };
    let expected = run(None);
    assert_eq!(run(Some(place.clone())), expected);

    let mut group = c.benchmark_group("embedding");
    group.throughput(Throughput::Elements(LINES as u64));
    group.bench_function("open and embed, without a cache", |b| b.iter(|| assert_eq!(run(None), expected)));
    group.bench_function("open and embed, out of the cache", |b| {
        b.iter(|| assert_eq!(run(Some(place.clone())), expected));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(8));
    targets = cache
}
criterion_main!(benches);
