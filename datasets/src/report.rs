//! What [`verify`](crate::verify()) found.

use std::path::PathBuf;

use serde::Serialize;

use crate::derive::Derived;
use crate::manifest::{Moment, State};

/// The outcome of a verification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifyReport {
    pub path: PathBuf,
    pub verdict: Verdict,
    pub state: State,
    pub started: Moment,
    pub segments: u64,
    pub tables: u64,
    /// Event rows read.
    pub rows: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// The public key that the manifest's signature is by, hex, if the signature holds. Without one, whoever can write to the
    /// recording can change it and its hashes together.
    pub signed_by: Option<String>,
    /// The end of the hash chain, hex. Whoever keeps it elsewhere can tell later that the whole was not replaced.
    pub chain: String,
    /// What it was made from, if it was made from other recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    pub cpus: Vec<CpuReport>,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is as it was written, and every event is accounted for.
    Intact,
    /// What is there is as it was written; the recorder did not finish, so the end is missing.
    Unfinished,
    /// What is there is as it was recovered after the recorder was killed. Every event is accounted for up to the moment
    /// that the manifest names.
    Recovered,
    Damaged,
    /// Not signed by the key that was asked for; but for that, what is there is as it was written.
    Untrusted,
}

/// One CPU's events, recomputed from the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CpuReport {
    pub cpu: u16,
    /// From the manifest: one past the last sequence number taken.
    pub next_seq: Option<u64>,
    pub rows: u64,
    /// Sequence numbers without a row.
    pub missing: u64,
    /// From the manifest.
    pub dropped: u64,
    /// From the manifest.
    pub filtered: u64,
    /// From the manifest.
    pub sampled_out: u64,
    /// From the manifest.
    pub known: u64,
    /// Rows that repeat a sequence number.
    pub duplicates: u64,
    /// Runs of missing numbers.
    pub gap_count: u64,
    /// The largest of them, at most 1,000, in the order of their numbers.
    pub gaps: Vec<Gap>,
}

/// A run of sequence numbers without rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// First missing number.
    pub from: u64,
    /// Last missing number.
    pub to: u64,
    /// Time of the row before it; `None`: there is none.
    pub after: Option<Moment>,
    /// Time of the row after it; `None`: there is none.
    pub before: Option<Moment>,
    /// What the recorder says it lost on this CPU in that time, and why. Empty: nothing explains the gap, or the recording has
    /// no table of losses.
    pub causes: Vec<GapCause>,
}

/// A loss that falls into the time of a gap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct GapCause {
    pub class: &'static str,
    /// As in the manifest's accounting.
    pub cause: &'static str,
}

impl Gap {
    /// The numbers just outside of it.
    pub(crate) fn neighbours(&self) -> [Option<u64>; 2] {
        [self.from.checked_sub(1), self.to.checked_add(1)]
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// A file of the recording, or a CPU, or a CPU and class.
    pub place: String,
    pub detail: String,
    /// The altered parts of the file, if it is known where they are: first and last byte of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A listed file is not there.
    Missing,
    /// A file is shorter than it was.
    Truncated,
    /// A file's bytes are not those that were written.
    Altered,
    /// A file cannot be read as Parquet.
    Unreadable,
    /// Segments were replaced, removed or moved in the manifest.
    Chain,
    /// Rows, segments or files out of the order that they were written in.
    Reordered,
    /// Columns or values that the schema does not allow.
    Schema,
    /// Numbers that do not agree.
    Miscounted,
    /// A sequence number twice.
    Duplicate,
    /// A Parquet file that the manifest does not list. Not damage where the recorder did not finish: stopped between a
    /// segment's rename and the manifest's, it leaves one, whole, and nothing vouches for it.
    Unlisted,
    /// A signature was asked for, and there is none. Not damage.
    Unsigned,
    /// A signature by another key than the one asked for. Not damage.
    OtherKey,
    /// The manifest and its signature do not belong together.
    BrokenSignature,
    /// The recorder did not finish. Not damage.
    Unfinished,
    /// The recorder was killed and the recording completed from its journal. Not damage.
    Recovered,
}

impl FindingKind {
    pub const fn is_damage(self, state: State) -> bool {
        match self {
            FindingKind::Unfinished | FindingKind::Recovered | FindingKind::Unsigned | FindingKind::OtherKey => false,
            FindingKind::Unlisted => matches!(state, State::Complete | State::Recovered),
            _ => true,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            FindingKind::Missing => "missing",
            FindingKind::Truncated => "truncated",
            FindingKind::Altered => "altered",
            FindingKind::Unreadable => "unreadable",
            FindingKind::Chain => "chain",
            FindingKind::Reordered => "reordered",
            FindingKind::Schema => "schema",
            FindingKind::Miscounted => "miscounted",
            FindingKind::Duplicate => "duplicate",
            FindingKind::Unlisted => "unlisted",
            FindingKind::Unsigned => "unsigned",
            FindingKind::OtherKey => "other key",
            FindingKind::BrokenSignature => "broken signature",
            FindingKind::Unfinished => "unfinished",
            FindingKind::Recovered => "recovered",
        }
    }
}

#[derive(Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn add(&mut self, kind: FindingKind, place: &str, detail: impl Into<String>) {
        self.0.push(Finding { kind, place: place.to_owned(), detail: detail.into(), bytes: Vec::new() });
    }

    /// Of bytes of a file.
    pub(crate) fn altered(&mut self, file: &str, detail: String, ranges: &[std::ops::Range<u64>]) {
        let bytes = ranges.iter().map(|range| (range.start, range.end - 1)).collect();
        self.0.push(Finding { kind: FindingKind::Altered, place: file.to_owned(), detail, bytes });
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
