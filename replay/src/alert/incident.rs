//! Incidents: alerts of one process tree.
//!
//! Two alerts belong together when one process descends from the other, over any number of unremarkable processes in
//! between. A process links its descendants if its alert is raised, or if it is itself a deviation of the process tree:
//! a low alert about a file the web server read must not join everything the server ever started.

use std::collections::HashMap;

use super::Alert;
use crate::deviation::Tree;
use crate::engines::Severity;
use crate::observe::ProcessTable;

/// Gives every alert its incident. Alerts are in order of time; incidents are numbered by their first alert.
pub fn assign(alerts: &mut [Alert], processes: &ProcessTable) {
    let links: HashMap<u64, usize> = alerts
        .iter()
        .enumerate()
        .filter(|(_, alert)| links_descendants(alert))
        .filter_map(|(i, alert)| Some((alert.exec_id?, i)))
        .collect();
    // The outermost linking ancestor stands for the incident.
    let roots: Vec<usize> = alerts
        .iter()
        .enumerate()
        .map(|(i, alert)| {
            let lineage = alert.exec_id.into_iter().flat_map(|id| processes.lineage(id));
            lineage.filter_map(|process| links.get(&process.exec_id)).last().copied().unwrap_or(i)
        })
        .collect();
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    for (alert, root) in alerts.iter_mut().zip(roots) {
        let next = numbers.len() + 1;
        alert.incident = format!("I{:04}", numbers.entry(root).or_insert(next));
    }
}

fn links_descendants(alert: &Alert) -> bool {
    alert.severity >= Severity::Medium || alert.deviations.iter().any(|finding| finding.tree == Tree::Process)
}
