//! Events of a log as rows: their order, and the tables of processes and containers.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record_bpf::{Class, Kind};

use crate::Result;
use crate::derive::{self, Derived};
use crate::manifest::{Accounting, CpuAccount, Kernel, Manifest, Recorder};
use crate::model::{Common, Container, Event, Origin, Process, ProcessEvent};
use crate::write::RecordingWriter;

/// Events that are held back to be sorted by time; [`import`](super::import) says how many.
const WINDOW: usize = 65_536;

/// What a log says of the process that did something; what it does not say stays empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) pid: u32,
    pub(super) tid: Option<u32>,
    pub(super) ppid: Option<u32>,
    pub(super) container: Option<Arc<str>>,
    pub(super) exe: Option<Arc<str>>,
    pub(super) comm: Option<Arc<str>>,
    pub(super) argv: Option<Vec<Arc<str>>>,
    pub(super) cwd: Option<Arc<str>>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

pub(super) struct Builder {
    out: PathBuf,
    /// What the source can have.
    kinds: &'static [Kind],
    writer: Option<RecordingWriter>,
    /// By time and arrival.
    held: BTreeMap<(i64, u64), Event>,
    arrived: u64,
    written: u64,
    last: i64,
    by_class: BTreeMap<&'static str, u64>,
    processes: Vec<Process>,
    /// Which row of `processes` a pid is now.
    now: HashMap<u32, usize>,
    containers: BTreeMap<Arc<str>, Container>,
    left_out: BTreeMap<String, u64>,
}

