//! Incidents: related alerts, with the processes between them.
//!
//! Two alerts belong together when one process descends from the other, over any number of unremarkable processes in
//! between. A process links its descendants if its alert is raised, or if it is itself a deviation of the process tree:
//! a low alert about a file the web server read must not join everything the server ever started.
//!
//! Across containers they belong together when an attacker seems to have moved: a raised alert's process connected to
//! another container, the connection itself was a deviation, and a process of that container gave a raised alert that began
//! within `alerts.lateral` seconds of the first such connection. That is circumstance, not proof: nothing says that the
//! connection started that process. So the incident names each such link, and what it rests on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::{Alert, Ancestor, Technique};
use crate::convergence::seconds;
use crate::deviation::Tree;
use crate::engines::Severity;
use crate::observe::ProcessTable;
use crate::output::text;

/// Related alerts.
#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    pub id: String,
    /// The highest of its raised alerts; low where none is.
    pub severity: Severity,
    /// First and last deviation that began; Unix time, ns.
    pub first: i64,
    pub last: i64,
    /// The same, RFC 3339.
    pub first_time: String,
    pub last_time: String,
    /// In the order in which they come in.
    pub containers: Vec<Member>,
    /// In the order in which they were first seen.
    pub techniques: Vec<Technique>,
    /// Ids, in order of time.
    pub alerts: Vec<String>,
    /// What joins alerts of different containers.
    pub links: Vec<Link>,
    /// Depth-first.
    pub tree: Vec<Node>,
}

/// A container of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    pub container: Arc<str>,
    pub name: String,
    pub image: Arc<str>,
}

/// One container's alert that followed a connection of another's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// The alert whose process connected.
    pub from: String,
    /// The alert in the container that it connected to.
    pub to: String,
    /// Time from the connection to that alert's first event, s.
    pub after_s: f64,
}

/// A process of an incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// 0: no process above it is known.
    pub depth: usize,
    pub exec_id: Option<u64>,
    pub pid: u32,
    /// The container's name.
    pub container: String,
    pub command: Arc<str>,
    /// The alert that it gave.
    pub alert: Option<String>,
    pub severity: Option<Severity>,
}

impl Incident {
    /// From first to last, s.
    pub fn length(&self) -> f64 {
        seconds(self.last - self.first)
    }
}

/// Gives every alert its incident. Alerts are in order of time; incidents are numbered by their first alert.
/// `lateral`: seconds from a connection to an alert that it may have led to.
pub fn assign(alerts: &mut [Alert], processes: &ProcessTable, lateral: f64) {
    let links: HashMap<u64, usize> = alerts
        .iter()
        .enumerate()
        .filter(|(_, alert)| links_descendants(alert))
        .filter_map(|(i, alert)| Some((alert.exec_id?, i)))
        .collect();
    // The outermost linking ancestor stands for the incident.
    let mut roots: Vec<usize> = alerts
        .iter()
        .enumerate()
        .map(|(i, alert)| {
            let lineage = alert.exec_id.into_iter().flat_map(|id| processes.lineage(id));
            lineage.filter_map(|process| links.get(&process.exec_id)).last().copied().unwrap_or(i)
        })
        .collect();
    for (to, (from, _)) in moves(alerts, lateral).into_iter().enumerate().filter_map(|(to, from)| Some((to, from?))) {
        let (kept, joined) = (roots[from], roots[to]);
        roots.iter_mut().filter(|root| **root == joined).for_each(|root| *root = kept);
    }
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    for (alert, root) in alerts.iter_mut().zip(roots) {
        let next = numbers.len() + 1;
        alert.incident = format!("I{:04}", numbers.entry(root).or_insert(next));
    }
}

fn links_descendants(alert: &Alert) -> bool {
    alert.severity.is_raised() || alert.deviations.iter().any(|finding| finding.tree == Tree::Process)
}

/// For each alert, the one whose connection may have led to it, and the time of that connection: the latest before it.
fn moves(alerts: &[Alert], lateral: f64) -> Vec<Option<(usize, i64)>> {
    let raised = |alert: &Alert| alert.severity.is_raised();
    let mut connections: BTreeMap<&Arc<str>, Vec<(i64, usize)>> = BTreeMap::new();
    for (i, alert) in alerts.iter().enumerate().filter(|(_, alert)| raised(alert)) {
        for (container, ts) in alert.deviations.iter().flat_map(|found| &found.reached) {
            connections.entry(container).or_default().push((*ts, i));
        }
    }
    let cause = |alert: &Alert| {
        let into = connections.get(&alert.container).filter(|_| raised(alert))?;
        let before = into.iter().filter(|(ts, _)| *ts <= alert.ts && seconds(alert.ts - ts) <= lateral);
        before.max().map(|(ts, from)| (*from, *ts))
    };
    alerts.iter().map(cause).collect()
}

