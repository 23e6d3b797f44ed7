//! Where every event went: the kernel's counters and the recorder's own, as the manifest has them.

use std::collections::BTreeMap;

use datasets::{Accounting, ClassAccount, CpuAccount};
use record_bpf::abi::{Counters, Header};
use record_bpf::{Class, Kind};

/// Records that came out of the ring and were not stored.
#[derive(Debug, Default)]
pub struct TurnedAway {
    filtered: BTreeMap<(u16, Class), u64>,
    undecodable: BTreeMap<(u16, Class), u64>,
    decode_errors: u64,
}

impl TurnedAway {
    /// An event whose container turned out not to match.
    pub fn filtered(&mut self, header: &Header) {
        count(&mut self.filtered, header);
    }

    /// A record that does not fit its definition; its header, if that much could be read.
    pub fn undecodable(&mut self, header: Option<&Header>) {
        self.decode_errors += 1;
        if let Some(header) = header {
            count(&mut self.undecodable, header);
        }
    }
}

fn count(counts: &mut BTreeMap<(u16, Class), u64>, header: &Header) {
    if let Some(kind) = Kind::from_wire(header.kind) {
        *counts.entry((header.cpu, kind.class())).or_default() += 1;
    }
}

/// `counters`: of every stream. What the writer stored is the writer's to add.
pub fn of(counters: &[(u16, Counters)], classes: &[Class], turned_away: &TurnedAway) -> Accounting {
    let mut accounting = Accounting::default();
    for &(cpu, counter) in counters {
        let classes = classes.iter().map(|class| {
            let of = |counts: &BTreeMap<_, _>| counts.get(&(cpu, *class)).copied().unwrap_or_default();
            let index = *class as usize;
            let mut account = ClassAccount { emitted: counter.emitted[index], ..ClassAccount::default() };
            account.dropped.ring_full = counter.dropped_ring[index];
            account.dropped.undecodable = of(&turned_away.undecodable);
            account.filtered = of(&turned_away.filtered);
            account.sampled_out = counter.sampled_out[index];
            account.known = counter.known[index];
            (class.name().to_owned(), account)
        });
        accounting.cpus.push(CpuAccount {
            cpu,
            next_seq: counter.next_seq,
            classes: classes.collect(),
            ..CpuAccount::default()
        });
        for (name, count) in failures(counter) {
            *accounting.failures.entry(name.to_owned()).or_default() += count;
        }
    }
    accounting.failures.insert("decode_errors".to_owned(), turned_away.decode_errors);
    accounting
}

/// What the kernel side could not do, by cause.
fn failures(counters: Counters) -> [(&'static str, u64); 10] {
    let Counters {
        next_seq: _,
        emitted: _,
        dropped_ring: _,
        control_dropped,
        fd_table_full,
        proc_table_full,
        path_truncated,
        argv_truncated,
        read_fault,
        compat_syscalls,
        tls_calls_lost,
        sock_table_full,
        messages_skipped,
        sampled_out: _,
        known: _,
    } = counters;
    [
        ("control_dropped", control_dropped),
        ("fd_table_full", fd_table_full),
        ("proc_table_full", proc_table_full),
        ("path_truncated", path_truncated),
        ("argv_truncated", argv_truncated),
        ("read_fault", read_fault),
        ("compat_syscalls", compat_syscalls),
        ("tls_calls_lost", tls_calls_lost),
        ("sock_table_full", sock_table_full),
        ("messages_skipped", messages_skipped),
    ]
}
