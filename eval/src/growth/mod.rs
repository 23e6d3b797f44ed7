//! How the recorder's cost grows with the rate of events and with the length of a recording: CPU time, memory, bytes and segments of
//! storms at many paces and of many lengths, and the powers that they follow.

pub mod chart;
pub mod fit;
pub mod store;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::{Machine, Program};
use crate::overhead::stats::median;
use crate::storm::deed::Deed;
use crate::storm::{Plan as StormPlan, storm};
use fit::{Power, power};

/// What to measure.
pub struct Plan {
    pub deed: Deed,
    /// That makes the events; the recorder gets the others.
    pub cpu: usize,
    /// How often a second, each for [`Plan::length`].
    pub rates: Vec<u64>,
    pub length: Duration,
    /// How long, each at [`Plan::rate`].
    pub lengths: Vec<Duration>,
    pub rate: u64,
    pub rounds: usize,
    pub record: PathBuf,
    /// More arguments for it.
    pub options: Vec<String>,
    /// For the recordings, one after the other.
    pub dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Growth {
    #[serde(flatten)]
    pub machine: Machine,
    pub recorder: Option<Program>,
    /// More arguments that the recorder had.
    pub options: Vec<String>,
    pub deed: Deed,
    pub rounds: usize,
    /// CPU time of a recording of next to nothing, s; median. It is not in the points'.
    pub idle_cpu_seconds: f64,
    pub series: [Series; 2],
}

/// Recordings that differ in one thing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Series {
    pub over: Over,
    pub points: Vec<Point>,
    pub fits: Vec<Fit>,
}

/// What the recordings of a series differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Events a second
    Rate,
    /// Seconds
    Length,
}

impl Over {
    pub fn of(self, point: &Point) -> f64 {
        match self {
            Over::Rate => point.events_per_second,
            Over::Length => point.seconds,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Over::Rate => "events a second",
            Over::Length => "seconds",
        }
    }
}

/// One recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// What was asked for: times a second, or seconds.
    pub asked: f64,
    /// From 1.
    pub round: usize,
    /// As it was.
    pub seconds: f64,
    pub events: u64,
    pub events_per_second: f64,
    pub dropped: u64,
    pub verified: bool,
    /// Of the recorder, without what a recording of next to nothing takes, s; not above 0 where that is all it took.
    pub cpu_seconds: f64,
    /// `RssAnon` of the recorder at most.
    pub memory_mib: f64,
    /// Of the segments.
    pub bytes: u64,
    pub segments: u64,
}

/// A cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub name: &'static str,
    pub of: fn(&Point) -> f64,
}

pub const COSTS: [Cost; 4] = [
    Cost { name: "CPU time, s", of: |point| point.cpu_seconds },
    Cost { name: "memory, MiB", of: |point| point.memory_mib },
    Cost { name: "bytes", of: |point| point.bytes as f64 },
    Cost { name: "segments", of: |point| point.segments as f64 },
];

/// The power of the rate or the length that a cost follows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fit {
    pub cost: String,
    /// None: fewer than two different places, or not a cost above 0 at them.
    #[serde(flatten)]
    pub power: Option<Power>,
}

/// Makes every recording, one after the other. Needs root.
///
/// # Errors
/// The recorder cannot be run.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Growth> {
    let machine = Machine::look();
    let (mut idle, mut by_rate, mut by_length) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        // What a recording costs that has next to nothing to record.
        idle.push(one(plan, Over::Rate, round, 10, Duration::from_millis(200))?.cpu_seconds);
        for rate in &plan.rates {
            say(&format!("round {round} of {}: {rate} a second", plan.rounds));
            by_rate.push(one(plan, Over::Rate, round, *rate, plan.length)?);
        }
        for length in &plan.lengths {
            say(&format!("round {round} of {}: {} s", plan.rounds, length.as_secs_f64()));
            by_length.push(one(plan, Over::Length, round, plan.rate, *length)?);
        }
    }
    let idle = median(&idle);
    let series = [(Over::Rate, by_rate), (Over::Length, by_length)].map(|(over, mut points)| {
        points.iter_mut().for_each(|point| point.cpu_seconds -= idle);
        Series { over, fits: fits(over, &points), points }
    });
    Ok(Growth {
        machine: machine.done(),
        recorder: Program::look(&plan.record),
        options: plan.options.clone(),
        deed: plan.deed,
        rounds: plan.rounds,
        idle_cpu_seconds: idle,
        series,
    })
}

fn fits(over: Over, points: &[Point]) -> Vec<Fit> {
    let fit = |cost: &Cost| {
        let mut sorted: Vec<&Point> = points.iter().collect();
        sorted.sort_by(|a, b| a.asked.total_cmp(&b.asked));
        let same = sorted.chunk_by(|a, b| a.asked == b.asked);
        let groups: Vec<Vec<_>> =
            same.map(|group| group.iter().map(|point| (over.of(point), (cost.of)(point))).collect()).collect();
        Fit { cost: cost.name.to_owned(), power: power(&groups) }
    };
    COSTS.iter().map(fit).collect()
}

fn one(plan: &Plan, over: Over, round: usize, rate: u64, length: Duration) -> Result<Point> {
    let dir = tempfile::tempdir_in(&plan.dir).map_err(|error| Error::run("the recorder", error))?;
    let found = storm(&StormPlan {
        deed: plan.deed,
        cpus: vec![plan.cpu],
        length,
        rate,
        record: plan.record.clone(),
        options: plan.options.clone(),
        counter: None,
        dir: dir.path().to_owned(),
    })?;
    let events = found.callers.calls * plan.deed.rows();
    Ok(Point {
        asked: match over {
            Over::Rate => rate as f64,
            Over::Length => length.as_secs_f64(),
        },
        round,
        seconds: found.callers.seconds,
        events,
        events_per_second: events as f64 / found.callers.seconds,
        dropped: found.dropped,
        verified: found.verified,
        cpu_seconds: found.cpu_seconds,
        memory_mib: found.memory_peak_mib,
        bytes: found.bytes,
        segments: found.segments,
    })
}
