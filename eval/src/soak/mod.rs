//! A long recording of a scenario's ordinary life, watched from outside: memory, loss, size, CPU time of the recorder and of its
//! kernel side, and what those who ask the services notice of it.

mod bpf;
pub mod chart;
mod fit;
mod latency;
mod load;
mod sample;
mod summary;
mod turns;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::{Machine, Program};
use crate::recorder::Recorder;
use bpf::RunTime;
use latency::{Asked, Prober};
use load::Load;
pub use sample::Sample;
use sample::{Log, Watch};
pub use summary::{ClassSize, Line, Spent};
pub use turns::{Ratio, Turn, Turns};

/// What to do.
pub struct Plan {
    pub scenario: String,
    pub seed: u64,
    /// Of the long recording; zero: none.
    pub length: Duration,
    /// Between samples.
    pub every: Duration,
    /// Pairs of a bare and a recorded window before the long recording, and the length of a window.
    pub turns: usize,
    pub turn: Duration,
    /// A service and a path to ask it for, as `web/item?id=7`, and the pause between requests.
    pub ask: Option<(String, String)>,
    pub pause: Duration,
    pub record: PathBuf,
    /// More arguments for it.
    pub options: Vec<String>,
    /// For the recording, `samples.csv` and what the caller adds. Must not hold a recording.
    pub dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Soak {
    pub scenario: String,
    #[serde(flatten)]
    pub machine: Machine,
    pub recorder: Option<Program>,
    pub turns: Option<Turns>,
    pub long: Option<Long>,
}

/// The long recording.
#[derive(Debug, Serialize, Deserialize)]
pub struct Long {
    /// Wall time of the recorder, its begin and its end included.
    pub seconds: f64,
    /// Resident memory that is the recorder's own (`RssAnon`), MiB.
    pub memory: Line,
    /// All that is resident, the shared pages of the mapped ring and of the program file included, MiB.
    pub resident: Line,
    pub emitted: u64,
    pub stored: u64,
    pub dropped: u64,
    /// Thinned, known or filtered on purpose.
    pub left_out: u64,
    /// `datasets verify` found it intact: the counts above follow from the rows.
    pub verified: bool,
    pub classes: Vec<ClassSize>,
    /// Everything in the recording's directory.
    pub bytes: u64,
    pub bytes_per_event: f64,
    pub spent: Spent,
    /// CPU time of the recorder and its helper, from its begin to its end, s.
    pub recorder_cpu_total: f64,
    /// Median of the last second's 99th percentile from kernel to row, and the most, s.
    pub lag_p99_median: f64,
    pub lag_max: f64,
    /// Answers to the requests made meanwhile.
    pub asked: Option<Asked>,
    /// CPU time of the rest of the machine: share of one core, median over the samples.
    pub others_share: f64,
    pub samples: Vec<Sample>,
}

/// Runs the plan; `stop` ends it early, with what there is by then. Needs root.
///
/// # Errors
/// The scenario or the recorder cannot be run.
pub fn soak(plan: &Plan, stop: &AtomicBool, say: &(dyn Fn(&str) + Sync)) -> Result<Soak> {
    let machine = Machine::look();
    // Ends with this file descriptor, however this ends.
    let counting = bpf::count_run_time().map_err(|error| Error::run("counting the run time of BPF programs", error))?;
    let load = Load::prepare(&plan.scenario, plan.seed, say)?;
    let played = load.play(stop, say, |load| {
        let asking =
            plan.ask.as_ref().map(|ask| Prober::begin(load.network(&ask.0)?, &ask.1, plan.pause)).transpose()?;
        let turns = (plan.turns > 0).then(|| turns::run(plan, load, asking.as_ref(), stop, say)).transpose()?;
        let wanted = !plan.length.is_zero() && !stop.load(Ordering::Relaxed);
        let long = wanted.then(|| long(plan, load, asking.as_ref(), stop, say)).transpose()?;
        Ok((turns, long))
    });
    drop(counting);
    let (turns, long) = played?;
    Ok(Soak {
        scenario: plan.scenario.clone(),
        machine: machine.done(),
        recorder: Program::look(&plan.record),
        turns,
        long,
    })
}

fn long(plan: &Plan, load: &Load, asking: Option<&Prober>, stop: &AtomicBool, say: &dyn Fn(&str)) -> Result<Long> {
    let output = plan.dir.join("recording");
    let begun = Instant::now();
    let mut recorder = Recorder::begin(&plan.record, &plan.options, load.glob(), &output, Some(plan.length))?;
    recorder.wait_until_it_records()?;
    if let Some(asking) = asking {
        asking.take();
    }
    let mut watch = Watch::new(recorder.pid(), load.cgroups(), output.clone());
    let mut log = Log::create(&plan.dir.join("samples.csv"))?;
    let mut samples = Vec::new();
    let mut next = Instant::now();
    let mut interrupted = false;
    while !recorder.ended() {
        if stop.load(Ordering::Relaxed) && !std::mem::replace(&mut interrupted, true) {
            recorder.interrupt();
        }
        if next <= Instant::now() {
            next += plan.every;
            if let Some(sample) = recorder.progress().and_then(|progress| watch.sample(&progress)) {
                log.add(&sample)?;
                samples.push(sample);
                if samples.len() % 60 == 0 {
                    say(&format!("{:.0} s recorded, {} events stored", sample.at, sample.stored));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = asking.map(Prober::take);
    let cpu = recorder.finish()?;
    summary::long(&output, begun.elapsed(), samples, cpu, asked)
}

/// A moment's cumulative CPU times, s.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Cpu {
    pub recorder: f64,
    pub bpf: RunTime,
    pub containers: f64,
    /// All CPUs, whoever used them.
    pub machine: f64,
}
