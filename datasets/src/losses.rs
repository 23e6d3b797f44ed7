//! What was not stored, by CPU, class, cause and time: `losses.parquet`.

use std::collections::BTreeMap;

use record_bpf::Class;

use crate::manifest::{Accounting, ClassAccount};

/// Why an event that took a sequence number has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    RingFull,
    WriteFailed,
    Undecodable,
    Filtered,
    SampledOut,
    Known,
}

impl Cause {
    pub const ALL: [Cause; 6] =
        [Cause::RingFull, Cause::WriteFailed, Cause::Undecodable, Cause::Filtered, Cause::SampledOut, Cause::Known];

    /// As the manifest's accounting calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::RingFull => "ring_full",
            Cause::WriteFailed => "write_failed",
            Cause::Undecodable => "undecodable",
            Cause::Filtered => "filtered",
            Cause::SampledOut => "sampled_out",
            Cause::Known => "known",
        }
    }

    pub fn from_name(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Events of this cause in an account.
    pub const fn of(self, account: &ClassAccount) -> u64 {
        match self {
            Cause::RingFull => account.dropped.ring_full,
            Cause::WriteFailed => account.dropped.write_failed,
            Cause::Undecodable => account.dropped.undecodable,
            Cause::Filtered => account.filtered,
            Cause::SampledOut => account.sampled_out,
            Cause::Known => account.known,
        }
    }
}

/// A row of `losses.parquet`: events of one CPU and class that have no row, for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub cpu: u16,
    pub class: Class,
    pub cause: Cause,
    /// None of them came before; Unix time, ns.
    pub from: i64,
    /// None of them came after; Unix time, ns.
    pub to: i64,
    pub count: u64,
}

/// Entries kept apart. Beyond, a loss is added to the last one of its CPU, class and cause, so that memory stays bounded and
/// the sums stay exact.
const ENTRIES: usize = 50_000;

/// A loss that begins within this of the last one's end continues it, ns: less than the recorder's tick.
const CONTINUES: i64 = 100_000_000;

/// The losses of a recording under way, in the order they were noticed.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    rows: Vec<Loss>,
    last: BTreeMap<(u16, Class, Cause), usize>,
}

impl Losses {
    /// Enters a loss; `count` may be 0, and then nothing is entered.
    pub fn add(&mut self, loss: Loss) {
        if loss.count == 0 {
            return;
        }
        let full = self.rows.len() >= ENTRIES;
        let key = (loss.cpu, loss.class, loss.cause);
        if let Some(at) = self.last.get(&key) {
            let last = &mut self.rows[*at];
            if full || loss.from.saturating_sub(last.to) <= CONTINUES {
                last.from = last.from.min(loss.from);
                last.to = last.to.max(loss.to);
                last.count += loss.count;
                return;
            }
        }
        self.last.insert(key, self.rows.len());
        self.rows.push(loss);
    }

    /// Makes the sums those of the account: of what was lost and not entered, all that is known is that it was within these
    /// times (Unix, ns).
    pub(crate) fn complete(&mut self, accounting: &Accounting, (from, to): (i64, i64)) {
        let mut sums: BTreeMap<(u16, Class, Cause), u64> = BTreeMap::new();
        for loss in &self.rows {
            *sums.entry((loss.cpu, loss.class, loss.cause)).or_default() += loss.count;
        }
        for account in &accounting.cpus {
            for (name, counts) in &account.classes {
                let Some(class) = Class::from_name(name) else { continue };
                for cause in Cause::ALL {
                    let entered = sums.get(&(account.cpu, class, cause)).copied().unwrap_or(0);
                    let count = cause.of(counts).saturating_sub(entered);
                    self.add(Loss { cpu: account.cpu, class, cause, from, to, count });
                }
            }
        }
    }

    pub fn rows(&self) -> &[Loss] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(cause: Cause, from: i64, to: i64, count: u64) -> Loss {
        Loss { cpu: 1, class: Class::File, cause, from, to, count }
    }

    #[test]
    fn a_loss_that_continues_is_one_entry_and_one_after_a_pause_another() {
        let mut losses = Losses::default();
        losses.add(loss(Cause::RingFull, 0, 200, 3));
        losses.add(loss(Cause::RingFull, 200, 400, 0));
        losses.add(loss(Cause::SampledOut, 100, 200, 1));
        losses.add(loss(Cause::RingFull, 150, 400, 4));
        losses.add(loss(Cause::RingFull, 400 + CONTINUES + 1, 900 + CONTINUES, 5));
        let expected = [
            loss(Cause::RingFull, 0, 400, 7),
            loss(Cause::SampledOut, 100, 200, 1),
            loss(Cause::RingFull, 401 + CONTINUES, 900 + CONTINUES, 5),
        ];
        assert_eq!(losses.rows(), expected);
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_no_event_gets_lost() {
        let mut losses = Losses::default();
        let n = ENTRIES as i64 + 1000;
        for i in 0..n {
            let from = i * 3 * CONTINUES;
            losses.add(loss(Cause::RingFull, from, from + 1, 2));
        }
        losses.add(loss(Cause::Known, 0, 1, 1));
        assert_eq!(losses.rows().len(), ENTRIES + 1);
        assert_eq!(losses.rows().iter().map(|loss| loss.count).sum::<u64>(), 2 * n as u64 + 1);
        assert_eq!(losses.rows()[ENTRIES - 1].to, (n - 1) * 3 * CONTINUES + 1);
    }

    #[test]
    fn every_cause_has_its_own_name() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
    }
}
