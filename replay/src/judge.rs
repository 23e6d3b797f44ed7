//! The three engines as the run uses them: rules on every event, statistics and semantics on what deviated.

use std::path::PathBuf;
use std::sync::Arc;

use datasets::Event;

use crate::alert::group::Judged;
use crate::args::vectors::{LazyModel, embedding_failed};
use crate::config::Config;
use crate::deviation::Deviation;
use crate::engines::correlation::{Contribution, Correlations, Correlator, Met};
use crate::engines::exemplars::Exemplar;
use crate::engines::rules::{RuleEngine, RuleHit};
use crate::engines::rules_load::{self, Listed};
use crate::engines::semantics::{Judge, JudgeError, Knn};
use crate::engines::sigma_fields::{Category, EventView, Known};
use crate::engines::statistics::{self, Population};
use crate::engines::{Verdict, exemplars};
use crate::error::{Error, Result};
use crate::pipeline::fold::Folded;
use crate::pipeline::ruling::Rules;
use crate::pipeline::{Streamed, World};

/// The engines, loaded.
pub struct Judges {
    rules: RuleEngine,
    exemplars: Vec<Exemplar>,
    /// Without weight the judge is not asked, and its model not needed.
    weighs_semantics: bool,
}

impl Judges {
    /// The built-in rules and exemplars, with those the configuration names.
    ///
    /// # Errors
    /// A rule or exemplar file that cannot be read or is not valid.
    pub fn open(config: &Config) -> Result<Self> {
        let rules = load_rules(config)?;
        let exemplars = exemplars::load(path(&config.engines.exemplars).as_deref())
            .map_err(|error| Error::config(error.to_string(), "mend the file, or change engines.exemplars"))?;
        Ok(Self { rules, exemplars, weighs_semantics: config.engines.weights.semantics > 0.0 })
    }

    /// Reads the rules again, and forgets what the old ones said. After an error these are still in use.
    ///
    /// # Errors
    /// As [`Judges::open`].
    pub fn reload_rules(&mut self, config: &Config) -> Result<()> {
        self.rules = load_rules(config)?;
        Ok(())
    }

    /// Rules that can speak.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// What to warn of: the user's own rule documents that can never speak here, or not in full. A folder full of them is
    /// summed up.
    pub fn skipped_rules(&self) -> Vec<String> {
        rules_load::warnings(self.rules.listed())
    }

    /// All rule documents, with what becomes of each.
    pub fn listed(&self) -> &[Listed] {
        self.rules.listed()
    }

    /// The rules engine for a recording.
    pub fn of<'a>(&'a self, world: &'a World) -> RulesOf<'a> {
        RulesOf { rules: &self.rules, world }
    }

    /// Opens what the first deviation would have to wait for.
    ///
    /// # Errors
    /// The judge needs a model that is missing.
    pub fn prepare(&self, model: &LazyModel) -> Result<()> {
        if !self.weighs_semantics {
            return Ok(());
        }
        Knn::new(model.get()?, self.exemplars.clone()).prepare().map_err(|error| embedding_failed(&error))
    }

    /// Every deviation with what all engines say about it.
    ///
    /// # Errors
    /// The judge needs a model that is missing.
    pub fn judge(
        &self,
        folded: Vec<Folded>,
        streamed: &Streamed,
        world: &World,
        model: &LazyModel,
    ) -> Result<Vec<Judged>> {
        let (deviations, mut verdicts): (Vec<Deviation>, Vec<Vec<Verdict>>) =
            folded.into_iter().map(|folded| (folded.deviation, folded.hits)).unzip();
        let replicas = world.containers.keys().map(|id| (world.image(Some(id)), Arc::clone(id)));
        let population = Population::new(replicas, streamed.span);
        let statistics = statistics::judge(&deviations, &population);
        for (all, verdict) in verdicts.iter_mut().zip(statistics) {
            all.push(verdict);
        }
        // The model is opened by the first deviation, so that an uneventful recording needs none.
        if !deviations.is_empty() && self.weighs_semantics {
            let judge = Knn::new(model.get()?, self.exemplars.clone());
            let semantics = judge.judge(&deviations.iter().collect::<Vec<_>>());
            let semantics = semantics.map_err(|error| match error {
                JudgeError::Embed(error) => embedding_failed(&error),
            })?;
            for (all, verdict) in verdicts.iter_mut().zip(semantics) {
                all.push(verdict);
            }
        }
        let judged = deviations.into_iter().zip(verdicts);
        Ok(judged.map(|(deviation, verdicts)| Judged { deviation, verdicts }).collect())
    }
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn load_rules(config: &Config) -> Result<RuleEngine> {
    RuleEngine::load(path(&config.engines.rules).as_deref())
        .map_err(|error| Error::config(error.to_string(), "mend the rule, or change engines.rules"))
}

/// The rules engine with what a recording says about processes and containers.
pub struct RulesOf<'a> {
    rules: &'a RuleEngine,
    world: &'a World,
}

impl RulesOf<'_> {
    fn view<'b>(&'b self, event: &'b Event, known: Known) -> EventView<'b> {
        let RulesOf { world, .. } = self;
        let common = event.common();
        let process = common.exec_id.and_then(|id| world.processes.get(id));
        let parent = process.and_then(|process| process.parent_exec_id).and_then(|id| world.processes.get(id));
        let container = common.container.as_ref().and_then(|id| world.containers.get(id));
        let peer = match event {
            Event::Network(event) => {
                let address = event.peer_addr.as_deref();
                let id = address.and_then(|address| world.peers.container(address, event.common.ts));
                id.and_then(|id| world.containers.get(id))
            }
            _ => None,
        };
        EventView { event, process, parent, container, peer, processes: Some(&world.processes), known }
    }
}

impl Rules for RulesOf<'_> {
    fn hits(&self, event: &Event, known: Known) -> Vec<RuleHit> {
        // Most events are of no category.
        if known.deviation.is_none() && Category::of(event).is_empty() {
            return Vec::new();
        }
        self.rules.evaluate(&self.view(event, known))
    }

    fn judges_deviations(&self) -> bool {
        self.rules.asks_for(Category::Deviation)
    }

    fn correlations(&self) -> Option<&Correlations> {
        Some(self.rules.correlations())
    }

    fn correlate(
        &self,
        correlator: &mut Correlator,
        event: &Event,
        known: Known,
        hits: &[RuleHit],
    ) -> (Vec<Met>, Vec<Contribution>) {
        correlator.see(self.rules.correlations(), hits, &self.view(event, known))
    }
}
