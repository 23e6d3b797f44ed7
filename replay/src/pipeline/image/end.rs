//! What an image's stream leaves: its trees, how they grew and held, what departed from them.

use super::{ImageState, Phase};
use crate::config::Config;
use crate::convergence::{Curve, LockTest};
use crate::deviation::Tree;
use crate::observe::ProcessTable;
use crate::pipeline::fold::Folded;
use crate::profile::siblings::Siblings;
use crate::profile::store;
use crate::profile::tuning::Tuned;

impl ImageState {
    /// The present recording ends, at `end` of its own time; for an image that had no events in it, no time has passed.
    pub fn end_recording(&mut self, end: i64, config: &Config) {
        if self.begun {
            if self.learns_traffic() {
                self.traffic_learned(end);
            }
            let end = end - self.shift;
            self.sample(end, config);
            self.ended = Some(end);
        }
    }

    /// Ends the stream at `end`, the recording's last moment: a tree that fell silent may have converged since, and of
    /// a baseline it is now said which trees had converged.
    pub fn finish(&mut self, end: i64, config: &Config) {
        if self.learns_traffic() {
            self.traffic_learned(end);
            self.seal_traffic(config);
        }
        let end = self.ended.unwrap_or(end - self.shift);
        self.check(end, config);
        if let Some(curve) = &mut self.curve {
            let trackers = self.phases.iter_mut().filter_map(|(tree, phase)| match phase {
                Phase::Learning(tracker) => Some((*tree, tracker)),
                Phase::Locked(_) => None,
            });
            curve.sample(end, trackers, &self.profile, &config.convergence);
        }
        self.converges = true;
        self.check(end, config);
    }

    /// At the end of a stream: what turned out to belong to what a rule hit is on probation no more.
    pub fn settle(&mut self, processes: &ProcessTable, config: &Config) {
        self.tuning.settle(processes, &config.tuning);
    }

    /// How the trees grew while they learned; none of an image that was locked from the start.
    pub fn curve(&self) -> Option<&Curve> {
        self.curve.as_ref()
    }

    /// Whether the lock of a tree held; None: it saw nothing since, or is not locked.
    pub fn lock_test(&self, tree: Tree, config: &Config) -> Option<LockTest> {
        self.since.get(&tree).map(|since| since.test(&config.convergence))
    }

    /// What locked trees took in.
    pub fn tuned(&self) -> &[Tuned] {
        self.tuning.tuned()
    }

    /// Behaviours on probation.
    pub fn on_probation(&self) -> usize {
        self.tuning.on_probation()
    }

    /// The image's replicas, each against the others; None where there is nothing to compare.
    pub fn siblings(&self, config: &Config, name: &dyn Fn(&str) -> String) -> Option<Siblings> {
        self.replicas.as_ref()?.compare(&self.image, config, name)
    }

    /// The locked trees, and the profile to save.
    pub fn entry(&self) -> store::Entry {
        let locked = self.phases.iter().filter_map(|(tree, phase)| match phase {
            Phase::Locked(locked) => Some((*tree, locked.clone())),
            Phase::Learning(_) => None,
        });
        store::Entry {
            locked: locked.collect(),
            trees: self.profile.clone(),
            tuned: self.tuning.tuned().to_vec(),
            probation: self.tuning.candidates(),
        }
    }

    /// The deviations found so far, in order of their first event.
    pub fn folded(&self) -> &[Folded] {
        self.folds.so_far()
    }

    /// Whether there are others, or other rules hit them, since the last call.
    pub fn take_changed(&mut self) -> bool {
        self.folds.take_changed()
    }

    /// The deviations found; none are left here.
    pub fn take_folded(&mut self) -> Vec<Folded> {
        self.folds.take()
    }
}
