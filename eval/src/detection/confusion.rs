//! The technique that an act is labelled with against the one that the alert names.

use std::collections::BTreeMap;

use replay::alert::Technique;
use serde::Serialize;

use super::outcome::Outcome;

/// How near two techniques are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    Same,
    /// One is a sub-technique of the other, or both are of one.
    SameParent,
    /// They share a tactic.
    SameTactic,
    Other,
    /// The alert names none.
    None,
}

/// Of each detected act, the alert that showed it first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Confusion {
    pub detected: u64,
    pub agreement: BTreeMap<Agreement, u64>,
    pub pairs: Vec<Pair>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What most of the alert's evidence of the act is labelled with.
    pub labelled: String,
    pub alert: Option<String>,
    pub acts: u64,
    pub agreement: Agreement,
}

pub fn confusion(outcomes: &[&Outcome], cut_off: f64) -> Confusion {
    let mut pairs: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    for outcome in outcomes {
        for (act, detected) in outcome.facts.acts.iter().zip(outcome.detected(cut_off)) {
            let Some(detected) = detected else { continue };
            let labelled = act.techniques.get(detected.technique).cloned().unwrap_or_default();
            let said = outcome.alerts[detected.alert].technique.clone();
            *pairs.entry((labelled, said)).or_default() += 1;
        }
    }
    let mut out = Confusion { detected: pairs.values().sum(), ..Confusion::default() };
    for ((labelled, alert), acts) in pairs {
        let agreement = agreement(&labelled, alert.as_deref());
        *out.agreement.entry(agreement).or_default() += acts;
        out.pairs.push(Pair { labelled, alert, acts, agreement });
    }
    out
}

fn agreement(labelled: &str, alert: Option<&str>) -> Agreement {
    let parent = |id: &str| id.split('.').next().unwrap_or_default().to_owned();
    match alert {
        None => Agreement::None,
        Some(alert) if alert == labelled => Agreement::Same,
        Some(alert) if parent(alert) == parent(labelled) => Agreement::SameParent,
        Some(alert) => {
            let (one, other) = (Technique::new(alert), Technique::new(labelled));
            let shared = one.tactics.iter().any(|tactic| other.tactics.contains(tactic));
            if shared { Agreement::SameTactic } else { Agreement::Other }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn techniques_agree_more_or_less() {
        let of = |alert| agreement("T1059.004", alert);
        assert_eq!(of(Some("T1059.004")), Agreement::Same);
        assert_eq!(of(Some("T1059")), Agreement::SameParent);
        // Both are of Execution.
        assert_eq!(of(Some("T1204")), Agreement::SameTactic);
        assert_eq!(of(Some("T1486")), Agreement::Other);
        assert_eq!(of(None), Agreement::None);
    }
}
