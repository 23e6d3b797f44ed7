//! The process trees of incidents, flattened to indented rows.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Value, context};

use crate::alert::{Alert, Ancestor};
use crate::engines::Severity;

/// One entry per incident with a raised alert: its id, its severity, and the rows of its process tree.
pub fn incidents(alerts: &[Alert]) -> Vec<Value> {
    let mut by_incident: BTreeMap<&str, Vec<&Alert>> = BTreeMap::new();
    for alert in alerts {
        by_incident.entry(&alert.incident).or_default().push(alert);
    }
    by_incident
        .into_iter()
        .filter_map(|(id, alerts)| {
            let severity = alerts.iter().map(|alert| alert.severity).max()?;
            (severity >= Severity::Medium).then(|| {
                context! { id => id, severity => severity.name(), alerts => alerts.len(), rows => rows(&alerts) }
            })
        })
        .collect()
}

/// Depth-first, children in order of their incarnation.
fn rows(alerts: &[&Alert]) -> Vec<Value> {
    let mut processes: BTreeMap<u64, &Ancestor> = BTreeMap::new();
    let mut children: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut roots: BTreeSet<u64> = BTreeSet::new();
    for alert in alerts {
        let mut above = None;
        for process in &alert.ancestry {
            processes.insert(process.exec_id, process);
            match above {
                Some(parent) => {
                    children.entry(parent).or_default().insert(process.exec_id);
                }
                None => {
                    roots.insert(process.exec_id);
                }
            }
            above = Some(process.exec_id);
        }
    }
    let by_process: BTreeMap<u64, &Alert> = alerts.iter().filter_map(|alert| Some((alert.exec_id?, *alert))).collect();
    let mut out = Vec::new();
    let mut stack: Vec<(u64, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    let mut seen = BTreeSet::new();
    while let Some((id, depth)) = stack.pop() {
        let Some(process) = processes.get(&id).filter(|_| seen.insert(id)) else { continue };
        let alert = by_process.get(&id);
        out.push(context! {
            depth => depth,
            pid => process.pid,
            command => &*process.command,
            alert => alert.map(|alert| alert.id.as_str()),
            severity => alert.map(|alert| alert.severity.name()),
        });
        let below = children.get(&id).into_iter().flatten().rev();
        stack.extend(below.map(|child| (*child, depth + 1)));
    }
    out
}
