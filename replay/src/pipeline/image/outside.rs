//! Events that no tree describes: only rules have something to say of them.

use datasets::Event;

use super::{ImageState, Surroundings};
use crate::config::After;
use crate::observe::Observation;
use crate::pipeline::apart;
use crate::pipeline::ruling::{self, Ruling, Said};
use crate::timing::{self, Part};

impl ImageState {
    /// Takes an event of a class that no profile is learned from: it tells the time to nobody.
    pub fn rule(&mut self, event: &Event, around: &Surroundings<'_>) {
        let judge = || self.memory.judge(event, Said::default(), around.rules, &around.context);
        let ruling = timing::each(Part::Rules, judge);
        self.outside(event, &ruling, around);
    }

    /// An event that no tree describes.
    pub(super) fn outside(&mut self, event: &Event, ruling: &Ruling, around: &Surroundings<'_>) {
        if ruling.verdicts.is_empty() {
            return;
        }
        let hit = ruling.is_high_confidence();
        let deviates = ruling.is_suspect() && self.taint(event.common().exec_id, around).is_some();
        if !hit && !ruling.met && !deviates {
            return;
        }
        let observation = ruling::observation(event, &around.context);
        if hit {
            self.strike(&observation, true, around);
        }
        self.fold_hit(&observation, ruling);
    }

    /// A deviation that is nothing but what rules hit.
    pub fn fold_hit(&mut self, observation: &Observation, ruling: &Ruling) {
        self.folds.add(observation, apart::departure(observation), ruling);
    }

    /// From this chunk on what rules hit is kept instead of folded: see [`apart`].
    pub fn keep_apart(&mut self, chunk: u32) {
        self.folds.keep_apart();
        self.folds.at_chunk(chunk);
    }

    /// The chunk that what follows is of.
    pub fn at_chunk(&mut self, chunk: u32) {
        self.folds.at_chunk(chunk);
    }

    /// The deviations of an image that was kept apart; none are left here.
    pub fn take_apart(&mut self) -> apart::Apart {
        self.folds.take_apart()
    }

    /// Whether anything was seen of the image.
    pub fn is_empty(&self) -> bool {
        self.counts.events == 0 && self.folds.is_empty()
    }

    /// Whether the process, or one it comes from, is not to be learned from; `true` inside: because a rule hit it.
    pub(super) fn taint(&mut self, exec_id: Option<u64>, around: &Surroundings<'_>) -> Option<bool> {
        let id = exec_id?;
        if self.tainted.is_empty() || self.clean.contains(&id) {
            return None;
        }
        if let Some(&by_rule) = self.tainted.get(&id) {
            return Some(by_rule);
        }
        let mut lineage = around.context.processes.lineage(id);
        let inherited = lineage.find_map(|process| self.tainted.get(&process.exec_id).copied());
        match inherited {
            Some(by_rule) => {
                self.tainted.insert(id, by_rule);
            }
            // It lived before any ancestor was hit: what an ancestor does later is not its doing.
            None => {
                self.clean.insert(id);
            }
        }
        inherited
    }

    /// Notes that a process did what is not to be learned; `hit`: because a rule says so.
    pub(super) fn strike(&mut self, observation: &Observation, hit: bool, around: &Surroundings<'_>) {
        if let Some(id) = observation.exec_id {
            self.clean.remove(&id);
            *self.tainted.entry(id).or_default() |= hit;
        }
        if hit && self.converges && around.config.convergence.after == After::Tune {
            self.tuning.strike(observation, &|id| self.tainted.contains_key(&id), around.context.processes);
        }
    }
}
