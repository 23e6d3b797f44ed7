//! What is sent: an alert or an incident with a key of its own, and the words for receivers that people read.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::alert::{Alert, Incident};
use crate::engines::Severity;
use crate::output::text::{clean, shorten};

/// One message to every sink that wants it.
#[derive(Clone, Debug)]
pub struct Message {
    /// The same for the same alert in every replay: receivers that know it from before need not tell it again.
    pub key: String,
    /// The recording's name.
    pub recording: Arc<str>,
    /// Somebody tries the sink out.
    pub is_test: bool,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Alert(Box<Alert>),
    Incident(Box<Incident>),
}

/// Longest command line or sentence in a message for people, characters.
const LONG: usize = 400;

impl Message {
    pub fn alert(alert: &Alert, recording: &Arc<str>) -> Self {
        let key = key(&[&alert.container, &format!("{:?} {} {}", alert.exec_id, alert.pid, alert.ts)]);
        Self { key, recording: Arc::clone(recording), is_test: false, body: Body::Alert(Box::new(alert.clone())) }
    }

    pub fn incident(incident: &Incident, recording: &Arc<str>) -> Self {
        let first = incident.tree.iter().find(|node| node.alert.is_some());
        let process = first.map(|node| format!("{:?} {}", node.exec_id, node.pid)).unwrap_or_default();
        let container = incident.containers.first().map_or("", |member| &*member.container);
        let key = key(&["incident", container, &process, &incident.first.to_string()]);
        Self { key, recording: Arc::clone(recording), is_test: false, body: Body::Incident(Box::new(incident.clone())) }
    }

    pub fn severity(&self) -> Severity {
        match &self.body {
            Body::Alert(alert) => alert.severity,
            Body::Incident(incident) => incident.severity,
        }
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Value {
        let (kind, name, body) = match &self.body {
            Body::Alert(alert) => ("retroscope alert", "alert", plain(alert)),
            Body::Incident(incident) => ("retroscope incident", "incident", plain(incident)),
        };
        json!({ "kind": kind, "key": self.key, "test": self.is_test, "recording": &*self.recording, name: body })
    }

    /// One line that says what happened where.
    pub fn title(&self) -> String {
        let test = if self.is_test { "[TEST, nothing happened] " } else { "" };
        let severity = self.severity().name().to_uppercase();
        match &self.body {
            Body::Alert(alert) => {
                let technique = alert.technique.as_ref().map_or_else(|| "deviation".to_owned(), ToString::to_string);
                clean(&format!("{test}{severity} {technique} in {}", alert.place_name()))
            }
            Body::Incident(incident) => {
                let names: Vec<_> = incident.containers.iter().map(|member| member.name.as_str()).collect();
                clean(&format!("{test}{severity} incident of {} alerts in {}", incident.alerts.len(), names.join(", ")))
            }
        }
    }

    /// Name and value, in the order in which people want them. No value has control characters.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = match &self.body {
            Body::Alert(alert) => alert_facts(alert),
            Body::Incident(incident) => incident_facts(incident),
        };
        facts.push(("recording", self.recording.to_string()));
        facts.push(("key", self.key.clone()));
        facts.into_iter().map(|(name, value)| (name, shorten(&clean(&value), LONG))).collect()
    }

    /// The facts as lines of text.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n", self.title());
        for (name, value) in self.facts() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{name}: {value}");
        }
        if let Body::Alert(alert) = &self.body {
            for command in &alert.commands {
                let _ = write!(out, "\n# {}\n{}\n", command.why, clean(&command.run));
            }
        }
        out
    }
}

fn alert_facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("alert", format!("{} (incident {})", alert.id, alert.incident)),
        ("score", format!("{:.1}", alert.score)),
        ("time", alert.time.clone()),
        ("process", format!("{} (pid {})", alert.process, alert.pid)),
        ("container", format!("{} {}", alert.place_name(), alert.container)),
        ("image", alert.image.to_string()),
    ];
    facts.extend(alert.pod_name().map(|pod| ("pod", pod)));
    facts.extend(alert.technique.as_ref().map(|technique| ("tactic", technique.tactic_names())));
    let reasons = alert.engines.iter().filter(|engine| engine.points > 0.0);
    facts.extend(reasons.map(|engine| (engine.engine, format!("{:.1}: {}", engine.points, engine.reason))));
    facts.push(("action", alert.action.clone()));
    facts
}

fn incident_facts(incident: &Incident) -> Vec<(&'static str, String)> {
    let techniques: Vec<_> = incident.techniques.iter().map(ToString::to_string).collect();
    vec![
        ("incident", incident.id.clone()),
        ("time", format!("{} to {}", incident.first_time, incident.last_time)),
        ("techniques", techniques.join(" → ")),
        ("alerts", incident.alerts.join(", ")),
    ]
}

/// As the files have it: a Value made directly has single floats with the digits that they lack.
fn plain(value: &impl serde::Serialize) -> Value {
    let text = serde_json::to_string(value).expect("string keys and plain values serialize");
    serde_json::from_str(&text).expect("what was written can be read")
}

/// The first 128 bits of SHA-256 over the parts, as hex.
fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Severity from 0 to 10, as CEF wants it.
pub fn out_of_ten(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 3,
        Severity::Medium => 6,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}
