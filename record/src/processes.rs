//! The process table: one row per incarnation of a process, filled from fork, exec and exit.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use datasets::{Origin, Process};
use record_bpf::abi;

use crate::decode::Program;

#[derive(Default)]
pub struct ProcessTable {
    rows: BTreeMap<u64, Process>,
    /// Parent pids of rows whose parent incarnation is not known yet.
    orphans: Vec<(u64, u32)>,
    /// Incarnation that a pid runs now.
    current: HashMap<u32, u64>,
    /// Rows that are new or have changed since they were asked for.
    changed: BTreeSet<u64>,
    /// When rows ended, in the order they did; Unix time, ns.
    ended: VecDeque<(i64, u64)>,
    /// Rows that were let go.
    settled: usize,
}

/// How long a row is held after its end: rows of other CPUs' events that name it may still come. ns
const SETTLED_AFTER: i64 = 10_000_000_000;

/// Waits-status parts as wait(2) gives them: exit code or signal.
pub fn exit_parts(status: u32) -> (Option<i32>, Option<i32>) {
    let signal = (status & 0x7f).cast_signed();
    let code = (status >> 8 & 0xff).cast_signed();
    if signal == 0 { (Some(code), None) } else { (None, Some(signal)) }
}

impl ProcessTable {
    /// `ts`: Unix time, ns.
    pub fn fork(&mut self, fork: &abi::Fork, ts: i64, container: Option<Arc<str>>) {
        let parent = self.rows.get(&fork.h.exec_id);
        let row = Process {
            exec_id: fork.child_exec_id,
            parent_exec_id: known(fork.h.exec_id),
            prev_exec_id: None,
            origin: Origin::Fork,
            container,
            pid: fork.child_pid,
            ns_pid: known(fork.child_ns_pid),
            start: Some(ts),
            end: None,
            exe: parent.and_then(|p| p.exe.clone()),
            argv: parent.and_then(|p| p.argv.clone()),
            cwd: parent.and_then(|p| p.cwd.clone()),
            comm: parent.and_then(|p| p.comm.clone()),
            uid: parent.and_then(|p| p.uid),
            gid: parent.and_then(|p| p.gid),
            exe_memfd: parent.is_some_and(|p| p.exe_memfd),
            exe_deleted: parent.is_some_and(|p| p.exe_deleted),
            argv_truncated: parent.is_some_and(|p| p.argv_truncated),
            exit_code: None,
            exit_signal: None,
        };
        self.insert(row);
    }

    /// An exec, or a program that ran before it was followed. `intern` shares equal strings.
    pub fn program(
        &mut self,
        program: &Program,
        ts: i64,
        origin: Origin,
        container: Option<Arc<str>>,
        intern: &mut impl FnMut(&str) -> Arc<str>,
    ) {
        let wire = &program.wire;
        let prev = known(wire.prev_exec_id);
        if let Some(prev) = prev.and_then(|id| self.rows.get_mut(&id)) {
            prev.end = Some(ts);
            self.changed.insert(prev.exec_id);
            self.ended.push_back((ts, prev.exec_id));
        }
        let parent = known(wire.parent_exec_id).or_else(|| self.current.get(&wire.ppid).copied());
        if parent.is_none() {
            self.orphans.push((wire.h.exec_id, wire.ppid));
        }
        let row = Process {
            exec_id: wire.h.exec_id,
            parent_exec_id: parent,
            prev_exec_id: prev,
            origin,
            container,
            pid: wire.h.pid,
            ns_pid: known(wire.ns_pid),
            start: (origin != Origin::Snapshot).then_some(ts),
            end: None,
            exe: program.exe.as_deref().map(&mut *intern),
            argv: Some(program.argv.iter().map(|argument| intern(argument)).collect()),
            cwd: program.cwd.as_deref().map(&mut *intern),
            comm: Some(intern(&crate::decode::text(crate::decode::until_nul(&wire.comm)))),
            uid: Some(wire.uid),
            gid: Some(wire.gid),
            exe_memfd: wire.flags & abi::EXEC_MEMFD != 0,
            exe_deleted: wire.flags & abi::EXEC_DELETED != 0,
            argv_truncated: argv_truncated(wire),
            exit_code: None,
            exit_signal: None,
        };
        self.insert(row);
    }

    pub fn exit(&mut self, exit: &abi::Exit, ts: i64) {
        if let Some(row) = self.rows.get_mut(&exit.h.exec_id) {
            row.end = Some(ts);
            (row.exit_code, row.exit_signal) = exit_parts(exit.status);
            self.changed.insert(row.exec_id);
            self.ended.push_back((ts, row.exec_id));
        }
        self.current.remove(&exit.h.pid);
    }

    fn insert(&mut self, row: Process) {
        if row.origin == Origin::Snapshot {
            // A parent that ran before the recording may be introduced after its child.
            for (child, _) in self.orphans.extract_if(.., |(_, ppid)| *ppid == row.pid) {
                if let Some(child) = self.rows.get_mut(&child) {
                    self.changed.insert(child.exec_id);
                    child.parent_exec_id = Some(row.exec_id);
                }
            }
        }
        self.current.insert(row.pid, row.exec_id);
        self.changed.insert(row.exec_id);
        self.rows.insert(row.exec_id, row);
    }

    /// Rows that are new or have changed since the last call; `all`: every row.
    pub fn take_changed(&mut self, all: bool) -> Vec<Process> {
        let changed = std::mem::take(&mut self.changed);
        if all {
            return self.rows.values().cloned().collect();
        }
        changed.into_iter().filter_map(|exec_id| self.rows.get(&exec_id).cloned()).collect()
    }

    /// Lets go of the rows that ended a while before `now` (Unix time, ns): nothing can change them any more.
    pub fn settle(&mut self, now: i64) -> Vec<Process> {
        let mut settled = Vec::new();
        while let Some((_, exec_id)) = self.ended.pop_front_if(|(end, _)| *end < now - SETTLED_AFTER) {
            self.changed.remove(&exec_id);
            settled.extend(self.rows.remove(&exec_id));
        }
        // A parent that has not been introduced by now will not be.
        self.orphans.retain(|(child, _)| self.rows.contains_key(child));
        self.settled += settled.len();
        settled
    }

    /// How many rows there were.
    pub fn count(&self) -> usize {
        self.rows.len() + self.settled
    }

    /// Those that were not let go.
    pub fn into_rows(self) -> Vec<Process> {
        self.rows.into_values().collect()
    }
}

pub fn argv_truncated(wire: &abi::Exec) -> bool {
    wire.flags & (abi::EXEC_ARGV_TRUNCATED | abi::EXEC_ARGV_FAULT) != 0
}

/// Zero is the kernel side's "not known".
fn known<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}
