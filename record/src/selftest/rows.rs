//! The recorded rows of one case: those of its process and all its descendants.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;

use datasets::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, Process, ProcessEvent, Recording, ResourceEvent,
    SecurityEvent, SyscallEvent, TlsEvent,
};
use record_bpf::Kind;

/// A row type of one class.
pub trait Row: Debug + Sized {
    fn of(event: &Event) -> Option<&Self>;
}

macro_rules! rows {
    ($($variant:ident($row:ident)),*) => {$(
        impl Row for $row {
            fn of(event: &Event) -> Option<&$row> {
                match event { Event::$variant(row) => Some(row), _ => None }
            }
        }
    )*};
}

rows!(
    Process(ProcessEvent),
    Security(SecurityEvent),
    File(FileEvent),
    Network(NetworkEvent),
    Dns(DnsEvent),
    Tls(TlsEvent),
    Flow(FlowEvent),
    Syscall(SyscallEvent),
    Resource(ResourceEvent)
);

/// The rows of a case, in order of time.
pub struct Rows {
    events: Vec<Event>,
    processes: Vec<Process>,
    hooks: BTreeMap<String, Vec<String>>,
}

impl Rows {
    /// The rows of the process that ran `case`, of its descendants, and those that belong to no process at all (as packets).
    /// None if no such process was recorded.
    pub fn of_case(case: &str, recorded: &Recorded) -> Option<Rows> {
        let Recorded { events, processes, hooks } = recorded;
        let is_root = |process: &&Process| {
            let argv = process.argv.as_deref().unwrap_or_default();
            argv.iter()
                .zip(argv.iter().skip(1))
                .any(|(flag, name)| &**flag == super::trigger::CASE_FLAG && **name == *case)
        };
        let mut tree: HashSet<u64> = processes.iter().filter(is_root).map(|process| process.exec_id).collect();
        if tree.is_empty() {
            return None;
        }
        // Forked children and later programs of a member are members. The table is not sorted by descent.
        loop {
            let before = tree.len();
            for process in processes {
                let from = [process.parent_exec_id, process.prev_exec_id];
                if from.into_iter().flatten().any(|exec_id| tree.contains(&exec_id)) {
                    tree.insert(process.exec_id);
                }
            }
            if tree.len() == before {
                break;
            }
        }
        let is_own = |event: &&Event| event.common().exec_id.is_none_or(|exec_id| tree.contains(&exec_id));
        Some(Rows {
            events: events.iter().filter(is_own).cloned().collect(),
            processes: processes.iter().filter(|process| tree.contains(&process.exec_id)).cloned().collect(),
            hooks: hooks.clone(),
        })
    }

    /// Whether the recording had a program at this place, as `fentry/security_path_rename`; with `fentry/` whether any.
    pub fn hooked(&self, place: &str) -> bool {
        self.hooks.values().flatten().any(|hook| hook.starts_with(place))
    }

    /// All rows of the case, of every class.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The process table's rows of the case.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    pub fn all<R: Row>(&self, kind: Kind, matches: impl Fn(&R) -> bool) -> Vec<&R> {
        let of_kind = self.events.iter().filter(|event| event.common().kind == kind);
        of_kind.filter_map(|event| R::of(event)).filter(|row| matches(row)).collect()
    }

    /// The only row that matches. The error shows what there was instead.
    pub fn one<R: Row>(&self, kind: Kind, matches: impl Fn(&R) -> bool) -> Result<&R, String> {
        let op = kind.op();
        match self.all(kind, &matches)[..] {
            [row] => Ok(row),
            [] => match self.all::<R>(kind, |_| true)[..] {
                [] => Err(format!("no {op} row")),
                [other] => Err(format!("no {op} row that matches; there is {}", brief(other))),
                ref others => Err(format!(
                    "no {op} row that matches among {}; the last is {}",
                    others.len(),
                    brief(others[others.len() - 1])
                )),
            },
            ref rows => Err(format!("{} {op} rows match instead of one; the first is {}", rows.len(), brief(rows[0]))),
        }
    }

    pub fn process(&self, exec_id: Option<u64>) -> Result<&Process, String> {
        let exec_id = exec_id.ok_or("a row has no exec_id")?;
        self.processes
            .iter()
            .find(|row| row.exec_id == exec_id)
            .ok_or(format!("exec_id {exec_id:#x} is not in the process table"))
    }

    /// The pid in the rows of a process that called itself `ns_pid`. On the host they are the same.
    pub fn host_pid(&self, ns_pid: u32) -> Result<u32, String> {
        let named = self.processes.iter().find(|process| process.ns_pid == Some(ns_pid));
        named.map(|process| process.pid).ok_or(format!("no process in the table calls itself {ns_pid}"))
    }
}

/// A row without the columns that have no value.
fn brief(row: &impl Debug) -> String {
    let text = format!("{row:?}");
    text.split(", ").filter(|field| !field.ends_with(": None")).collect::<Vec<_>>().join(", ")
}

/// Everything that was recorded, read at once.
pub struct Recorded {
    pub events: Vec<Event>,
    pub processes: Vec<Process>,
    /// By class, from the manifest.
    pub hooks: BTreeMap<String, Vec<String>>,
}

impl Recorded {
    pub fn read(recording: &Recording) -> datasets::Result<Recorded> {
        let events = recording.events().collect::<datasets::Result<_>>()?;
        Ok(Recorded { events, processes: recording.processes()?, hooks: recording.manifest().hooks.clone() })
    }
}
