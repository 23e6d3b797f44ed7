//! The same load with and without the recorder, in turns.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Plan;
use super::latency::{Asked, Prober};
use super::load::{CpuFile, Load};
use super::sample::containers_cpu;
use crate::error::{Error, Result};
use crate::overhead::stats::{median, ratio_interval};
use crate::recorder::Recorder;

/// One window of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub recorded: bool,
    pub seconds: f64,
    /// CPU time of the containers, share of one core.
    pub containers_share: f64,
    pub asked: Option<Asked>,
}

/// Ratio of medians, recorded over bare, with the 95 % bootstrap interval over the pairs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ratio {
    pub bare: f64,
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Turns {
    pub pairs: usize,
    /// Of one window, s.
    pub seconds: f64,
    /// Share of one core.
    pub containers: Ratio,
    /// Median and 99th percentile of a window's answers, s.
    pub p50: Option<Ratio>,
    pub p99: Option<Ratio>,
    pub turns: Vec<Turn>,
}

/// In every other pair the recorded window comes first. The recorder begins and ends outside the windows.
pub fn run(plan: &Plan, load: &Load, asking: Option<&Prober>, stop: &AtomicBool, say: &dyn Fn(&str)) -> Result<Turns> {
    let cgroups = load.cgroups();
    let mut turns = Vec::new();
    for pair in 0..plan.turns {
        say(&format!("pair {} of {}: {:.0} s bare, {0:.0} s recorded", pair + 1, plan.turns, plan.turn.as_secs_f64()));
        for recorded in [pair % 2 == 1, pair % 2 == 0] {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::run("the windows with and without", "it was interrupted"));
            }
            let turn = if recorded {
                let dir = tempfile::tempdir_in(&plan.dir).map_err(|error| Error::output(&plan.dir, error))?;
                during(plan, load, &dir.path().join("recording"), || window(plan.turn, &cgroups, asking, true, stop))?
            } else {
                window(plan.turn, &cgroups, asking, false, stop)
            };
            turns.push(turn);
        }
    }
    let ratio = |of: &dyn Fn(&Turn) -> f64| {
        let side = |recorded| turns.iter().filter(|turn| turn.recorded == recorded).map(of).collect::<Vec<f64>>();
        let (bare, with) = (side(false), side(true));
        let (low, high) = ratio_interval(&with, &bare);
        Ratio { bare: median(&bare), ratio: median(&with) / median(&bare), low, high }
    };
    let asked = |of: fn(&Asked) -> f64| asking.map(|_| ratio(&|turn| turn.asked.as_ref().map_or(f64::NAN, of)));
    Ok(Turns {
        pairs: plan.turns,
        seconds: plan.turn.as_secs_f64(),
        containers: ratio(&|turn| turn.containers_share),
        p50: asked(|asked| asked.p50),
        p99: asked(|asked| asked.p99),
        turns,
    })
}

fn during<T>(plan: &Plan, load: &Load, output: &Path, work: impl FnOnce() -> T) -> Result<T> {
    let mut recorder = Recorder::begin(&plan.record, &plan.options, load.glob(), output, None)?;
    recorder.wait_until_it_records()?;
    let done = work();
    recorder.interrupt();
    recorder.finish()?;
    Ok(done)
}

fn window(length: Duration, cgroups: &[CpuFile], asking: Option<&Prober>, recorded: bool, stop: &AtomicBool) -> Turn {
    let (begun, before) = (Instant::now(), containers_cpu(cgroups));
    if let Some(asking) = asking {
        asking.take();
    }
    while begun.elapsed() < length && !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50).min(length.saturating_sub(begun.elapsed())));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let containers_share = (containers_cpu(cgroups) - before) / seconds;
    Turn { recorded, seconds, containers_share, asked: asking.map(Prober::take) }
}
