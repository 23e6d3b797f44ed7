//! Synthetic input for the benches: the same events on every machine and in every run.
//!
//! `cargo bench -p benches` measures recordings and the replay's path per event. `--features record` adds the decoding of
//! ring records; building the recorder needs clang. `cargo test -p benches --benches` runs each once and checks its result.

pub mod made;
pub mod replayed;
pub mod scaling;
pub mod stretch;
pub mod wire;

use std::path::Path;
use std::sync::Arc;

use datasets::{
    Accounting, Common, Event, FileEvent, Kernel, Manifest, NetworkEvent, ProcessEvent, Recorder, RecordingWriter,
    Result, Rotation, SyscallEvent,
};
use record_bpf::{Class, Kind};

/// Unix time of the first event, ns.
const START: i64 = 1_790_000_000_000_000_000;

/// splitmix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A number of events, as `2500`, `250k`, `10M` or `1G`.
///
/// # Errors
/// Not such a number, in words for a command line.
pub fn amount(text: &str) -> std::result::Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|number| *number > 0);
    number.ok_or_else(|| "a number above 0, as 250000, 250k, 10M or 1G".to_owned())
}

/// `n` events of two CPUs in the mix of the shipped recordings: 85 % file, 10 % network, 5 % process events; four
/// containers, four fifths of the opens on 300 paths and the rest on 20,000.
pub fn events(n: usize) -> Vec<Event> {
    let mut random = Random(1);
    let containers: Vec<Arc<str>> = (1..=4).map(|i| format!("{i:064x}").into()).collect();
    let mut next = [(START, 0u64), (START + 500, 0u64)];
    let mut events = Vec::with_capacity(n);
    while events.len() < n {
        let cpu = random.below(2) as u16;
        let (ts, seq) = &mut next[usize::from(cpu)];
        *ts += 1_500 + random.below(30_000) as i64;
        let kind = match random.below(100) {
            0..43 => Kind::Open,
            43..85 => Kind::Close,
            85..90 => Kind::Connect,
            90..95 => Kind::NetClose,
            _ => Kind::Exec,
        };
        let process = random.below(12);
        let pid = 1_000 + process as u32;
        let container = Some(Arc::clone(&containers[(process % 4) as usize]));
        let common = Common { ts: *ts, cpu, seq: *seq, kind, container, pid, tid: pid, exec_id: Some(process) };
        *seq += 1;
        events.push(match kind.class() {
            Class::Process => exec(common, &mut random),
            Class::File => file(common, &mut random),
            Class::Network => network(common, &mut random),
            other => unreachable!("the mix has no {other} events"),
        });
    }
    events
}

fn exec(common: Common, random: &mut Random) -> Event {
    let argv = ["/usr/bin/convert".to_owned(), "-resize".to_owned(), format!("/srv/img/{}.png", random.below(5_000))];
    Event::Process(ProcessEvent {
        parent_exec_id: common.exec_id,
        exe: Some("/usr/bin/convert".into()),
        exe_inode: Some(77),
        exe_dev: Some(8 << 20 | 1),
        exe_memfd: Some(false),
        exe_deleted: Some(false),
        argv: Some(argv.map(Arc::from).into()),
        argv_truncated: Some(false),
        cwd: Some("/srv".into()),
        uid: Some(1000),
        gid: Some(1000),
        ..ProcessEvent::new(common)
    })
}

fn file(common: Common, random: &mut Random) -> Event {
    let hot = random.below(5) < 4;
    let number = random.below(if hot { 300 } else { 20_000 });
    let close = common.kind == Kind::Close;
    Event::File(FileEvent {
        path: Some(format!("/srv/app/data/{}/item-{number}.json", number % 17).into()),
        ret: if close { 0 } else { 5 },
        fd: Some(5),
        flags: Some(0o100_000),
        mode: Some(0o100_644),
        inode: Some(1_000_000 + number),
        dev: Some(8 << 20 | 1),
        bytes_read: close.then_some(4_096),
        bytes_written: close.then_some(0),
        reads: close.then_some(1),
        writes: close.then_some(0),
        ..FileEvent::new(common)
    })
}

