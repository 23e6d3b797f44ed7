//! An image after its lock: what departs is put on probation, and taken in when its time has come.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::config;
use crate::deviation::{DeviationKind, Tree};
use crate::observe::{Observation, ProcessTable};
use crate::profile::image::ProcessTree;
use crate::profile::tuning::{Behaviour, Candidate, Occasion, Probation, Tuned};
use crate::profile::{grave, store};

/// Hits closer than this, ns, are one: an hour of a rule that hits all the time is a few entries.
const SAME: i64 = 60_000_000_000;

/// What a locked image needs to take in what recurs.
#[derive(Default)]
pub struct Tuning {
    probation: Probation,
    tuned: Vec<Tuned>,
    /// The process tree as it was locked; what was taken in since makes nothing further harmless.
    core: ProcessTree,
    /// Incarnations that a rule hit, and those above them that deviate.
    struck: HashSet<u64>,
    /// When rules of high confidence hit, by container; Unix time, ns, in order.
    hits: BTreeMap<Arc<str>, Vec<i64>>,
}

/// What became of a departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Grave,
    Waits,
    /// To be learned now.
    TakenIn,
}

impl Tuning {
    /// Goes on from a saved profile.
    pub fn load(entry: &store::Entry) -> Self {
        let mut core = entry.trees.process.clone();
        for Tuned { behaviour, .. } in entry.tuned.iter().filter(|tuned| tuned.behaviour.tree == Tree::Process) {
            let [parent, program] = &behaviour.path[..] else { continue };
            let Some(programs) = core.get_mut(parent) else { continue };
            match &behaviour.args {
                Some(args) => programs.get_mut(program).into_iter().for_each(|leaf| leaf.forget(args)),
                None => {
                    programs.remove(program);
                }
            }
        }
        Self { probation: Probation::load(&entry.probation), tuned: entry.tuned.clone(), core, ..Self::default() }
    }

    /// The process tree is locked.
    pub fn lock(&mut self, process: &ProcessTree) {
        self.core.clone_from(process);
    }

    /// How many replicas the recording has; before it has run for `tuning.apart`, not all need have been heard of.
    pub fn expect_replicas(&mut self, replicas: usize) {
        self.probation.expect_replicas(replicas);
    }

    /// A replica lives.
    pub fn heard(&mut self, container: &Arc<str>, ts: i64) {
        self.probation.heard(container, ts);
    }

    /// A rule of high confidence hit the process: what started it is part of it, as far up as it deviates, and what else
    /// happens around it is no habit.
    pub fn strike(&mut self, observation: &Observation, deviates: &dyn Fn(u64) -> bool, processes: &ProcessTable) {
        if let Some(id) = observation.exec_id {
            let deviating = processes.lineage(id).map(|process| process.exec_id).take_while(|id| deviates(*id));
            self.struck.extend(deviating.chain([id]));
        }
        let hits = self.hits.entry(Arc::clone(&observation.container)).or_default();
        if hits.last().is_none_or(|last| observation.ts.saturating_sub(*last) >= SAME) {
            hits.push(observation.ts);
        }
    }

    /// Takes down what departed from a locked tree, and says what is to become of it.
    pub fn see(
        &mut self,
        observation: &Observation,
        kind: DeviationKind,
        processes: &ProcessTable,
        config: &config::Tuning,
    ) -> Fate {
        let Tuning { probation, tuned, core, struck, hits } = self;
        let leaf = core.get(&observation.steps[0]).and_then(|programs| programs.get(&observation.steps[1]));
        if grave(observation, leaf, config.risk).is_some() {
            return Fate::Grave;
        }
        // A program that was never run is on probation as such; its arguments may differ each time.
        let behaviour = Behaviour::of(observation, kind == DeviationKind::NewArguments);
        let below = |id: u64| processes.lineage(id).any(|process| struck.contains(&process.exec_id));
        let void = |occasion: &Occasion| occasion.is_void(&below, hits, config.quarantine);
        match probation.see(observation, behaviour, &void, config) {
            Some(taken) => {
                tuned.push(taken);
                Fate::TakenIn
            }
            None => Fate::Waits,
        }
    }

    /// At the end: what was on probation and turned out to belong to what a rule hit is so no more.
    pub fn settle(&mut self, processes: &ProcessTable, config: &config::Tuning) {
        let Tuning { probation, struck, hits, .. } = self;
        let below = |id: u64| processes.lineage(id).any(|process| struck.contains(&process.exec_id));
        probation.withdraw(&|occasion| occasion.is_void(&below, hits, config.quarantine));
    }

    /// What was taken in, in order of time.
    pub fn tuned(&self) -> &[Tuned] {
        &self.tuned
    }

    pub fn on_probation(&self) -> usize {
        self.probation.len()
    }

    pub fn candidates(&self) -> Vec<Candidate> {
        self.probation.save()
    }
}
