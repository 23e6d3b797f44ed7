//! The process table: who an incarnation is, and who its ancestors are.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Origin, Process, Recording};
use foldhash::quality::RandomState;

/// Stands for the container and image of processes outside containers.
pub const HOST: &str = "host";
/// The program of a process that the recording does not know.
pub const UNKNOWN: &str = "(unknown)";
/// The parent of a process whose parent is not in the same container.
pub const OUTSIDE: &str = "(outside)";

/// Ancestors kept of one process; deeper chains are cut (and a damaged table cannot loop).
const DEPTH: usize = 64;

/// Programs that set a container up, and that then become its first program.
pub const RUNTIMES: [&str; 4] = ["runc", "crun", "runc-dmz", "youki"];
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"];

/// `processes.parquet`, by incarnation.
#[derive(Debug, Default)]
pub struct ProcessTable {
    /// Boxed: the map has room for up to twice as many as there are.
    rows: HashMap<u64, Box<Process>, RandomState>,
    unknown: Option<Arc<str>>,
}

impl ProcessTable {
    pub fn new(rows: impl IntoIterator<Item = Process>) -> Self {
        let rows = rows.into_iter().map(|process| (process.exec_id, Box::new(process))).collect();
        Self { rows, unknown: Some(UNKNOWN.into()) }
    }

    /// That of a recording.
    ///
    /// # Errors
    /// Its table cannot be read.
    pub fn read(recording: &Recording) -> datasets::Result<Self> {
        let mut table = Self::new([]);
        recording.each_process(|process| table.extend([process]))?;
        Ok(table)
    }

    /// Adds rows; one that is known is replaced.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Process>) {
        self.rows.extend(rows.into_iter().map(|process| (process.exec_id, Box::new(process))));
    }

    pub fn get(&self, exec_id: u64) -> Option<&Process> {
        self.rows.get(&exec_id).map(Box::as_ref)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The executable of an incarnation, or `(unknown)`.
    pub fn exe(&self, exec_id: Option<u64>) -> Arc<str> {
        let exe = exec_id.and_then(|id| self.get(id)).and_then(|process| process.exe.clone());
        exe.or_else(|| self.unknown.clone()).unwrap_or_else(|| UNKNOWN.into())
    }

    /// The executable of the parent, or `(outside)` when the parent is in another container or not recorded.
    pub fn parent_exe(&self, parent: Option<u64>, container: Option<&Arc<str>>) -> Arc<str> {
        let inside = parent.and_then(|id| self.get(id)).filter(|process| process.container.as_ref() == container);
        inside.map_or_else(|| OUTSIDE.into(), |process| process.exe.clone().unwrap_or_else(|| UNKNOWN.into()))
    }

    /// Incarnations from `exec_id` outwards: itself, then by turns what it replaced or who forked it. Crosses the
    /// container's border no further than the container's own first process.
    pub fn lineage(&self, exec_id: u64) -> impl Iterator<Item = &Process> {
        let first = self.get(exec_id);
        let container = first.and_then(|process| process.container.clone());
        let inside = move |process: &&Process| process.container == container;
        let next = |process: &&Process| {
            let before = process.prev_exec_id.or(process.parent_exec_id)?;
            self.get(before)
        };
        std::iter::successors(first, next).take_while(inside).take(DEPTH)
    }

    /// When the kernel made the process that an incarnation is of: at its fork, before all of its execs; Unix time, ns.
    pub fn begun(&self, exec_id: u64) -> Option<i64> {
        let pid = self.get(exec_id)?.pid;
        // Across the container's border: a container's first program was the runtime before.
        let before = |process: &&Process| process.prev_exec_id.and_then(|id| self.get(id));
        let own = std::iter::successors(self.get(exec_id), before).take_while(|process| process.pid == pid);
        own.take(DEPTH).last()?.start
    }

    /// Whether another process of the same container started the incarnation while it was recorded; not so of a container's
    /// first process, and of what ran before the recording.
    pub fn was_started(&self, exec_id: u64) -> bool {
        let Some(process) = self.get(exec_id) else { return false };
        process.origin == Origin::Exec && self.lineage(exec_id).any(|above| above.pid != process.pid)
    }

    /// The process tree that an incarnation belongs to, by the incarnation at its root: the outermost ancestor within the
    /// container, or, where that is a server and not a shell, the outermost one below it that runs another program. So what a
    /// web server, a login service or cron starts is a tree for each request, session or job; what a container's script
    /// starts, or someone who entered the container, is one tree; and what the server does itself is its own.
    pub fn tree(&self, exec_id: u64) -> Option<u64> {
        let name =
            |process: &Process| process.exe.as_deref().map(|exe| exe.rsplit('/').next().unwrap_or(exe).to_owned());
        let mut chain: Vec<&Process> = self.lineage(exec_id).collect();
        // The container runtime's own processes, before they become the container's program.
        while chain.len() > 1
            && chain.last().and_then(|outer| name(outer)).is_none_or(|name| RUNTIMES.contains(&&*name))
        {
            chain.pop();
        }
        let pid = chain.last()?.pid;
        let outermost = chain.iter().rev().take_while(|process| process.pid == pid).last()?;
        if name(outermost).is_some_and(|name| SHELLS.contains(&&*name)) {
            return Some(outermost.exec_id);
        }
        let below = chain.iter().rev().find(|process| process.pid != pid && process.exe != outermost.exe);
        Some(below.unwrap_or(outermost).exec_id)
    }

    /// The processes above `exec_id`, outermost first, itself last. A program that was replaced by exec is listed only
    /// where it had run a different program before.
    pub fn ancestry(&self, exec_id: u64) -> Vec<&Process> {
        let mut chain: Vec<&Process> = Vec::new();
        for process in self.lineage(exec_id) {
            let repeats = chain.last().is_some_and(|last| last.exe == process.exe && last.argv == process.argv);
            if repeats {
                // The fork before an exec shows its parent's program; the parent itself says the same.
                chain.pop();
            }
            chain.push(process);
        }
        chain.reverse();
        chain
    }
}
