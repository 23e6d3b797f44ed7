//! What the recorder measures by itself, at intervals: resource use and flows.
//!
//! Sampled rows form a stream of their own ([`SAMPLED_CPU`]), numbered from 0 like a CPU's, so that the accounting and
//! `datasets verify` treat them as they treat every other row.

pub mod flow;
pub mod resource;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use datasets::{ClassAccount, Common, CpuAccount};
use record_bpf::event::SAMPLED_CPU;
use record_bpf::{Class, Kind};

/// The stream that sampled rows are numbered in.
#[derive(Debug, Default)]
pub struct Stream {
    next_seq: u64,
    emitted: BTreeMap<Class, u64>,
}

impl Stream {
    /// What a sampled row starts with. Every row numbered here must be handed to the writer.
    ///
    /// `ts`: Unix time, ns. The row belongs to no process unless the caller fills one in.
    pub fn common(&mut self, kind: Kind, ts: i64) -> Common {
        let seq = self.next_seq;
        self.next_seq += 1;
        *self.emitted.entry(kind.class()).or_default() += 1;
        Common { ts, cpu: SAMPLED_CPU, seq, kind, container: None, pid: 0, tid: 0, exec_id: None }
    }

    /// None: nothing was sampled.
    pub fn account(&self) -> Option<CpuAccount> {
        let classes = self.emitted.iter().map(|(class, emitted)| {
            (class.name().to_owned(), ClassAccount { emitted: *emitted, ..ClassAccount::default() })
        });
        (self.next_seq > 0).then(|| CpuAccount {
            cpu: SAMPLED_CPU,
            next_seq: self.next_seq,
            classes: classes.collect(),
            ..CpuAccount::default()
        })
    }
}

/// Says when something done at intervals is due.
#[derive(Debug)]
pub struct Every {
    interval: Duration,
    next: Instant,
}

impl Every {
    /// First due at once.
    pub fn new(interval: Duration) -> Every {
        Every { interval, next: Instant::now() }
    }

    /// First due after one interval.
    pub fn later(interval: Duration) -> Every {
        Every { interval, next: Instant::now() + interval }
    }

    pub fn due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        // After a stall the missed beats are not made up for.
        self.next = (self.next + self.interval).max(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_rows_are_numbered_and_accounted_for() {
        let mut stream = Stream::default();
        assert_eq!(stream.account(), None);
        let seqs: Vec<u64> = [Kind::Usage; 3].map(|kind| stream.common(kind, 7).seq).into();
        assert_eq!(seqs, [0, 1, 2]);
        let account = stream.account().unwrap();
        assert_eq!((account.cpu, account.next_seq), (SAMPLED_CPU, 3));
        assert_eq!(account.classes["resource"].emitted, 3);
    }

    #[test]
    fn a_beat_comes_once_an_interval() {
        let mut every = Every::new(Duration::from_secs(3600));
        assert!(every.due());
        assert!(!every.due());
        assert!(!Every::later(Duration::from_secs(3600)).due());
    }
}
