//! What a configuration comes to.

use replay::engines::Severity;

#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Distinct departures from the profile.
    pub deviations: u64,
    /// By severity, without the allowed ones.
    pub alerts: [u64; Severity::ALL.len()],
    /// With a raised alert.
    pub incidents: u64,
    /// Acts of the ground truth, and those found.
    pub acts: u64,
    pub found: u64,
    /// Alerts that show no act.
    pub false_alerts: u64,
    /// From first to last event, summed over containers; h.
    pub container_hours: f64,
    /// Of every act found, from its first event to the alert; s of event time.
    pub times_to_detect: Vec<f64>,
}

impl Metrics {
    /// `None`: no time passed.
    pub fn false_alerts_per_container_hour(&self) -> Option<f64> {
        (self.container_hours > 0.0).then(|| self.false_alerts as f64 / self.container_hours)
    }

    /// The upper one of two in the middle.
    pub fn median_time_to_detect(&self) -> Option<f64> {
        let mut times = self.times_to_detect.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    }
}
