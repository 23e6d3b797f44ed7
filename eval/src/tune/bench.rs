//! The stages of a sweep over a set of recordings, each result kept under the hash of what it was made of.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datasets::Recording;
use rayon::prelude::*;
use replay::args::vectors::LazyModel;
use replay::config::{Config, JudgeKind};
use replay::engines::statistics;
use replay::engines::{Peaks, Severity, Thresholds, Verdict, Weights};
use replay::judge::{Judges, population};
use replay::profile::Profile;

use super::compared::{Compared, Tried, hash, program};
use super::facts::{self, Group};
use super::keys::{Reads, Stage};
use super::metrics::Metrics;
use crate::{Error, Result};

/// Events that are kept decoded, of all recordings together: some 300 bytes each.
const EVENTS_KEPT: u64 = 2_000_000;
/// Results of the early stages that are kept in memory, per recording.
const KEPT: usize = 64;

/// A recording to learn from.
pub struct Life {
    pub name: String,
    pub recording: Recording,
    pub sha256: String,
}

/// A recording's alerts, as far as scores are made of them.
type Groups = Arc<Vec<Group>>;

/// Everything that a configuration is tried with.
pub struct Bench {
    pub lives: Vec<Life>,
    pub tried: Vec<Tried>,
    at: Severity,
    /// Where learned baselines are kept between runs.
    folder: PathBuf,
    baselines: Mutex<HashMap<String, Arc<Profile>>>,
    /// By what they are made of.
    judges: Mutex<HashMap<String, Arc<Judges>>>,
    model: LazyModel,
    program: String,
    model_key: String,
    /// Score of the knn judge, by judge and text.
    meant: Mutex<HashMap<(String, Arc<str>), f32>>,
    judged: Mutex<HashMap<String, Groups>>,
    pub spent: Mutex<Spent>,
}

