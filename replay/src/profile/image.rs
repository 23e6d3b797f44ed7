//! The profile of one image: learning an observation, and finding where one leaves what was learned.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ArgLeaf, Calls, Node, Traffic, Volume};
use crate::args::Tiers;
use crate::args::tiers::accepted_without_model;
use crate::config::{self, Config};
use crate::deviation::{DeviationKind, Nearest, Tier, Tree};
use crate::error::Result;
use crate::observe::{Observation, Sent};

/// parent → program → argument patterns
pub type ProcessTree = BTreeMap<Arc<str>, BTreeMap<Arc<str>, ArgLeaf>>;

/// What one image does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageProfile {
    /// parent → program → argument patterns
    pub process: ProcessTree,
    /// program → path segments → operation
    pub file: Node,
    /// program → direction and protocol → peer → port
    pub network: Node,
    /// program → peer → the most bytes sent to it within a minute
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sent: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u64>>,
    /// Volumes over time, where seasons of them were learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// System calls, where they were learned: nothing is compared with them, policies are made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
}

/// Peers of a program whose volumes are told apart; all further ones are one.
const PEERS: usize = 1_024;
const FURTHER: &str = "further peers";

/// What learning an observation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// A node or pattern that was not there.
    pub new: bool,
    /// The tree is another one now: it has a path or a pattern more, or a directory became a wildcard.
    pub grew: bool,
    /// Identity of the pattern that the observation belongs to.
    pub species: u64,
}

/// Where an observation leaves the profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    pub kind: DeviationKind,
    /// Index of the first unknown step; the image is step 0.
    pub at: usize,
    pub tier: Tier,
    pub risk: Option<f32>,
    pub changes: Vec<Arc<str>>,
    pub token_novelty: Option<f32>,
    pub nearest: Option<Nearest>,
    pub volume: Option<Volume>,
}

impl Departure {
    /// Decided by the tree alone.
    pub fn plain(kind: DeviationKind, at: usize) -> Self {
        Self {
            kind,
            at,
            tier: Tier::Structure,
            risk: None,
            changes: Vec::new(),
            token_novelty: None,
            nearest: None,
            volume: None,
        }
    }

    fn structure(kind: DeviationKind, at: usize) -> Option<Self> {
        Some(Self::plain(kind, at))
    }
}

impl ImageProfile {
    pub fn learn(&mut self, observation: &Observation, config: &Config) -> Learned {
        match observation.tree {
            Tree::Process => self.learn_process(observation, config),
            Tree::File => learn_path(&mut self.file, observation, config.profile.collapse),
            Tree::Network => learn_path(&mut self.network, observation, config.profile.collapse),
        }
    }

    /// A command line that a cheap tier of detection would accept is no new pattern: what counts as unseen is what would
    /// deviate.
    fn learn_process(&mut self, observation: &Observation, config: &Config) -> Learned {
        let (parent, program) = (&observation.steps[0], &observation.steps[1]);
        let leaf = self.process.entry(Arc::clone(parent)).or_default().entry(Arc::clone(program)).or_default();
        let mut hasher = DefaultHasher::new();
        (parent, program).hash(&mut hasher);
        let (mut new, mut grew) = (false, false);
        if let Some(args) = &observation.args {
            args.key().hash(&mut hasher);
            let accepted = !leaf.is_empty() && accepted_without_model(program, args, leaf, &config.args);
            grew = leaf.insert(program, args, config.profile.max_patterns);
            new = grew && !accepted;
        }
        Learned { new, grew, species: hasher.finish() }
    }

    /// Learns further events of a path of a tree of paths that it knows.
    pub fn count(&mut self, tree: Tree, steps: &[Arc<str>], events: u64) {
        match tree {
            Tree::Process => {}
            Tree::File => self.file.count(steps, events),
            Tree::Network => self.network.count(steps, events),
        }
    }

    /// Where the observation leaves the tree, or `None` when all of it is known.
    ///
    /// # Errors
    /// As [`Tiers::compare`].
    pub fn departure(&self, observation: &Observation, tiers: &Tiers<'_>) -> Result<Option<Departure>> {
        match observation.tree {
            Tree::Process => self.process_departure(observation, tiers),
            Tree::File => Ok(path_departure(&self.file, observation)),
            Tree::Network => Ok(path_departure(&self.network, observation)),
        }
    }

