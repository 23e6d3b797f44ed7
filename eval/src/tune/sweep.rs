//! A sweep from its plan to what it says.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use replay::config::Config;
use replay::engines::Severity;
use serde::Serialize;
use serde_json::json;

use super::bench::{Bench, Spent, write};
use super::compared::program;
use super::front;
use super::keys::{self, leaves};
use super::log::{Log, Trial};
use super::metrics::Metrics;
use super::provenance::{self, Origin};
use super::recordings::Chosen;
use super::sampler::{Method, Sampler};
use super::space::Parameter;
use crate::{Error, Result};

/// What to do.
pub struct Plan<'a> {
    pub recordings: Chosen,
    /// Without a baseline: each recording is compared with what it taught itself.
    pub by_itself: bool,
    /// As `replay --config` and `--set`: where the sweep starts from.
    pub config: Option<&'a Path>,
    pub sets: &'a [String],
    pub parameters: Vec<Parameter>,
    pub method: Method,
    /// Configurations besides the one that it starts from; of a grid at most so many. `None`: all of a grid.
    pub trials: Option<usize>,
    /// Values that a grid has of a range.
    pub steps: usize,
    pub seed: u64,
    /// An act is found, and an alert is counted as false, from this severity on.
    pub at: Severity,
    /// False alerts that one missed act weighs as much as.
    pub miss_cost: f64,
    pub folder: &'a Path,
    /// Begin anew, whatever is there.
    pub fresh: bool,
    /// 0: one per core.
    pub threads: usize,
    /// For the provenance: as it was typed.
    pub command: String,
}

/// Configurations that are drawn, where nobody says how many.
const TRIALS: usize = 100;

/// While it goes on.
pub struct Progress<'a> {
    pub done: usize,
    pub total: usize,
    /// Tried in this run, without those that the log had.
    pub tried: usize,
    /// Since the first of these was done: it alone reads, learns and opens the model.
    pub elapsed: Duration,
    /// Least loss so far.
    pub best: Option<&'a Metrics>,
}

impl Progress<'_> {
    /// What is left, by the mean of this run.
    pub fn left(&self) -> Option<Duration> {
        let (left, tried) = (self.total - self.done, self.tried.checked_sub(1).filter(|tried| *tried > 0)?);
        Some(self.elapsed.mul_f64(left as f64 / tried as f64))
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub method: &'static str,
    pub seed: u64,
    pub found_at: &'static str,
    pub miss_cost: f64,
    pub parameters: Vec<String>,
    pub learned_from: Vec<String>,
    pub tried_on: Vec<String>,
    /// Configurations that were tried, with the one it started from.
    pub trials: usize,
    /// Of these, how many the log had.
    pub resumed: usize,
    /// No configurations, as thresholds out of order.
    pub refused: usize,
    pub first: Trial,
    /// What no other is better than.
    pub front: Vec<Trial>,
    pub chosen: Trial,
    /// Of this run; s.
    pub seconds: f64,
    pub stages: Vec<StageCost>,
    pub config: PathBuf,
}

/// How often a stage was run in this run, and for how long.
#[derive(Debug, Serialize)]
pub struct StageCost {
    pub stage: &'static str,
    pub runs: u64,
    /// Summed over threads.
    pub seconds: f64,
}

