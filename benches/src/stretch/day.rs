//! A day's shape: of the places that copies have end to end, which have one.

use std::f64::consts::TAU;

use super::Plan;
use crate::Random;

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;
/// When most happens, of 24 hours of UTC.
const BUSIEST: f64 = 14.0;

/// How often a place has a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Day {
    /// From 0, every hour like any other, to 1, nothing at all at the quietest hour.
    pub depth: f64,
    /// The chance of a place at the busiest hour, above 0 and at most 1.
    pub keep: f64,
}

impl Day {
    /// The chance of a place that begins at `ts`, Unix time in ns: a cosine over 24 hours.
    fn chance(&self, ts: i64) -> f64 {
        let hour = ts.rem_euclid(DAY) as f64 / DAY as f64 * 24.0;
        self.keep * (1.0 + self.depth * ((hour - BUSIEST) / 24.0 * TAU).cos()) / (1.0 + self.depth)
    }
}

/// Places with a copy, from 0, ascending. `begin`: of the first, Unix time in ns; `period`: from one to the next, ns.
pub(super) fn places(plan: &Plan, begin: i64, period: i64) -> Vec<u64> {
    let Some(day) = plan.day else { return (0..plan.times).collect() };
    // Not the numbers by which replicas begin.
    let mut random = Random(plan.seed ^ 0x6461_7920_7368_6170);
    let mut drawn = || random.below(1 << 53) as f64 / (1u64 << 53) as f64;
    (0..plan.times).filter(|place| drawn() < day.chance(begin + period * *place as i64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_height_and_its_depth() {
        const MINUTE: i64 = 60_000_000_000;
        let plan = |day| Plan { times: 30 * 1440, replicas: 1, seed: 1, segment_rows: 1, day };
        assert_eq!(places(&plan(None), 0, MINUTE).len(), 30 * 1440);
        let kept = places(&plan(Some(Day { depth: 0.5, keep: 0.6 })), 0, MINUTE);
        let of = |hour: u64| kept.iter().filter(|place| **place % 1440 / 60 == hour).count() as f64 / 1800.0;
        assert!((of(14) - 0.6).abs() < 0.04 && (of(13) - 0.6).abs() < 0.04, "{}", of(14));
        assert!((of(2) - 0.2).abs() < 0.03 && (of(8) - 0.4).abs() < 0.05, "{} {}", of(2), of(8));
        assert_eq!(places(&plan(Some(Day { depth: 0.0, keep: 1.0 })), 0, MINUTE).len(), 30 * 1440);
        assert_eq!(kept, places(&plan(Some(Day { depth: 0.5, keep: 0.6 })), 0, MINUTE));
    }
}
