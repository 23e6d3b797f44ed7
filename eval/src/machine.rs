//! The machine that something was measured on, and how quiet it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Load average above which a machine has something else to do.
const NOISY_LOAD: f64 = 0.5;

/// What a figure cannot be compared without.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Release and machine type, as `uname -rm`.
    pub kernel: String,
    /// Of the first CPU, as the kernel names it.
    pub cpu: String,
    pub cpus: usize,
    pub memory_mib: u64,
    /// Load average over a minute, before the first run. A quiet machine has about 0.
    pub load_before: f64,
    /// After the last; what was measured is in it.
    #[serde(default)]
    pub load_after: Option<f64>,
}

impl Machine {
    pub fn look() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let kernel = format!("{} {}", read("/proc/sys/kernel/osrelease").trim(), std::env::consts::ARCH);
        let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Machine {
            kernel,
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib / 1024,
            load_before: load(),
            load_after: None,
        }
    }

    /// After the last run.
    pub fn done(self) -> Machine {
        Machine { load_after: Some(load()), ..self }
    }

    /// Why figures of this run are worth less than those of a quiet machine.
    pub fn noise(&self) -> Option<String> {
        (self.load_before > NOISY_LOAD)
            .then(|| format!("load {:.1} on {} CPUs before the first run", self.load_before, self.cpus))
    }
}

/// Load average over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// A program that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// The first line of what `--version` prints.
    pub version: String,
    /// Of the file, hex.
    pub sha256: String,
}

impl Program {
    /// None: it cannot be read.
    pub fn look(file: &Path) -> Option<Program> {
        let sha256 = sha256(file)?;
        let output = Command::new(file).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some(Program { version: text.lines().next().unwrap_or_default().trim().to_owned(), sha256 })
    }
}

/// Of a file, hex. None: it cannot be read.
pub fn sha256(file: &Path) -> Option<String> {
    let sum = Sha256::digest(fs::read(file).ok()?);
    Some(sum.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described_and_a_busy_one_says_so() {
        let machine = Machine::look();
        assert!(machine.kernel.contains('.') && machine.cpus >= 1 && machine.memory_mib > 64, "{machine:?}");
        assert!(Machine { load_before: 0.0, ..machine.clone() }.noise().is_none());
        let busy = Machine { load_before: 9.0, cpus: 2, ..machine };
        assert!(busy.noise().unwrap().contains("load 9.0 on 2 CPUs"));
    }
}
