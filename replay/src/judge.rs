//! The three engines as the run uses them: rules on every event, statistics and semantics on what deviated.

use std::path::PathBuf;
use std::sync::Arc;

use datasets::{Event, FileLook, NetworkLook};

use crate::alert::group::Judged;
use crate::args::vectors::{LazyModel, embedding_failed};
use crate::config::{Config, JudgeKind, Statistics};
use crate::deviation::Deviation;
use crate::engines::correlation::{Contribution, Correlations, Correlator, Met};
use crate::engines::exemplars::Exemplar;
use crate::engines::llm::{LlmError, LlmJudge, Use};
use crate::engines::rules::{RuleEngine, RuleHit};
use crate::engines::rules_load::{self, Listed};
use crate::engines::semantics::{Judge, JudgeError, Knn};
use crate::engines::sight::Sight;
use crate::engines::sigma_fields::{Category, EventView, Known};
use crate::engines::statistics::{self, Population};
use crate::engines::{Engine, Unanswered, Verdict, Weights, exemplars};
use crate::error::{Error, Result};
use crate::output::text::{clean, shorten};
use crate::pipeline::fold::Folded;
use crate::pipeline::ruling::Rules;
use crate::pipeline::{Streamed, World};
use crate::timing::{self, Task};

/// Deviations without an answer that are named on stderr; the alerts name all.
const NAMED: usize = 10;

/// The engines, loaded.
pub struct Judges {
    rules: RuleEngine,
    semantics: Semantics,
    statistics: Statistics,
    weights: Weights,
}

/// Who speaks for the semantics engine.
enum Semantics {
    /// Without weight no judge is asked, and no model needed.
    Silent,
    Knn(Vec<Exemplar>),
    Llm(Box<LlmJudge>),
}

impl Judges {
    /// The built-in rules and exemplars, with those the configuration names, or the llm judge.
    ///
    /// # Errors
    /// A rule, exemplar file or prompt that cannot be read or is not valid; an API key or verdict store that is not there.
    pub fn open(config: &Config) -> Result<Self> {
        let rules = load_rules(config)?;
        let semantics =
            match config.engines.judge {
                _ if config.engines.weights.semantics <= 0.0 => Semantics::Silent,
                JudgeKind::Knn => {
                    let exemplars = exemplars::load(path(&config.engines.exemplars).as_deref());
                    Semantics::Knn(exemplars.map_err(|error| {
                        Error::config(error.to_string(), "mend the file, or change engines.exemplars")
                    })?)
                }
                JudgeKind::Llm => Semantics::Llm(Box::new(LlmJudge::open(&config.engines.llm).map_err(llm_error)?)),
            };
        let weights = &config.engines.weights;
        let weights = Weights { rules: weights.rules, statistics: weights.statistics, semantics: weights.semantics };
        Ok(Self { rules, semantics, statistics: config.engines.statistics.clone(), weights })
    }

    /// Who speaks for the semantics engine, by name.
    pub fn semantics(&self) -> &str {
        match &self.semantics {
            Semantics::Silent => "none",
            Semantics::Knn(_) => "knn",
            Semantics::Llm(judge) => judge.name(),
        }
    }

    /// What the llm judge has spent, if it is the judge. `judged`: what it was asked about.
    pub fn llm_use(&self, judged: &[Judged]) -> Option<Use> {
        let Semantics::Llm(judge) = &self.semantics else { return None };
        let unanswered = judged.iter().filter(|judged| !judged.unanswered.is_empty()).count() as u64;
        Some(Use { answered: judged.len() as u64 - unanswered, unanswered, spent: judge.spent() })
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
        // The other judges need no model.
        let Semantics::Knn(exemplars) = &self.semantics else { return Ok(()) };
        Knn::new(model.get()?, exemplars.clone()).prepare().map_err(|error| embedding_failed(&error))
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
        let rare = || statistics::judge(&deviations, &population(world, streamed.span), &self.statistics);
        let statistics = timing::stage(Task::Statistics, rare);
        for (all, verdict) in verdicts.iter_mut().zip(statistics) {
            all.push(verdict);
        }
        let all: Vec<&Deviation> = deviations.iter().collect();
        let semantics = timing::stage(Task::Semantics, || self.mean(&all, &verdicts, model))?;
        let mut unanswered: Vec<Vec<Unanswered>> = vec![Vec::new(); deviations.len()];
        for (i, said) in semantics.into_iter().enumerate() {
            match said {
                Ok(verdict) => verdicts[i].push(verdict),
                Err(why) => {
                    unanswered[i].push(Unanswered {
                        engine: Engine::Semantics,
                        judge: self.semantics().to_owned(),
                        why,
                    });
                }
            }
        }
        let judged = deviations.into_iter().zip(verdicts).zip(unanswered);
        Ok(judged.map(|((deviation, verdicts), unanswered)| Judged { deviation, verdicts, unanswered }).collect())
    }

