//! The stages of a sweep. Reading and comparing depend on most keys and cost most; the judges depend on few, and weights and
//! severities only on what was judged. So configurations are put together by what each stage reads, and each stage runs once for
//! all that agree. Thresholds of command lines were answered the same between two measured values ([`replay::config::Asked`]): what
//! was compared with one threshold holds for all others up to the nearest value that was asked about.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use datasets::{Event, Recording};
use rayon::prelude::*;
use replay::alert::allow::AllowList;
use replay::alert::group::{self, GroundTruth, Judged};
use replay::alert::incident;
use replay::args::vectors::LazyModel;
use replay::config::{After, Asked, Config, JudgeKind};
use replay::deviation::Deviation;
use replay::engines::{Engine, Severity, Thresholds, Unanswered, Verdict, Weights, statistics};
use replay::input;
use replay::judge::{Judges, population};
use replay::pipeline::image::ImageState;
use replay::pipeline::{Lanes, Stage, Start, World, judged};
use replay::run;

use super::metrics::Metrics;
use super::truth::Truth;
use crate::error::Failure;
use crate::inputs::Opened;

/// What all configurations are tried on.
struct Bench<'a> {
    recording: &'a Recording,
    baseline: Option<&'a Opened>,
    /// Decoded, where they are few.
    events: Option<Vec<Event>>,
    truth: Truth,
    model: LazyModel,
    defaults: Config,
    at: Severity,
}

/// What departed, under every configuration that `asked` holds for.
struct Compared {
    world: World,
    deviations: Vec<Deviation>,
    hits: Vec<Vec<Verdict>>,
    span: Option<(i64, i64)>,
    asked: Arc<Asked>,
}

/// Tries all configurations, in order. `threads`: 0 for one per core.
pub fn run(
    recording: &Recording,
    baseline: Option<&Opened>,
    configs: &[Config],
    at: Severity,
    threads: usize,
) -> Result<Vec<Metrics>, Failure> {
    let Some(first) = configs.first() else { return Ok(Vec::new()) };
    if configs.iter().any(|config| config.model != first.model) {
        let hint = "give model.* in config, and the rest in configs";
        return Err(Failure::config("model.* is the same for all of a sweep", hint));
    }
    let pool = run::pooled(threads, |threads| {
        Ok(try_all(recording, baseline, configs, LazyModel::new(&first.model, threads), at))
    });
    pool?
}

fn try_all(
    recording: &Recording,
    baseline: Option<&Opened>,
    configs: &[Config],
    model: LazyModel,
    at: Severity,
) -> Result<Vec<Metrics>, Failure> {
    input::verify(recording)?;
    let (truth, events) = Truth::read(recording)?;
    let defaults = replay::config::load(None, &[])?;
    let bench = Bench { recording, baseline, events, truth, model, defaults, at };
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, config) in configs.iter().enumerate() {
        groups.entry(bench.stream_key(config)).or_default().push(i);
    }
    let tried = groups.into_par_iter().map(|(_, members)| bench.group(configs, members));
    let mut all = vec![Metrics::default(); configs.len()];
    for (i, metrics) in tried.collect::<Result<Vec<_>, Failure>>()?.into_iter().flatten() {
        all[i] = metrics;
    }
    Ok(all)
}

