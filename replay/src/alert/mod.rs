//! Alerts: what people and programs are told.

pub mod action;
pub mod allow;
pub mod command;
pub mod group;
pub mod incident;
pub mod place;
pub mod tactic;
pub mod technique;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::deviation::{DeviationKind, Nearest, RowRef, Tier, Tree};
use crate::engines::{Severity, Unanswered, Verdict};
use group::Judged;

pub use allow::Allowed;
pub use command::Command;
pub use incident::Incident;
pub use place::Place;
pub use technique::Technique;

/// The deviations of one process incarnation, scored.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// `A` and a number in order of time, unique in the run.
    pub id: String,
    /// `I` and a number: alerts of one process tree share it.
    pub incident: String,
    pub severity: Severity,
    /// Points, 0 to the sum of the engines' weights.
    pub score: f32,
    /// Unix time of the first event, ns.
    pub ts: i64,
    /// The same, RFC 3339.
    pub time: String,
    /// Unix time of the event that brought the score to the severity, ns.
    pub raised_at: i64,
    pub image: Arc<str>,
    /// Digest of the image's manifest, as `sha256:...`.
    pub image_digest: Option<String>,
    pub container: Arc<str>,
    /// The recording that it is in, where there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<Arc<str>>,
    pub container_name: Option<String>,
    /// podman, docker, containerd, cri-o, or the OCI runtime.
    pub runtime: Option<String>,
    pub pod: Option<String>,
    /// Kubernetes namespace of the pod.
    pub namespace: Option<String>,
    pub pid: u32,
    pub exec_id: Option<u64>,
    /// The command line.
    pub process: Arc<str>,
    /// Outermost first, the process itself last.
    pub ancestry: Vec<Ancestor>,
    pub engines: Vec<EngineScore>,
    /// Ids of all rules that hit, the one that scored highest first.
    pub rules: Vec<String>,
    pub technique: Option<Technique>,
    /// What to do, in a sentence.
    pub action: String,
    /// The same as commands for a shell, in the words of the container's runtime; none below medium.
    pub commands: Vec<Command>,
    pub deviations: Vec<Finding>,
    /// The entry of the allow-list by which it is not raised.
    pub allowed: Option<Allowed>,
    /// Where the recording has ground truth and this alert's evidence is part of an attack.
    pub truth: Option<Truth>,
}

/// A process of the ancestry.
#[derive(Clone, Debug, Serialize)]
pub struct Ancestor {
    pub exec_id: u64,
    pub pid: u32,
    pub exe: Arc<str>,
    pub command: Arc<str>,
}

/// What one engine gave.
#[derive(Clone, Debug, Serialize)]
pub struct EngineScore {
    pub engine: &'static str,
    /// Points: the engine's weight times its score from 0 to 1.
    pub points: f32,
    pub weight: f32,
    pub reason: String,
    /// Who judged: the rule, the clustering, the model.
    pub judge: String,
}

/// One deviation as part of an alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    pub tree: Tree,
    pub kind: DeviationKind,
    pub tier: Tier,
    pub text: Arc<str>,
    /// Where the recorder's host has the file of the first event, if it sees it under another path.
    pub host_path: Option<Arc<str>>,
    /// From the image to the deviating element.
    pub path: Vec<Arc<str>>,
    /// Index in `path` of the first element the profile does not have.
    pub at: usize,
    /// Risk of what the arguments add to those learned, 0 to 1, and what they add, the riskiest first.
    pub risk: Option<f32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Arc<str>>,
    pub token_novelty: Option<f32>,
    pub nearest: Option<Nearest>,
    pub ts: i64,
    pub count: u64,
    pub rows: Vec<RowRef>,
    /// Containers that it connected to, with the time of the first connection, Unix ns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reached: BTreeMap<Arc<str>, i64>,
    /// What every engine said of it, with the numbers its score was made of.
    pub verdicts: Vec<Verdict>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Unanswered>,
}

impl From<&Judged> for Finding {
    fn from(Judged { deviation, verdicts, unanswered }: &Judged) -> Self {
        Finding {
            tree: deviation.tree,
            kind: deviation.kind,
            tier: deviation.tier,
            text: Arc::clone(&deviation.text),
            host_path: deviation.host_path.clone(),
            path: deviation.path.clone(),
            at: deviation.at,
            risk: deviation.risk.map(|risk| round(risk, 4)),
            changes: deviation.changes.clone(),
            token_novelty: deviation.token_novelty.map(|novelty| round(novelty, 4)),
            nearest: deviation.nearest.clone().map(|nearest| Nearest { cosine: round(nearest.cosine, 4), ..nearest }),
            ts: deviation.ts,
            count: deviation.count,
            rows: deviation.rows.clone(),
            reached: deviation.reached.clone(),
            verdicts: verdicts.clone(),
            unanswered: unanswered.clone(),
        }
    }
}

impl Alert {
    /// Its name for people: the container's own, else the beginning of its id.
    pub fn place_name(&self) -> &str {
        self.container_name.as_deref().unwrap_or_else(|| crate::output::text::short_id(&self.container))
    }

    /// `namespace/pod`, where there is one.
    pub fn pod_name(&self) -> Option<String> {
        let pod = self.pod.as_deref()?;
        Some(self.namespace.as_ref().map_or_else(|| pod.to_owned(), |namespace| format!("{namespace}/{pod}")))
    }

    /// Whether people are told: medium or above, and not allowed.
    pub fn is_raised(&self) -> bool {
        self.severity.is_raised() && self.allowed.is_none()
    }

    /// The rows that prove it.
    pub fn rows(&self) -> impl Iterator<Item = &RowRef> {
        self.deviations.iter().flat_map(|found| &found.rows)
    }
}

impl Finding {
    /// `image → parent → ⟦new⟧ → …`, the first unknown element in brackets.
    pub fn marked_path(&self) -> String {
        let mut out = String::new();
        for (i, step) in self.path.iter().enumerate() {
            // Path segments carry their own separator; the program before them is step 1.
            let joined = i == 0 || (self.tree == Tree::File && i > 2 && step.starts_with('/'));
            out.push_str(if joined { "" } else { " → " });
            if i == self.at {
                out.push('⟦');
                out.push_str(step);
                out.push('⟧');
            } else {
                out.push_str(step);
            }
        }
        out
    }

    /// What is new, in words.
    pub fn what(&self) -> &'static str {
        self.kind.what()
    }

    pub fn tier_name(&self) -> &'static str {
        match self.tier {
            Tier::Structure => "tree",
            Tier::Canonical => "canonical form",
            Tier::Grammar => "grammar",
            Tier::TokenNovelty => "token novelty",
            Tier::Embedding => "embedding",
        }
    }
}

/// The file in a file deviation's text, `<program> <verb> <file>`.
pub fn file_of(text: &str) -> Option<&str> {
    text.find(" /").map(|space| &text[space + 1..])
}

/// Ground truth about an alert. Never used to detect.
#[derive(Clone, Debug, Serialize)]
pub struct Truth {
    pub act: Arc<str>,
    pub technique: Arc<str>,
    /// Event time from the act's first labelled event to `raised_at`, ms.
    pub time_to_detect_ms: f64,
}

/// Rounds to `digits` decimals: what is printed, compared and stored is the same number.
pub fn round(value: f32, digits: i32) -> f32 {
    let scale = 10f64.powi(digits);
    ((f64::from(value) * scale).round() / scale) as f32
}
