//! Where a recording stands: what the live line, the view, the progress for machines and the metrics are made of.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use datasets::{Accounting, ClassAccount};
use record_bpf::Class;
use record_bpf::abi::CLASS_MAX;

use crate::lag::{self, Lag};
use crate::sample::resource::page_size;

/// The counts are since the recording began.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub elapsed: Duration,
    /// By class name. What is on its way through the ring and the queue is emitted, and nothing else yet.
    pub classes: BTreeMap<&'static str, ClassAccount>,
    /// Helper failures by name.
    pub failures: BTreeMap<String, u64>,
    pub ring: Ring,
    /// Chunks of records that wait for the writer.
    pub queued: usize,
    /// Of the last second.
    pub lag: lag::Summary,
    /// Finished segments, and their bytes.
    pub segments: u64,
    pub written: u64,
    /// Rows not yet in a segment.
    pub pending: u64,
    /// Containers followed.
    pub followed: usize,
    /// Events of the last second by container, the busiest first.
    pub busiest: Vec<(String, f64)>,
    /// Rows in which a secret was masked, by class.
    pub masked: BTreeMap<String, u64>,
    pub own: Own,
}

impl Status {
    /// Over all classes.
    pub fn total(&self, part: impl Fn(&ClassAccount) -> u64) -> u64 {
        self.classes.values().map(part).sum()
    }

    /// Enters the kernel's and the recorder's account; `stored` by class.
    pub fn enter(&mut self, accounting: &Accounting, stored: impl Fn(Class) -> u64) {
        for class in Class::ALL {
            let accounts = accounting.cpus.iter().filter_map(|cpu| cpu.classes.get(class.name()));
            let mut sum: Option<ClassAccount> = None;
            for account in accounts {
                let ClassAccount { emitted, stored: _, dropped, filtered, sampled_out, known, pruned } = account;
                let sum = sum.get_or_insert_default();
                sum.emitted += emitted;
                sum.dropped.ring_full += dropped.ring_full;
                sum.dropped.write_failed += dropped.write_failed;
                sum.dropped.undecodable += dropped.undecodable;
                sum.filtered += filtered;
                sum.sampled_out += sampled_out;
                sum.known += known;
                sum.pruned += pruned;
            }
            if let Some(mut sum) = sum {
                sum.stored = stored(class);
                self.classes.insert(class.name(), sum);
            }
        }
        self.failures.clone_from(&accounting.failures);
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Ring {
    /// Bytes.
    pub used: u64,
    /// Bytes.
    pub size: u64,
}

impl Ring {
    /// 0 to 1.
    pub fn fill(self) -> f64 {
        if self.size == 0 { 0.0 } else { self.used as f64 / self.size as f64 }
    }
}

/// What the recorder itself takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// Resident memory, bytes.
    pub rss: u64,
    /// CPU time of all its threads, seconds.
    pub cpu: f64,
}

impl Own {
    pub fn read() -> Own {
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or_default();
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec; the clock exists on every Linux since 2.6.12.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        Own { rss: pages * page_size(), cpu: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 }
    }
}

/// What the recorder counts while it takes events.
#[derive(Default)]
pub struct Tally {
    stored: [u64; CLASS_MAX],
    pub lag: Lag,
    containers: HashMap<Arc<str>, u64>,
    /// The container of the last events, and how many of them are not in `containers` yet: they come in runs.
    run: Option<(Arc<str>, u64)>,
}

/// Containers counted within a second; a host has fewer.
const CONTAINERS_MAX: usize = 4096;

impl Tally {
    #[inline]
    pub fn stored(&mut self, class: Class, container: Option<&Arc<str>>) {
        self.stored[class as usize] += 1;
        let Some(container) = container else { return };
        match &mut self.run {
            Some((last, count)) if Arc::ptr_eq(last, container) => *count += 1,
            _ => {
                self.end_run();
                self.run = Some((container.clone(), 1));
            }
        }
    }

    fn end_run(&mut self) {
        let Some((container, events)) = self.run.take() else { return };
        if let Some(count) = self.containers.get_mut(&container) {
            *count += events;
        } else if self.containers.len() < CONTAINERS_MAX {
            self.containers.insert(container, events);
        }
    }

    pub fn of(&self, class: Class) -> u64 {
        self.stored[class as usize]
    }

    /// Events by container since the last call, the busiest first.
    pub fn take_busiest(&mut self) -> Vec<(Arc<str>, u64)> {
        self.end_run();
        let mut containers: Vec<_> = self.containers.drain().collect();
        containers.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        containers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorders_own_figures_are_read() {
        let own = Own::read();
        assert!(own.rss > 1 << 20 && own.cpu > 0.0, "{own:?}");
    }

    #[test]
    fn events_are_counted_by_container_however_they_take_turns() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut tally = Tally::default();
        for container in [Some(&a), Some(&a), Some(&b), None, Some(&b), Some(&a)] {
            tally.stored(Class::File, container);
        }
        tally.stored(Class::Dns, Some(&a));
        assert_eq!((tally.of(Class::File), tally.of(Class::Dns)), (6, 1));
        assert_eq!(tally.take_busiest(), [(a, 4), (b, 2)]);
        assert!(tally.take_busiest().is_empty());
    }

    #[test]
    fn accounts_are_summed_over_cpus() {
        let account = |emitted, filtered| ClassAccount { emitted, filtered, ..ClassAccount::default() };
        let cpu = |cpu, account| datasets::CpuAccount {
            cpu,
            next_seq: 0,
            classes: [("file".to_owned(), account)].into(),
            ..Default::default()
        };
        let accounting =
            Accounting { cpus: vec![cpu(0, account(5, 1)), cpu(1, account(7, 0))], ..Accounting::default() };
        let mut status = Status::default();
        status.enter(&accounting, |_| 11);
        assert_eq!(
            status.classes["file"],
            ClassAccount { emitted: 12, filtered: 1, stored: 11, ..ClassAccount::default() }
        );
        assert_eq!((status.classes.len(), status.total(|account| account.emitted)), (1, 12));
    }
}
