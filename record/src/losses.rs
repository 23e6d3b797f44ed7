//! Which events were not stored, and when: the kernel's counters from tick to tick, and what the recorder turned away.

use std::collections::BTreeMap;

use datasets::{Accounting, Cause, Loss, Losses};
use record_bpf::Class;

use crate::accounting::TurnedAway;

/// What only the kernel counts, so that its time is known to a tick.
const COUNTED_BY_KERNEL: [Cause; 3] = [Cause::RingFull, Cause::SampledOut, Cause::Known];

/// Turns counts that grow into losses with a time.
#[derive(Debug)]
pub struct Tracker {
    /// When the counters were last about to be read; Unix time, ns.
    read: i64,
    counts: BTreeMap<(u16, Class, Cause), u64>,
}

impl Tracker {
    /// `begun`: nothing was emitted before; Unix time, ns.
    pub fn new(begun: i64) -> Tracker {
        Tracker { read: begun, counts: BTreeMap::new() }
    }

    /// Enters what was lost since the last call.
    ///
    /// `before`, `after`: when the counters in `accounting` were about to be read, and had been.
    pub fn see(
        &mut self,
        accounting: &Accounting,
        turned_away: &mut TurnedAway,
        (before, after): (i64, i64),
        losses: &mut Losses,
    ) {
        for account in &accounting.cpus {
            for (name, counts) in &account.classes {
                let Some(class) = Class::from_name(name) else { continue };
                for cause in COUNTED_BY_KERNEL {
                    let now = cause.of(counts);
                    if now == 0 {
                        continue;
                    }
                    let seen = self.counts.entry((account.cpu, class, cause)).or_default();
                    let count = now.saturating_sub(*seen);
                    *seen = now;
                    losses.add(Loss { cpu: account.cpu, class, cause, from: self.read, to: after, count });
                }
            }
        }
        turned_away.take_losses().for_each(|loss| losses.add(loss));
        self.read = before;
    }
}

#[cfg(test)]
mod tests {
    use datasets::{ClassAccount, CpuAccount};

    use super::*;

    #[test]
    fn counters_become_losses_with_the_times_between_which_they_grew() {
        let account = |ring_full, known| {
            let mut counts = ClassAccount { known, ..ClassAccount::default() };
            counts.dropped.ring_full = ring_full;
            let classes = BTreeMap::from([("file".to_owned(), counts)]);
            Accounting { cpus: vec![CpuAccount { cpu: 1, classes, ..CpuAccount::default() }], ..Accounting::default() }
        };
        let (second, mut losses, mut away) = (1_000_000_000, Losses::default(), TurnedAway::default());
        let mut tracker = Tracker::new(0);
        let mut see = |ring_full, known, at: i64| {
            tracker.see(&account(ring_full, known), &mut away, (at * second, at * second + 5), &mut losses);
        };
        see(0, 0, 1);
        see(3, 0, 2);
        see(7, 0, 3);
        see(7, 0, 4);
        see(8, 2, 5);
        let loss = |cause, from: i64, to: i64, count| Loss {
            cpu: 1,
            class: Class::File,
            cause,
            from: from * second,
            to: to * second + 5,
            count,
        };
        let expected = [loss(Cause::RingFull, 1, 3, 7), loss(Cause::RingFull, 4, 5, 1), loss(Cause::Known, 4, 5, 2)];
        assert_eq!(losses.rows(), expected);
    }
}