/// How often a stage was run, for how long.
#[derive(Clone, Debug, Default)]
pub struct Spent(pub BTreeMap<&'static str, (u64, Duration)>);

impl Bench {
    /// `folder`: an existing one, for what is learned. `config`: whose model is opened.
    ///
    /// # Errors
    /// A damaged recording.
    pub fn open(
        lives: Vec<(String, Recording)>,
        tried: Vec<(String, Option<datasets::Split>, Recording)>,
        at: Severity,
        folder: PathBuf,
        config: &Config,
        threads: usize,
    ) -> Result<Bench> {
        let rows: u64 = tried.iter().map(|(.., recording)| recording.manifest().rows()).sum();
        let keep = rows <= EVENTS_KEPT;
        let open = |(name, split, recording)| Tried::open(name, split, recording, keep);
        let tried = tried.into_par_iter().map(open).collect::<Result<_>>()?;
        let life = |(name, recording): (String, Recording)| Ok(Life { name, sha256: hash(&recording)?, recording });
        let lives = lives.into_iter().map(life).collect::<Result<_>>()?;
        Ok(Bench {
            lives,
            tried,
            at,
            folder,
            baselines: Mutex::default(),
            judges: Mutex::default(),
            model: LazyModel::new(&config.model, threads),
            program: program(),
            model_key: model_key(config),
            meant: Mutex::default(),
            judged: Mutex::default(),
            spent: Mutex::default(),
        })
    }

    /// Tries a configuration on every recording.
    ///
    /// # Errors
    /// Those of a replay.
    pub fn evaluate(&self, config: &Config) -> Result<Metrics> {
        if model_key(config) != self.model_key {
            // Every model would hold its own sessions, for the rest of the sweep.
            return Err(Error::Sweep {
                reason: "model.* is the same for all of a sweep: give it with --set".to_owned(),
            });
        }
        let reads = Reads::of(config);
        let (baseline, baseline_key) = self.baseline(config, &reads)?;
        let judges = self.judges_of(config)?;
        let compare = |tried: &Tried| {
            tried.forget(KEPT);
            let begin = Instant::now();
            let (compared, new) =
                tried.compare(baseline.as_deref(), &baseline_key, (config, &reads), &self.model, &judges)?;
            if new {
                self.note("compare", begin);
            }
            Ok(compared)
        };
        let compared = self.tried.par_iter().map(compare).collect::<Result<Vec<_>>>()?;
        let groups = self.judge(&compared, (config, &reads), &judges)?;
        let weights = &config.engines.weights;
        let weights = Weights { rules: weights.rules, statistics: weights.statistics, semantics: weights.semantics };
        let bounds = &config.severity;
        let bounds = Thresholds { critical: bounds.critical, high: bounds.high, medium: bounds.medium };
        let begin = Instant::now();
        let mut metrics = Metrics::default();
        for (groups, tried) in groups.iter().zip(&self.tried) {
            facts::count(groups, &tried.truth, weights, bounds, self.at, &mut metrics);
        }
        self.note("score", begin);
        Ok(metrics)
    }

    /// The union of what the lives teach, and its name; none without lives.
    fn baseline(&self, config: &Config, reads: &Reads) -> Result<(Option<Arc<Profile>>, String)> {
        let lives = self.lives.iter().map(|life| &*life.sha256);
        let inputs: Vec<&str> = std::iter::once(&*self.program).chain(lives).collect();
        let key = reads.key(Stage::Learn, &inputs);
        if self.lives.is_empty() {
            return Ok((None, key));
        }
        if let Some(baseline) = lock(&self.baselines).get(&key) {
            return Ok((Some(Arc::clone(baseline)), key));
        }
        let begin = Instant::now();
        let file = self.folder.join(format!("baseline-{key}.json"));
        // One that cannot be read, as after a full disk, is learned anew.
        let baseline = match Profile::load(&file) {
            Ok(baseline) => baseline,
            Err(_) => {
                let learn = |life: &Life| Ok(replay::run::learn(Recording::open(life.recording.dir())?, config, 1)?);
                let learned = self.lives.par_iter().map(learn).collect::<Result<Vec<Profile>>>()?;
                let mut baseline = Profile::default();
                learned.into_iter().for_each(|learned| baseline.merge(learned, config));
                write(&file, &baseline.to_json())?;
                self.note("learn", begin);
                baseline
            }
        };
        let baseline = Arc::new(baseline);
        let mut baselines = lock(&self.baselines);
        if baselines.len() >= KEPT / 8 {
            baselines.clear();
        }
        baselines.insert(key.clone(), Arc::clone(&baseline));
        Ok((Some(baseline), key))
    }

    fn judges_of(&self, config: &Config) -> Result<Arc<Judges>> {
        let key = judges_key(config);
        let mut judges = lock(&self.judges);
        if let Some(there) = judges.get(&key) {
            return Ok(Arc::clone(there));
        }
        let opened = Arc::new(Judges::open(config)?);
        judges.insert(key, Arc::clone(&opened));
        Ok(opened)
    }

    /// Statistics and semantics on what deviated, by recording.
    fn judge(
        &self,
        compared: &[Arc<Compared>],
        (config, reads): (&Config, &Reads),
        judges: &Judges,
    ) -> Result<Vec<Groups>> {
        let keys: Vec<String> = compared.iter().map(|one| reads.key(Stage::Judge, &[&one.id])).collect();
        let known: Vec<Option<Groups>> = {
            let judged = lock(&self.judged);
            keys.iter().map(|key| judged.get(key).cloned()).collect()
        };
        if known.iter().all(Option::is_some) {
            return Ok(known.into_iter().flatten().collect());
        }
        let begin = Instant::now();
        let judge_key = judges_key(config);
        if config.engines.judge == JudgeKind::Knn {
            self.learn_meanings(compared, &known, judges, &judge_key)?;
        }
        let group = |((one, known), key): ((&Arc<Compared>, Option<Groups>), String)| {
            if let Some(known) = known {
                return Ok(known);
            }
            let population = population(&one.world, one.span);
            let statistics = statistics::judge(&one.deviations, &population, &config.engines.statistics);
            let semantics = match config.engines.judge {
                JudgeKind::Knn => {
                    let meant = lock(&self.meant);
                    let of = |deviation: &replay::deviation::Deviation| {
                        meant.get(&(judge_key.clone(), Arc::clone(&deviation.text))).copied().unwrap_or(0.0)
                    };
                    one.deviations.iter().map(of).collect()
                }
                JudgeKind::Llm => self.ask(one, &statistics, judges)?,
            };
            let peaks = |at: usize| {
                let Peaks([rules, ..]) = Peaks::of(&one.hits[at]);
                (one.deviations[at].ts, Peaks([rules, statistics[at].score, semantics[at]]))
            };
            let groups = one.groups.iter().map(|(members, shown)| Group {
                deviations: members.iter().map(|at| peaks(*at)).collect(),
                shown: shown.clone(),
            });
            let groups = Arc::new(groups.collect::<Vec<_>>());
            lock(&self.judged).insert(key, Arc::clone(&groups));
            Ok(groups)
        };
        {
            let mut judged = lock(&self.judged);
            if judged.len() > KEPT * self.tried.len() * 8 {
                judged.clear();
            }
        }
        let groups = compared.iter().zip(known).zip(keys).map(group).collect();
        self.note("judge", begin);
        groups
    }

    /// Asks the knn judge about all texts that it has not been asked about.
    fn learn_meanings(
        &self,
        compared: &[Arc<Compared>],
        known: &[Option<Groups>],
        judges: &Judges,
        judge_key: &str,
    ) -> Result<()> {
        let mut texts: BTreeMap<Arc<str>, &replay::deviation::Deviation> = BTreeMap::new();
        {
            let meant = lock(&self.meant);
            let new = compared.iter().zip(known).filter(|(_, known)| known.is_none());
            for deviation in new.flat_map(|(one, _)| &one.deviations) {
                if !meant.contains_key(&(judge_key.to_owned(), Arc::clone(&deviation.text))) {
                    texts.insert(Arc::clone(&deviation.text), deviation);
                }
            }
        }
        if texts.is_empty() {
            return Ok(());
        }
        let (texts, deviations): (Vec<Arc<str>>, Vec<&replay::deviation::Deviation>) = texts.into_iter().unzip();
        let said = judges.mean(&deviations, &[], &self.model)?;
        let mut meant = lock(&self.meant);
        for (text, said) in texts.into_iter().zip(said) {
            meant.insert((judge_key.to_owned(), text), said.map_or(0.0, |verdict| verdict.score));
        }
        Ok(())
    }

    /// The llm judge looks at what the other engines say.
    fn ask(&self, one: &Compared, statistics: &[Verdict], judges: &Judges) -> Result<Vec<f32>> {
        let with = |(hits, verdict): (&Vec<Verdict>, &Verdict)| hits.iter().chain([verdict]).cloned().collect();
        let verdicts: Vec<Vec<Verdict>> = one.hits.iter().zip(statistics).map(with).collect();
        let all: Vec<_> = one.deviations.iter().collect();
        let said = judges.mean(&all, &verdicts, &self.model)?;
        let mut scores: Vec<f32> = said.into_iter().map(|said| said.map_or(0.0, |verdict| verdict.score)).collect();
        scores.resize(all.len(), 0.0);
        Ok(scores)
    }

    fn note(&self, stage: &'static str, begin: Instant) {
        let mut spent = lock(&self.spent);
        let (times, took) = spent.0.entry(stage).or_default();
        *times += 1;
        *took += begin.elapsed();
    }
}

/// What the engines are opened with: their own keys, and whether semantics has a weight.
fn judges_key(config: &Config) -> String {
    let replay::config::Engines { rules, exemplars, judge, weights, statistics: _, llm } = &config.engines;
    match judge {
        JudgeKind::Knn => format!("{rules}\n{exemplars}\n{}", weights.semantics > 0.0),
        JudgeKind::Llm => format!("{rules}\n{llm:?}\n{weights:?}"),
    }
}

fn model_key(config: &Config) -> String {
    format!("{:?}", config.model)
}

/// Whole or not at all.
pub fn write(path: &std::path::Path, text: &str) -> Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, path)).map_err(|error| Error::output(path, error))
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