    /// What the semantics engine alone says of the deviations, or why it has no answer; empty where nobody is asked. `verdicts`:
    /// what the other engines say of each, which only the llm judge looks at.
    ///
    /// # Errors
    /// The judge needs a model that is missing.
    pub fn mean(
        &self,
        all: &[&Deviation],
        verdicts: &[Vec<Verdict>],
        model: &LazyModel,
    ) -> Result<Vec<std::result::Result<Verdict, String>>> {
        match &self.semantics {
            Semantics::Silent => Ok(Vec::new()),
            // The model is opened by the first deviation, so that an uneventful recording needs none.
            Semantics::Knn(_) if all.is_empty() => Ok(Vec::new()),
            Semantics::Knn(exemplars) => {
                let said = Knn::new(model.get()?, exemplars.clone()).judge(all);
                let said = said.map_err(|error| match error {
                    JudgeError::Embed(error) => embedding_failed(&error),
                })?;
                Ok(said.into_iter().map(Ok).collect())
            }
            Semantics::Llm(judge) => {
                let points: Vec<f32> = verdicts.iter().map(|verdicts| self.weights.total(verdicts)).collect();
                Ok(judge.judge(all, &points))
            }
        }
    }

    /// Says on stderr which deviations have no answer.
    pub fn warn_unanswered(&self, judged: &[Judged]) {
        let silent: Vec<&Judged> = judged.iter().filter(|judged| !judged.unanswered.is_empty()).collect();
        if silent.is_empty() {
            return;
        }
        let all = judged.len();
        let (count, judge) = (silent.len(), self.semantics());
        eprintln!(
            "warning: the {judge} judge gave no answer about {count} of {all} deviations; their scores are lower bounds"
        );
        for Judged { deviation, .. } in silent.iter().take(NAMED) {
            eprintln!("  no answer: {}", shorten(&clean(&deviation.text), 160));
        }
        if count > NAMED {
            eprintln!("  and {} more; alerts.jsonl says why of each", count - NAMED);
        }
    }
}

/// Who could have deviated in a recording that spans `span` (Unix time, ns).
pub fn population(world: &World, span: Option<(i64, i64)>) -> Population {
    let replicas = world.containers.keys().map(|id| (world.image(Some(id)), Arc::clone(id)));
    Population::new(replicas, span)
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
    fn view<'b>(&'b self, event: &'b Event, known: Known<'b>) -> EventView<'b> {
        let RulesOf { world, .. } = self;
        let common = event.common();
        let process = common.exec_id.and_then(|id| world.processes.get(id));
        let parent = process.and_then(|process| process.parent_exec_id).and_then(|id| world.processes.get(id));
        let container = common.container.as_ref().and_then(|id| world.containers.get(id));
        let peer = match event {
            Event::Network(event) => {
                let address = event.peer_addr.as_deref();
                let id = address.and_then(|address| world.peers.of(&event.common).container(address, event.common.ts));
                id.and_then(|id| world.containers.get(id))
            }
            _ => None,
        };
        EventView { event, process, parent, container, peer, processes: Some(&world.processes), known }
    }
}

impl Rules for RulesOf<'_> {
    fn hits(&self, event: &Event, known: Known<'_>) -> Vec<RuleHit> {
        // Of most events no rule speaks.
        if known.deviation.is_none() && !self.rules.asks_about(event) {
            return Vec::new();
        }
        self.rules.evaluate(&self.view(event, known))
    }

    fn sight(&self, event: &Event) -> Sight {
        self.rules.sight(event)
    }

    fn sight_of_file(&self, look: &FileLook<'_>) -> Sight {
        self.rules.sight_of_file(look)
    }

    fn sight_of_network(&self, look: &NetworkLook<'_>) -> Sight {
        self.rules.sight_of_network(look)
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
        known: Known<'_>,
        hits: &[RuleHit],
    ) -> (Vec<Met>, Vec<Contribution>) {
        correlator.see(self.rules.correlations(), hits, &self.view(event, known))
    }
}

fn llm_error(error: LlmError) -> Error {
    let hint = match &error {
        LlmError::Prompt(_) => "replay/prompts/judge.jinja is one that works; change engines.llm.prompt",
        LlmError::Store(_) => "choose a file with engines.llm.verdicts",
        LlmError::Key(_) => {
            "set it, change engines.llm.api_key_env, or use recorded verdicts: engines.llm.offline=true"
        }
    };
    Error::config(error.to_string(), hint)
}