fn network(common: Common, random: &mut Random) -> Event {
    let close = common.kind == Kind::NetClose;
    Event::Network(NetworkEvent {
        local_addr: Some("10.89.0.2".into()),
        local_port: Some(32_768 + random.below(20_000) as u16),
        peer_addr: Some("10.89.0.3".into()),
        peer_port: Some(6_379),
        fd: 9,
        inode: Some(random.below(1 << 20)),
        bytes_received: close.then(|| random.below(10_000)),
        bytes_sent: close.then(|| random.below(10_000)),
        ..NetworkEvent::new(common, "inet", "tcp")
    })
}

/// `n` system calls of one process on one CPU, as find and grep make them: open, fstat, read, read, close.
pub fn calls(n: usize) -> Vec<Event> {
    const MADE: [(u16, &str, usize); 5] =
        [(257, "openat", 4), (5, "fstat", 2), (0, "read", 3), (0, "read", 3), (3, "close", 1)];
    let mut random = Random(2);
    let names = MADE.map(|(_, name, _)| Arc::<str>::from(name));
    let mut ts = START;
    let call = |i: usize| {
        let duration = 300 + random.below(40) * 25;
        ts += duration as i64 + 200 + random.below(600) as i64;
        let (nr, _, count) = MADE[i % MADE.len()];
        let pointer = 0x7ffd_1000_0000 + random.below(64) * 16;
        let args = [if nr == 257 { 0xffff_ff9c } else { 3 }, pointer, 32_768, 0];
        let arg = |at: usize| (at < count).then(|| args[at]);
        let common = Common {
            ts,
            cpu: 0,
            seq: i as u64,
            kind: Kind::Call,
            container: None,
            pid: 4242,
            tid: 4242,
            exec_id: Some(1 << 48 | 7),
        };
        Event::Syscall(SyscallEvent {
            common,
            nr: Some(nr),
            name: Some(names[i % MADE.len()].clone()),
            a0: arg(0),
            a1: arg(1),
            a2: arg(2),
            a3: arg(3),
            a4: None,
            a5: None,
            ret: Some(match nr {
                257 => 3,
                0 => random.below(8_000) as i64,
                _ => 0,
            }),
            duration: Some(duration),
            calls: None,
        })
    };
    (0..n).map(call).collect()
}

/// Writes a whole recording of these events.
///
/// # Errors
/// `dir` is not empty, or cannot be written to.
pub fn write(dir: &Path, events: &[Event]) -> Result<Manifest> {
    let recorder = Recorder { name: "bench".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let kernel = Kernel { release: "none".to_owned(), machine: "none".to_owned() };
    let manifest = Manifest::new(recorder, kernel, START, Vec::new(), &Class::ALL);
    let mut writer = RecordingWriter::create_with(dir, manifest, Rotation::default())?;
    for event in events {
        writer.push(event)?;
    }
    let end = events.iter().map(|event| event.common().ts).max().unwrap_or(START);
    writer.finish(Accounting::default(), end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datasets::Recording;

    #[test]
    fn what_is_written_is_what_was_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = events(5_000);
        let manifest = write(&dir.path().join("rec"), &events).unwrap();
        assert_eq!(manifest.rows(), 5_000);
        events.sort_by_key(|event| (event.common().ts, event.common().cpu, event.common().seq));
        let read: Vec<Event> =
            Recording::open(dir.path().join("rec")).unwrap().events().collect::<Result<_>>().unwrap();
        assert_eq!(read, events);
        let files = events.iter().filter(|event| event.class() == Class::File).count();
        assert!((4_000..4_500).contains(&files), "{files} of 5000 are file events");
    }
}
