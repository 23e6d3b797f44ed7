//! `responses.jsonl`: a line for each action that was carried out, refused, or would have been carried out.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Action;
use crate::alert::Alert;
use crate::error::{Error, Result};
use crate::output::text::clean;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// RFC 3339.
    pub time: String,
    /// As it was called when this was written; of a recording that was still being written, not the id it has in the end.
    pub alert: String,
    /// The number it was told by, with --follow.
    pub number: Option<u64>,
    pub severity: String,
    /// The command line.
    pub process: String,
    pub action: Action,
    pub container: String,
    pub container_name: Option<String>,
    pub runtime: Option<String>,
    pub pid: u32,
    pub exec_id: Option<u64>,
    /// It was asked for by --really.
    pub really: bool,
    /// It was carried out.
    pub done: bool,
    /// Why it was not, or not to its end.
    pub refused: Option<String>,
    /// What is needed to take it back.
    pub before: Option<Before>,
    pub killed: Vec<Killed>,
    /// `undo` took it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub networks: Vec<Network>,
}

/// A network that a container was on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub name: String,
    pub ip: Option<String>,
    pub ip6: Option<String>,
    pub aliases: Vec<String>,
}

/// A process that was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    pub pid: u32,
    pub comm: String,
    /// Clock ticks from the kernel's begin to its own.
    pub started: u64,
}

impl Entry {
    pub fn new(alert: &Alert, number: Option<u64>, action: Action, really: bool) -> Entry {
        Entry {
            time: jiff::Timestamp::now().to_string(),
            alert: alert.id.clone(),
            number,
            severity: alert.severity.to_string(),
            process: alert.process.to_string(),
            action,
            container: alert.container.to_string(),
            container_name: alert.container_name.clone(),
            runtime: alert.runtime.clone(),
            pid: alert.pid,
            exec_id: alert.exec_id,
            really,
            done: false,
            refused: None,
            before: None,
            killed: Vec::new(),
            undone: false,
        }
    }

    pub fn refuse(&mut self, why: String) {
        self.refused = Some(why);
    }

    /// Whether there is something to take back: also of what went wrong half way.
    pub fn can_be_undone(&self) -> bool {
        let changed = match self.action {
            Action::Pause => self.done,
            Action::Isolate => self.before.as_ref().is_some_and(|before| !before.networks.is_empty()),
            Action::Kill => false,
        };
        self.really && changed && !self.undone
    }

    /// For people.
    pub fn describe(&self) -> String {
        let place = clean(self.container_name.as_deref().unwrap_or(&self.container));
        let number = self.number.map_or_else(|| self.alert.clone(), |number| format!("alert {number}"));
        let what = match self.action {
            Action::Isolate => format!("isolate {place}"),
            Action::Pause => format!("pause {place}"),
            Action::Kill => format!("kill process {} of {place} and what comes from it", self.pid),
        };
        let how = match (&self.refused, self.done, self.really) {
            (Some(why), _, true) => format!("NOT done: {}", clean(why)),
            (Some(why), _, false) => format!("would not be done: {}", clean(why)),
            (None, true, _) if self.action == Action::Kill => format!("done: {} killed", self.killed.len()),
            (None, true, _) => "done".to_owned(),
            (None, false, _) => format!("would be done; --really {} does it", self.action.name()),
        };
        format!("response to {number}: {what}: {how}")
    }
}

/// The log of a run, to which lines are added.
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Log> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        Ok(Log { path: path.to_owned(), file: file.map_err(|error| Error::output(path, error))? })
    }

    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, entry: &Entry) -> Result<()> {
        let line = serde_json::to_string(entry).expect("string keys and plain values serialize") + "\n";
        // On the disk before anything else happens: it is what an action is taken back by.
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| Error::output(&self.path, error))
    }
}

/// # Errors
/// Unreadable, or no such log.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let bad = |line: usize, why: String| {
        Error::input(format!("{}:{line}: {why}", path.display()), "give the responses.jsonl of a replay --follow")
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(0, error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| serde_json::from_str(line).map_err(|error| bad(at + 1, error.to_string()))).collect()
}