/// The incidents of alerts that have been [`assign`]ed, in order of their numbers.
pub fn gather(alerts: &[Alert], lateral: f64) -> Vec<Incident> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, alert) in alerts.iter().enumerate() {
        members.entry(&alert.incident).or_default().push(i);
    }
    let moves = moves(alerts, lateral);
    let link = |to: &usize| {
        let (from, ts) = moves[*to]?;
        let after_s = (seconds(alerts[*to].ts - ts) * 1e6).round() / 1e6;
        Some(Link { from: alerts[from].id.clone(), to: alerts[*to].id.clone(), after_s })
    };
    let mut incidents: Vec<Incident> = members
        .into_iter()
        .map(|(id, members)| {
            let links = members.iter().filter_map(link).collect();
            incident(id, &members.iter().map(|i| &alerts[*i]).collect::<Vec<_>>(), links)
        })
        .collect();
    // By number: I10000 comes after I9999.
    incidents.sort_by_key(|incident| incident.id[1..].parse::<u64>().unwrap_or(u64::MAX));
    incidents
}

fn incident(id: &str, alerts: &[&Alert], links: Vec<Link>) -> Incident {
    let mut containers: Vec<Member> = Vec::new();
    let mut techniques: Vec<Technique> = Vec::new();
    for alert in alerts {
        let (container, image) = (Arc::clone(&alert.container), Arc::clone(&alert.image));
        let member = Member { container, name: alert.place_name().to_owned(), image };
        if !containers.contains(&member) {
            containers.push(member);
        }
        techniques.extend(alert.technique.clone().filter(|technique| !techniques.contains(technique)));
    }
    let times = || alerts.iter().flat_map(|alert| &alert.deviations).map(|found| found.ts);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let raised = alerts.iter().filter(|alert| alert.is_raised());
    Incident {
        id: id.to_owned(),
        severity: raised.map(|alert| alert.severity).max().unwrap_or(Severity::Low),
        first,
        last,
        first_time: text::time(first),
        last_time: text::time(last),
        containers,
        techniques,
        alerts: alerts.iter().map(|alert| alert.id.clone()).collect(),
        links,
        tree: tree(alerts),
    }
}

/// The processes of the alerts and those above them, each once, depth-first, children in order of their incarnation.
fn tree(alerts: &[&Alert]) -> Vec<Node> {
    let mut processes: BTreeMap<u64, (&Ancestor, &Alert)> = BTreeMap::new();
    let mut children: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    // In the order of the alerts: what came first stands first, also where it was in another container.
    let mut roots: Vec<u64> = Vec::new();
    for alert in alerts {
        let mut above = None;
        for process in &alert.ancestry {
            processes.entry(process.exec_id).or_insert((process, alert));
            match above {
                Some(parent) => {
                    children.entry(parent).or_default().insert(process.exec_id);
                }
                None if !roots.contains(&process.exec_id) => roots.push(process.exec_id),
                None => {}
            }
            above = Some(process.exec_id);
        }
    }
    let of_process: BTreeMap<u64, &Alert> = alerts.iter().filter_map(|alert| Some((alert.exec_id?, *alert))).collect();
    let mut nodes = Vec::new();
    let mut stack: Vec<(u64, usize)> = roots.into_iter().rev().map(|root| (root, 0)).collect();
    let mut seen = BTreeSet::new();
    while let Some((id, depth)) = stack.pop() {
        let Some((process, member)) = processes.get(&id).filter(|_| seen.insert(id)) else { continue };
        let alert = of_process.get(&id);
        nodes.push(Node {
            depth,
            exec_id: Some(id),
            pid: process.pid,
            container: member.place_name().to_owned(),
            command: Arc::clone(&process.command),
            alert: alert.map(|alert| alert.id.clone()),
            severity: alert.map(|alert| alert.severity),
        });
        let below = children.get(&id).into_iter().flatten().rev();
        stack.extend(below.map(|child| (*child, depth + 1)));
    }
    // A process that the recording's table does not have stands by itself.
    let alone = alerts.iter().filter(|alert| alert.exec_id.is_none_or(|id| !seen.contains(&id)));
    nodes.extend(alone.map(|alert| Node {
        depth: 0,
        exec_id: alert.exec_id,
        pid: alert.pid,
        container: alert.place_name().to_owned(),
        command: Arc::clone(&alert.process),
        alert: Some(alert.id.clone()),
        severity: Some(alert.severity),
    }));
    nodes
}
