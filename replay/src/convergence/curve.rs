//! The learning curve of an image: how its trees grew, and what the stopping rule saw, over the time it was learned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Estimate, Tracker, decide, seconds};
use crate::config::Convergence;
use crate::deviation::Tree;
use crate::profile::ImageProfile;

/// Samples kept per tree; at twice as many, every second one is dropped and the step doubles.
const SAMPLES: usize = 120;

/// Samples in a window to begin with.
const PER_WINDOW: f64 = 60.0;

/// A tree at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds of learning since the image's first event.
    pub at_s: f64,
    /// Observations learned so far.
    pub observations: u64,
    /// New patterns so far; a command line that detection accepts without the model is none.
    pub new_patterns: u64,
    /// Patterns in the tree; fewer than were new once directories collapse.
    pub patterns: u64,
    pub nodes: u64,
    /// The window that ends now.
    pub window: Estimate,
}

/// The curve of one image.
#[derive(Clone, Debug)]
pub struct Curve {
    begin: i64,
    /// Time of the next sample, and from one to the next, ns.
    next: i64,
    step: i64,
    samples: BTreeMap<Tree, Vec<Sample>>,
    converged: BTreeMap<Tree, Converged>,
}

/// When the stopping rule would have ended learning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Converged {
    /// Seconds of learning since the image's first event.
    pub after_s: f64,
    pub decided_by: String,
}

impl Curve {
    /// `begin`: of learning, ns.
    pub fn new(begin: i64, config: &Convergence) -> Self {
        let step = ((config.window * 1e9 / PER_WINDOW) as i64).max(1);
        Self { begin, next: begin + step, step, samples: BTreeMap::new(), converged: BTreeMap::new() }
    }

    /// The time of the next sample, if it is not after `now`.
    pub fn due(&self, now: i64) -> Option<i64> {
        (self.next <= now).then_some(self.next)
    }

    /// Nothing learns any more.
    pub fn end(&mut self) {
        self.next = i64::MAX;
    }

    /// Samples the trees as they are at `at`. Counts are of what came before.
    pub fn sample<'a>(
        &mut self,
        at: i64,
        trackers: impl Iterator<Item = (Tree, &'a mut Tracker)>,
        profile: &ImageProfile,
        config: &Convergence,
    ) {
        for (tree, tracker) in trackers {
            tracker.trim(at, config);
            let sample = Sample {
                at_s: round(seconds(at - self.begin)),
                observations: tracker.learned(),
                new_patterns: tracker.arrived(),
                patterns: profile.patterns(tree),
                nodes: profile.nodes(tree),
                window: tracker.estimate(at, config),
            };
            let samples = self.samples.entry(tree).or_default();
            if samples.last().is_none_or(|last| last.at_s < sample.at_s) {
                samples.push(sample);
            }
        }
        self.next = self.next.max(at.saturating_add(self.step));
        if self.samples.values().any(|samples| samples.len() >= 2 * SAMPLES) {
            for samples in self.samples.values_mut() {
                let mut i = 0;
                samples.retain(|_| {
                    i += 1;
                    i % 2 == 0
                });
            }
            self.step = self.step.saturating_mul(2);
            self.next = at.saturating_add(self.step);
        }
    }

    /// Asks the stopping rule, and keeps the first time it says yes.
    pub fn ask(&mut self, now: i64, tree: Tree, tracker: &Tracker, config: &Convergence) {
        if self.converged.contains_key(&tree) {
            return;
        }
        if let Some(decided_by) = decide(tracker, now, config) {
            let after_s = round(seconds(now - self.begin));
            self.converged.insert(tree, Converged { after_s, decided_by });
        }
    }

    pub fn samples(&self, tree: Tree) -> &[Sample] {
        self.samples.get(&tree).map_or(&[], Vec::as_slice)
    }

    pub fn converged(&self, tree: Tree) -> Option<&Converged> {
        self.converged.get(&tree)
    }
}

/// To the millisecond.
fn round(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::profile::Learned;

    #[test]
    fn a_curve_of_any_length_is_of_bounded_size_and_in_order() {
        let config = config::load(None, &[]).unwrap().convergence;
        let mut curve = Curve::new(0, &config);
        let mut tracker = Tracker::new(0);
        let profile = ImageProfile::default();
        for second in 0..100_000i64 {
            let now = second * 1_000_000_000;
            while let Some(at) = curve.due(now) {
                curve.sample(at, std::iter::once((Tree::File, &mut tracker)), &profile, &config);
            }
            tracker.observe(
                now,
                Learned { new: second % 1000 == 0, grew: second % 1000 == 0, species: second as u64 % 1000 },
            );
            curve.ask(now, Tree::File, &tracker, &config);
        }
        let samples = curve.samples(Tree::File);
        assert!((SAMPLES / 2..=2 * SAMPLES).contains(&samples.len()), "{}", samples.len());
        assert!(
            samples.windows(2).all(|pair| pair[0].at_s < pair[1].at_s && pair[0].observations < pair[1].observations)
        );
        assert_eq!(samples[0].new_patterns, 1);
        assert!((60.0..62.0).contains(&curve.converged(Tree::File).expect("a quiet window").after_s));
        assert!(curve.samples(Tree::Network).is_empty());
    }
}
