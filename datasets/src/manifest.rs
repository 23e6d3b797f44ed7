//! `manifest.json`: what a recording holds, where it came from, and the proof of what it lost.

use std::collections::BTreeMap;

use record_bpf::{Class, schema};
use serde::{Deserialize, Serialize};

use crate::blocks::Blocks;
use crate::derive::Derived;
use crate::hash;
use crate::keeping::{End, Memory, Pruned, Recovered};
use crate::segment_list::Segments;
use crate::signature::Signature;
use crate::thinning::{KnownFilter, Sampling};

/// Version of the layout on disk: directories, file names, manifest.
pub const FORMAT_VERSION: &str = "1";

/// The value of `kind` that makes a JSON file a recording's manifest.
pub const KIND: &str = "retroscope recording";

/// The manifest of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`KIND`].
    pub kind: String,
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: String,
    /// `record_bpf::schema::VERSION` of the writer, `major.minor`.
    pub schema_version: String,
    pub recorder: Recorder,
    pub kernel: Kernel,
    pub state: State,
    pub started: Moment,
    /// Absent while recording, and for ever if the recorder was killed.
    pub ended: Option<Moment>,
    /// What was asked to be recorded, one condition per line of text.
    pub filter: Vec<String>,
    /// What was asked for instead from some moment on, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_changes: Vec<FilterChange>,
    /// Names of the classes that were recorded, whether or not they have rows.
    pub classes: Vec<String>,
    /// The kernel hooks that each class was recorded through. Empty in recordings before schema 1.1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
    /// How classes were thinned; absent in recordings from before there was a sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// Absent unless known behaviour was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownFilter>,
    /// In the order they were written; the hash chain runs through them.
    pub segments: Segments,
    /// The dimension tables.
    pub tables: Vec<Table>,
    /// What was done about secrets; absent in recordings before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masking: Option<Masking>,
    /// Absent while recording.
    pub accounting: Option<Accounting>,
    /// Why it ended. Absent while recording, and where the recorder was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// There if it is [`State::Recovered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Recovered>,
    /// The oldest segments, if they were removed to make room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// What it was made from, if not by a recorder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    /// Of the digest and the end of the chain, if the recorder was given a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// SHA-256 of the manifest's text with this value and the signature's left empty; filled in when it is written.
    #[serde(default)]
    pub digest: String,
}

impl Manifest {
    /// The manifest of a recording about to begin. `started_ns`: Unix time, ns.
    pub fn new(
        recorder: Recorder,
        kernel: Kernel,
        started_ns: i64,
        filter: Vec<String>,
        classes: &[Class],
    ) -> Manifest {
        Manifest {
            kind: KIND.to_owned(),
            format_version: FORMAT_VERSION.to_owned(),
            schema_version: schema::VERSION.to_owned(),
            recorder,
            kernel,
            state: State::Recording,
            started: Moment::from_ns(started_ns),
            ended: None,
            filter,
            filter_changes: Vec::new(),
            classes: classes.iter().map(|class| class.name().to_owned()).collect(),
            hooks: BTreeMap::new(),
            scenario: None,
            sampling: None,
            known: None,
            segments: Segments::default(),
            tables: Vec::new(),
            masking: None,
            accounting: None,
            end: None,
            recovered: None,
            pruned: None,
            memory: None,
            derived: None,
            signature: None,
            digest: String::new(),
        }
    }

    /// Rows of all classes.
    pub fn rows(&self) -> u64 {
        self.segments.totals().rows
    }

    /// What the first segment follows in the chain. `None`: the manifest does not say it in hex.
    pub(crate) fn chain_start(&self) -> Option<hash::Hash> {
        self.pruned.as_ref().map_or(Some(hash::CHAIN_START), |pruned| hash::from_hex(&pruned.chain))
    }

    /// The end of the chain, hex: what stands for all segments there ever were, in their order.
    pub fn chain_head(&self) -> String {
        self.chain_end()
    }

    /// The end of the chain, hex.
    pub(crate) fn chain_end(&self) -> String {
        let start = || self.pruned.as_ref().map(|pruned| pruned.chain.clone());
        let last = self.segments.last().map(|last| last.chain.clone()).or_else(start);
        last.unwrap_or_else(|| hash::hex(&hash::CHAIN_START))
    }

