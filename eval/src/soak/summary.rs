//! What the samples and the recording come to.

use std::path::Path;
use std::time::Duration;

use datasets::{Recording, Verdict};
use serde::{Deserialize, Serialize};

use super::fit::slope;
use super::latency::Asked;
use super::sample::size;
use super::{Long, Sample};
use crate::error::{Error, Result};
use crate::overhead::stats::median;

/// Left out of the line: until the first segments of every class were written, memory only grows.
const WARM_UP: f64 = 0.1;
/// Points of the line are medians over this, s: the age at which a segment is closed, so that its filling and emptying is
/// within one point.
const BLOCK: f64 = 60.0;

/// A quantity over time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Line {
    pub median: f64,
    pub most: f64,
    /// Per hour, with its 95 % interval: the first tenth of the time left out, of medians over a minute.
    pub slope: Option<(f64, f64, f64)>,
    /// As `slope`, of the least in each minute: what is kept when the least of segments is being filled and written. Not in
    /// results of earlier versions.
    #[serde(default)]
    pub least: Option<(f64, f64, f64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClassSize {
    pub class: String,
    pub rows: u64,
    /// Finished segments.
    pub bytes: u64,
}

/// CPU time between the first sample and the last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spent {
    pub seconds: f64,
    pub containers: f64,
    /// The recorder and its helper, in user and kernel mode.
    pub recorder: f64,
    /// Its BPF programs: a part of the time of whoever made the call, in a container or not.
    pub bpf: f64,
    pub bpf_runs: u64,
    /// All CPUs, whoever used them.
    pub machine: f64,
}

impl Spent {
    /// The recorder's CPU time as a share of one core.
    pub fn recorder_share(&self) -> f64 {
        self.recorder / self.seconds
    }

    /// The recorder's as a share of the containers'.
    pub fn recorder_of_load(&self) -> f64 {
        self.recorder / self.containers
    }

    /// As a share of all CPU time that was used without it: they run for every process, and look whose it is.
    pub fn bpf_of_all(&self) -> f64 {
        self.bpf / (self.machine - self.recorder - self.bpf)
    }
}

pub fn long(
    output: &Path,
    elapsed: Duration,
    samples: Vec<Sample>,
    recorder_cpu_total: f64,
    asked: Option<Asked>,
) -> Result<Long> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Err(Error::run("the recorder", "it ended before the first look at it"));
    };
    let spent = Spent {
        seconds: last.at - first.at,
        containers: last.cpu.containers - first.cpu.containers,
        recorder: last.cpu.recorder - first.cpu.recorder,
        bpf: last.cpu.bpf.seconds - first.cpu.bpf.seconds,
        machine: last.cpu.machine - first.cpu.machine,
        bpf_runs: last.cpu.bpf.runs - first.cpu.bpf.runs,
    };
    let recording = Recording::open(output)?;
    let manifest = recording.manifest();
    let accounts = manifest.accounting.iter().flat_map(|a| &a.cpus).flat_map(|cpu| cpu.classes.values());
    let (mut emitted, mut stored, mut dropped, mut left_out) = (0, 0, 0, 0);
    for account in accounts {
        emitted += account.emitted;
        stored += account.stored;
        dropped += account.dropped.total();
        left_out += account.sampled_out + account.known + account.filtered;
    }
    let class = |name: &String| {
        let of = manifest.segments.iter().filter(|segment| segment.class == *name);
        let (rows, bytes) = of.fold((0, 0), |sum, segment| (sum.0 + segment.rows, sum.1 + segment.bytes));
        ClassSize { class: name.clone(), rows, bytes }
    };
    let bytes = size(output);
    let lags: Vec<f64> = samples.iter().map(|sample| sample.lag_p99).collect();
    let others: Vec<f64> = samples.windows(2).map(|pair| others(&pair[0], &pair[1])).collect();
    Ok(Long {
        seconds: elapsed.as_secs_f64(),
        memory: line(&samples, |sample| sample.memory),
        resident: line(&samples, |sample| sample.resident),
        emitted,
        stored,
        dropped,
        left_out,
        verified: datasets::verify(output, |_| {})?.verdict == Verdict::Intact,
        classes: manifest.classes.iter().map(class).collect(),
        bytes,
        bytes_per_event: bytes as f64 / stored as f64,
        spent,
        recorder_cpu_total,
        lag_p99_median: median(&lags),
        lag_max: samples.iter().map(|sample| sample.lag_max).fold(0.0, f64::max),
        asked,
        others_share: median(&others),
        samples,
    })
}

/// CPU time of what is neither the containers nor the recorder, share of one core.
fn others(a: &Sample, b: &Sample) -> f64 {
    let all = b.cpu.machine - a.cpu.machine;
    let ours = b.cpu.containers - a.cpu.containers + b.cpu.recorder - a.cpu.recorder;
    ((all - ours) / (b.at - a.at)).max(0.0)
}

fn line(samples: &[Sample], of: fn(&Sample) -> f64) -> Line {
    let values: Vec<f64> = samples.iter().map(of).collect();
    let from = samples.last().map_or(0.0, |last| last.at * WARM_UP);
    let (mut medians, mut least) = (Vec::new(), Vec::new());
    for block in samples.chunk_by(|a, b| (a.at / BLOCK).floor() == (b.at / BLOCK).floor()) {
        if block[0].at >= from {
            let hours = (block[0].at / BLOCK).floor() * BLOCK / 3600.0;
            let values: Vec<f64> = block.iter().map(of).collect();
            medians.push((hours, median(&values)));
            least.push((hours, values.iter().copied().fold(f64::INFINITY, f64::min)));
        }
    }
    let most = values.iter().copied().fold(0.0, f64::max);
    Line { median: median(&values), most, slope: slope(&medians), least: slope(&least) }
}
