//! When a tree has learned enough: stopping rules over a sliding window of event time.
//!
//! **Unseen mass.** The probability that the next event is of a kind never seen. Good and Turing estimate it by the share
//! of singletons, N₁/n (I. J. Good, "The population frequencies of species and the estimation of population parameters",
//! Biometrika 40, 1953). Here n is the events in the window, and N₁ those whose pattern was seen once *in all of
//! learning*: left out, they would be unseen. A tree converges when an upper bound falls to ε, the smaller of two that
//! each hold with probability 1 − δ/2:
//!
//! - N₁/n + (2√2 + √3)·√(ln(6/δ)/n): D. McAllester and R. Schapire, "On the Convergence Rate of Good-Turing Estimators",
//!   COLT 2000. It needs n = (2√2 + √3)²·ln(6/δ)/ε² events even without a singleton.
//! - (K + ln(2/δ)) / ((1 − 1/e)·n), where K new patterns arrived in the window. Each event is new with the probability
//!   pᵢ of the mass unseen before it, and E[exp(−X + (1 − 1/e)·p)] ≤ 1 for a Bernoulli X of mean p; the product over
//!   the window is a supermartingale, so Σpᵢ ≤ (K + ln(2/δ))/(1 − 1/e) by Markov's inequality; and the unseen mass only
//!   shrinks, so today's is at most the mean of the pᵢ. It needs n = ln(2/δ)/((1 − 1/e)·ε).
//!
//! Both are about independent draws; events of a program are not, so read δ as a dial.
//!
//! **Quiet window.** While the window holds fewer events than the second bound needs at K = 0, a tree converges when a
//! whole window of event time brought no new pattern. By the rule of three, new patterns then come at less than 3 per
//! window with 95 % confidence.
//!
//! **Window.** At most `max_new` new patterns in the window. **Timer.** A fixed time after the image's first event.

pub mod curve;
mod since;
mod window;

use crate::config::{Convergence, Rule};

pub use curve::Curve;
pub use since::{LockTest, Since};
pub use window::Tracker;

/// McAllester and Schapire's bound.
fn good_turing_bound(events: f64, singletons: f64, delta: f64) -> f64 {
    let constant = 2.0 * 2f64.sqrt() + 3f64.sqrt();
    singletons / events + constant * ((3.0 / delta).ln() / events).sqrt()
}

/// The bound from the arrivals of new patterns.
fn arrivals_bound(events: f64, new_patterns: f64, delta: f64) -> f64 {
    (new_patterns + (1.0 / delta).ln()) / ((1.0 - (-1f64).exp()) * events)
}

/// What the window says.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
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
        if events == 0 {
            return Self { events, singletons, new_patterns, unseen_mass: 0.0, upper_bound: 1.0 };
        }
        let good_turing = good_turing_bound(n, singletons as f64, delta / 2.0);
        let arrivals = arrivals_bound(n, new_patterns as f64, delta / 2.0);
        let upper_bound = good_turing.min(arrivals).min(1.0);
        Self { events, singletons, new_patterns, unseen_mass: singletons as f64 / n, upper_bound }
    }
}

/// Fewest events with which the bound can fall to ε.
pub fn events_needed(config: &Convergence) -> u64 {
    arrivals_bound(1.0, 0.0, config.delta / 2.0).div_euclid(config.epsilon) as u64 + 1
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
        tracker.observe(ts, Learned { new, grew: new, species });
    }

    #[test]
    fn the_bounds_are_those_of_the_formulas() {
        // By hand: 20/10000 + (2√2 + √3)·√(ln 60 / 10000) = 0.002 + 4.5605 · 0.020234
        assert!((good_turing_bound(10_000.0, 20.0, 0.05) - 0.094_28).abs() < 1e-4);
        // By hand: (20 + ln 20) / (0.63212 · 10000) = 22.9957 / 6321.2
        assert!((arrivals_bound(10_000.0, 20.0, 0.05) - 0.003_638).abs() < 1e-6);
        let config = config(Rule::UnseenMass);
        let needed = events_needed(&config);
        assert!(Estimate::new(needed, 0, 0, config.delta).upper_bound <= config.epsilon);
        assert!(Estimate::new(needed - 1, 0, 0, config.delta).upper_bound > config.epsilon);
        assert_eq!(Estimate::new(0, 0, 0, config.delta).upper_bound, 1.0);
    }

    /// Draws from a known distribution, the bound against the mass that is truly unseen.
    #[test]
    fn the_bound_holds_on_draws_from_a_known_distribution() {
        // Species i of 1..=2000 has weight 1/i²; xorshift64* for the draws.
        let weights: Vec<f64> = (1..=2000u64).map(|i| 1.0 / (i * i) as f64).collect();
        let total: f64 = weights.iter().sum();
        let mut broken = 0;
        for seed in 1..=100u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut seen = vec![0u32; weights.len()];
            let mut new = 0;
            for _ in 0..2000 {
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                let uniform = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64;
                let mut rest = uniform * total;
                let species = weights.iter().position(|weight| {
                    rest -= weight;
                    rest < 0.0
                });
                let slot = &mut seen[species.unwrap_or(weights.len() - 1)];
                new += u64::from(*slot == 0);
                *slot += 1;
            }
            let unseen: f64 =
                seen.iter().zip(&weights).filter(|(n, _)| **n == 0).map(|(_, weight)| weight / total).sum();
            let singletons = seen.iter().filter(|n| **n == 1).count() as u64;
            broken += u32::from(Estimate::new(2000, singletons, new, 0.05).upper_bound < unseen);
        }
        assert!(broken <= 5, "{broken} of 100 bounds broken at delta = 0.05");
    }

    #[test]
    fn many_events_converge_by_the_bound_though_a_new_pattern_comes_now_and_then() {
        let config = config(Rule::UnseenMass);
        let mut tracker = Tracker::new(0);
        let events = events_needed(&config) as i64 * 4;
        for i in 0..events {
            let rare = i % (events / 3) == 100;
            see(&mut tracker, i * 61 * S / events, if rare { 1000 + i as u64 } else { 1 }, rare || i == 0);
        }
        let reason = decide(&tracker, 61 * S, &config).expect("converged");
        assert!(reason.starts_with("unseen mass"), "{reason}");
        for i in 0..100 {
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
