//! `run.json`: what was run on what, and what came of it. Everything but `timings`, `sinks` and `recording.dir` is the same
//! for the same input, configuration and version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::alert::allow::Applied;
use crate::config::Config;
use crate::convergence::LockTest;
use crate::engines::llm::Use;
use crate::input::InputFile;
use crate::lacking::Lack;
use crate::profile::siblings::Siblings;
use crate::sink::Delivery;
use crate::timing::Account;

/// The whole file.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub kind: &'static str,
    pub versions: Versions,
    /// Of several, what is said of all: their names, the first's directory, the earliest begin and the latest end.
    pub recording: Input,
    /// The recordings of a replay of several, in the order of the numbers that rows have; absent where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<Input>,
    pub baseline: Option<BaselineInput>,
    pub config: Config,
    /// The stopping rule, in words.
    pub convergence_rule: String,
    pub counts: Counts,
    pub images: Vec<Image>,
    /// The embedding model, where it was needed.
    pub model: Option<String>,
    /// Who spoke for the semantics engine.
    pub judge: String,
    /// Per act of the ground truth: what was found of it. Empty without labels.
    pub acts: Vec<Act>,
    /// What the allow-list did.
    pub allowed: AllowedAlerts,
    /// What became of the alerts that were sent. Like `timings` it may differ from run to run.
    pub sinks: Vec<Delivery>,
    pub timings: Timings,
}

#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    pub replay: &'static str,
    /// Of the recording's schema, as this build knows it.
    pub schema: &'static str,
}

/// The recording and its files, whose hashes were compared with the manifest.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    /// The name of its directory.
    pub name: String,
    /// Where that was when it was replayed.
    pub dir: PathBuf,
    pub scenario: Option<String>,
    pub kernel: String,
    pub started: String,
    pub ended: Option<String>,
    pub files: Vec<InputFile>,
    /// What the engines have nothing to look at in it; absent where there is nothing of the kind, and of several in the place of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BaselineInput {
    /// `recording` or `profile`.
    pub kind: &'static str,
    pub name: String,
    pub files: Vec<InputFile>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    pub events: u64,
    pub observations: u64,
    pub learned: u64,
    pub withheld: u64,
    /// Observations that left the profile.
    pub deviating: u64,
    /// The same after equal ones were folded.
    pub deviations: u64,
    /// By severity, `low` is kept and not raised.
    pub alerts: BTreeMap<&'static str, u64>,
    pub incidents: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Image {
    pub image: String,
    pub containers: Vec<String>,
    pub events: u64,
    pub observations: u64,
    pub learned: u64,
    pub withheld: u64,
    pub deviating: u64,
    pub trees: Vec<TreeState>,
    /// Behaviours that locked trees took in, those of the baseline included; they are in profile.json.
    pub tuned: u64,
    /// Behaviours on probation.
    pub on_probation: u64,
    /// Deviating observations that are never taken in. 0 unless `convergence.after` is `tune`.
    pub grave: u64,
    /// The replicas, each against the others; null for one.
    pub siblings: Option<Siblings>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TreeState {
    pub tree: &'static str,
    pub locked: bool,
    /// Seconds of event time from the recording's first event to the lock; null for a baseline and for a tree still learning.
    pub locked_after_s: Option<f64>,
    /// The rule that decided.
    pub decided_by: Option<String>,
    /// Observations learned.
    pub learned: u64,
    pub patterns: u64,
    /// What came after the lock, and whether the lock held; null for a tree that saw nothing since.
    pub since_lock: Option<LockTest>,
}

/// How much of one act of the ground truth was found.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    pub act: String,
    pub techniques: Vec<String>,
    /// Labelled events.
    pub events: u64,
    /// Severity of the highest alert whose evidence belongs to the act; null: none.
    pub severity: Option<&'static str>,
    pub alerts: Vec<String>,
    /// Event time from the first labelled event to the first alert at medium or above, ms.
    pub time_to_detect_ms: Option<f64>,
}

/// What was kept from being raised.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AllowedAlerts {
    /// How many; they are in no other count of alerts.
    pub alerts: u64,
    /// What became of every entry.
    pub entries: Vec<Applied>,
}

/// Wall time in ms. The only part that differs from run to run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Timings {
    pub threads: usize,
    pub verify_ms: f64,
    pub baseline_ms: f64,
    pub stream_ms: f64,
    pub engines_ms: f64,
    pub total_ms: f64,
    pub events_per_second: f64,
    /// What the llm judge took; null with another one.
    pub judge: Option<Use>,
    /// Where the time went; absent without `--profile-time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Account>,
}

impl Run {
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }
}
