//! The configuration: documented defaults (`replay.toml`), a file over them, single values over that.

mod asked;
mod load;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sink::SinkConfig;

pub use asked::{Asked, Bound};
pub use load::{DEFAULT, load};
pub use model::Model;

/// Every key of `replay.toml`; meanings and units are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub profile: Profile,
    pub network: Network,
    pub forecast: Forecast,
    pub args: Args,
    pub model: Model,
    pub convergence: Convergence,
    pub tuning: Tuning,
    pub engines: Engines,
    pub severity: SeverityBounds,
    pub alerts: Alerts,
    /// By name. They change nothing of what is found, so they are no part of what `run.json` calls the configuration.
    #[serde(skip)]
    pub sinks: BTreeMap<String, SinkConfig>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub collapse: usize,
    pub max_patterns: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub ephemeral_from: u16,
    pub prefix_v4: u8,
    pub prefix_v6: u8,
    pub domain_labels: usize,
    pub resolvers: Vec<String>,
    pub volume_factor: f64,
    pub volume_known: u64,
    pub volume_unknown: u64,
}

impl Network {
    /// Bytes that a peer may be sent within a minute; `most`: of those learned, None: it got nothing.
    pub fn volume_allowed(&self, most: Option<u64>) -> u64 {
        most.map_or(self.volume_unknown, |most| ((most as f64 * self.volume_factor) as u64).max(self.volume_known))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    pub bucket: u64,
    pub season: u64,
    pub level: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub canonical: bool,
    pub grammar: Grammar,
    pub novelty: Novelty,
    pub embedding: Embedding,
    /// Notes what the thresholds were asked; they answer through [`Args::accepts`].
    #[serde(skip)]
    pub asked: Option<Arc<Asked>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grammar {
    pub enabled: bool,
    pub accept: f32,
    pub reject: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    pub enabled: bool,
    pub accept: f32,
    pub reject: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    pub enabled: bool,
    pub threshold: f32,
}

/// Which stopping rule ends learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    UnseenMass,
    Window,
    Both,
    Timer,
}

/// What a tree does once it is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// Nothing is learned any more.
    Lock,
    /// What recurs, slowly and harmlessly, is taken in.
    Tune,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    pub occasions: usize,
    pub apart: f64,
    pub siblings: usize,
    pub forget: f64,
    pub quarantine: f64,
    pub risk: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convergence {
    pub rule: Rule,
    pub window: f64,
    pub epsilon: f64,
    pub delta: f64,
    pub min_events: u64,
    pub max_new: u64,
    pub timer: f64,
    pub after: After,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engines {
    pub rules: String,
    pub exemplars: String,
    pub judge: JudgeKind,
    pub weights: WeightPoints,
    pub statistics: Statistics,
    pub llm: Llm,
}

/// Who speaks for the semantics engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeKind {
    Knn,
    Llm,
}

/// The llm judge; the API key itself is never part of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    pub url: String,
    pub model: String,
    pub api_key_env: String,
    pub prompt: String,
    pub verdicts: String,
    pub offline: bool,
    pub max_requests: u64,
    pub max_tokens: u64,
    pub time: f64,
    pub requests_per_minute: f64,
    pub timeout: f64,
    pub retries: usize,
    pub backoff: f64,
    pub answer_tokens: u64,
    pub max_text: usize,
    pub seed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    pub window: f64,
    pub half: f64,
    pub siblings: f64,
    pub gap: f64,
    pub similar: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightPoints {
    pub rules: f32,
    pub statistics: f32,
    pub semantics: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityBounds {
    pub critical: f32,
    pub high: f32,
    pub medium: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    pub evidence_rows: usize,
    pub allow: String,
    pub lateral: f64,
}