    /// Bytes of all segments, without the dimension tables.
    pub fn bytes(&self) -> u64 {
        self.segments.totals().bytes
    }

    /// The segments of one class, in the order they were written.
    pub fn class_segments(&self, class: Class) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.class == class.name())
    }

    /// The entry of a dimension table, as `processes.parquet`.
    pub fn table(&self, file: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.file == file)
    }
}

/// The program that wrote the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorder {
    pub name: String,
    pub version: String,
}

/// The kernel it was recorded on. The host's name is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// As `uname -r`.
    pub release: String,
    /// As `uname -m`.
    pub machine: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Still being written, or the recorder was killed: what the manifest lists is complete, the end is missing.
    Recording,
    Complete,
    /// The recorder was killed, and `datasets recover` completed it from the journal. What was emitted after the recorder
    /// last noted its counters ([`Recovered::known_until`]) and has no row is in no count.
    Recovered,
}

/// A point in time, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339, UTC.
    pub utc: String,
    /// Unix time, ns.
    pub ns: i64,
}

impl Moment {
    /// `ns`: Unix time, ns. Every i64 is within the calendar's range.
    pub fn from_ns(ns: i64) -> Moment {
        let utc = jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| format!("@{ns}"), |t| t.to_string());
        Moment { utc, ns }
    }
}

/// A file of event rows of one class, sorted by (ts, cpu, seq).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Relative to the manifest, as `file/00000.parquet`.
    pub file: String,
    pub class: String,
    pub rows: u64,
    /// Smallest `ts` in it; Unix time, ns.
    pub first_ts: i64,
    /// Largest `ts` in it; Unix time, ns.
    pub last_ts: i64,
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
    /// Hex of `sha256(chain of the segment before || sha256 of this one)`, over raw bytes; the first follows 32 zero bytes.
    pub chain: String,
    /// Absent in recordings from before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
}

/// A dimension table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Relative to the manifest, as `processes.parquet`.
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
    /// As of a segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
}

/// The scripted run that the recording shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    pub name: String,
    pub description: String,
    /// The same seed gives the same script.
    pub seed: u64,
    /// So many seconds of real life are one second of the run, for what recurs by the clock, as an hourly job; absent: it
    /// runs in its own time, or the recording is from before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_compression: Option<f64>,
    /// Ordinary life before the first act, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub benign_s: Option<u64>,
    /// SHA-256 of the scenario's definition and of everything its images are built from, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The attack, in order; empty for a benign scenario.
    pub steps: Vec<Step>,
}

/// A step of an attack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub act: String,
    pub step: String,
    /// MITRE ATT&CK id, as T1496.
    pub technique: String,
    /// Unix time, ns.
    pub start_ns: i64,
    /// Unix time, ns.
    pub end_ns: i64,
    /// Name or id of the container it ran in.
    pub container: Option<String>,
    pub description: String,
    /// All its events are labelled as ambiguous.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ambiguous: bool,
}

/// Another filter while it recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterChange {
    pub at: Moment,
    /// As [`Manifest::filter`].
    pub filter: Vec<String>,
}

/// What was done about likely secrets, as passwords and tokens: `<masked:...>` stands in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masking {
    /// Secrets are masked; false: `--no-mask` was given, and everything is stored as it was.
    pub on: bool,
    /// Rows in which something was masked, by class. Complete when the recording is.
    pub rows: BTreeMap<String, u64>,
    /// Containers with a masked label.
    pub containers: u64,
}

/// Where every event went. For each CPU and class: `emitted = stored + dropped + filtered + sampled_out + known`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounting {
    pub cpus: Vec<CpuAccount>,
    /// Helper failures by name; see [`FAILURES`].
    pub failures: BTreeMap<String, u64>,
}

