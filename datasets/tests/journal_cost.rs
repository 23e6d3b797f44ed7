//! What the journal costs: `cargo test --release -p datasets --test journal_cost -- --ignored --nocapture`.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use datasets::*;
use record_bpf::Kind;

/// CPU seconds of this process, in steps of 10 ms (fields 14 and 15 of /proc/PID/stat, at 100 Hz).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Bytes this process has written to files.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

/// Open and close of 5,000 files by 12 processes, as the recorder fills them.
fn rows(n: u64) -> Vec<Event> {
    let paths: Vec<Arc<str>> = (0..5000).map(|i| format!("/usr/share/doc/package-{i}/copyright").into()).collect();
    let row = |seq: u64| {
        let kind = if seq.is_multiple_of(2) { Kind::Open } else { Kind::Close };
        let (pid, ts) = (1000 + (seq / 64 % 12) as u32, START + (seq * 5000) as i64);
        let container = Some(format!("{:064x}", pid % 4).into());
        let (exec_id, cpu) = (Some(u64::from(pid) << 20), 0);
        let mut row = FileEvent::new(Common { ts, cpu, seq, kind, container, pid, tid: pid, exec_id });
        row.path = Some(paths[(seq / 2 * 7919 % 5000) as usize].clone());
        row.fd = Some(3);
        row.flags = (kind == Kind::Open).then_some(0x8000);
        row.inode = Some(100_000 + seq / 2 % 5000);
        row.dev = Some(0x80_0001);
        row.bytes_read = (kind == Kind::Close).then_some(4096);
        Event::File(row)
    };
    (0..n).map(row).collect()
}

/// CPU ns and written bytes an event, with a journal every so many rows.
fn run(events: &[Event], every: Option<usize>) -> (f64, f64) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let journal = every.map(|_| Duration::ZERO);
    let storage =
        Storage { journal, memory: 64 << 20, background: true, reserve: false, ..Storage::from(Rotation::default()) };
    let (began, bytes) = (cpu(), written());
    let mut writer = RecordingWriter::create_with(dir.path(), manifest(), storage).unwrap();
    for chunk in events.chunks(every.unwrap_or(10_000)) {
        chunk.iter().for_each(|event| writer.push(event).unwrap());
        writer.tick().unwrap();
        if every.is_some() {
            let known = Known {
                at_ns: START,
                until_ns: START,
                accounting: Accounting::default(),
                processes: &[],
                all_processes: false,
                ended: &[],
                containers: &[],
                addresses: &[],
            };
            writer.journal(known).unwrap();
        }
    }
    writer.finish(lossless(events), START).unwrap();
    let n = events.len() as f64;
    ((cpu() - began) * 1e9 / n, (written() - bytes) as f64 / n)
}

#[test]
#[ignore = "a measurement"]
fn what_the_journal_costs() {
    let events = rows(1_000_000);
    for per_second in [2_000, 20_000, 200_000] {
        let mut with = Vec::new();
        let mut without = Vec::new();
        for _ in 0..3 {
            without.push(run(&events, None));
            with.push(run(&events, Some(per_second / 2)));
        }
        let median = |all: &mut Vec<(f64, f64)>| {
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all[1]
        };
        let (off, on) = (median(&mut without), median(&mut with));
        eprintln!(
            "{per_second} events/s: {:.0} ns of CPU an event without a journal, {:.0} with ({:.2}x); {:.1} and {:.1} bytes written",
            off.0,
            on.0,
            on.0 / off.0,
            off.1,
            on.1
        );
        assert!(on.1 > off.1, "a journal was written");
    }
}
