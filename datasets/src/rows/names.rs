//! What the dimension tables say of an event: its container, its process, its label.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Container, Event, Label, Process};
use crate::read::Recording;
use crate::{Result, tree};

/// The tables of processes, containers and labels, in memory.
#[derive(Debug, Default)]
pub struct Names {
    containers: HashMap<Arc<str>, Container>,
    processes: HashMap<u64, Process>,
    labels: HashMap<(u16, u64), Label>,
}

/// Hex digits of a container id that people are shown.
const SHORT: usize = 12;

impl Names {
    /// # Errors
    /// A table that cannot be read.
    pub fn read(recording: &Recording) -> Result<Names> {
        let containers = recording.containers()?.into_iter().map(|row| (row.id.clone(), row)).collect();
        let processes = recording.processes()?.into_iter().map(|row| (row.exec_id, row)).collect();
        let labels = recording.labels()?.into_iter().map(|row| ((row.cpu, row.seq), row)).collect();
        Ok(Names { containers, processes, labels })
    }

    pub fn container(&self, event: &Event) -> Option<&Container> {
        self.container_of(event.common().container.as_ref())
    }

    pub fn container_of(&self, id: Option<&Arc<str>>) -> Option<&Container> {
        self.containers.get(id?)
    }

    /// The incarnation of the process that did it.
    pub fn process(&self, event: &Event) -> Option<&Process> {
        self.incarnation(event.common().exec_id)
    }

    pub fn incarnation(&self, exec_id: Option<u64>) -> Option<&Process> {
        self.processes.get(&exec_id?)
    }

    /// The process that forked this one.
    pub fn parent(&self, process: &Process) -> Option<&Process> {
        self.incarnation(process.parent_exec_id).filter(|parent| parent.exec_id != process.exec_id)
    }

    pub fn label(&self, event: &Event) -> Option<&Label> {
        let common = event.common();
        self.labels.get(&(common.cpu, common.seq)).filter(|label| label.class == event.class())
    }

    /// The container's name, or the beginning of its id; `None`: outside containers.
    pub fn place<'a>(&'a self, event: &'a Event) -> Option<&'a str> {
        let id = event.common().container.as_ref()?;
        let name = self.containers.get(id).and_then(|container| container.name.as_deref());
        Some(name.unwrap_or_else(|| short_id(id)))
    }
}

/// The beginning of a container id, as runtimes print it.
pub fn short_id(id: &str) -> &str {
    match id.char_indices().nth(SHORT) {
        Some((end, _)) => &id[..end],
        None => id,
    }
}

/// The command line as one line of printable text.
pub(crate) fn command(process: &Process) -> String {
    tree::command(process)
}
