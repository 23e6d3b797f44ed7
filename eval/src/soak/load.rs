//! The scenario that is recorded, running for as long as it is needed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use scenarios::{PodmanEnv, RunContainer, RunOptions, Runner};

use crate::error::{Error, Result};

/// It is ended before.
const LONG_ENOUGH: Duration = Duration::from_secs(7 * 86_400);
/// From the containers' start until the load runs.
const PATIENCE: Duration = Duration::from_secs(300);

/// A prepared scenario.
pub struct Prepared(Runner);

/// A scenario under load.
pub struct Load {
    glob: String,
    podman: PodmanEnv,
    containers: Vec<RunContainer>,
}

impl Load {
    /// # Errors
    /// There is no such scenario, or its containers cannot be made.
    pub fn prepare(name: &str, seed: u64, say: &dyn Fn(&str)) -> Result<Prepared> {
        let options = RunOptions { seed, benign: Some(LONG_ENOUGH) };
        Ok(Prepared(Runner::prepare(scenarios::load(name)?, options, say)?))
    }

    /// Matches the containers that are to be recorded.
    pub fn glob(&self) -> &str {
        &self.glob
    }

    /// The network namespace of a service's container.
    ///
    /// # Errors
    /// The scenario has no such service, or it is gone.
    pub fn network(&self, service: &str) -> Result<File> {
        let known = || self.containers.iter().map(|c| c.service.as_str()).collect::<Vec<_>>().join(", ");
        let missing = || Error::run("asking the service", format!("there is no service {service:?}, only {}", known()));
        let container = self.containers.iter().find(|container| container.service == service).ok_or_else(missing)?;
        let mut podman = self.podman.command();
        let failed = |reason: &dyn std::fmt::Display| Error::run(&format!("finding {}", container.name), reason);
        let output = podman.args(["inspect", "--format", "{{.State.Pid}}", &container.id]).output();
        let output = output.map_err(|error| failed(&error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Of a container that does not run it is 0.
        let pid = text.trim().parse::<u32>().ok().filter(|pid| *pid > 0);
        let pid = pid.ok_or_else(|| failed(&String::from_utf8_lossy(&output.stderr)))?;
        File::open(format!("/proc/{pid}/ns/net")).map_err(|error| failed(&error))
    }

    /// The files that hold the CPU time of the recorded containers.
    pub fn cgroups(&self) -> Vec<CpuFile> {
        let watched = self.containers.iter().filter(|container| !container.outside);
        watched.filter_map(|container| CpuFile::of(&container.id)).collect()
    }
}

impl Prepared {
    /// Starts the containers, does `work` once customers come, and removes the containers.
    ///
    /// # Errors
    /// Those of `work`; a container failed.
    pub fn play<T>(
        mut self,
        stop: &AtomicBool,
        say: &(dyn Fn(&str) + Sync),
        work: impl FnOnce(&Load) -> Result<T>,
    ) -> Result<T> {
        let (glob, podman) = (self.0.container_glob(), self.0.podman_env().clone());
        let load = Load { glob, podman, containers: self.0.containers().to_vec() };
        let over = AtomicBool::new(false);
        let runner = &mut self.0;
        let (notes, heard) = mpsc::channel::<String>();
        let (worked, ran) = thread::scope(|scope| {
            let over = &over;
            let running = scope.spawn(move || {
                let ran = runner.run(over, &|line| {
                    let _ = notes.send(line.to_owned()); // nobody waits for it any more
                });
                (ran, runner)
            });
            let mut alive = false;
            let begun = std::time::Instant::now();
            // The runner says so when everything is up.
            while !alive && !stop.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE && !running.is_finished() {
                if let Ok(note) = heard.recv_timeout(Duration::from_millis(100)) {
                    alive = note.starts_with("ordinary life");
                    say(&note);
                }
            }
            let worked = alive.then(|| work(&load));
            over.store(true, Ordering::Relaxed);
            let (ran, runner) = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (worked, ran.and_then(|timeline| runner.cleanup().map(|()| timeline)))
        });
        let worked = worked.transpose()?;
        let timeline = ran?;
        let failed: u64 = timeline.activities.values().map(|runs| runs.failed).sum();
        say(&format!("customers got {:?}; {failed} activities failed", timeline.responses));
        worked.ok_or_else(|| Error::run("the scenario", "it was ended, or took too long to begin"))
    }
}

/// Where a container's CPU time stands.
#[derive(Clone, Debug)]
pub enum CpuFile {
    /// cgroup v1: `cpuacct.usage`, ns.
    V1(PathBuf),
    /// cgroup v2: `usage_usec` in `cpu.stat`.
    V2(PathBuf),
}

impl CpuFile {
    fn of(id: &str) -> Option<CpuFile> {
        let roots = ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"];
        let found = roots.iter().find_map(|root| find(Path::new(root), id))?;
        let v1 = found.join("cpuacct.usage");
        Some(if v1.is_file() { CpuFile::V1(v1) } else { CpuFile::V2(found.join("cpu.stat")) })
    }

    /// CPU time since the cgroup was made, with those below it, s.
    pub fn seconds(&self) -> Option<f64> {
        match self {
            CpuFile::V1(path) => Some(fs::read_to_string(path).ok()?.trim().parse::<f64>().ok()? / 1e9),
            CpuFile::V2(path) => {
                let text = fs::read_to_string(path).ok()?;
                let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                Some(line.parse::<f64>().ok()? / 1e6)
            }
        }
    }
}

/// The uppermost cgroup that has the container's id in its name and a CPU time.
fn find(root: &Path, id: &str) -> Option<PathBuf> {
    let mut waiting = VecDeque::from([root.to_owned()]);
    while let Some(dir) = waiting.pop_front() {
        let named = dir.file_name().is_some_and(|name| name.to_string_lossy().contains(id));
        if named && (dir.join("cpuacct.usage").is_file() || dir.join("cpu.stat").is_file()) {
            return Some(dir);
        }
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        waiting.extend(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    None
}
