//! Bytes to each peer by the hour, kept where whole seasons of them were learned, and what they forecast.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config;
use crate::forecast::model::{self, Expected};
use crate::forecast::series::MOST;
use crate::observe::Sent;

/// Seasons that must have been learned whole, by the clock and by the number of buckets.
const SEASONS: i64 = 2;
/// A forecast reaches as far ahead as what was learned is long, and no further than so many buckets.
const AHEAD: i64 = 24 * 28;

/// program → peer → bucket → the most bytes that one container sent within it
type Sums = BTreeMap<Arc<str>, BTreeMap<Arc<str>, BTreeMap<i64, u64>>>;

/// What was learned of volumes over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Width of a bucket, s. Buckets are numbered from 1970.
    pub bucket: u64,
    /// Buckets that were learned from their begin to their end.
    pub whole: Vec<Range<i64>>,
    pub sent: Sums,
}

/// A sum that is above its forecast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Sent so far within the bucket.
    pub bytes: u64,
    /// The most that was forecast, and the median.
    pub most: u64,
    pub usual: u64,
    /// Width of the bucket, s.
    pub bucket: u64,
}

impl Volume {
    /// The share of the bytes that is above the forecast.
    pub fn excess(&self) -> f64 {
        if self.bytes > self.most { 1.0 - self.most as f64 / self.bytes as f64 } else { 0.0 }
    }
}

impl Traffic {
    pub fn new(config: &config::Forecast) -> Self {
        Self { bucket: config.bucket, ..Self::default() }
    }

    /// ns
    fn width(&self) -> i64 {
        self.bucket.max(1) as i64 * 1_000_000_000
    }

    /// The bucket of a moment, Unix time in ns.
    pub fn at(&self, ts: i64) -> i64 {
        ts.div_euclid(self.width())
    }

    /// It was learned from `from` to `to`, Unix time in ns.
    pub fn cover(&mut self, from: i64, to: i64) {
        let (first, end) = (-(-from).div_euclid(self.width()), to.div_euclid(self.width()));
        if first < end {
            self.whole.push(first..end);
        }
    }

    /// Learns that a container sent so many bytes so far within a bucket.
    pub fn learn(&mut self, sent: &Sent, bucket: i64, bytes: u64, peers: usize) {
        let program = match self.sent.get_mut(&sent.program) {
            Some(program) => program,
            None => self.sent.entry(Arc::clone(&sent.program)).or_default(),
        };
        // Peers beyond the bound have no forecast of their own, and none together.
        if program.len() < peers || program.contains_key(&sent.whom) {
            let most = program.entry(Arc::clone(&sent.whom)).or_default().entry(bucket).or_default();
            *most = bytes.max(*most);
        }
    }

    /// Whether two seasons of it were learned.
    pub fn is_enough(&self, config: &config::Forecast) -> bool {
        self.bucket == config.bucket && self.learned() >= SEASONS * (config.season / self.bucket.max(1)) as i64
    }

    /// Buckets that were learned. A file may say anything.
    pub fn learned(&self) -> i64 {
        let lengths = self.whole.iter().map(|range| range.end.saturating_sub(range.start).max(0));
        lengths.fold(0, i64::saturating_add)
    }

    /// What two profiles learned; nothing where their buckets differ.
    pub fn merge(mut self, other: Traffic) -> Option<Traffic> {
        if self.bucket != other.bucket {
            return None;
        }
        self.whole.extend(other.whole);
        self.whole.sort_unstable_by_key(|range| (range.start, range.end));
        self.whole.dedup();
        for (program, peers) in other.sent {
            let own = self.sent.entry(program).or_default();
            for (whom, buckets) in peers {
                let own = own.entry(whom).or_default();
                for (bucket, bytes) in buckets {
                    let most = own.entry(bucket).or_default();
                    *most = bytes.max(*most);
                }
            }
        }
        Some(self)
    }

