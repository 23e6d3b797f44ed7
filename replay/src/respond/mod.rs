//! Carrying out what an alert suggests: a container is cut off from its networks, a process tree is killed, a container is paused.
//!
//! By default nothing is done and what would be is said. Only `--follow` acts, and only by the actions that `--really` names, on the
//! containers that `--respond-to` names. Every action is a line of `responses.jsonl`, from which `replay respond undo` takes it back.

mod engine;
pub mod log;
mod tree;
pub mod undo;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::alert::allow::wild;
use crate::cli::Responding;
use crate::engines::Severity;
use crate::error::{Error, Result};
use crate::follow::Told;
use crate::observe::HOST;
use engine::Engine;
use log::{Before, Entry, Log};

/// The file in the output directory.
pub const FILE: &str = "responses.jsonl";

/// What can be done about an alert. In this order, where several are asked for: the attacker loses the network first, and a paused
/// process cannot be seen to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Take the container off all of its networks (podman, docker)
    Isolate,
    /// Kill the alert's process and all that come from it, but never the container's first process
    Kill,
    /// Freeze the container (podman, docker)
    Pause,
}

impl Action {
    pub const fn name(self) -> &'static str {
        match self {
            Action::Isolate => "isolate",
            Action::Kill => "kill",
            Action::Pause => "pause",
        }
    }
}

/// Responds to alerts.
pub struct Responder {
    actions: BTreeSet<Action>,
    really: BTreeSet<Action>,
    containers: Vec<String>,
    least: Severity,
    /// What was done or said: action, container, and the process that was killed.
    done: BTreeSet<(Action, Arc<str>, Option<u64>)>,
    log: Log,
}

impl Responder {
    /// None: nothing is asked for. `live`: of a recording that is being written.
    ///
    /// # Errors
    /// Flags that do not go together; the log cannot be written.
    pub fn new(options: &Responding, output: &Path, live: bool) -> Result<Option<Responder>> {
        let actions: BTreeSet<Action> = options.respond.iter().copied().collect();
        let really: BTreeSet<Action> = options.really.iter().copied().collect();
        if actions.is_empty() {
            return Ok(None);
        }
        if let Some(other) = really.difference(&actions).next() {
            return Err(Error::config(
                format!("--really {0} is not among the actions of --respond", other.name()),
                format!("add {} to --respond", other.name()),
            ));
        }
        if !really.is_empty() && !live {
            return Err(Error::config(
                "--really acts on what runs now, and this recording is over",
                "leave it out to see what would have been done, or add --follow to a recording that is being written",
            ));
        }
        if !really.is_empty() && options.respond_to.is_empty() {
            return Err(Error::config(
                "--really without --respond-to: which containers may be touched?",
                "name them, as --respond-to 'shop-*'",
            ));
        }
        Ok(Some(Responder {
            actions,
            really,
            containers: options.respond_to.clone(),
            least: options.respond_at.map_or(Severity::High, Severity::from),
            done: BTreeSet::new(),
            log: Log::open(&output.join(FILE))?,
        }))
    }

    /// Responds to an alert that was told while its recording is written. What was done, or would be, in lines for people.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn told(&mut self, told: &Told) -> Result<Vec<String>> {
        self.respond(&told.alert, Some(told.number), told.started)
    }

    /// The same of a finished recording, where nothing is ever done.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn dry(&mut self, alerts: &[Alert]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for alert in alerts {
            lines.extend(self.respond(alert, None, None)?);
        }
        Ok(lines)
    }

    fn respond(&mut self, alert: &Alert, number: Option<u64>, started: Option<i64>) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        if alert.severity < self.least || alert.allowed.is_some() {
            return Ok(lines);
        }
        for action in self.actions.clone() {
            let process = (action == Action::Kill).then_some(alert.exec_id.unwrap_or_else(|| alert.pid.into()));
            if !self.done.insert((action, Arc::clone(&alert.container), process)) {
                continue;
            }
            let really = self.really.contains(&action);
            let mut entry = Entry::new(alert, number, action, really);
            match self.why_not(alert, really) {
                Some(why) => entry.refuse(why),
                None => carry_out(&mut entry, alert, started, really),
            }
            lines.push(entry.describe());
            self.log.add(&entry)?;
        }
        Ok(lines)
    }

    /// Why nothing is done about an alert, whatever the action.
    fn why_not(&self, alert: &Alert, really: bool) -> Option<String> {
        let container = &*alert.container;
        if container == HOST {
            return Some("it is of no container".to_owned());
        }
        let name = alert.container_name.as_deref().unwrap_or(container);
        let chosen = |pattern: &String| wild(pattern, name) || wild(pattern, container);
        if !self.containers.is_empty() && !self.containers.iter().any(chosen) {
            return Some("the container is not among those of --respond-to".to_owned());
        }
        (really && tree::is_own(container)).then(|| "the recorder or this program runs in it".to_owned())
    }
}

fn carry_out(entry: &mut Entry, alert: &Alert, started: Option<i64>, really: bool) {
    let done = match entry.action {
        Action::Kill => match tree::Doomed::find(alert, started, really) {
            Ok(doomed) if really => {
                let killed = doomed.kill();
                entry.killed = killed;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(why) => Err(why),
        },
        Action::Isolate | Action::Pause => Engine::of(alert).and_then(|engine| {
            if !really {
                return Ok(());
            }
            if entry.action == Action::Pause {
                return engine.pause();
            }
            let networks = engine.networks()?;
            // Logged as far as it went, so that it can be taken back.
            for network in networks {
                engine.disconnect(&network.name)?;
                entry.before.get_or_insert_with(Before::default).networks.push(network);
            }
            Ok(())
        }),
    };
    match done {
        Ok(()) => entry.done = really,
        Err(why) => entry.refuse(why),
    }
}
