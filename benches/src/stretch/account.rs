//! The account of all copies: that of one, for each CPU and class as often as it was copied there.

use datasets::{Accounting, ClassAccount, CpuAccount, Dropped};

use super::{Repeat, Source};

/// Counted once in a recording and not event by event.
const NO_SUM: &str = "clock_moved_ms";

pub(super) fn of_copies(accounting: &Accounting, source: &Source<'_>) -> Accounting {
    let copies = source.plan.times * u64::from(source.plan.replicas);
    let replicas: Vec<Repeat> = (0..source.plan.replicas).map(|replica| source.copy(0, replica)).collect();
    let mut cpus = Vec::new();
    for cpu in &accounting.cpus {
        let shared = source.census.is_shared(cpu.cpu);
        let on = if shared { &replicas[..1] } else { &replicas[..] };
        let times = if shared { copies } else { source.plan.times };
        cpus.extend(on.iter().map(|copy| CpuAccount {
            cpu: source.census.cpu(cpu.cpu, *copy),
            next_seq: cpu.next_seq * times,
            unattributed: cpu.unattributed * times,
            classes: cpu.classes.iter().map(|(class, account)| (class.clone(), by(account, times))).collect(),
        }));
    }
    let mut failures = accounting.failures.clone();
    failures.iter_mut().filter(|(name, _)| *name != NO_SUM).for_each(|(_, count)| *count *= copies);
    Accounting { cpus, failures }
}

fn by(account: &ClassAccount, times: u64) -> ClassAccount {
    let ClassAccount { emitted, stored, dropped, filtered, sampled_out, known, pruned } = *account;
    let Dropped { ring_full, write_failed, undecodable, unsaved } = dropped;
    ClassAccount {
        emitted: emitted * times,
        stored: stored * times,
        dropped: Dropped {
            ring_full: ring_full * times,
            write_failed: write_failed * times,
            undecodable: undecodable * times,
            unsaved: unsaved * times,
        },
        filtered: filtered * times,
        sampled_out: sampled_out * times,
        known: known * times,
        pruned: pruned * times,
    }
}
