//! Events by class over time, in bounded space.

use record_bpf::Class;
use serde::{Deserialize, Serialize};

/// Most buckets; where a stream needs more, each becomes twice as wide.
const BUCKETS: usize = 960;

/// How many events of each class came when. A bucket is 2^`shift` s wide and begins at a multiple of its width, so that
/// what is merged in any order is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    shift: u32,
    /// Number of the first bucket: Unix seconds divided by the width.
    first: i64,
    /// Without gaps.
    counts: Vec<[u64; Class::ALL.len()]>,
}

impl Rates {
    /// Counts an event. `ts`: Unix time, ns.
    pub fn see(&mut self, ts: i64, class: Class) {
        let bucket = ts.div_euclid(1_000_000_000) >> self.shift;
        let counts = match usize::try_from(bucket - self.first).ok().and_then(|at| self.counts.get_mut(at)) {
            Some(counts) => counts,
            None => {
                self.cover(bucket, bucket);
                let bucket = ts.div_euclid(1_000_000_000) >> self.shift;
                &mut self.counts[(bucket - self.first) as usize]
            }
        };
        counts[class as usize] += 1;
    }

    /// Makes room for the buckets from `first` to `last`, of the present width.
    fn cover(&mut self, mut first: i64, mut last: i64) {
        if self.counts.is_empty() {
            self.first = first;
        }
        loop {
            let (begin, end) = (first.min(self.first), last.max(self.first + self.counts.len() as i64 - 1));
            if end - begin < BUCKETS as i64 {
                let before = (self.first - begin) as usize;
                self.counts.splice(0..0, std::iter::repeat_n([0; Class::ALL.len()], before));
                self.first = begin;
                self.counts.resize((end - begin + 1) as usize, [0; Class::ALL.len()]);
                return;
            }
            self.coarsen();
            (first, last) = (first >> 1, last >> 1);
        }
    }

    fn coarsen(&mut self) {
        let first = self.first >> 1;
        let mut counts: Vec<[u64; Class::ALL.len()]> = Vec::with_capacity(self.counts.len() / 2 + 1);
        for (i, fine) in self.counts.iter().enumerate() {
            let at = (((self.first + i as i64) >> 1) - first) as usize;
            if at == counts.len() {
                counts.push([0; Class::ALL.len()]);
            }
            counts[at].iter_mut().zip(fine).for_each(|(sum, count)| *sum += count);
        }
        (self.first, self.counts) = (first, counts);
        self.shift += 1;
    }

    /// Adds what another part of the stream had.
    pub fn merge(&mut self, mut other: Self) {
        if other.counts.is_empty() {
            return;
        }
        while self.shift < other.shift {
            self.coarsen();
        }
        while other.shift < self.shift {
            other.coarsen();
        }
        let shift = self.shift;
        self.cover(other.first, other.first + other.counts.len() as i64 - 1);
        (shift..self.shift).for_each(|_| other.coarsen());
        for (i, counts) in other.counts.iter().enumerate() {
            let sums = &mut self.counts[(other.first - self.first) as usize + i];
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// Width of a bucket, s.
    pub fn width(&self) -> i64 {
        1 << self.shift
    }

    /// Every bucket with its begin, Unix s. Counts are by `class as usize`.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, &[u64; Class::ALL.len()])> {
        self.counts.iter().enumerate().map(|(i, counts)| ((self.first + i as i64) << self.shift, counts))
    }

    /// Events of a class.
    pub fn total(&self, class: Class) -> u64 {
        self.counts.iter().map(|counts| counts[class as usize]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_day_is_kept_in_bounded_space_and_nothing_is_lost() {
        let mut rates = Rates::default();
        (0..86_400).for_each(|second| rates.see(1_760_000_000 * S + second * S + 5, Class::File));
        assert_eq!((rates.total(Class::File), rates.total(Class::Dns), rates.width()), (86_400, 0, 128));
        assert!(rates.buckets().count() <= BUCKETS);
        let inner: Vec<u64> =
            rates.buckets().skip(1).take(100).map(|(_, counts)| counts[Class::File as usize]).collect();
        assert!(inner.iter().all(|count| *count == 128), "{inner:?}");
    }

    #[test]
    fn parts_merged_in_any_order_are_the_whole() {
        let seconds = [0i64, 3, 3, 900, 959, 960, 5_000, 5_001, 40_000];
        let at = |seconds: &[i64]| {
            let mut rates = Rates::default();
            seconds.iter().for_each(|second| rates.see((1_760_000_001 + second) * S, Class::Network));
            rates
        };
        let whole = at(&seconds);
        for cut in 0..=seconds.len() {
            for swapped in [false, true] {
                let (mut a, mut b) = (at(&seconds[..cut]), at(&seconds[cut..]));
                if swapped {
                    std::mem::swap(&mut a, &mut b);
                }
                a.merge(b);
                assert_eq!(a, whole, "cut at {cut}");
            }
        }
    }
}
