//! Keeps records as the kernel side puts them into the ring: seeds for the fuzz target `wire`.
//!
//! `cargo run -p record --example wire -- DIR COMMAND...` records a command and writes DIR/KIND-LENGTH, the shortest and the
//! longest record of each kind. Needs root.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use record::bpf::{Programs, Settings, SyscallForm};
use record::cgroup::Hierarchy;
use record::command::Held;
use record::decode;
use record::drain::Drain;
use record_bpf::Class;

const DEADLINE: Duration = Duration::from_millis(50);

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (dir, command) = (args.next().map(PathBuf::from), args.collect::<Vec<_>>());
    let Some(dir) = dir.filter(|_| !command.is_empty()) else { anyhow::bail!("usage: wire DIR COMMAND...") };
    std::fs::create_dir_all(&dir)?;
    let mut held = Held::spawn(&command)?;
    let settings = Settings {
        follow_tree: true,
        follow_cgroups: false,
        // Flows and resources are sampled, and TLS code has to be found first: their records are not made here.
        classes: Class::ALL.into_iter().filter(|class| !matches!(class, Class::Flow | Class::Resource)).collect(),
        file_io_calls: true,
        ring_bytes: 64 << 20,
        wakeup_batch: 128,
        flow_entries: 1,
        tls_bytes: 256,
        syscalls: SyscallForm::Calls,
        thin: false,
        known: None,
    };
    let mut programs = Programs::load(&settings, &Hierarchy::detect()?)?;
    let drain = Drain::start(programs.ring()?, DEADLINE)?;
    programs.attach()?;
    programs.follow_tree(held.pid())?;
    held.release()?;
    // kind → (shortest, longest)
    let mut kept: BTreeMap<u16, (Vec<u8>, Vec<u8>)> = BTreeMap::new();
    let mut keep = |record: &[u8]| {
        let Some(header) = decode::header(record) else { return };
        let kept = kept.entry(header.kind).or_insert_with(|| (record.to_vec(), record.to_vec()));
        if record.len() < kept.0.len() {
            kept.0 = record.to_vec();
        }
        if record.len() > kept.1.len() {
            kept.1 = record.to_vec();
        }
    };
    let mut ended = false;
    while !ended {
        ended = held.ended().is_some();
        while let Ok(chunk) = drain.next(DEADLINE * 2) {
            chunk.records().for_each(&mut keep);
            drain.give_back(chunk);
        }
    }
    for (kind, (short, long)) in kept {
        for record in [short, long] {
            std::fs::write(dir.join(format!("{kind:04x}-{}", record.len())), record)?;
        }
    }
    Ok(())
}
