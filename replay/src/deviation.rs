//! What the profile hands to the engines: one observed departure from what an image does.

use std::collections::BTreeMap;
use std::sync::Arc;

use record_bpf::Class;
use serde::{Deserialize, Serialize};

use crate::many;
use crate::profile::Volume;

/// A row of the recording that proves something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "StoredRow", into = "StoredRow")]
pub struct RowRef {
    pub class: Class,
    pub cpu: u16,
    /// Of several recordings, with the recording's number in it: see [`many`].
    pub seq: u64,
}

/// A row as it is written: with the recorder's own number, and the recording beside it.
#[derive(Clone, Serialize, Deserialize)]
struct StoredRow {
    #[serde(serialize_with = "class_name", deserialize_with = "class_of_name")]
    class: Class,
    cpu: u16,
    seq: u64,
    /// Number of the recording among several, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recording: Option<u16>,
}

impl From<RowRef> for StoredRow {
    fn from(row: RowRef) -> Self {
        let RowRef { class, cpu, seq } = row;
        StoredRow { class, cpu, seq: many::own_seq(seq), recording: row.recording().map(|number| number as u16) }
    }
}

impl From<StoredRow> for RowRef {
    fn from(StoredRow { class, cpu, seq, recording }: StoredRow) -> Self {
        RowRef { class, cpu, seq: many::seq_in(recording.map_or(0, usize::from), many::own_seq(seq)) }
    }
}

impl RowRef {
    /// Number of the recording among several, from 1; None where there is one only.
    pub fn recording(&self) -> Option<usize> {
        Some(many::of_row(self.seq)).filter(|number| *number > 0)
    }

    /// The recorder's own sequence number.
    pub fn own_seq(&self) -> u64 {
        many::own_seq(self.seq)
    }
}

impl std::fmt::Display for RowRef {
    /// `class/cpu/seq`, of several recordings `number:class/cpu/seq`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(number) = self.recording() {
            write!(f, "{number}:")?;
        }
        write!(f, "{}/{}/{}", self.class.name(), self.cpu, self.own_seq())
    }
}

fn class_name<S: serde::Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.name())
}

fn class_of_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Class, D::Error> {
    let name = String::deserialize(deserializer)?;
    Class::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("no class is called {name:?}")))
}

/// The prefix tree that an event left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    Process,
    File,
    Network,
}

impl Tree {
    pub const ALL: [Tree; 3] = [Tree::Process, Tree::File, Tree::Network];

    pub const fn name(self) -> &'static str {
        match self {
            Tree::Process => "process",
            Tree::File => "file",
            Tree::Network => "network",
        }
    }
}

/// What was new about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviationKind {
    /// The image has no profile: nothing was learned about it.
    UnknownImage,
    /// A known program under a parent it never had.
    NewParent,
    /// A program this image never ran.
    NewProcess,
    /// A known program under a known parent, with arguments unlike any learned.
    NewArguments,
    NewPath,
    NewFileOperation,
    NewPeer,
    NewPort,
    /// A known peer was sent more than is forecast for the hour.
    NewVolume,
    /// Nothing that a profile describes: a rule hit it.
    RuleHit,
}

impl DeviationKind {
    pub const fn name(self) -> &'static str {
        match self {
            DeviationKind::UnknownImage => "unknown_image",
            DeviationKind::NewParent => "new_parent",
            DeviationKind::NewProcess => "new_process",
            DeviationKind::NewArguments => "new_arguments",
            DeviationKind::NewPath => "new_path",
            DeviationKind::NewFileOperation => "new_file_operation",
            DeviationKind::NewPeer => "new_peer",
            DeviationKind::NewPort => "new_port",
            DeviationKind::NewVolume => "new_volume",
            DeviationKind::RuleHit => "rule_hit",
        }
    }
}

impl DeviationKind {
    /// In words.
    pub const fn what(self) -> &'static str {
        match self {
            DeviationKind::UnknownImage => "image without a profile",
            DeviationKind::NewParent => "known program, new parent",
            DeviationKind::NewProcess => "new program",
            DeviationKind::NewArguments => "new arguments",
            DeviationKind::NewPath => "new path",
            DeviationKind::NewFileOperation => "new operation on a known path",
            DeviationKind::NewPeer => "new peer",
            DeviationKind::NewPort => "new port",
            DeviationKind::NewVolume => "more sent than forecast",
            DeviationKind::RuleHit => "a rule's hit",
        }
    }
}

/// The argument tier that decided, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Decided by the tree alone, before arguments were looked at.
    Structure,
    Canonical,
    Grammar,
    TokenNovelty,
    Embedding,
}

/// The learned argument pattern nearest to the one observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    pub pattern: Arc<str>,
    /// Cosine similarity of the sentence embeddings, -1 to 1.
    pub cosine: f32,
}

/// One departure from a locked profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// Unix time of the first event, ns.
    pub ts: i64,
    pub tree: Tree,
    pub kind: DeviationKind,
    pub image: Arc<str>,
    pub container: Arc<str>,
    /// Incarnation of the process that did it.
    pub exec_id: Option<u64>,
    pub pid: u32,
    /// Path through the tree from the image to the deviating element.
    pub path: Vec<Arc<str>>,
    /// Index in `path` of the first element the profile does not have.
    pub at: usize,
    /// What happened in one line, in words an embedding model and a person can both read:
    /// the command line, or "<process> writes <path>", "<process> connects to <peer>:<port>".
    pub text: Arc<str>,
    /// The file of the first event as the recorder's host sees it, where that differs.
    pub host_path: Option<Arc<str>>,
    /// Containers that it connected to, each with the time of the first connection, Unix ns.
    pub reached: BTreeMap<Arc<str>, i64>,
    pub tier: Tier,
    /// Risk of what the arguments add to those learned, 0 to 1; only where the grammar tier ran.
    pub risk: Option<f32>,
    /// What they add, the riskiest first.
    pub changes: Vec<Arc<str>>,
    /// Share of the tokens never seen at that leaf, 0 to 1; only where arguments were compared.
    pub token_novelty: Option<f32>,
    /// Only where the embedding tier ran.
    pub nearest: Option<Nearest>,
    /// Only of what was sent beyond its forecast: the largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Events folded into this deviation.
    pub count: u64,
    /// The rows that prove it, the first ones.
    pub rows: Vec<RowRef>,
}
