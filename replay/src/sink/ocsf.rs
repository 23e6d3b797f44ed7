//! Open Cybersecurity Schema Framework: a Detection Finding (class 2004) per alert, into a file or to an HTTP receiver.
//! Attributes: <https://schema.ocsf.io/1.5.0/classes/detection_finding>.

use std::time::Duration;

use serde_json::{Value, json};

use super::ecs::prune;
use super::http::Http;
use super::{Body, Failure, Message, Sink};
use crate::alert::{Alert, Ancestor, Technique};
use crate::engines::Severity;
use crate::observe::HOST;
use crate::output::text::clean;

/// The version whose attributes these are.
const VERSION: &str = "1.5.0";

pub struct Ocsf(pub Http);

impl Sink for Ocsf {
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        let Body::Alert(alert) = &message.body else { return Ok(()) };
        self.0.post_json(&finding(message, alert), &message.key, within).map(|_| ())
    }
}

/// An alert as a Detection Finding. Times are Unix ms.
pub fn finding(message: &Message, alert: &Alert) -> Value {
    let time = alert.ts / 1_000_000;
    let last = alert.deviations.iter().map(|found| found.ts).max().unwrap_or(alert.ts) / 1_000_000;
    let (severity_id, severity) = match alert.severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let attacks: Vec<Value> = alert
        .technique
        .iter()
        .map(|technique| {
            let tactic = technique.tactics.first().map(|tactic| json!({ "uid": tactic.id, "name": tactic.name }));
            let named = json!({ "uid": technique.id, "name": technique.name });
            let whole = Technique::new(technique.family());
            if whole == *technique {
                json!({ "technique": named, "tactic": tactic })
            } else {
                json!({ "technique": { "uid": whole.id, "name": whole.name }, "sub_technique": named, "tactic": tactic })
            }
        })
        .collect();
    let is_host = &*alert.container == HOST;
    let container = (!is_host).then(|| {
        json!({
            "uid": &*alert.container,
            "name": alert.container_name,
            "runtime": alert.runtime,
            "orchestrator": alert.pod.as_ref().map(|_| "kubernetes"),
            "image": { "uid": alert.image_digest.as_deref().unwrap_or(&alert.image), "name": &*alert.image },
        })
    });
    let reasons = alert.engines.iter().filter(|engine| engine.points > 0.0);
    let reasons: Vec<_> = reasons.map(|engine| format!("{}: {}", engine.engine, clean(&engine.reason))).collect();
    let deviations: Vec<_> = alert.deviations.iter().map(|found| clean(&found.marked_path())).collect();
    let commands: Vec<_> = alert.commands.iter().map(|command| command.run.as_str()).collect();
    let mut finding = json!({
        "activity_id": 1,
        "activity_name": "Create",
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "type_uid": 200_401,
        "type_name": "Detection Finding: Create",
        "time": time,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "is_alert": true,
        "risk_score": alert.score.round() as i64,
        "message": message.title(),
        "metadata": {
            "version": VERSION,
            "uid": message.key,
            "profiles": ["container"],
            "labels": if message.is_test { vec!["test"] } else { vec![] },
            "product": { "name": "replay", "vendor_name": "Retroscope", "version": env!("CARGO_PKG_VERSION") },
        },
        "finding_info": {
            "uid": message.key,
            "title": message.title(),
            "desc": reasons.join("; "),
            "created_time": time,
            "first_seen_time": time,
            "last_seen_time": last,
            "types": ["Behavioral"],
            "analytic": {
                "type_id": 2,
                "type": "Behavioral",
                "name": "profile, rules and semantics",
                "uid": alert.rules.first().map_or("profile", String::as_str),
            },
            "attacks": attacks,
        },
        "evidences": [{
            "process": process(&alert.ancestry, alert, &json!(container)),
            "data": { "deviations": deviations, "rows": alert.rows().collect::<Vec<_>>(), "recording": &*message.recording },
        }],
        "resources": [{
            "uid": &*alert.container,
            "name": alert.place_name(),
            "type": if is_host { "host" } else { "container" },
            "namespace": alert.namespace,
            "labels": alert.pod.as_ref().map(|pod| vec![format!("pod:{pod}")]),
        }],
        "remediation": { "desc": format!("{}\n{}", clean(&alert.action), commands.join("\n")).trim_end() },
    });
    prune(&mut finding);
    finding
}

/// The process, its parents inside it.
fn process(ancestry: &[Ancestor], alert: &Alert, container: &Value) -> Value {
    let Some((me, above)) = ancestry.split_last() else {
        return json!({ "pid": alert.pid, "cmd_line": &*alert.process, "container": container });
    };
    let name = me.exe.rsplit('/').next().unwrap_or(&me.exe);
    let mut own = json!({
        "pid": me.pid,
        "uid": me.exec_id.to_string(),
        "name": name,
        "cmd_line": &*me.command,
        "file": { "path": &*me.exe, "name": name, "type_id": 1 },
        "container": container,
    });
    if !above.is_empty() {
        own["parent_process"] = process(above, alert, &Value::Null);
    }
    own
}
