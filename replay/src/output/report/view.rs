//! Alerts and incidents with what a template cannot work out by itself. Everything that a recording chose the words of is
//! made harmless and short here.

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Value, context};

use crate::alert::allow::Applied;
use crate::alert::{Alert, Incident};
use crate::output::{table, text};

/// Deviations shown of one alert, ancestors of its process, and processes of one incident.
const FINDINGS: usize = 20;
const ANCESTORS: usize = 16;
const PROCESSES: usize = 200;

/// Made harmless, and at most so many characters of it.
fn told(text: &str, max: usize) -> String {
    text::shorten(&text::clean(text), max)
}

/// An alert.
pub fn alert(alert: &Alert) -> Value {
    let findings: Vec<_> = alert.deviations.iter().take(FINDINGS).map(finding).collect();
    let engines: Vec<_> = alert
        .engines
        .iter()
        .map(|engine| {
            let share =
                if engine.weight > 0.0 { (engine.points / engine.weight * 100.0).clamp(0.0, 100.0) } else { 0.0 };
            context! {
                name => engine.engine,
                points => format!("{:.1}", engine.points),
                weight => format!("{:.0}", engine.weight),
                share => format!("{share:.1}"),
                reason => told(&engine.reason, 600),
                judge => told(&engine.judge, 160),
            }
        })
        .collect();
    let skipped = alert.ancestry.len().saturating_sub(ANCESTORS);
    let ancestry: Vec<_> = alert.ancestry[skipped..]
        .iter()
        .map(|process| context! { command => told(&process.command, 240), pid => process.pid })
        .collect();
    let commands: Vec<_> = alert
        .commands
        .iter()
        .map(|command| context! { why => command.why, run => text::clean(&command.run) })
        .collect();
    context! {
        id => &*alert.id,
        incident => &*alert.incident,
        severity => alert.severity.name(),
        score => format!("{:.1}", alert.score),
        time => &*alert.time,
        group => group(alert),
        place => told(alert.place_name(), 80),
        container => told(&alert.container, 80),
        container_name => alert.container_name.as_deref().map(|name| told(name, 160)),
        runtime => alert.runtime.as_deref().map(|name| told(name, 80)),
        image => told(&alert.image, 200),
        digest => alert.image_digest.as_deref().map(|digest| told(digest, 120)),
        pod => alert.pod_name().map(|pod| told(&pod, 200)),
        process => told(&alert.process, 160),
        process_whole => told(&alert.process, 2000),
        pid => alert.pid,
        exec_id => alert.exec_id,
        skipped => skipped,
        ancestry => ancestry,
        engines => engines,
        technique_id => alert.technique.as_ref().map_or("none", |technique| &*technique.id),
        technique => alert.technique.as_ref().map(table::technique),
        action => told(&alert.action, 1000),
        commands => commands,
        allowed => Value::from(Serde(&alert.allowed)),
        truth => Value::from(Serde(&alert.truth)),
        findings => findings,
        more => alert.deviations.len().saturating_sub(FINDINGS),
    }
}

/// In which group an alert is looked for.
pub fn group(alert: &Alert) -> &'static str {
    match (alert.allowed.is_some(), alert.is_raised()) {
        (true, _) => "allowed",
        (false, true) => "raised",
        (false, false) => "kept",
    }
}

fn finding(found: &crate::alert::Finding) -> Value {
    let steps = |steps: &[std::sync::Arc<str>]| steps.iter().map(|step| told(step, 300)).collect::<Vec<_>>();
    let at = found.at.min(found.path.len().saturating_sub(1));
    context! {
        what => found.what(),
        tier => found.tier_name(),
        text => told(&found.text, 400),
        host_path => found.host_path.as_deref().map(|path| told(path, 400)),
        before => steps(&found.path[..at]),
        at => found.path.get(at).map(|step| told(step, 300)),
        after => steps(found.path.get(at + 1..).unwrap_or_default()),
        risk => found.risk.map(|risk| format!("{risk:.2}")),
        changes => found.changes.iter().map(|change| told(change, 120)).collect::<Vec<_>>(),
        novelty => found.token_novelty.map(|share| format!("{:.0} %", share * 100.0)),
        nearest => found.nearest.as_ref().map(|nearest| context! {
            cosine => format!("{:.3}", nearest.cosine),
            pattern => told(&nearest.pattern, 160),
        }),
        count => found.count,
        time => text::time(found.ts),
        rows => Value::from(Serde(&found.rows)),
    }
}

/// An incident with its tree. `alerts`: by id.
pub fn incident(incident: &Incident, alerts: &BTreeMap<&str, &Alert>) -> Value {
    let nodes = &incident.tree[..incident.tree.len().min(PROCESSES)];
    let several = incident.containers.len() > 1;
    let tree: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(i, node)| {
            let next = nodes.get(i + 1).map_or(0, |next| next.depth);
            let raised = node.alert.as_deref().and_then(|id| alerts.get(id));
            context! {
                command => told(&node.command, 300),
                pid => node.pid,
                container => several.then(|| told(&node.container, 80)),
                severity => node.severity.map(|severity| severity.name()),
                alert => node.alert.as_deref(),
                what => raised.map(|alert| raised_by(alert)),
                technique => raised.and_then(|alert| alert.technique.as_ref()).map(ToString::to_string),
                // A list below it is opened, or so many are closed after it.
                opens => next > node.depth,
                closes => if i + 1 == nodes.len() { node.depth } else { node.depth.saturating_sub(next) },
            }
        })
        .collect();
    let containers: Vec<_> = incident
        .containers
        .iter()
        .map(|member| context! { name => told(&member.name, 80), image => told(&member.image, 200) })
        .collect();
    context! {
        id => &*incident.id,
        severity => incident.severity.name(),
        alerts => incident.alerts.len(),
        first => &*incident.first_time,
        length => format!("{:.1}", incident.length()),
        containers => containers,
        links => Value::from(Serde(&incident.links)),
        techniques => incident.techniques.iter().map(ToString::to_string).collect::<Vec<_>>(),
        tree => tree,
        more => incident.tree.len().saturating_sub(PROCESSES),
    }
}

/// What was new, each once, and the rule that hit.
fn raised_by(alert: &Alert) -> String {
    let mut said: Vec<&str> = Vec::new();
    for found in &alert.deviations {
        if !said.contains(&found.what()) {
            said.push(found.what());
        }
    }
    let mut text = said.join(", ");
    if let Some(first) = alert.rules.first() {
        // The reason begins with the rule's title.
        let reason = alert.engines.iter().find(|engine| engine.engine == "rules").map_or("", |engine| &*engine.reason);
        let title = reason.split(": ").next().filter(|title| !title.is_empty()).unwrap_or(first);
        let more = if alert.rules.len() > 1 { format!(" and {} more", alert.rules.len() - 1) } else { String::new() };
        text.push_str(&format!("; rule “{}”{more}", told(title, 120)));
    }
    text
}

/// An entry of the allow-list.
pub fn entry(applied: &Applied) -> Value {
    context! {
        entry => Value::from(Serde(applied)),
        describe => applied.describe(),
        nothing => applied.matched_nothing(),
    }
}
