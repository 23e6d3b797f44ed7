//! What a recorder costs what it records: the same work bare and recorded, in turns, on the same machine.

pub mod adapter;
pub mod chart;
pub(crate) mod run;
pub mod saved;
pub mod stats;
pub mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::{Machine, Program};
use crate::workload::Workload;
use adapter::{Adapter, Places};
pub use run::Once;
use run::{bare, recorded};

/// What to measure.
pub struct Plan {
    pub workloads: Vec<Workload>,
    pub adapters: Vec<Adapter>,
    pub rounds: usize,
    /// Share of the usual amount of work.
    pub scale: f64,
    /// Our recorder.
    pub record: PathBuf,
    /// For files of the runs.
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overhead {
    pub rounds: usize,
    pub scale: f64,
    #[serde(flatten)]
    pub machine: Machine,
    /// What measured.
    #[serde(default)]
    pub eval: Option<Program>,
    pub bare: Vec<Bare>,
    pub recorders: Vec<Recorder>,
    /// Recorders and workloads that could not be measured, and why.
    pub absent: Vec<Absent>,
}

/// A workload by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bare {
    pub workload: Workload,
    pub seconds: Vec<f64>,
    pub median: f64,
    /// Median absolute deviation over the median.
    pub spread: f64,
    /// How often it does its thing in a run: rounds, processes, files, requests.
    #[serde(default)]
    pub operations: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorder {
    pub name: String,
    pub about: String,
    pub version: Option<String>,
    /// Of its program, hex.
    #[serde(default)]
    pub sha256: Option<String>,
    /// How it was measured, where that was another run than that of the others.
    #[serde(default)]
    pub apart: Option<String>,
    /// CPU time of a recording of next to nothing: what a begin and an end cost, s; median. None: it failed.
    pub idle_cpu_seconds: Option<f64>,
    pub results: Vec<Recorded>,
}

impl Recorder {
    /// With a mark where it was measured in another run than the others.
    pub fn marked_name(&self) -> String {
        format!("{}{}", self.name, if self.apart.is_some() { " *" } else { "" })
    }
}

/// A workload under a recorder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    pub workload: Workload,
    pub seconds: Vec<f64>,
    /// The same runs with all that was measured; none in results of versions that kept medians alone.
    #[serde(default)]
    pub runs: Vec<Once>,
    /// median(seconds) / median(bare seconds), with its 95 % bootstrap interval
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
    /// Medians over the rounds.
    pub events: Option<f64>,
    pub dropped: Option<f64>,
    #[serde(default)]
    pub named: Option<f64>,
    pub bytes_per_event: Option<f64>,
    /// CPU time of the recorder alone, s.
    pub cpu_seconds: f64,
    /// Resident memory at most, of the recorder or the largest of its children, shared pages included, MiB.
    pub memory_mib: f64,
}

impl Recorded {
    /// stored / (stored + lost), by the recorder's own word; none where it does not count both.
    pub fn stored_share(&self) -> Option<f64> {
        let (events, dropped) = (self.events?, self.dropped?);
        (events + dropped > 0.0).then(|| events / (events + dropped))
    }

