//! When a tree has learned enough: stopping rules over a sliding window of event time.
//!
//! **Unseen mass.** Good and Turing estimate the probability that the next event is of a kind never seen by the share of
//! singletons, N₁/n (I. J. Good, "The population frequencies of species and the estimation of population parameters",
//! Biometrika 40, 1953). With probability 1 − δ the true mass lies below N₁/n + (2√2 + √3)·√(ln(3/δ)/n) (D. McAllester
//! and R. Schapire, "On the Convergence Rate of Good-Turing Estimators", COLT 2000).
//! Here n is the events in the window, and N₁ those whose pattern was seen once *in all of learning*: left out, they
//! would be unseen. The theorem is about independent draws; events of a program are not, so read δ as a dial.
//!
//! **Quiet window.** The bound's second term alone needs n = (2√2 + √3)²·ln(3/δ)/ε² events (34,000 at the defaults), more
//! than most trees see in a window. While n is below that, a tree converges when a whole window of event time brought no
//! new pattern. By the rule of three, new patterns then come at less than 3 per window with 95 % confidence.
//!
//! **Window.** At most `max_new` new patterns in the window. **Timer.** A fixed time after the image's first event.

mod window;

use crate::config::{Convergence, Rule};

pub use window::Tracker;

/// The constant of McAllester and Schapire's bound.
fn bound_constant() -> f64 {
    2.0 * 2f64.sqrt() + 3f64.sqrt()
}

/// What the window says.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Events in the window.
    pub events: u64,
    /// Events in the window whose pattern was seen once in all of learning.
    pub singletons: u64,
    /// New patterns in the window.
    pub new_patterns: u64,
    /// Good–Turing estimate of the unseen mass, 0 to 1; 0 for an empty window.
    pub unseen_mass: f64,
    /// Its upper bound with probability 1 − δ, at most 1.
    pub upper_bound: f64,
}

impl Estimate {
    fn new(events: u64, singletons: u64, new_patterns: u64, delta: f64) -> Self {
        let n = events as f64;
        let unseen_mass = if events == 0 { 0.0 } else { singletons as f64 / n };
        let slack = if events == 0 { 1.0 } else { bound_constant() * ((3.0 / delta).ln() / n).sqrt() };
        Self { events, singletons, new_patterns, unseen_mass, upper_bound: (unseen_mass + slack).min(1.0) }
    }
}

/// Fewest events with which the bound can fall below ε even without a singleton.
pub fn events_needed(config: &Convergence) -> u64 {
    let slack = bound_constant() / config.epsilon;
    (slack * slack * (3.0 / config.delta).ln()).ceil() as u64
}

/// Judges a tree at `now` (Unix time, ns); the reason if it converged.
pub fn decide(tracker: &Tracker, now: i64, config: &Convergence) -> Option<String> {
    let age = seconds(now - tracker.begin());
    let estimate = tracker.estimate(now, config);
    let full = age >= config.window;
    let unseen = || {
        let needed = events_needed(config).max(config.min_events);
        if estimate.events >= needed {
            let bound = estimate.upper_bound;
            return (full && bound <= config.epsilon)
                .then(|| format!("unseen mass at most {bound:.4} over {} events", estimate.events));
        }
        (full && estimate.new_patterns == 0)
            .then(|| format!("quiet window of {} s: no new pattern in {} events", config.window, estimate.events))
    };
    let window = || {
        (full && estimate.new_patterns <= config.max_new)
            .then(|| format!("window of {} s with {} new patterns", config.window, estimate.new_patterns))
    };
    match config.rule {
        Rule::UnseenMass => unseen(),
        Rule::Window => window(),
        Rule::Both => Some(format!("{}; {}", unseen()?, window()?)),
        Rule::Timer => (age >= config.timer).then(|| format!("timer of {} s", config.timer)),
    }
}

/// Nanoseconds as seconds.
pub fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::profile::Learned;

    const S: i64 = 1_000_000_000;

    fn config(rule: Rule) -> Convergence {
        Convergence { rule, ..config::load(None, &[]).unwrap().convergence }
    }

    fn see(tracker: &mut Tracker, ts: i64, species: u64, new: bool) {
        tracker.observe(ts, Learned { new, species });
    }

    #[test]
    fn the_bound_is_mcallester_and_schapires() {
        // By hand: 20/10000 + (2√2 + √3)·√(ln 60 / 10000) = 0.002 + 4.5605 · 0.020234
        let estimate = Estimate::new(10_000, 20, 20, 0.05);
        assert!((estimate.upper_bound - 0.094_28).abs() < 1e-4, "{}", estimate.upper_bound);
        let config = config(Rule::UnseenMass);
        let needed = events_needed(&config);
        assert!(Estimate::new(needed, 0, 0, config.delta).upper_bound <= config.epsilon);
        assert!(Estimate::new(needed - 1, 0, 0, config.delta).upper_bound > config.epsilon);
    }

    #[test]
    fn many_events_converge_by_the_bound_though_a_new_pattern_comes_now_and_then() {
        let config = config(Rule::UnseenMass);
        let mut tracker = Tracker::new(0);
        let needed = events_needed(&config) as i64 * 2;
        for i in 0..needed {
            let rare = i % 10_000 == 9_999;
            see(&mut tracker, i * 61 * S / needed, if rare { 1000 + i as u64 } else { 1 }, rare || i == 0);
        }
        let reason = decide(&tracker, 61 * S, &config).expect("converged");
        assert!(reason.starts_with("unseen mass"), "{reason}");
        for i in 0..10_000 {
            see(&mut tracker, 61 * S, 1_000_000 + i, true);
        }
        assert_eq!(decide(&tracker, 61 * S, &config), None, "a burst of the unseen keeps it learning");
    }

    #[test]
    fn few_events_converge_by_a_quiet_window() {
        let config = config(Rule::UnseenMass);
        let mut tracker = Tracker::new(0);
        see(&mut tracker, 5 * S, 1, true);
        assert_eq!(decide(&tracker, 64 * S, &config), None);
        assert!(decide(&tracker, 66 * S, &config).unwrap().starts_with("quiet window"));
        see(&mut tracker, 66 * S, 2, true);
        assert_eq!(decide(&tracker, 100 * S, &config), None, "the new pattern starts the wait anew");
        see(&mut tracker, 100 * S, 2, false);
        assert!(decide(&tracker, 127 * S, &config).is_some());
    }

    #[test]
    fn a_tree_without_events_waits_a_window_too() {
        let config = config(Rule::UnseenMass);
        let tracker = Tracker::new(100 * S);
        assert_eq!(decide(&tracker, 159 * S, &config), None);
        assert!(decide(&tracker, 160 * S, &config).is_some());
    }

    #[test]
    fn window_timer_and_both() {
        let mut tracker = Tracker::new(0);
        see(&mut tracker, 30 * S, 1, true);
        let mut window = config(Rule::Window);
        assert_eq!(decide(&tracker, 80 * S, &window), None);
        window.max_new = 1;
        assert!(decide(&tracker, 80 * S, &window).unwrap().contains("1 new"));
        assert_eq!(decide(&tracker, 59 * S, &window), None, "not before a window is full");
        let both = Convergence { rule: Rule::Both, ..window };
        assert_eq!(decide(&tracker, 80 * S, &both), None);
        assert!(decide(&tracker, 91 * S, &both).is_some());
        let timer = config(Rule::Timer);
        assert_eq!(decide(&tracker, 119 * S, &timer), None);
        assert!(decide(&tracker, 120 * S, &timer).unwrap().contains("timer"));
    }
}
