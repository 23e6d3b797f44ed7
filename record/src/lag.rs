//! How long events take from the kernel's time stamp to their row in memory.

use std::time::Duration;

/// Four buckets for each power of two of ns: a bucket's bounds are within a quarter of each other.
const PER_OCTAVE: u32 = 4;
const BUCKETS: usize = 64 * PER_OCTAVE as usize;

/// A histogram of durations, of fixed size.
#[derive(Clone, Debug)]
pub struct Lag {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    max: u64,
}

/// What became of the events of an interval. All zero where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub count: u64,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Default for Lag {
    fn default() -> Lag {
        Lag { buckets: Box::new([0; BUCKETS]), count: 0, max: 0 }
    }
}

impl Lag {
    /// `ns`: of one event. A time stamp of another CPU may be ahead by a little; that is no lag.
    pub fn add(&mut self, ns: i64) {
        let ns = u64::try_from(ns).unwrap_or_default();
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.max = self.max.max(ns);
    }

    /// The duration that the share `q` of events did not exceed: the upper bound of its bucket, and no more than the maximum.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = ((self.count as f64 * q).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let at = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        Duration::from_nanos(at.map_or(0, upper_bound).min(self.max))
    }

    /// The upper bound of each bucket that holds events, and how many.
    pub fn buckets(&self) -> Vec<(Duration, u64)> {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(at, count)| (Duration::from_nanos(upper_bound(at)), *count)).collect()
    }

    /// The events since the last call.
    pub fn take(&mut self) -> Summary {
        let summary = Summary {
            count: self.count,
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            max: Duration::from_nanos(self.max),
        };
        self.buckets.fill(0);
        (self.count, self.max) = (0, 0);
        summary
    }
}

/// One event in so many is timed.
const EVERY: u32 = 16;

/// Times events from the kernel's time stamp to their row in memory: when the last of their chunk is.
#[derive(Default)]
pub struct Ages {
    /// Time stamps of the events of this chunk that are timed.
    pending: Vec<u64>,
    until_next: u32,
    /// Of the whole recording.
    all: Lag,
}

impl Ages {
    /// A record that is about to be taken.
    #[inline]
    pub fn saw(&mut self, record: &[u8]) {
        if self.until_next > 0 {
            self.until_next -= 1;
            return;
        }
        self.until_next = EVERY - 1;
        self.pending.extend(crate::decode::header(record).map(|header| header.ts));
    }

    /// The rows of all records that were seen are in memory. `interval` gets them too.
    pub fn taken(&mut self, interval: &mut Lag) {
        if self.pending.is_empty() {
            return;
        }
        let now = crate::clock::boottime_ns();
        for ts in self.pending.drain(..) {
            let age = now - ts.cast_signed();
            self.all.add(age);
            interval.add(age);
        }
    }

    /// Of the whole recording; one event in sixteen. And their buckets, as [`Lag::buckets`].
    pub fn finish(mut self) -> (Summary, Vec<(Duration, u64)>) {
        let buckets = self.all.buckets();
        (self.all.take(), buckets)
    }
}

fn bucket(ns: u64) -> usize {
    let octave = ns.max(1).ilog2();
    // The two bits below the highest.
    let quarter = if octave >= 2 { (ns >> (octave - 2)) & 3 } else { 0 };
    (octave * PER_OCTAVE) as usize + quarter as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket as u32 / PER_OCTAVE, bucket as u64 % u64::from(PER_OCTAVE));
    if octave < 2 {
        return (2 << octave) - 1; // too small to be divided
    }
    let below = (1u128 << octave) + u128::from(quarter + 1) * (1u128 << octave) / 4;
    u64::try_from(below - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_quarter() {
        let mut lag = Lag::default();
        (1..=1000i64).for_each(|ns| lag.add(ns * 1000));
        lag.add(-5);
        let within = |found: Duration, right: u64| {
            let found = found.as_nanos() as u64;
            found >= right && found <= right * 5 / 4
        };
        assert!(within(lag.quantile(0.5), 500_000), "{:?}", lag.quantile(0.5));
        assert!(within(lag.quantile(0.99), 990_000), "{:?}", lag.quantile(0.99));
        let summary = lag.take();
        assert_eq!((summary.count, summary.max), (1001, Duration::from_micros(1000)));
        assert_eq!(lag.take(), Summary::default());
    }

    #[test]
    fn one_record_in_sixteen_is_timed_when_its_chunk_is_taken() {
        let (mut ages, mut interval) = (Ages::default(), Lag::default());
        let mut record = vec![0; size_of::<record_bpf::abi::Header>()];
        record[..8].copy_from_slice(&(crate::clock::boottime_ns() - 5_000_000).to_ne_bytes());
        (0..33).for_each(|_| ages.saw(&record));
        assert_eq!(interval.take(), Summary::default(), "not in memory yet");
        ages.taken(&mut interval);
        assert_eq!(interval.take().count, 3);
        let (Summary { count, p50, max, .. }, buckets) = ages.finish();
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), count);
        assert!(buckets.last().is_some_and(|(bound, _)| *bound >= max), "{buckets:?}");
        assert!(count == 3 && p50 >= Duration::from_millis(5) && p50 <= max);
    }

    #[test]
    fn the_longest_and_the_shortest_have_a_bucket() {
        for ns in [0, 1, 2, 3, 4, 7, 1 << 40, i64::MAX as u64, u64::MAX] {
            let at = bucket(ns);
            assert!(at < BUCKETS && upper_bound(at) >= ns, "{ns}");
            assert!(at == 0 || upper_bound(at - 1) <= ns.max(1), "{ns}");
        }
    }
}
