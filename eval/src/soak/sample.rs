//! One look at the recorder, its programs and the machine.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Cpu;
use super::bpf::run_time;
use super::load::CpuFile;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Since the first look, s.
    pub at: f64,
    /// MiB; see [`Long`](super::Long).
    pub memory: f64,
    pub resident: f64,
    pub cpu: Cpu,
    /// Sums over classes, of the recorder's last whole second.
    pub emitted: u64,
    pub stored: u64,
    pub dropped: u64,
    /// Everything in the recording's directory, the journal included.
    pub bytes: u64,
    /// Bytes that wait in the ring.
    pub ring: u64,
    /// From kernel to row, s.
    pub lag_p99: f64,
    pub lag_max: f64,
    /// Load average over a minute.
    pub load: f64,
}

/// Where to look.
pub struct Watch {
    proc: PathBuf,
    containers: Vec<CpuFile>,
    output: PathBuf,
    begun: Instant,
}

impl Watch {
    pub fn new(pid: u32, containers: Vec<CpuFile>, output: PathBuf) -> Watch {
        Watch { proc: PathBuf::from(format!("/proc/{pid}")), containers, output, begun: Instant::now() }
    }

    /// `None`: the recorder is gone.
    pub fn sample(&mut self, progress: &Value) -> Option<Sample> {
        let status = fs::read_to_string(self.proc.join("status")).ok()?;
        let memory = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
        };
        let classes = progress["classes"].as_object();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let sum = |of: &dyn Fn(&Value) -> u64| classes.iter().flat_map(|classes| classes.values()).map(of).sum();
        let lost = |class: &Value| class["dropped"].as_object().into_iter().flatten().map(|(_, n)| number(n)).sum();
        Some(Sample {
            at: self.begun.elapsed().as_secs_f64(),
            memory: memory("RssAnon:")?,
            resident: memory("VmRSS:")?,
            cpu: self.cpu()?,
            emitted: sum(&|class| number(&class["emitted"])),
            stored: sum(&|class| number(&class["stored"])),
            dropped: sum(&lost),
            bytes: size(&self.output),
            ring: number(&progress["ring"]["used"]),
            lag_p99: progress["lag_s"]["p99"].as_f64().unwrap_or_default(),
            lag_max: progress["lag_s"]["max"].as_f64().unwrap_or_default(),
            load: crate::machine::load(),
        })
    }

    /// CPU times until now.
    pub fn cpu(&self) -> Option<Cpu> {
        Some(Cpu {
            recorder: tree_cpu(&self.proc)?,
            bpf: run_time(&self.proc.join("fdinfo")),
            containers: containers_cpu(&self.containers),
            machine: machine_cpu()?,
        })
    }
}

pub fn containers_cpu(files: &[CpuFile]) -> f64 {
    files.iter().filter_map(CpuFile::seconds).sum()
}

/// A process and its living children, s: `utime` and `stime`, and those of the children it waited for (proc_pid_stat(5)).
fn tree_cpu(proc: &Path) -> Option<f64> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    // After the name, which may hold anything: state is field 3, utime to cstime are 14 to 17.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    let tasks = fs::read_dir(proc.join("task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: f64 = children
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| tree_cpu(&Path::new("/proc").join(pid)))
        .sum();
    Some(ticks / ticks_per_second() + children)
}

/// All CPUs but what was idle or waited for a disk, s: the first line of /proc/stat.
fn machine_cpu() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; steal is others' machines, and guest is in user.
    let [user, nice, system, _, _, irq, softirq, ..] = fields[..] else { return None };
    Some((user + nice + system + irq + softirq) / ticks_per_second())
}

fn ticks_per_second() -> f64 {
    // SAFETY: sysconf() only reads.
    (unsafe { libc::sysconf(libc::_SC_CLK_TCK) }) as f64
}

/// Bytes of all files below a directory. A file that goes meanwhile counts as nothing.
pub fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
        }
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

/// The samples as a table that survives this program.
pub struct Log {
    path: PathBuf,
    file: fs::File,
}

impl Log {
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path) -> Result<Log> {
        let failed = |error| Error::output(path, error);
        let mut file = fs::File::create(path).map_err(failed)?;
        writeln!(
            file,
            "at_s,memory_mib,resident_mib,recorder_cpu_s,bpf_s,bpf_runs,containers_cpu_s,machine_cpu_s,emitted,stored,dropped,\
             bytes,ring_bytes,lag_p99_s,lag_max_s,load"
        )
        .map_err(failed)?;
        Ok(Log { path: path.to_owned(), file })
    }

    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, s: &Sample) -> Result<()> {
        let Cpu { recorder, bpf, containers, machine } = s.cpu;
        writeln!(
            self.file,
            "{:.3},{:.3},{:.3},{recorder:.2},{:.6},{},{containers:.3},{machine:.2},{},{},{},{},{},{:.4},{:.4},{:.2}",
            s.at,
            s.memory,
            s.resident,
            bpf.seconds,
            bpf.runs,
            s.emitted,
            s.stored,
            s.dropped,
            s.bytes,
            s.ring,
            s.lag_p99,
            s.lag_max,
            s.load
        )
        .map_err(|error| Error::output(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_to_work() {
        let proc = Path::new("/proc/self");
        let (own, all) = (tree_cpu(proc).unwrap(), machine_cpu().unwrap());
        let begun = Instant::now();
        while tree_cpu(proc).unwrap() < own + 0.05 {
            assert!(begun.elapsed().as_secs() < 20);
        }
        assert!(machine_cpu().unwrap() > all);
    }
}