impl Bench<'_> {
    /// The keys that reading and comparing depend on: all but those that are known to be read later.
    fn stream_key(&self, config: &Config) -> String {
        let mut config = config.clone();
        let engines = self.defaults.engines.clone();
        config.engines = replay::config::Engines { rules: config.engines.rules.clone(), ..engines };
        config.severity = self.defaults.severity.clone();
        config.alerts.allow = String::new();
        config.alerts.lateral = self.defaults.alerts.lateral;
        // A profile that goes on learning has learned by its thresholds.
        if config.convergence.after == After::Lock {
            config.args.grammar.accept = 0.0;
            config.args.grammar.reject = 0.0;
            config.args.novelty.accept = 0.0;
            config.args.novelty.reject = 0.0;
            config.args.embedding.threshold = 0.0;
        }
        format!("{config:?}")
    }

    /// Configurations with one stream key.
    fn group(&self, configs: &[Config], mut members: Vec<usize>) -> Result<Vec<(usize, Metrics)>, Failure> {
        let mut done = Vec::new();
        while let Some(first) = members.first().map(|i| &configs[*i]) {
            let judges = Judges::open(first)?;
            let compared = self.compare(first, &judges)?;
            let (same, other): (Vec<usize>, Vec<usize>) = members.into_iter().partition(|i| {
                let config = &configs[*i];
                std::ptr::eq(config, first)
                    || (config.args == first.args || config.convergence.after == After::Lock)
                        && compared.asked.holds_for(&config.args)
            });
            done.extend(self.score(&compared, configs, same)?);
            members = other;
        }
        Ok(done)
    }

    fn compare(&self, config: &Config, judges: &Judges) -> Result<Compared, Failure> {
        let learned = match self.baseline {
            Some(Opened::Recording(recording)) => Some(run::learn((**recording).clone(), config, 1)?),
            _ => None,
        };
        let start = match (self.baseline, &learned) {
            (_, Some(profile)) => Start::Baseline(profile),
            (Some(Opened::Profile(profile)), None) => Start::Baseline(profile),
            _ => Start::Learn,
        };
        let asked = Arc::new(Asked::default());
        let mut watched = config.clone();
        watched.args.asked = Some(Arc::clone(&asked));
        let world = World::load(self.recording, config)?;
        let rules = judges.of(&world);
        let stage = Stage { world: &world, start, config: &watched, vectors: &self.model, rules: &rules };
        let mut lanes = Lanes::default();
        match &self.events {
            Some(events) => lanes.take(events.iter().cloned().map(Ok), &stage, |_| {})?,
            None => lanes.take(judged(self.recording).given(), &stage, |_| {})?,
        }
        let mut streamed = lanes.end(&stage);
        let folded = streamed.images.iter_mut().flat_map(ImageState::take_folded);
        let (deviations, hits) = folded.map(|folded| (folded.deviation, folded.hits)).unzip();
        Ok(Compared { world, deviations, hits, span: streamed.span, asked })
    }

    /// What the judges and the weights make of what departed.
    fn score(
        &self,
        compared: &Compared,
        configs: &[Config],
        members: Vec<usize>,
    ) -> Result<Vec<(usize, Metrics)>, Failure> {
        let population = population(&compared.world, compared.span);
        let mut counted: HashMap<String, Vec<Verdict>> = HashMap::new();
        let mut meant: HashMap<String, (String, Vec<Result<Verdict, String>>)> = HashMap::new();
        for i in &members {
            let config = &configs[*i];
            let key = format!("{:?}", config.engines.statistics);
            let statistics = counted
                .entry(key)
                .or_insert_with(|| statistics::judge(&compared.deviations, &population, &config.engines.statistics));
            let key = semantics_key(config);
            if let Entry::Vacant(place) = meant.entry(key) {
                let judges = Judges::open(config)?;
                let hits = compared.hits.iter().zip(statistics.iter());
                let with = |(hits, verdict): (&Vec<Verdict>, &Verdict)| hits.iter().chain([verdict]).cloned().collect();
                let verdicts: Vec<Vec<Verdict>> = hits.map(with).collect();
                let said = judges.mean(&compared.deviations.iter().collect::<Vec<_>>(), &verdicts, &self.model)?;
                place.insert((judges.semantics().to_owned(), said));
            }
        }
        let one = |i: usize| {
            let config = &configs[i];
            let statistics = &counted[&format!("{:?}", config.engines.statistics)];
            let (judge, said) = &meant[&semantics_key(config)];
            let metrics = self.alerts(compared, statistics, (judge, said), config)?;
            Ok((i, metrics))
        };
        members.into_par_iter().map(one).collect()
    }

    fn alerts(
        &self,
        compared: &Compared,
        statistics: &[Verdict],
        (judge, said): (&str, &[Result<Verdict, String>]),
        config: &Config,
    ) -> Result<Metrics, Failure> {
        let judged = compared.deviations.iter().zip(&compared.hits).zip(statistics).enumerate();
        let judged = judged.map(|(i, ((deviation, hits), statistics))| {
            let mut verdicts: Vec<Verdict> = hits.iter().chain([statistics]).cloned().collect();
            let mut unanswered = Vec::new();
            match said.get(i) {
                Some(Ok(verdict)) => verdicts.push(verdict.clone()),
                Some(Err(why)) => {
                    let (engine, judge) = (Engine::Semantics, judge.to_owned());
                    unanswered.push(Unanswered { engine, judge, why: why.clone() });
                }
                None => {}
            }
            Judged { deviation: deviation.clone(), verdicts, unanswered }
        });
        let weights = &config.engines.weights;
        let weights = Weights { rules: weights.rules, statistics: weights.statistics, semantics: weights.semantics };
        let bounds = &config.severity;
        let bounds = Thresholds { critical: bounds.critical, high: bounds.high, medium: bounds.medium };
        let lateral = config.alerts.lateral;
        let mut alerts =
            group::alerts(judged.collect(), &compared.world, weights, bounds, &GroundTruth::default(), lateral);
        if !config.alerts.allow.is_empty() {
            AllowList::load(Path::new(&config.alerts.allow))?.apply(&mut alerts);
        }
        let mut metrics = Metrics { deviations: compared.deviations.len() as u64, ..Metrics::default() };
        for alert in alerts.iter().filter(|alert| alert.allowed.is_none()) {
            metrics.alerts[alert.severity as usize] += 1;
        }
        let incidents = incident::gather(&alerts, lateral);
        metrics.incidents = incidents.iter().filter(|incident| incident.severity.is_raised()).count() as u64;
        self.truth.count(&alerts, self.at, &mut metrics);
        Ok(metrics)
    }
}

/// What the semantics engine depends on. The llm judge is asked first about what the other engines give most points.
fn semantics_key(config: &Config) -> String {
    let engines = &config.engines;
    match engines.judge {
        JudgeKind::Knn => format!("{} {}", engines.exemplars, engines.weights.semantics > 0.0),
        JudgeKind::Llm => format!("{engines:?}"),
    }
}
