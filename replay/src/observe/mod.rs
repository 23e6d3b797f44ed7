//! Events as the profile sees them: which tree, which path through it, whose doing.

mod domains;
pub mod file;
mod network;
pub mod peers;
pub mod process;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Common, Event, NetworkEvent};
use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use crate::args::Canonical;
use crate::config::Config;
use crate::deviation::{RowRef, Tree};

pub use domains::Domains;
pub use network::{Far, Sent, ServicePort, far};
pub use peers::Peers;
pub use table::{HOST, ProcessTable, RUNTIMES};

/// One event, or one side of a rename, as a path through a tree below the image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    pub tree: Tree,
    /// Unix time, ns.
    pub ts: i64,
    pub container: Arc<str>,
    pub exec_id: Option<u64>,
    pub pid: u32,
    pub row: RowRef,
    /// process: parent, program. file: program, path segments, operation. network: program, direction, peer, port.
    pub steps: Arc<[Arc<str>]>,
    /// process only; what is written down are observations of rules, which have none.
    #[serde(skip)]
    pub args: Option<Canonical>,
    /// What happened, as it was: a command line, a path, a peer with its port.
    pub raw: Arc<str>,
    /// file only: as the recorder's host sees it, where that differs.
    pub host_path: Option<Arc<str>>,
    /// A connection to another container: its id.
    pub reached: Option<Arc<str>>,
}

impl Observation {
    /// The program that acts (for an exec, the one that is run).
    pub fn program(&self) -> &Arc<str> {
        match self.tree {
            Tree::Process => &self.steps[1],
            Tree::File | Tree::Network => &self.steps[0],
        }
    }

    /// One line that a person and an embedding model can both read.
    pub fn text(&self) -> String {
        let program = crate::args::canonical::basename(self.program());
        match self.tree {
            Tree::Process => self.raw.to_string(),
            Tree::File => format!("{program} {} {}", file::verb(self.steps.last().map_or("", |op| op)), self.raw),
            Tree::Network => format!("{program} {} {}", network::verb(&self.steps[1]), self.raw),
        }
    }
}

/// Turns the events of one image into observations. Holds memory of paths already taken apart, and of names asked for.
pub struct Observer {
    domains: domains::Domains,
    commands: process::Commands,
    words: network::Words,
    memo: HashMap<MemoKey, Arc<[Arc<str>]>, RandomState>,
}

/// Program, operation, raw path.
type MemoKey = (Arc<str>, &'static str, Arc<str>);

/// Paths remembered before the memory is emptied; bounds it at some tens of megabytes.
const MEMO: usize = 100_000;

impl Observer {
    pub fn new() -> Self {
        Self {
            domains: domains::Domains::default(),
            commands: process::Commands::default(),
            words: network::Words::default(),
            memo: HashMap::default(),
        }
    }

    /// Zero, one or two observations of `event`, appended to `out`.
    pub fn observe(&mut self, event: &Event, context: &Context<'_>, out: &mut Vec<Observation>) {
        match event {
            Event::Process(event) => out.extend(process::observe(event, context, &mut self.commands)),
            Event::File(event) => file::observe(event, context, self, out),
            Event::Network(event) => out.extend(network::observe(event, context, &self.domains, &mut self.words)),
            Event::Dns(event) => self.domains.see(event, context),
            // No tree is learned from the other classes.
            _ => {}
        }
    }

    /// To whom a closed connection of the internet protocols sent; None for any other event.
    pub fn sent(&mut self, event: &NetworkEvent, context: &Context<'_>) -> Option<Sent> {
        network::sent(event, context, &self.domains, &mut self.words)
    }

    /// What is known of containers and their addresses may be something else from now on.
    pub fn forget_words(&mut self) {
        self.words = network::Words::default();
    }

    /// The other end of a socket; None where nothing says who it is, and of a socket of no internet protocol.
    pub fn far(&self, event: &NetworkEvent, context: &Context<'_>) -> Option<Far> {
        matches!(&*event.family, "inet" | "inet6").then(|| network::far(event, context, &self.domains)).flatten()
    }

    fn steps(
        &mut self,
        program: &Arc<str>,
        op: &'static str,
        path: &Arc<str>,
        make: impl FnOnce() -> Arc<[Arc<str>]>,
    ) -> Arc<[Arc<str>]> {
        if self.memo.len() >= MEMO {
            self.memo.clear();
        }
        Arc::clone(self.memo.entry((Arc::clone(program), op, Arc::clone(path))).or_insert_with(make))
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

/// What an observation needs to know besides the event.
pub struct Context<'a> {
    pub processes: &'a ProcessTable,
    pub peers: &'a Peers,
    pub config: &'a Config,
}

fn row(common: &Common) -> RowRef {
    RowRef { class: common.kind.class(), cpu: common.cpu, seq: common.seq }
}

fn container(common: &Common) -> Arc<str> {
    common.container.clone().unwrap_or_else(|| HOST.into())
}
