//! What the manifest says of a recording's upkeep: how it ended, what was recovered, what was removed, what it cost in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::manifest::Moment;

/// Why a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was asked to: by a signal, the end of the command, or the time it was given.
    Asked,
    /// It had grown to the size it was given.
    MaxSize,
    /// The output could not be written any more: the reason.
    WriteFailed(String),
    /// Something else than the output failed: the reason.
    Failed(String),
}

/// What `datasets recover` found in the journal of a recorder that was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// When it was recovered.
    pub at: Moment,
    /// When the recorder last noted its counters. What was emitted later and has no row is in no count. Absent: there was
    /// no journal, and nothing is known but the rows.
    pub known_until: Option<Moment>,
    /// Rows that came out of the journal.
    pub rows: u64,
    /// Bytes at the end of journal files that were no whole frame.
    pub torn_bytes: u64,
}

impl Recovered {
    /// What nobody knows, in words.
    pub fn unknown(&self) -> String {
        match &self.known_until {
            Some(moment) => format!(
                "recovered after the recorder was killed: events emitted after {} that have no row are in no count",
                moment.utc
            ),
            None => {
                "recovered after the recorder was killed, without a journal: what has no row is in no count".to_owned()
            }
        }
    }
}

/// Segments that were removed to make room for newer ones: the head of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    pub segments: u64,
    pub rows: u64,
    pub bytes: u64,
    /// The chain value of the last of them, hex: what the first segment that is left follows.
    pub chain: String,
    /// Smallest and largest `ts` of what was removed; Unix time, ns.
    pub first_ts: i64,
    pub last_ts: i64,
    /// Rows by CPU and class name.
    pub cpus: BTreeMap<u16, BTreeMap<String, u64>>,
}

/// The memory a recording took, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The recorder's own, at most: heap and stacks (`RssAnon` of /proc/self/status, looked at five times a second).
    pub user_peak: u64,
    /// The ring buffer; the recorder has it mapped, so that `VmHWM` counts it again.
    pub ring: u64,
    /// All other BPF maps (`memlock` of their fdinfo). Tables of fixed size: they do not grow.
    pub maps: u64,
    /// What rows that wait in memory were allowed to take (`--memory`).
    pub rows_limit: u64,
}

impl Memory {
    pub fn total(&self) -> u64 {
        let Memory { user_peak, ring, maps, rows_limit: _ } = *self;
        user_peak + ring + maps
    }
}
