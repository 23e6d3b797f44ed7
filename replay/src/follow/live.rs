//! Alerts as they come: each is told when it is raised, and again when its severity changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::alert::Alert;
use crate::engines::Severity;

/// Who an alert is about: image, container, incarnation, and the process id where there is none.
type Doer = (Arc<str>, Arc<str>, Option<u64>, u32);

fn doer(alert: &Alert) -> Doer {
    let pid = if alert.exec_id.is_some() { 0 } else { alert.pid };
    (Arc::clone(&alert.image), Arc::clone(&alert.container), alert.exec_id, pid)
}

/// What a person is told while the recording goes on. Nothing of it is final before the recording is: what follows may change
/// what siblings do, and so a score.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub live: What,
    /// Of the alert, in the order in which they were raised; the ids of the alert itself are final at the end only.
    pub number: u64,
    pub provisional: bool,
    /// When it was said; Unix time, ns.
    pub told_at: i64,
    /// From the event that brought the alert to its severity to the moment it was said, ms.
    pub latency_ms: f64,
    /// What it was said to be before; only of an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<Severity>,
    pub alert: Alert,
    /// When the kernel made the alert's process, Unix time in ns; None: the recording does not say.
    #[serde(skip)]
    pub started: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Alert,
    Update,
}

/// A difference between what was told and what holds in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// As it was told; null: it was not.
    pub number: Option<u64>,
    /// Its id in the results; null: it is not among them.
    pub id: Option<String>,
    pub told: Option<Severity>,
    /// Null: it is not in the results, whose recording has lost its events, or knows their container by another image.
    pub holds: Option<Severity>,
    pub process: String,
}

/// What was told so far.
#[derive(Default)]
pub struct Live {
    told: BTreeMap<Doer, Said>,
    /// Latencies of alerts whose event came while this followed, ms.
    latencies: Vec<f64>,
}

struct Said {
    number: u64,
    severity: Severity,
    process: String,
}

impl Live {
    /// What there is to tell of the alerts as they stand. `now`: Unix time, ns. `since`: when following began; what happened
    /// before could not be told in time.
    pub fn tell(&mut self, alerts: &[Alert], now: i64, since: i64) -> Vec<Told> {
        let mut lines = Vec::new();
        for alert in alerts {
            let next = self.told.len() as u64 + 1;
            let (live, number, was) = match self.told.get_mut(&doer(alert)) {
                Some(said) if said.severity == alert.severity => continue,
                Some(said) => (What::Update, said.number, Some(std::mem::replace(&mut said.severity, alert.severity))),
                None if !alert.is_raised() => continue,
                None => {
                    let said = Said { number: next, severity: alert.severity, process: alert.process.to_string() };
                    self.told.insert(doer(alert), said);
                    (What::Alert, next, None)
                }
            };
            let latency_ms = ((now - alert.raised_at) as f64 / 1e4).round() / 1e2;
            if live == What::Alert && alert.raised_at >= since {
                self.latencies.push(latency_ms);
            }
            lines.push(Told {
                live,
                number,
                provisional: true,
                told_at: now,
                latency_ms,
                was,
                alert: alert.clone(),
                started: None,
            });
        }
        lines
    }

    /// Where the results differ from what was told, in the order of what was told; then what was not.
    pub fn compare(&self, alerts: &[Alert]) -> Vec<Changed> {
        let mut rest: BTreeMap<Doer, &Alert> = alerts.iter().map(|alert| (doer(alert), alert)).collect();
        let mut changed: Vec<Changed> = Vec::new();
        for (doer, said) in &self.told {
            let alert = rest.remove(doer);
            if alert.is_none_or(|alert| alert.severity != said.severity) {
                changed.push(Changed {
                    number: Some(said.number),
                    id: alert.map(|alert| alert.id.clone()),
                    told: Some(said.severity),
                    holds: alert.map(|alert| alert.severity),
                    process: said.process.clone(),
                });
            }
        }
        changed.sort_by_key(|changed| changed.number);
        let mut untold: Vec<&&Alert> = rest.values().filter(|alert| alert.is_raised()).collect();
        untold.sort_by(|a, b| a.id.cmp(&b.id));
        changed.extend(untold.into_iter().map(|alert| Changed {
            number: None,
            id: Some(alert.id.clone()),
            told: None,
            holds: Some(alert.severity),
            process: alert.process.to_string(),
        }));
        changed
    }

    /// How many alerts were told.
    pub fn count(&self) -> u64 {
        self.told.len() as u64
    }

    pub fn latencies(&self) -> Latencies {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        // The value that the share is at or below.
        let at = |share: f64| {
            let rank = (sorted.len() as f64 * share).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Latencies { alerts: sorted.len(), p50: at(0.5), p99: at(0.99), max: sorted.last().copied() }
    }
}

/// From the event that raised an alert to its line, ms, of the alerts whose event came while this followed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    pub alerts: usize,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}
