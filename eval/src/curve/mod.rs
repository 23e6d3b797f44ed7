//! What is stored, lost and late as events come faster: storms of each class at paces up to as fast as the machine can, each
//! counted by who makes it.

pub mod chart;
pub mod store;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::machine::{Machine, Program};
use crate::storm::counter::Counter;
use crate::storm::deed::Deed;
use crate::storm::{Plan as StormPlan, Storm, storm};

/// What to measure.
pub struct Plan {
    pub deeds: Vec<Deed>,
    /// Each a set of CPUs that make the events; the recorder gets the others.
    pub cpus: Vec<Vec<usize>>,
    /// Times per second and CPU, 0: as often as can be; none: the deed's own.
    pub rates: Option<Vec<u64>>,
    /// Of one point.
    pub length: Duration,
    pub record: PathBuf,
    /// More arguments for it.
    pub options: Vec<String>,
    /// Who counts beside the callers.
    pub counter: Option<Counter>,
    /// For the recordings, one after the other.
    pub dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    #[serde(flatten)]
    pub machine: Machine,
    pub recorder: Option<Program>,
    /// More arguments that the recorder had.
    pub options: Vec<String>,
    pub counter: Option<Counter>,
    /// Of one point, s.
    pub seconds: f64,
    pub points: Vec<Point>,
}

/// One pace of one class.
#[derive(Debug, Serialize, Deserialize)]
pub struct Point {
    pub deed: Deed,
    pub cpus: Vec<usize>,
    /// Asked for, a second and CPU; 0: as often as can be.
    pub rate: u64,
    #[serde(flatten)]
    pub storm: Storm,
}

impl Point {
    /// The recorder's CPU time as a share of one core, while the storm lasted. Its begin and end are in it.
    pub fn cpu_share(&self) -> f64 {
        self.storm.cpu_seconds / self.storm.callers.seconds
    }

    /// Rows of the class that are not stored, as the recorder counts them, a second.
    pub fn lost_per_second(&self) -> f64 {
        self.storm.dropped as f64 / self.storm.callers.seconds
    }
}

/// Measures every point, one after the other. Needs root.
///
/// # Errors
/// The recorder cannot be run.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Curve> {
    let machine = Machine::look();
    let mut points = Vec::new();
    for deed in &plan.deeds {
        let rates = plan.rates.as_deref().unwrap_or(deed.rates());
        for cpus in &plan.cpus {
            for rate in rates {
                let pace = if *rate == 0 { "as fast as can be".to_owned() } else { format!("{rate} a second") };
                say(&format!("{} on CPU {cpus:?}, {pace}", deed.name()));
                let dir = tempfile::tempdir_in(&plan.dir)
                    .map_err(|source| crate::Error::Output { path: plan.dir.clone(), source })?;
                let found = storm(&StormPlan {
                    deed: *deed,
                    cpus: cpus.clone(),
                    length: plan.length,
                    rate: *rate,
                    record: plan.record.clone(),
                    options: plan.options.clone(),
                    counter: plan.counter,
                    dir: dir.path().to_owned(),
                })?;
                points.push(Point { deed: *deed, cpus: cpus.clone(), rate: *rate, storm: found });
            }
        }
    }
    let recorder = Program::look(&plan.record);
    Ok(Curve {
        machine: machine.done(),
        recorder,
        options: plan.options.clone(),
        counter: plan.counter,
        seconds: plan.length.as_secs_f64(),
        points,
    })
}