/// What a recorder counts beside its events: helpers that failed, so that a field of an event is incomplete or there was no
/// event to number. None of it is in the account of the events, which begins at the sequence number.
pub const FAILURES: &[(&str, &str)] = &[
    ("control_dropped", "announcements of a new container that found the ring full"),
    ("fd_table_full", "open descriptors whose byte counts could not be followed"),
    ("proc_table_full", "processes without an incarnation id"),
    ("path_truncated", "paths too long or too deep to read whole"),
    ("argv_truncated", "argument vectors longer than 128 KiB"),
    ("read_fault", "reads of user memory that failed"),
    ("compat_syscalls", "system calls of 32-bit programs, which are not recorded"),
    ("sock_table_full", "TCP sockets whose changes of state and retransmissions could not be followed"),
    ("messages_skipped", "messages of one sendmmsg or recvmmsg beyond the first 16, not looked at for peers and DNS"),
    (
        "skipped_runs",
        "times the kernel left a program out because it was running on that CPU already: an event of TCP state or \
         retransmission that interrupted another",
    ),
    ("tls_calls_lost", "TLS calls that could not be followed until they returned"),
    ("tls_files_not_watched", "files with TLS code that could not be watched"),
    (
        "clock_moved_ms",
        "milliseconds between the wall clock and the recording's at its end: the wall clock was set, or corrected",
    ),
    ("decode_errors", "records that user space could not decode"),
];

/// What happened to the events of one CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuAccount {
    pub cpu: u16,
    /// One past the last sequence number taken on this CPU: the sum of `emitted`, and `unattributed`.
    pub next_seq: u64,
    /// Numbers that were taken and have no row, and nobody knows of which class: the recorder was killed before it noted
    /// its counters. Always 0 but in a recovered recording.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unattributed: u64,
    /// By class name.
    pub classes: BTreeMap<String, ClassAccount>,
}

/// What happened to the events of one class on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassAccount {
    /// Events that took a sequence number.
    pub emitted: u64,
    /// Rows written.
    pub stored: u64,
    pub dropped: Dropped,
    /// Discarded in user space: the container turned out not to match the filter. Also what `datasets slice` cut
    /// ([`Derived::cut`]).
    pub filtered: u64,
    /// Left out by the adaptive sampler in the kernel: the class is not a critical one, and there were too many.
    #[serde(default)]
    pub sampled_out: u64,
    /// Left out in the kernel: the known-behaviour filter has seen the like of it before.
    #[serde(default)]
    pub known: u64,
    /// Rows that were stored, and removed with their segment to make room for newer ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pruned: u64,
}

impl ClassAccount {
    /// `emitted = stored + dropped + filtered + sampled_out + known + pruned`
    pub fn holds(&self) -> bool {
        self.stored.checked_add(self.without_row()) == Some(self.emitted)
    }

    /// Adds the counts of another.
    pub(crate) fn add(&mut self, other: &ClassAccount) {
        let ClassAccount { emitted, stored, dropped, filtered, sampled_out, known, pruned } = *other;
        let Dropped { ring_full, write_failed, undecodable, unsaved } = dropped;
        let sums = [
            (&mut self.emitted, emitted),
            (&mut self.stored, stored),
            (&mut self.dropped.ring_full, ring_full),
            (&mut self.dropped.write_failed, write_failed),
            (&mut self.dropped.undecodable, undecodable),
            (&mut self.dropped.unsaved, unsaved),
            (&mut self.filtered, filtered),
            (&mut self.sampled_out, sampled_out),
            (&mut self.known, known),
            (&mut self.pruned, pruned),
        ];
        for (sum, n) in sums {
            *sum = sum.saturating_add(n);
        }
    }

    /// Events whose sequence numbers have no row: all but the stored ones.
    pub fn without_row(&self) -> u64 {
        let ClassAccount { emitted: _, stored: _, dropped, filtered, sampled_out, known, pruned } = *self;
        [filtered, sampled_out, known, pruned].into_iter().fold(dropped.total(), u64::saturating_add)
    }
}

/// Lost events by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The kernel found no room in the ring buffer.
    pub ring_full: u64,
    /// The segment that held them could not be written, as on a full disk.
    #[serde(default)]
    pub write_failed: u64,
    /// The recorder received them and could not decode them.
    #[serde(default)]
    pub undecodable: u64,
    /// The recorder was killed before they were in the journal. Always 0 but in a recovered recording.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unsaved: u64,
}

impl Dropped {
    pub fn total(&self) -> u64 {
        let Dropped { ring_full, write_failed, undecodable, unsaved } = *self;
        [write_failed, undecodable, unsaved].into_iter().fold(ring_full, u64::saturating_add)
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