    fn process_departure(&self, observation: &Observation, tiers: &Tiers<'_>) -> Result<Option<Departure>> {
        let (parent, program) = (&observation.steps[0], &observation.steps[1]);
        let programs = self.process.get(parent);
        let Some(leaf) = programs.and_then(|programs| programs.get(program)) else {
            let elsewhere = self.process.values().any(|programs| programs.contains_key(program));
            let kind = if elsewhere { DeviationKind::NewParent } else { DeviationKind::NewProcess };
            return Ok(Departure::structure(kind, if programs.is_some() { 2 } else { 1 }));
        };
        let Some(args) = &observation.args else { return Ok(None) };
        let comparison = tiers.compare(program, args, leaf)?;
        Ok((!comparison.known).then_some(Departure {
            kind: DeviationKind::NewArguments,
            at: 3,
            tier: comparison.tier,
            risk: comparison.risk,
            changes: comparison.changes,
            token_novelty: comparison.token_novelty,
            nearest: comparison.nearest,
            volume: None,
        }))
    }

    /// Learns that a program sent so many bytes to a peer within a minute.
    pub fn learn_sent(&mut self, sent: Sent, bytes: u64) {
        let peers = self.sent.entry(sent.program).or_default();
        let known = peers.len() < PEERS || peers.contains_key(&sent.whom);
        let most = peers.entry(if known { sent.whom } else { FURTHER.into() }).or_default();
        *most = bytes.max(*most);
    }

    /// Learns that a container sent so many bytes so far within a bucket of the forecast.
    pub fn learn_traffic(&mut self, sent: &Sent, ts: i64, bytes: u64, config: &config::Forecast) {
        let traffic = self.traffic.get_or_insert_with(|| Traffic::new(config));
        traffic.learn(sent, traffic.at(ts), bytes, PEERS);
    }

    /// The most bytes that were learned; None if the program sent the peer nothing.
    pub fn most_sent(&self, sent: &Sent) -> Option<u64> {
        let peers = self.sent.get(&sent.program);
        peers.and_then(|peers| peers.get(&sent.whom).or_else(|| peers.get(FURTHER))).copied()
    }

    pub fn merge(&mut self, other: ImageProfile, bounds: &config::Profile) {
        let ImageProfile { process, file, network, sent, traffic, calls } = other;
        for (parent, programs) in process {
            let own = self.process.entry(parent).or_default();
            for (program, leaf) in programs {
                own.entry(program).or_default().merge(leaf, bounds.max_patterns);
            }
        }
        self.file.merge(file, bounds.collapse);
        self.network.merge(network, bounds.collapse);
        // Where one part knows nothing of calls, the union does not know them whole.
        self.calls = self.calls.take().zip(calls).map(|(mut own, theirs)| {
            own.merge(theirs);
            own
        });
        self.traffic = match (self.traffic.take(), traffic) {
            (Some(own), Some(theirs)) => own.merge(theirs),
            (own, theirs) => own.or(theirs),
        };
        for (program, peers) in sent {
            for (whom, bytes) in peers {
                self.learn_sent(Sent { program: Arc::clone(&program), whom }, bytes);
            }
        }
    }

    /// Events that were learned.
    pub fn observations(&self) -> u64 {
        let leaves = self.process.values().flat_map(BTreeMap::values);
        let mut sum = leaves.map(ArgLeaf::runs).sum();
        for tree in [&self.file, &self.network] {
            tree.each_leaf(&mut |_, count| sum += count);
        }
        sum
    }

    /// Nodes of a tree; an argument pattern is one.
    pub fn nodes(&self, tree: Tree) -> u64 {
        let programs = |programs: &BTreeMap<Arc<str>, ArgLeaf>| {
            1 + programs.values().map(|leaf| 1 + leaf.len() as u64).sum::<u64>()
        };
        match tree {
            Tree::Process => self.process.values().map(programs).sum(),
            Tree::File => self.file.nodes(),
            Tree::Network => self.network.nodes(),
        }
    }

    /// Patterns in a tree.
    pub fn patterns(&self, tree: Tree) -> u64 {
        match tree {
            Tree::Process => self.process.values().flat_map(BTreeMap::values).map(|leaf| leaf.len() as u64).sum(),
            Tree::File => self.file.patterns(),
            Tree::Network => self.network.patterns(),
        }
    }
}

fn learn_path(tree: &mut Node, observation: &Observation, bound: usize) -> Learned {
    let inserted = tree.insert(&observation.steps, bound);
    Learned { new: inserted.new, grew: inserted.grew, species: inserted.species }
}

fn path_departure(tree: &Node, observation: &Observation) -> Option<Departure> {
    let found = tree.matched(&observation.steps);
    if found.known {
        return None;
    }
    let last = observation.steps.len() - 1;
    let at = found.steps.min(last);
    let kind = match observation.tree {
        Tree::File if at == last => DeviationKind::NewFileOperation,
        Tree::File => DeviationKind::NewPath,
        _ if at == last => DeviationKind::NewPort,
        _ => DeviationKind::NewPeer,
    };
    Departure::structure(kind, at + 1)
}