/// Tries what is left to try, and writes the chosen configuration. `say`: lines for people, `progress` after each configuration.
///
/// # Errors
/// Those of a replay; [`Error::Study`]; [`Error::Sweep`].
pub fn run(
    plan: Plan<'_>,
    say: &(dyn Fn(&str) + Sync),
    progress: &mut (dyn FnMut(&Progress<'_>) + Send),
) -> Result<(Report, Vec<Trial>)> {
    let base = replay::config::load(plan.config, plan.sets)?;
    if !base.alerts.allow.is_empty() {
        let reason = "alerts.allow: what an allow-list hides would be tuned away from".to_owned();
        return Err(Error::Sweep { reason });
    }
    std::fs::create_dir_all(plan.folder).map_err(|error| Error::output(plan.folder, error))?;
    let Plan { recordings: Chosen { lives, tried, .. }, .. } = plan;
    let lives = if plan.by_itself { Vec::new() } else { lives };
    let origins =
        tried.iter().map(|(name, split, recording)| Origin::of(name, *split, recording)).collect::<Result<_>>()?;
    let origins: Vec<Origin> = origins;
    let learned = lives.iter().map(|(name, recording)| Origin::of(name, Some(datasets::Split::Train), recording));
    let learned: Vec<Origin> = learned.collect::<Result<_>>()?;
    let study = json!({
        "program": program(),
        "parameters": plan.parameters,
        "method": plan.method,
        "seed": plan.seed,
        "steps": plan.steps,
        "found_at": plan.at.name(),
        "config": leaves(&base).iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
        "learned_from": learned,
        "tried_on": origins,
    });
    let mut log = Log::open(plan.folder, &study, plan.fresh)?;
    let mut sampler = Sampler::new(plan.method, &plan.parameters, plan.seed, plan.steps)?;
    let total = match sampler.most() {
        Some(most) => plan.trials.map_or(most, |trials| trials.min(most)),
        None => plan.trials.unwrap_or(TRIALS),
    };
    let begin = Instant::now();
    let work = |threads: usize| -> Result<(Vec<Trial>, Spent)> {
        say(&format!("reading {} recordings, learning from {}", tried.len(), lives.len()));
        let bench = Bench::open(lives, tried, plan.at, plan.folder.to_owned(), &base, threads)?;
        let loader = Loader { plan: (plan.config, plan.sets), parameters: &plan.parameters };
        let mut round = Round { bench: &bench, loader, known: HashMap::new(), trials: Vec::new(), tried: 0 };
        let mut warm: Option<Instant> = None;
        for number in 0..=total {
            let values = match number {
                0 => plan.parameters.iter().map(|parameter| parameter.value_in(&base)).collect(),
                _ => match sampler.ask() {
                    Some(values) => values,
                    None => break,
                },
            };
            let is_new = round.next(number, values, &mut log)?;
            let trial = &round.trials[number];
            if number > 0 {
                sampler.tell(trial.metrics.as_ref().map_or(REFUSED, |metrics| metrics.loss(plan.miss_cost)));
            }
            if is_new {
                let best = round.trials.iter().filter_map(|trial| trial.metrics.as_ref());
                let best = best.min_by(|a, b| a.loss(plan.miss_cost).total_cmp(&b.loss(plan.miss_cost)));
                let (tried, elapsed) = (round.tried, warm.get_or_insert_with(Instant::now).elapsed());
                progress(&Progress { done: number + 1, total: total + 1, tried, elapsed, best });
            }
        }
        let spent = bench.spent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((round.trials, spent))
    };
    let (trials, spent) = replay::run::pooled(plan.threads, |threads| Ok(work(threads)))??;
    let seconds = begin.elapsed().as_secs_f64();
    let resumed = log.past.len().min(trials.len());

    let all: Vec<&Trial> = trials.iter().collect();
    let first = &trials[0];
    let chosen = front::choose(&all, &plan.parameters, first, plan.miss_cost)
        .ok_or_else(|| Error::Sweep { reason: "no configuration could be tried".to_owned() })?;
    let loader = Loader { plan: (plan.config, plan.sets), parameters: &plan.parameters };
    let text = provenance::Provenance {
        command: &plan.command,
        method: plan.method,
        seed: plan.seed,
        at: plan.at,
        miss_cost: plan.miss_cost,
        trials: trials.len(),
        parameters: &plan.parameters,
        chosen,
        first,
        tuned_on: &origins,
        learned_from: &learned,
    }
    .render(&loader.load(&chosen.values)?);
    let config = plan.folder.join("chosen.toml");
    write(&config, &text)?;
    let stage = |(stage, (runs, took)): (&&'static str, &(u64, Duration))| StageCost {
        stage,
        runs: *runs,
        seconds: took.as_secs_f64(),
    };
    let report = Report {
        method: plan.method.name(),
        seed: plan.seed,
        found_at: plan.at.name(),
        miss_cost: plan.miss_cost,
        parameters: plan.parameters.iter().map(|parameter| parameter.key.clone()).collect(),
        learned_from: learned.into_iter().map(|origin| origin.recording).collect(),
        tried_on: origins.into_iter().map(|origin| origin.recording).collect(),
        trials: trials.len(),
        resumed,
        refused: trials.iter().filter(|trial| trial.refused.is_some()).count(),
        front: front::pareto(&all).into_iter().cloned().collect(),
        first: first.clone(),
        chosen: chosen.clone(),
        seconds,
        stages: spent.0.iter().map(stage).collect(),
        config,
    };
    Ok((report, trials))
}

/// Loss of what is no configuration: more than any can have.
const REFUSED: f64 = 1e12;

/// Configurations from values.
struct Loader<'a> {
    plan: (Option<&'a Path>, &'a [String]),
    parameters: &'a [Parameter],
}

impl Loader<'_> {
    fn load(&self, values: &[String]) -> Result<Config, replay::error::Error> {
        let pairs = self.parameters.iter().zip(values).map(|(parameter, value)| format!("{}={value}", parameter.key));
        let sets: Vec<String> = self.plan.1.iter().cloned().chain(pairs).collect();
        replay::config::load(self.plan.0, &sets)
    }
}

struct Round<'a> {
    bench: &'a Bench,
    loader: Loader<'a>,
    /// What came of values that were tried already: a draw may come again.
    known: HashMap<Vec<String>, Trial>,
    trials: Vec<Trial>,
    tried: usize,
}

impl Round<'_> {
    /// Takes the trial out of the log, or makes it; whether it had to be made.
    fn next(&mut self, number: usize, values: Vec<String>, log: &mut Log) -> Result<bool> {
        if let Some(past) = log.past.get(number) {
            if past.values != values {
                let reason = format!("trial {number} is not the one that this sweep would make");
                return Err(Error::Sweep { reason });
            }
            self.known.insert(values, past.clone());
            self.trials.push(past.clone());
            return Ok(false);
        }
        let trial = match self.known.get(&values) {
            Some(same) => Trial { number, ..same.clone() },
            None => match self.loader.load(&values) {
                Ok(config) => {
                    let metrics = Some(self.bench.evaluate(&config)?);
                    Trial { number, values, metrics, refused: None }
                }
                Err(error) if number > 0 => Trial { number, values, metrics: None, refused: Some(error.to_string()) },
                Err(error) => return Err(error.into()),
            },
        };
        log.add(&trial)?;
        self.tried += 1;
        self.known.insert(trial.values.clone(), trial.clone());
        self.trials.push(trial);
        Ok(true)
    }
}

impl Report {
    /// The stage that each swept key makes run anew.
    pub fn stage_of(key: &str) -> &'static str {
        keys::stage(key).name()
    }
}