    /// What is forecast of the buckets after those that were learned; None: of this peer nothing was learned, or no model fits.
    pub fn forecast(&self, sent: &Sent, config: &config::Forecast) -> Option<Ahead> {
        let first = self.whole.iter().map(|range| range.start).min()?;
        let end = self.whole.iter().map(|range| range.end).max()?;
        let length = end.checked_sub(first).filter(|length| (1..=MOST).contains(length))?;
        let sums = self.sent.get(&sent.program)?.get(&sent.whom)?;
        let is_whole = |bucket: i64| self.whole.iter().any(|range| range.contains(&bucket));
        let value = |bucket: i64| is_whole(bucket).then(|| sums.get(&bucket).copied().unwrap_or(0) as f64);
        let learned: Vec<Option<f64>> = (first..end).map(value).collect();
        let season = (config.season / self.bucket.max(1)) as usize;
        let horizon = length.min(AHEAD) as usize;
        let expected = model::predict(&learned, &[season], config.level, horizon).ok()?.expected;
        Some(Ahead { end, expected })
    }
}

/// A forecast by bucket.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// The first bucket of it.
    end: i64,
    expected: Vec<Expected>,
}

impl Ahead {
    /// None: the bucket is too far ahead, or was learned.
    pub fn of(&self, bucket: i64) -> Option<&Expected> {
        self.expected.get(usize::try_from(bucket.checked_sub(self.end)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> config::Forecast {
        config::load(None, &[]).unwrap().forecast
    }

    fn to(whom: &str) -> Sent {
        Sent { program: "/bin/app".into(), whom: whom.into() }
    }

    /// Days of hours in which 100,000 bytes go by day and 1,000 by night.
    fn learned(from: i64, days: i64) -> Traffic {
        let mut traffic = Traffic::new(&config());
        let hour = 3_600_000_000_000;
        traffic.cover(from * 24 * hour - 5, (from + days) * 24 * hour + 5);
        for at in from * 24..(from + days) * 24 {
            let bytes = if (8..20).contains(&(at % 24)) { 100_000 } else { 1_000 };
            traffic.learn(&to("db:5432"), at, bytes / 2, 10);
            traffic.learn(&to("db:5432"), at, bytes, 10);
        }
        traffic
    }

    #[test]
    fn what_is_usual_by_day_is_too_much_by_night() {
        let (traffic, config) = (learned(100, 3), config());
        let whole: Vec<(i64, i64)> = traffic.whole.iter().map(|days| (days.start, days.end)).collect();
        assert_eq!((whole, traffic.at(3_600_000_000_000)), (vec![(100 * 24, 103 * 24)], 1));
        assert!(traffic.is_enough(&config) && !learned(0, 1).is_enough(&config));
        let ahead = traffic.forecast(&to("db:5432"), &config).unwrap();
        let most = |hour: i64| ahead.of(103 * 24 + hour).map(|expected| expected.high);
        assert!(most(3).unwrap() < 2_000.0 && (100_000.0..110_000.0).contains(&most(12).unwrap()), "{ahead:?}");
        assert_eq!((most(-1), most(72), ahead.of(i64::MIN)), (None, None, None));
        assert!(traffic.forecast(&to("other:1"), &config).is_none());
        let saved: Traffic = serde_json::from_str(&serde_json::to_string(&traffic).unwrap()).unwrap();
        assert_eq!(saved, traffic);
    }

    #[test]
    fn days_learned_apart_are_one_and_other_buckets_are_not() {
        let (config, mut one) = (config(), learned(10, 2));
        assert_eq!(one.clone().merge(learned(12, 2)).unwrap().forecast(&to("db:5432"), &config).unwrap().end, 14 * 24);
        assert_eq!(one.clone().merge(one.clone()).unwrap(), one);
        let backwards = Range { start: 5, end: 3 };
        let absurd = Traffic { whole: vec![i64::MIN..i64::MAX, backwards], ..one.clone() };
        assert!(absurd.is_enough(&config) && absurd.forecast(&to("db:5432"), &config).is_none());
        one.bucket = 60;
        assert!(one.clone().merge(learned(12, 2)).is_none() && !one.is_enough(&config));
    }

    #[test]
    fn peers_beyond_the_bound_are_not_learned() {
        let mut traffic = Traffic::new(&config());
        ["a", "b", "c"].iter().for_each(|whom| traffic.learn(&to(whom), 0, 5, 2));
        assert_eq!(traffic.sent["/bin/app"].len(), 2);
        let volume = Volume { bytes: 400, most: 100, usual: 50, bucket: 3600 };
        assert_eq!((volume.excess(), Volume { most: 500, ..volume }.excess()), (0.75, 0.0));
    }
}
