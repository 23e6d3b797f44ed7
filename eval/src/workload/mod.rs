//! The work that recorders are measured against. Each times itself, without what it needs to begin and to end.
//!
//! `eval workload NAME` runs one in a process tree of its own and prints a [`Measured`] as JSON: so every recorder, and none,
//! sees the same processes.

pub(crate) mod forkexec;
mod redis;
mod storm;
mod tree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What one run came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Wall time of the timed part.
    pub seconds: f64,
    /// How often it did its thing in it: rounds, processes, files, requests.
    pub operations: u64,
    /// CPU time of the workload and all its processes, from their begin to their end, s.
    pub cpu_seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Open, read and close one small file, 300,000 times
    Storm,
    /// Fork and exec a program of 129 bytes, 2,000 times
    Forkexec,
    /// find and grep over a tree of 11,207 files
    Findgrep,
    /// redis-benchmark -t set,get -n 100000 -c 50 against a server on a Unix socket
    Redis,
}

impl Workload {
    pub const ALL: [Workload; 4] = [Workload::Storm, Workload::Forkexec, Workload::Findgrep, Workload::Redis];

    pub fn name(self) -> &'static str {
        match self {
            Workload::Storm => "storm",
            Workload::Forkexec => "forkexec",
            Workload::Findgrep => "findgrep",
            Workload::Redis => "redis",
        }
    }

    /// What it takes the time of, for the table.
    pub fn unit(self) -> &'static str {
        match self {
            Workload::Storm => "open-read-close",
            Workload::Forkexec => "fork+exec",
            Workload::Findgrep => "find+grep",
            Workload::Redis => "redis",
        }
    }

    /// Programs it needs; the first that is missing.
    pub fn missing(self) -> Option<&'static str> {
        let needed: &[&str] = match self {
            Workload::Storm | Workload::Forkexec => &[],
            Workload::Findgrep => &["find", "xargs", "grep"],
            Workload::Redis => &["redis-server", "redis-benchmark"],
        };
        needed.iter().copied().find(|program| which(program).is_none())
    }

    /// Makes what the runs share in `dir`: files, trees, programs.
    ///
    /// # Errors
    /// `dir` cannot be written to.
    pub fn prepare(self, dir: &Path) -> Result<()> {
        let made = match self {
            Workload::Storm => storm::prepare(dir),
            Workload::Forkexec => forkexec::prepare(dir),
            Workload::Findgrep => tree::prepare(dir),
            Workload::Redis => Ok(()),
        };
        made.map_err(|source| Error::Workload { name: self.name(), reason: source.to_string() })
    }

    /// Runs it once. `scale`: share of the usual amount of work.
    ///
    /// # Errors
    /// A program it needs is missing or failed.
    pub fn run(self, dir: &Path, scale: f64) -> Result<Measured> {
        let times = |n: u64| ((n as f64 * scale) as u64).max(1);
        let run = match self {
            Workload::Storm => storm::run(dir, times(300_000)),
            Workload::Forkexec => forkexec::run(dir, times(2_000)),
            Workload::Findgrep => tree::run(dir),
            Workload::Redis => redis::run(dir, times(100_000)),
        };
        let (elapsed, operations) =
            run.map_err(|source| Error::Workload { name: self.name(), reason: source.to_string() })?;
        Ok(Measured { seconds: elapsed.as_secs_f64(), operations, cpu_seconds: cpu_time().as_secs_f64() })
    }
}

/// Where a program is on the path.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Where Debian keeps what only root runs is not on everybody's path.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// CPU time of this process and of the children it waited for.
fn cpu_time() -> Duration {
    let used = |who| {
        // SAFETY: all-zero bytes are a valid rusage.
        let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
        // SAFETY: `usage` is valid for writing.
        unsafe { libc::getrusage(who, &raw mut usage) };
        let time = |t: libc::timeval| {
            Duration::from_secs(t.tv_sec.unsigned_abs()) + Duration::from_micros(t.tv_usec.unsigned_abs())
        };
        time(usage.ru_utime) + time(usage.ru_stime)
    };
    used(libc::RUSAGE_SELF) + used(libc::RUSAGE_CHILDREN)
}