    /// Of the files that the workload opened or the programs that it executed, those that an event names.
    pub fn named_share(&self, bare: &Bare) -> Option<f64> {
        Some(self.named? / bare.operations.filter(|operations| *operations > 0)? as f64)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Absent {
    pub name: String,
    pub why: String,
}

/// Runs the plan. `say` hears what is going on.
///
/// # Errors
/// A workload failed by itself. A recorder that fails is named absent instead.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Overhead> {
    let machine = Machine::look();
    let places = Places::new(&plan.record, &plan.dir);
    let mut absent = Vec::new();
    let mut adapters: Vec<&Adapter> = Vec::new();
    for adapter in &plan.adapters {
        match adapter.missing(&places) {
            Some(program) => {
                absent.push(Absent { name: adapter.name.clone(), why: format!("{program} is not installed") });
            }
            None => adapters.push(adapter),
        }
    }
    let mut workloads = Vec::new();
    for workload in &plan.workloads {
        match workload.missing() {
            Some(program) => {
                absent.push(Absent { name: workload.name().to_owned(), why: format!("{program} is not installed") });
            }
            None => {
                workload.prepare(&plan.dir)?;
                workloads.push(*workload);
            }
        }
    }
    let idle = idle(plan, &adapters, say)?;
    let mut alone = Vec::new();
    let mut with: Vec<Vec<Recorded>> = adapters.iter().map(|_| Vec::new()).collect();
    for workload in workloads {
        let mut bare_runs: Vec<f64> = Vec::new();
        let mut operations = None;
        let mut runs: Vec<Vec<Once>> = adapters.iter().map(|_| Vec::new()).collect();
        let mut failed: Vec<Option<String>> = adapters.iter().map(|_| None).collect();
        // One that does not count: files come into the page cache.
        bare(workload, plan)?;
        for round in 0..plan.rounds {
            say(&format!("{}: round {} of {}", workload.name(), round + 1, plan.rounds));
            let run = bare(workload, plan)?;
            bare_runs.push(run.seconds);
            operations = Some(run.operations);
            for turn in 0..adapters.len() {
                // Every recorder is once the first after the bare run.
                let at = (turn + round) % adapters.len();
                if failed[at].is_some() {
                    continue;
                }
                match recorded(workload, adapters[at], plan, plan.scale) {
                    Ok(once) => runs[at].push(once),
                    Err(why) => failed[at] = Some(why),
                }
            }
        }
        for (at, why) in failed.into_iter().enumerate() {
            if let Some(why) = why {
                let name = format!("{} on {}", adapters[at].name, workload.name());
                absent.push(Absent { name, why });
            } else {
                with[at].push(summary(workload, std::mem::take(&mut runs[at]), &bare_runs));
            }
        }
        let (median, spread) = (stats::median(&bare_runs), stats::spread(&bare_runs));
        alone.push(Bare { workload, seconds: bare_runs, median, spread, operations });
    }
    let recorders = adapters.iter().zip(with).zip(idle).map(|((adapter, results), idle_cpu_seconds)| Recorder {
        name: adapter.name.clone(),
        about: adapter.about.clone(),
        version: adapter.version(&places),
        sha256: adapter.sha256(&places),
        apart: None,
        idle_cpu_seconds,
        results,
    });
    Ok(Overhead {
        rounds: plan.rounds,
        scale: plan.scale,
        machine: machine.done(),
        eval: std::env::current_exe().ok().and_then(|own| Program::look(&own)),
        bare: alone,
        recorders: recorders.collect(),
        absent,
    })
}

/// Share of the work that leaves one open-read-close.
const NEXT_TO_NOTHING: f64 = 1e-9;

/// As often is enough for a median: some recorders take half a minute to end.
const IDLE_RUNS: usize = 3;

/// What each recorder takes to begin and to end.
fn idle(plan: &Plan, adapters: &[&Adapter], say: &dyn Fn(&str)) -> Result<Vec<Option<f64>>> {
    let workload = Workload::Storm;
    workload.prepare(&plan.dir)?;
    say("begin and end");
    let runs = adapters.iter().map(|adapter| {
        let once = |_| recorded(workload, adapter, plan, NEXT_TO_NOTHING).ok().map(|once| once.cpu_seconds);
        let runs: Vec<f64> = (0..plan.rounds.min(IDLE_RUNS)).filter_map(once).collect();
        (!runs.is_empty()).then(|| stats::median(&runs))
    });
    Ok(runs.collect())
}

fn summary(workload: Workload, runs: Vec<Once>, bare: &[f64]) -> Recorded {
    let seconds: Vec<f64> = runs.iter().map(|once| once.seconds).collect();
    let (low, high) = stats::ratio_interval(&seconds, bare);
    let of = |value: fn(&Once) -> Option<f64>| {
        let values: Vec<f64> = runs.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| stats::median(&values))
    };
    Recorded {
        workload,
        ratio: stats::median(&seconds) / stats::median(bare),
        low,
        high,
        events: of(|once| once.events),
        dropped: of(|once| once.dropped),
        named: of(|once| once.named),
        bytes_per_event: of(|once| once.bytes_per_event()),
        cpu_seconds: of(|once| Some(once.cpu_seconds)).unwrap_or(f64::NAN),
        memory_mib: of(|once| Some(once.memory_mib)).unwrap_or(f64::NAN),
        seconds,
        runs,
    }
}

impl Error {
    pub(crate) fn run(what: &str, reason: impl std::fmt::Display) -> Error {
        Error::Run { what: what.to_owned(), reason: reason.to_string() }
    }
}
