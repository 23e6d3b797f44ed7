//! What waking the recorder costs and brings: the same calls under different batches and deadlines, in turns.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::overhead::stats::median;
use crate::storm::calls;
use crate::storm::deed::Deed;
use crate::storm::{Plan as StormPlan, storm};

/// Events per CPU before the recorder is woken, and the time after which it looks by itself, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wakeup {
    /// `u32::MAX`: it is never woken.
    pub batch: u32,
    pub deadline_ms: u64,
}

/// What to measure.
pub struct Plan {
    pub variants: Vec<Wakeup>,
    pub rounds: usize,
    pub length: Duration,
    /// Calls per second of the paced runs.
    pub rate: u64,
    pub cpu: usize,
    pub record: PathBuf,
    pub dir: PathBuf,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub wakeup: Wakeup,
    /// Calls at the pace: CPU time of the recorder less what it takes to begin and to end, s per second of recording.
    pub cpu_share: f64,
    /// From kernel to row, s.
    pub lag_p50: f64,
    pub lag_p99: f64,
    /// CPU time of a call under the recorder / bare, as many calls as there can be.
    pub overhead: f64,
    /// The same runs: CPU time of the recorder for an event, ns.
    pub storm_cpu_ns: f64,
}

#[derive(Debug, Serialize)]
pub struct Found {
    pub rounds: usize,
    pub rate: u64,
    pub seconds: f64,
    /// CPU time of a bare call, ns.
    pub bare_ns: f64,
    pub results: Vec<Measured>,
}

#[derive(Default)]
struct Runs {
    cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    overhead: Vec<f64>,
    storm_cpu: Vec<f64>,
}

/// Runs the plan. `say` hears what is going on.
///
/// # Errors
/// The recorder cannot be run.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Found> {
    let mut runs: Vec<Runs> = plan.variants.iter().map(|_| Runs::default()).collect();
    let mut bare_runs = Vec::new();
    for round in 0..plan.rounds {
        say(&format!("round {} of {}", round + 1, plan.rounds));
        let bare = calls::run(Deed::Syscall, &plan.dir, &[plan.cpu], plan.length.min(Duration::from_secs(1)), 0)
            .map_err(|error| Error::run("the calls", error))?;
        let bare = bare.cpu_seconds / bare.calls as f64;
        bare_runs.push(bare * 1e9);
        // What a recording costs that has next to nothing to record.
        let idle = one(plan, plan.variants[0], 10, Duration::from_millis(200))?.cpu_seconds;
        for turn in 0..plan.variants.len() {
            let at = (turn + round) % plan.variants.len();
            let paced = one(plan, plan.variants[at], plan.rate, plan.length)?;
            let full = one(plan, plan.variants[at], 0, plan.length)?;
            let runs = &mut runs[at];
            runs.cpu.push((paced.cpu_seconds - idle).max(0.0) / plan.length.as_secs_f64());
            runs.p50.push(paced.lag_p50);
            runs.p99.push(paced.lag_p99);
            runs.overhead.push(full.callers.cpu_seconds / full.callers.calls as f64 / bare);
            runs.storm_cpu.push((full.cpu_seconds - idle).max(0.0) * 1e9 / full.callers.calls as f64);
        }
    }
    let results = plan.variants.iter().zip(runs).map(|(wakeup, runs)| Measured {
        wakeup: *wakeup,
        cpu_share: median(&runs.cpu),
        lag_p50: median(&runs.p50),
        lag_p99: median(&runs.p99),
        overhead: median(&runs.overhead),
        storm_cpu_ns: median(&runs.storm_cpu),
    });
    Ok(Found {
        rounds: plan.rounds,
        rate: plan.rate,
        seconds: plan.length.as_secs_f64(),
        bare_ns: median(&bare_runs),
        results: results.collect(),
    })
}

fn one(plan: &Plan, wakeup: Wakeup, rate: u64, length: Duration) -> Result<crate::storm::Storm> {
    let dir = tempfile::tempdir_in(&plan.dir).map_err(|error| Error::run("the recorder", error))?;
    let options =
        ["--sample", "off", "--batch", &wakeup.batch.to_string(), "--deadline", &wakeup.deadline_ms.to_string()];
    storm(&StormPlan {
        deed: Deed::Syscall,
        cpus: vec![plan.cpu],
        length,
        rate,
        record: plan.record.clone(),
        options: options.map(str::to_owned).into(),
        counter: None,
        dir: dir.path().to_owned(),
    })
}
