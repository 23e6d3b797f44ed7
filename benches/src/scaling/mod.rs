//! How a replay's time and memory grow with the length of a recording: one is stretched to several lengths, each is replayed by the
//! program itself, and the powers are fitted.

mod chart;
mod child;
// Statistics without the experiments around it, which would bring polars.
#[path = "../../../eval/src/growth/fit.rs"]
pub mod fit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

pub use chart::draw;
use child::{Used, run};
use fit::{Power, power};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Directory of a recording, or the name of one that ships.
    pub recording: String,
    /// Events at least, a recording for each.
    pub events: Vec<u64>,
    pub replicas: u16,
    /// Replays of each.
    pub rounds: u32,
    /// The programs.
    pub stretch: PathBuf,
    pub replay: PathBuf,
    /// More arguments for the replay.
    pub options: Vec<String>,
    /// For the stretched recordings and results, one after the other.
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Serialize)]
pub struct Scaling {
    /// As `uname -r`.
    pub kernel: String,
    pub cpus: usize,
    /// Load average over a minute, before the first run.
    pub load_before: f64,
    pub recording: String,
    pub replicas: u16,
    pub rounds: u32,
    /// More arguments that the replay had.
    pub options: Vec<String>,
    pub points: Vec<Point>,
    pub fits: Vec<Fit>,
}

/// One replay.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    pub events: u64,
    /// From 1.
    pub round: u32,
    /// Of the recording's segments.
    pub bytes: u64,
    pub wall_s: f64,
    /// User and system.
    pub cpu_s: f64,
    /// Largest resident set.
    pub memory_mib: f64,
}

/// A cost of a replay.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub name: &'static str,
    pub of: fn(&Point) -> f64,
}

pub const COSTS: [Cost; 3] = [
    Cost { name: "wall time, s", of: |point| point.wall_s },
    Cost { name: "CPU time, s", of: |point| point.cpu_s },
    Cost { name: "memory, MiB", of: |point| point.memory_mib },
];

/// The power of the number of events that a cost follows.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    pub cost: &'static str,
    /// None: of one length.
    #[serde(flatten)]
    pub power: Option<Power>,
}

/// A program that could not be run, or failed, or a folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} failed: {said}", program.display())]
    Failed { program: PathBuf, said: String },
    #[error(transparent)]
    Recording(#[from] datasets::Error),
    #[error("the picture could not be drawn: {0}")]
    Picture(String),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        |source| Error::Io { path: path.to_owned(), source }
    }

    /// One line on the way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Io { .. } => {
                "build the programs (cargo build --release -p replay -p benches), and check the space in --dir"
            }
            Error::Failed { .. } => "what it says is above; run it by itself with the same arguments",
            Error::Recording(error) => error.hint(),
            Error::Picture(_) => "this is a bug; scaling --format json has the figures",
        }
    }
}

/// Stretches, replays and fits. `say` is told what is being done.
///
/// # Errors
/// A recording that cannot be stretched, a replay that fails, a folder that cannot be written to.
pub fn measure(plan: &Plan, say: &dyn Fn(&str)) -> Result<Scaling, Error> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg").split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    let mut groups: Vec<Vec<Point>> = Vec::new();
    for events in &plan.events {
        let (recording, out) = (plan.dir.join("rec"), plan.dir.join("out"));
        say(&format!("stretching {} to {events} events", plan.recording));
        let mut command = Command::new(&plan.stretch);
        command.arg(&plan.recording).arg("-o").arg(&recording);
        command.args(["--events", &events.to_string(), "--replicas", &plan.replicas.to_string()]);
        // In a process of its own: a child's largest resident set begins with that of its parent (getrusage(2)).
        let stretched = run(&mut command)?;
        let made = datasets::Recording::open(&recording)?;
        let (rows, bytes) = (made.manifest().rows(), made.manifest().bytes());
        drop(made);
        say(&format!("{rows} events, {bytes} bytes in {:.1} s", stretched.wall_s));
        let mut group = Vec::new();
        for round in 1..=plan.rounds {
            let mut command = Command::new(&plan.replay);
            command.arg(&recording).arg("-o").arg(&out).args(&plan.options);
            let Used { wall_s, cpu_s, memory_mib } = run(&mut command)?;
            say(&format!("round {round}: {wall_s:.2} s, CPU {cpu_s:.2} s, {memory_mib:.0} MiB"));
            group.push(Point { events: rows, round, bytes, wall_s, cpu_s, memory_mib });
            fs::remove_dir_all(&out).map_err(Error::io(&out))?;
        }
        groups.push(group);
        fs::remove_dir_all(&recording).map_err(Error::io(&recording))?;
    }
    let fit = |cost: &Cost| {
        let places = |group: &Vec<Point>| group.iter().map(|point| (point.events as f64, (cost.of)(point))).collect();
        Fit { cost: cost.name, power: power(&groups.iter().map(places).collect::<Vec<_>>()) }
    };
    let fits = COSTS.iter().map(fit).collect();
    Ok(Scaling {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        load_before: load,
        recording: plan.recording.clone(),
        replicas: plan.replicas,
        rounds: plan.rounds,
        options: plan.options.clone(),
        points: groups.into_iter().flatten().collect(),
        fits,
    })
}