impl Builder {
    pub(super) fn new(out: &Path) -> Builder {
        Builder {
            out: out.to_owned(),
            kinds: &[],
            writer: None,
            held: BTreeMap::new(),
            arrived: 0,
            written: 0,
            last: i64::MIN,
            by_class: BTreeMap::new(),
            processes: Vec::new(),
            now: HashMap::new(),
            containers: BTreeMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// What the source can have events of; to be told before the first one.
    pub(super) fn has(&mut self, kinds: &'static [Kind]) {
        self.kinds = kinds;
    }

    pub(super) fn leave_out(&mut self, name: &str) {
        *self.left_out.entry(name.to_owned()).or_default() += 1;
    }

    pub(super) fn left_out(&self) -> &BTreeMap<String, u64> {
        &self.left_out
    }

    /// Enters a container, once.
    pub(super) fn container(&mut self, container: Container) {
        self.containers.entry(container.id.clone()).or_insert(container);
    }

    /// A process that ran before the log began, with what is said of it.
    pub(super) fn present(&mut self, who: &Who) {
        if !self.now.contains_key(&who.pid) {
            self.enter(who, Origin::Snapshot, None);
        }
    }

    /// What every row has. A process that was not seen before ran before the log began.
    pub(super) fn common(&mut self, ts: i64, kind: Kind, who: &Who) -> Common {
        let at = match self.now.get(&who.pid) {
            Some(at) => *at,
            None => self.enter(who, Origin::Snapshot, None),
        };
        let exec_id = Some(self.processes[at].exec_id);
        let (container, tid) = (who.container.clone(), who.tid.unwrap_or(who.pid));
        Common { ts, cpu: 0, seq: 0, kind, container, pid: who.pid, tid, exec_id }
    }

    pub(super) fn exec(&mut self, ts: i64, who: &Who) -> Result<()> {
        let before = self.now.get(&who.pid).copied();
        if let Some(before) = before {
            self.processes[before].end = Some(ts);
        }
        let at = self.enter(who, Origin::Exec, before);
        self.processes[at].start = Some(ts);
        let mut row = ProcessEvent::new(self.common(ts, Kind::Exec, who));
        row.parent_exec_id = self.processes[at].parent_exec_id;
        (row.exe, row.argv, row.cwd) = (who.exe.clone(), who.argv.clone(), who.cwd.clone());
        (row.uid, row.gid) = (who.uid, who.gid);
        self.push(Event::Process(row))
    }

    pub(super) fn fork(&mut self, ts: i64, who: &Who, child: u32) -> Result<()> {
        let mut row = ProcessEvent::new(self.common(ts, Kind::Fork, who));
        let born = Who { pid: child, ppid: Some(who.pid), ..who.clone() };
        let at = self.enter(&born, Origin::Fork, None);
        self.processes[at].start = Some(ts);
        (row.child_pid, row.child_exec_id) = (Some(child), Some(self.processes[at].exec_id));
        self.push(Event::Process(row))
    }

    pub(super) fn exit(&mut self, ts: i64, who: &Who, code: Option<i32>, signal: Option<i32>) -> Result<()> {
        let mut row = ProcessEvent::new(self.common(ts, Kind::Exit, who));
        (row.exit_code, row.exit_signal) = (code, signal);
        if let Some(at) = self.now.remove(&who.pid) {
            let process = &mut self.processes[at];
            (process.end, process.exit_code, process.exit_signal) = (Some(ts), code, signal);
        }
        self.push(Event::Process(row))
    }

    fn enter(&mut self, who: &Who, origin: Origin, before: Option<usize>) -> usize {
        let at = self.processes.len();
        let parent = who.ppid.and_then(|pid| self.now.get(&pid)).map(|at| self.processes[*at].exec_id);
        self.processes.push(Process {
            exec_id: at as u64 + 1,
            parent_exec_id: parent,
            prev_exec_id: before.map(|at| self.processes[at].exec_id),
            origin,
            container: who.container.clone(),
            pid: who.pid,
            ns_pid: None,
            start: None,
            end: None,
            exe: who.exe.clone(),
            argv: who.argv.clone(),
            cwd: who.cwd.clone(),
            comm: who.comm.clone(),
            uid: who.uid,
            gid: who.gid,
            exe_memfd: false,
            exe_deleted: false,
            argv_truncated: false,
            exit_code: None,
            exit_signal: None,
        });
        self.now.insert(who.pid, at);
        at
    }

    pub(super) fn push(&mut self, event: Event) -> Result<()> {
        self.held.insert((event.common().ts, self.arrived), event);
        self.arrived += 1;
        if self.held.len() > WINDOW { self.write_first() } else { Ok(()) }
    }

    fn write_first(&mut self) -> Result<()> {
        let Some(((ts, _), mut event)) = self.held.pop_first() else { return Ok(()) };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let nobody = || "not told".to_owned();
                let (name, version) = ("datasets import".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
                let kernel = Kernel { release: nobody(), machine: nobody() };
                let mut classes: Vec<Class> = self.kinds.iter().map(|kind| kind.class()).collect();
                classes.dedup();
                let manifest = Manifest::new(Recorder { name, version }, kernel, ts, Vec::new(), &classes);
                none.insert(RecordingWriter::create_with(&self.out, manifest, derive::storage())?)
            }
        };
        event.common_mut().seq = self.written;
        self.written += 1;
        self.last = self.last.max(ts);
        *self.by_class.entry(event.class().name()).or_default() += 1;
        writer.push(&event)
    }

    /// `None`: there was no row, and nothing was written.
    pub(super) fn finish(mut self, tool: &str, notes: Vec<String>) -> Result<Option<Manifest>> {
        while !self.held.is_empty() {
            self.write_first()?;
        }
        let Some(mut writer) = self.writer else { return Ok(None) };
        let mut derived = Derived::new(&format!("import of {tool}"), Vec::new());
        derived.conditions = notes;
        for kind in self.kinds {
            derived.tells.entry(kind.class().name().to_owned()).or_default().push(kind.op().to_owned());
        }
        writer.set_derived(derived);
        writer.write_processes(&self.processes)?;
        let mut containers: Vec<Container> = self.containers.into_values().collect();
        containers.sort_by(|a, b| (a.first_seen, &a.id).cmp(&(b.first_seen, &b.id)));
        writer.write_containers(&containers)?;
        writer.write_addresses(&[])?;
        let mut account = CpuAccount { next_seq: self.written, ..CpuAccount::default() };
        for (class, n) in self.by_class {
            account.classes.entry(class.to_owned()).or_default().emitted = n;
        }
        writer.finish(Accounting { cpus: vec![account], ..Accounting::default() }, self.last).map(Some)
    }
}
