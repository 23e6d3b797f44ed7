//! A recorder to measure, as one small TOML file says how to run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::machine;
use crate::workload::which;

/// How to run a recorder around a workload. In every string `{dir}` is a directory of the run's own, `{record}` our recorder and
/// `{eval}` this program; in [`command`](Self::command) the word `{workload}` stands for the workload's command line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    pub name: String,
    /// What it records, in a few words.
    pub about: String,
    /// Programs that must be installed.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Prints the version on its first line.
    #[serde(default)]
    pub version: Vec<String>,
    /// Shell, before the recorder starts, and after it ended.
    #[serde(default)]
    pub setup: String,
    #[serde(default)]
    pub teardown: String,
    /// The recorder. With the word `{workload}` in it, it starts the workload itself; without, it runs beside it until it is
    /// interrupted.
    pub command: Vec<String>,
    /// A recorder that runs beside: shell that succeeds once it records.
    #[serde(default)]
    pub ready: String,
    /// A recorder that runs beside: shell that succeeds once it has taken in what waits in the kernel for it; then it is ended.
    #[serde(default)]
    pub settled: String,
    /// A recorder that runs beside: what ends it.
    #[serde(default)]
    pub signal: Signal,
    /// Shell that prints how many events were stored, and how many were lost.
    pub events: String,
    #[serde(default)]
    pub dropped: String,
    /// Shell that prints how many of the events name `{path}`: a file that was opened, or a program that was executed.
    #[serde(default)]
    pub named: String,
    /// What it wrote: its size is the recording's.
    pub output: String,
}

/// A signal that asks a recorder to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Signal {
    #[default]
    #[serde(rename = "INT")]
    Interrupt,
    #[serde(rename = "TERM")]
    Terminate,
}

impl Signal {
    pub(crate) fn number(self) -> libc::c_int {
        match self {
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
        }
    }
}

/// The adapters that ship, by name.
const SHIPPED: &[(&str, &str)] = &[
    ("retroscope", include_str!("../../peers/retroscope.toml")),
    ("retroscope-minimal", include_str!("../../peers/retroscope-minimal.toml")),
    ("retroscope-bystander", include_str!("../../peers/retroscope-bystander.toml")),
    ("auditd", include_str!("../../peers/auditd.toml")),
    ("bpftrace", include_str!("../../peers/bpftrace.toml")),
    ("strace", include_str!("../../peers/strace.toml")),
    ("perf", include_str!("../../peers/perf.toml")),
];

impl Adapter {
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// A shipped adapter by its name, or a file.
    ///
    /// # Errors
    /// There is no such adapter, or the file is not one.
    pub fn find(name: &str) -> Result<Adapter> {
        let bad = |reason: String| Error::Adapter { name: name.to_owned(), reason };
        let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| (*text).to_owned());
        let text = match shipped {
            Some(text) => text,
            None if Path::new(name).extension().is_some_and(|extension| extension == "toml") => {
                std::fs::read_to_string(name).map_err(|error| bad(error.to_string()))?
            }
            None => {
                let known: Vec<_> = Adapter::shipped().collect();
                return Err(bad(format!("known are {}; or give a .toml file", known.join(", "))));
            }
        };
        toml::from_str(&text).map_err(|error| bad(error.to_string().trim().to_owned()))
    }

    /// What keeps it from running here.
    pub fn missing(&self, places: &Places) -> Option<String> {
        let needs = self.needs.iter().map(|program| places.fill(program));
        needs.into_iter().find(|program| !Path::new(program).is_file() && which(program).is_none())
    }

    pub fn version(&self, places: &Places) -> Option<String> {
        let (program, args) = self.version.split_first()?;
        let output = Command::new(places.program(program)).args(args).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
    }

    /// Of its program, hex. None: it cannot be read.
    pub fn sha256(&self, places: &Places) -> Option<String> {
        machine::sha256(&places.program(self.command.first()?))
    }

    /// It starts the workload itself.
    pub fn wraps(&self) -> bool {
        self.command.iter().any(|word| word == "{workload}")
    }
}

/// What the names in braces stand for.
pub struct Places(BTreeMap<&'static str, String>);

impl Places {
    /// `record`: our recorder; `dir`: of this run.
    pub fn new(record: &Path, dir: &Path) -> Places {
        let text = |path: &Path| path.display().to_string();
        let own = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
        Places(BTreeMap::from([("{record}", text(record)), ("{dir}", text(dir)), ("{eval}", text(&own))]))
    }

    /// With what `{path}` stands for.
    pub fn with_path(mut self, path: &Path) -> Places {
        self.0.insert("{path}", path.display().to_string());
        self
    }

    pub fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// A program's path, also where only root's path has it.
    pub fn program(&self, word: &str) -> PathBuf {
        let word = self.fill(word);
        which(&word).unwrap_or_else(|| word.into())
    }

    /// Runs a line of shell; its output.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn shell(&self, line: &str) -> Result<String, String> {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let output = Command::new("sh").args(["-c", &self.fill(line)]).env("PATH", path).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(format!("{line:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_adapter_is_well_formed() {
        for name in Adapter::shipped() {
            let adapter = Adapter::find(name).unwrap();
            assert_eq!(adapter.name, name);
            assert!(adapter.wraps() || !adapter.ready.is_empty(), "{name}: beside it, something must say it is ready");
        }
        assert!(Adapter::find("nosuch").unwrap_err().to_string().contains("retroscope"));
    }
}
