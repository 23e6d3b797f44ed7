//! Alerts: what people and programs are told.

pub mod action;
pub mod group;
pub mod incident;
pub mod technique;

use std::sync::Arc;

use serde::Serialize;

use crate::deviation::{Deviation, DeviationKind, Nearest, RowRef, Tier, Tree};
use crate::engines::Severity;

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
    pub container: Arc<str>,
    pub container_name: Option<String>,
    /// `namespace/name`, where the container's labels say so.
    pub pod: Option<String>,
    pub pid: u32,
    pub exec_id: Option<u64>,
    /// The command line.
    pub process: Arc<str>,
    /// Outermost first, the process itself last.
    pub ancestry: Vec<Ancestor>,
    pub engines: Vec<EngineScore>,
    pub technique: Option<Technique>,
    pub action: String,
    pub deviations: Vec<Finding>,
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
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub tree: Tree,
    pub kind: DeviationKind,
    pub tier: Tier,
    pub text: Arc<str>,
    /// From the image to the deviating element.
    pub path: Vec<Arc<str>>,
    /// Index in `path` of the first element the profile does not have.
    pub at: usize,
    /// Risk of what the arguments add to those learned, 0 to 1, and what they add, the riskiest first.
    pub risk: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Arc<str>>,
    pub token_novelty: Option<f32>,
    pub nearest: Option<Nearest>,
    pub ts: i64,
    pub count: u64,
    pub rows: Vec<RowRef>,
}

impl From<&Deviation> for Finding {
    fn from(deviation: &Deviation) -> Self {
        Finding {
            tree: deviation.tree,
            kind: deviation.kind,
            tier: deviation.tier,
            text: Arc::clone(&deviation.text),
            path: deviation.path.clone(),
            at: deviation.at,
            risk: deviation.risk.map(|risk| round(risk, 4)),
            changes: deviation.changes.clone(),
            token_novelty: deviation.token_novelty.map(|novelty| round(novelty, 4)),
            nearest: deviation.nearest.clone().map(|nearest| Nearest { cosine: round(nearest.cosine, 4), ..nearest }),
            ts: deviation.ts,
            count: deviation.count,
            rows: deviation.rows.clone(),
        }
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
        match self.kind {
            DeviationKind::UnknownImage => "image without a profile",
            DeviationKind::NewParent => "known program, new parent",
            DeviationKind::NewProcess => "new program",
            DeviationKind::NewArguments => "new arguments",
            DeviationKind::NewPath => "new path",
            DeviationKind::NewFileOperation => "new operation on a known path",
            DeviationKind::NewPeer => "new peer",
            DeviationKind::NewPort => "new port",
        }
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
