//! The work that recorders are measured against. Each times itself, without what it needs to begin and to end.
//!
//! `eval workload NAME` runs one in a process tree of its own and prints a [`Measured`] as JSON: so every recorder, and none,
//! sees the same processes.

mod compile;
mod copying;
pub(crate) mod forkexec;
mod http;
mod redis;
mod smallfiles;
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
    /// Pack that tree with tar
    Tar,
    /// Read a block of a file and write it elsewhere in it, 200,000 times
    Readwrite,
    /// Send 200,000 messages of 64 bytes through a pipe to another thread
    Pipe,
    /// Small files as a mail server has them, after PostMark: 20,000 transactions
    Smallfiles,
    /// 2,000 requests to Python's web server on loopback, four at a time
    Http,
    /// Compile 24 C files and link them
    Compile,
}

impl Workload {
    pub const ALL: [Workload; 10] = [
        Workload::Storm,
        Workload::Forkexec,
        Workload::Findgrep,
        Workload::Redis,
        Workload::Tar,
        Workload::Readwrite,
        Workload::Pipe,
        Workload::Smallfiles,
        Workload::Http,
        Workload::Compile,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Workload::Storm => "storm",
            Workload::Forkexec => "forkexec",
            Workload::Findgrep => "findgrep",
            Workload::Redis => "redis",
            Workload::Tar => "tar",
            Workload::Readwrite => "readwrite",
            Workload::Pipe => "pipe",
            Workload::Smallfiles => "smallfiles",
            Workload::Http => "http",
            Workload::Compile => "compile",
        }
    }

    /// What it takes the time of, for the table.
    pub fn unit(self) -> &'static str {
        match self {
            Workload::Storm => "open-read-close",
            Workload::Forkexec => "fork+exec",
            Workload::Findgrep => "find+grep",
            _ => self.name(),
        }
    }

    /// Programs it needs; the first that is missing.
    pub fn missing(self) -> Option<&'static str> {
        let needed: &[&str] = match self {
            Workload::Storm | Workload::Forkexec | Workload::Readwrite | Workload::Pipe | Workload::Smallfiles => &[],
            Workload::Tar => &["tar"],
            Workload::Http => &["python3"],
            Workload::Compile => &["cc"],
            Workload::Findgrep => &["find", "xargs", "grep"],
            Workload::Redis => &["redis-server", "redis-benchmark"],
        };
        needed.iter().copied().find(|program| which(program).is_none())
    }

    /// The file that it opens, or the program that it executes, once for each of its operations, where it does.
    pub fn named(self, dir: &Path) -> Option<PathBuf> {
        match self {
            Workload::Storm => Some(storm::path(dir)),
            Workload::Forkexec => Some(forkexec::path(dir)),
            _ => None,
        }
    }

    /// Makes what the runs share in `dir`: files, trees, programs.
    ///
    /// # Errors
    /// `dir` cannot be written to.
    pub fn prepare(self, dir: &Path) -> Result<()> {
        let made = match self {
            Workload::Storm => storm::prepare(dir),
            Workload::Forkexec => forkexec::prepare(dir),
            Workload::Findgrep | Workload::Tar => tree::prepare(dir),
            Workload::Http => http::prepare(dir),
            Workload::Compile => compile::prepare(dir),
            Workload::Redis | Workload::Readwrite | Workload::Pipe | Workload::Smallfiles => Ok(()),
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
            Workload::Tar => copying::tar(dir),
            Workload::Readwrite => copying::readwrite(dir, times(200_000)),
            Workload::Pipe => copying::pipe(times(200_000)),
            Workload::Smallfiles => smallfiles::run(dir, times(20_000)),
            Workload::Http => http::run(dir, times(2_000)),
            Workload::Compile => compile::run(dir, times(24)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_runs_and_leaves_what_it_found() {
        let dir = tempfile::tempdir().unwrap();
        let files = || {
            let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
            entries.filter(|name| !name.to_string_lossy().ends_with(".log")).collect::<std::collections::BTreeSet<_>>()
        };
        for workload in Workload::ALL {
            if let Some(program) = workload.missing() {
                eprintln!("\n*** SKIPPED {}: {program} is not installed ***\n", workload.name());
                continue;
            }
            workload.prepare(dir.path()).unwrap();
            let before = files();
            let measured = workload.run(dir.path(), 0.01).unwrap();
            assert!(measured.seconds > 0.0 && measured.operations > 0, "{}: {measured:?}", workload.name());
            assert_eq!(files(), before, "{}", workload.name());
        }
    }
}
