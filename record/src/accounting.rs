//! Where every event went: the kernel's counters and the recorder's own, as the manifest has them.

use std::collections::BTreeMap;

use datasets::{Accounting, Cause, ClassAccount, CpuAccount, Event, Loss};
use record_bpf::Class;
use record_bpf::abi::{Counters, Header};

use crate::decode;

/// The high byte of a wire id that is no event: it took no sequence number (`RS_CONTROL_*` in events.h).
const CONTROL: u16 = 0xff;

/// Events that reached the recorder and were not stored.
#[derive(Debug, Default)]
pub struct TurnedAway {
    /// Unix time minus CLOCK_BOOTTIME, ns.
    boot_offset: i64,
    counts: BTreeMap<(u16, Class, Cause), Count>,
    decode_errors: u64,
}

#[derive(Debug)]
struct Count {
    total: u64,
    /// Since the losses were last taken, with the times of the first and the last; Unix time, ns.
    new: u64,
    from: i64,
    to: i64,
}

impl TurnedAway {
    /// `boot_offset`: Unix time minus CLOCK_BOOTTIME, ns.
    pub fn new(boot_offset: i64) -> TurnedAway {
        TurnedAway { boot_offset, ..TurnedAway::default() }
    }

    /// An event whose container turned out not to match.
    pub fn filtered(&mut self, header: &Header) {
        self.header(Cause::Filtered, header);
    }

    /// A record that does not fit its definition; its header, if that much could be read.
    pub fn undecodable(&mut self, header: Option<&Header>) {
        self.decode_errors += 1;
        if let Some(header) = header {
            self.header(Cause::Undecodable, header);
        }
    }

    /// A record that is not stored because an earlier one could not be. One that cannot be read is a decode error.
    pub fn unwritten(&mut self, record: &[u8]) {
        match decode::header(record) {
            Some(header) => self.header(Cause::WriteFailed, &header),
            None => self.decode_errors += 1,
        }
    }

    /// As [`unwritten`](Self::unwritten), of a row that the recorder made itself.
    pub fn unwritten_row(&mut self, row: &Event) {
        let common = row.common();
        self.count(common.cpu, row.class(), Cause::WriteFailed, common.ts);
    }

    fn header(&mut self, cause: Cause, header: &Header) {
        // The class alone, so that an event of a kind that this build does not know is in the account too.
        if let Some(class) = class_of(header.kind) {
            self.count(header.cpu, class, cause, header.ts.cast_signed().saturating_add(self.boot_offset));
        }
    }

    fn count(&mut self, cpu: u16, class: Class, cause: Cause, ts: i64) {
        let none = Count { total: 0, new: 0, from: i64::MAX, to: i64::MIN };
        let count = self.counts.entry((cpu, class, cause)).or_insert(none);
        count.total += 1;
        count.new += 1;
        (count.from, count.to) = (count.from.min(ts), count.to.max(ts));
    }

    /// What was turned away since the last call.
    pub fn take_losses(&mut self) -> impl Iterator<Item = Loss> {
        self.counts.iter_mut().filter(|(_, count)| count.new > 0).map(|((cpu, class, cause), count)| {
            let loss =
                Loss { cpu: *cpu, class: *class, cause: *cause, from: count.from, to: count.to, count: count.new };
            (count.new, count.from, count.to) = (0, i64::MAX, i64::MIN);
            loss
        })
    }

    /// Adds what was turned away to the account of its CPU and class.
    pub fn enter(&self, accounting: &mut Accounting) {
        for ((cpu, class, cause), count) in &self.counts {
            let at = accounting.cpus.iter().position(|account| account.cpu == *cpu).unwrap_or_else(|| {
                accounting.cpus.push(CpuAccount { cpu: *cpu, ..CpuAccount::default() });
                accounting.cpus.len() - 1
            });
            let account = accounting.cpus[at].classes.entry(class.name().to_owned()).or_default();
            *match cause {
                Cause::Filtered => &mut account.filtered,
                Cause::Undecodable => &mut account.dropped.undecodable,
                _ => &mut account.dropped.write_failed,
            } += count.total;
        }
        accounting.failures.insert("decode_errors".to_owned(), self.decode_errors);
    }
}

/// The class of an event by its wire id; `None`: it is a control record, or nothing we know.
fn class_of(kind: u16) -> Option<Class> {
    Class::ALL.into_iter().find(|class| *class as u16 == kind >> 8)
}

/// Whether a record took a sequence number, and is to be found in the account.
pub fn is_event(header: &Header) -> bool {
    header.kind >> 8 != CONTROL
}

/// Records that the kernel put into the ring for good, by its counters.
pub fn submitted(counters: &[(u16, Counters)]) -> u64 {
    let sum = |counts: &[u64]| counts.iter().copied().fold(0, u64::wrapping_add);
    let left_out = |c: &Counters| sum(&c.dropped_ring).wrapping_add(sum(&c.sampled_out)).wrapping_add(sum(&c.known));
    counters.iter().fold(0, |total, (_, c)| total.wrapping_add(sum(&c.emitted)).wrapping_sub(left_out(c)))
}

/// `counters`: of every stream. What the writer stored, and what was turned away, is theirs to add.
pub fn of(counters: &[(u16, Counters)], classes: &[Class]) -> Accounting {
    let mut accounting = Accounting::default();
    for &(cpu, counter) in counters {
        // A class that was not asked for emits nothing; if one ever did, it must not go unnoticed.
        let emitting = |class: &Class| classes.contains(class) || counter.emitted[*class as usize] > 0;
        let classes = Class::ALL.into_iter().filter(emitting).map(|class| {
            let index = class as usize;
            let mut account = ClassAccount { emitted: counter.emitted[index], ..ClassAccount::default() };
            account.dropped.ring_full = counter.dropped_ring[index];
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

#[cfg(test)]
mod tests {
    use record_bpf::Kind;
    use record_bpf::abi::Wire;

    use super::*;

    fn header(kind: u16, cpu: u16, boottime: u64) -> Header {
        let (mut header, _) = Header::read(&[0; size_of::<Header>()]).unwrap();
        (header.kind, header.cpu, header.ts) = (kind, cpu, boottime);
        header
    }

    #[test]
    fn every_record_that_took_a_number_is_counted_and_no_other() {
        let mut away = TurnedAway::new(1000);
        away.filtered(&header(Kind::Open as u16, 0, 5));
        away.filtered(&header(Kind::Close as u16, 0, 3));
        // A kind of a later version of a class that is known.
        away.undecodable(Some(&header(((Class::File as u16) << 8) | 0xee, 0, 7)));
        away.undecodable(Some(&header(record_bpf::abi::CONTROL_CGROUP, 0, 7)));
        away.undecodable(None);
        assert!(is_event(&header(Kind::Open as u16, 0, 0)));
        assert!(!is_event(&header(record_bpf::abi::CONTROL_LIBRARY, 0, 0)));

        let mut accounting = Accounting::default();
        away.enter(&mut accounting);
        let file = accounting.cpus[0].classes["file"];
        assert_eq!((file.filtered, file.dropped.undecodable, file.dropped.write_failed), (2, 1, 0));
        assert_eq!(accounting.failures["decode_errors"], 3);

        let loss = |cause, from, to, count| Loss { cpu: 0, class: Class::File, cause, from, to, count };
        let losses: Vec<Loss> = away.take_losses().collect();
        assert_eq!(losses, [loss(Cause::Undecodable, 1007, 1007, 1), loss(Cause::Filtered, 1003, 1005, 2)]);
        assert_eq!(away.take_losses().count(), 0);
    }
}
