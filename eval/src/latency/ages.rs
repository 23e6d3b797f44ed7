//! Ages of events, and what they come to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Steps of a histogram in each power of two.
const STEPS: f64 = 4.0;

/// From the kernel's time stamp to a place, ns.
#[derive(Debug, Default)]
pub struct Ages(Vec<i64>);

impl Ages {
    /// A time stamp may be a little ahead of the clock that it is compared with; that is no age.
    pub fn add(&mut self, ns: i64) {
        self.0.push(ns.max(0));
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// How old events were at one place. Times in s; none where there were no events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub name: String,
    /// Where, in words.
    pub place: String,
    pub count: u64,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
    /// Upper bounds, s, and how many events are up to that and above the one before.
    pub histogram: Vec<(f64, u64)>,
}

impl Stage {
    pub fn of(name: &str, place: &str, ages: &Ages) -> Stage {
        let mut sorted = ages.0.clone();
        sorted.sort_unstable();
        let seconds = |ns: &i64| *ns as f64 / 1e9;
        // The least age that the share of events did not exceed.
        let at =
            |share: f64| sorted.get(((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1)).map(seconds);
        let mut histogram: Vec<(f64, u64)> = Vec::new();
        for ns in &sorted {
            let bound = bound(seconds(ns));
            match histogram.last_mut().filter(|(last, _)| *last == bound) {
                Some((_, count)) => *count += 1,
                None => histogram.push((bound, 1)),
            }
        }
        Stage {
            name: name.to_owned(),
            place: place.to_owned(),
            count: sorted.len() as u64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: sorted.last().map(seconds),
            histogram,
        }
    }

    /// What the recorder says in its summary: `lag` has p50, p99, max and the histogram. A bound of its buckets is within a quarter
    /// above the ages in it.
    pub fn of_buckets(name: &str, place: &str, lag: &Value) -> Stage {
        let pair = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_u64()?));
        let histogram: Vec<(f64, u64)> = lag["histogram"].as_array().into_iter().flatten().filter_map(pair).collect();
        let count: u64 = histogram.iter().map(|(_, count)| count).sum();
        let value = |key: &str| lag[key].as_f64().filter(|_| count > 0);
        let wanted = (count as f64 * 0.9).ceil() as u64;
        let mut seen = 0;
        let p90 = histogram.iter().find(|(_, count)| {
            seen += count;
            seen >= wanted
        });
        let max = value("max");
        let p90 = p90.map(|(bound, _)| max.map_or(*bound, |max| bound.min(max)));
        Stage {
            name: name.to_owned(),
            place: place.to_owned(),
            count,
            p50: value("p50"),
            p90,
            p99: value("p99"),
            max,
            histogram,
        }
    }
}

/// The upper bound of the step that an age is in, s.
fn bound(seconds: f64) -> f64 {
    // Nothing is told apart below a microsecond.
    ((seconds.max(1e-6).log2() * STEPS).ceil() / STEPS).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_ages_are_exact() {
        let mut ages = Ages::default();
        (1..=100).for_each(|ms| ages.add(ms * 1_000_000));
        ages.add(-4);
        let stage = Stage::of("row", "", &ages);
        assert_eq!(
            (stage.count, stage.p50, stage.p90, stage.p99, stage.max),
            (101, Some(0.05), Some(0.09), Some(0.099), Some(0.1))
        );
        assert_eq!(stage.histogram.iter().map(|(_, count)| count).sum::<u64>(), 101);
        assert!(stage.histogram.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", stage.histogram);
        assert_eq!(Stage::of("row", "", &Ages::default()).p50, None);
    }

    #[test]
    fn the_recorders_buckets_are_taken_as_they_are() {
        let lag = serde_json::json!({ "p50": 0.002, "p99": 0.03, "max": 0.035, "histogram": [[0.002, 80], [0.01, 15], [0.04, 5]] });
        let stage = Stage::of_buckets("row", "", &lag);
        assert_eq!((stage.count, stage.p50, stage.p90, stage.max), (100, Some(0.002), Some(0.01), Some(0.035)));
        let none = serde_json::json!({ "p50": 0.0, "p99": 0.0, "max": 0.0, "histogram": [] });
        assert_eq!(Stage::of_buckets("row", "", &none).p50, None);
    }
}
