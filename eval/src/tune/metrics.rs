//! What a configuration is worth: acts found against false alerts.

use serde::{Deserialize, Serialize};

/// Over all recordings that were tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    pub acts: u64,
    /// Acts that an alert shows, of the severity asked for or a higher one.
    pub found: u64,
    /// Alerts of that severity or a higher one that show no act.
    pub false_alerts: u64,
    /// From first to last event, summed over containers and recordings; h.
    pub container_hours: f64,
    /// Of every act found, from its first event to the alert; s of event time.
    pub times_to_detect: Vec<f64>,
}

impl Metrics {
    /// Share of the acts that were found, 0 to 1; `None`: there are none.
    pub fn detection_rate(&self) -> Option<f64> {
        (self.acts > 0).then(|| self.found as f64 / self.acts as f64)
    }

    /// `None`: no time passed.
    pub fn false_alerts_per_container_hour(&self) -> Option<f64> {
        (self.container_hours > 0.0).then(|| self.false_alerts as f64 / self.container_hours)
    }

    /// Of the acts found; s.
    pub fn median_time_to_detect(&self) -> Option<f64> {
        let mut times = self.times_to_detect.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    }

    /// What a sweep makes small: false alerts, and for every act that was missed as many as `miss_cost`.
    pub fn loss(&self, miss_cost: f64) -> f64 {
        (self.acts - self.found) as f64 * miss_cost + self.false_alerts as f64
    }

    /// Whether it is better in one of the two, and worse in none.
    pub fn dominates(&self, other: &Metrics) -> bool {
        let better = self.found > other.found || self.false_alerts < other.false_alerts;
        better && self.found >= other.found && self.false_alerts <= other.false_alerts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dominates_where_it_is_better_in_one_and_worse_in_none() {
        let metrics = |found, false_alerts| Metrics { acts: 4, found, false_alerts, ..Metrics::default() };
        assert!(metrics(3, 1).dominates(&metrics(3, 2)) && metrics(4, 2).dominates(&metrics(3, 2)));
        assert!(!metrics(3, 2).dominates(&metrics(3, 2)) && !metrics(4, 3).dominates(&metrics(3, 2)));
        assert_eq!(metrics(3, 5).loss(10.0), 15.0);
    }
}
