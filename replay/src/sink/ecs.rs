//! Elastic Common Schema: a document per alert, into a file as NDJSON or to Elasticsearch's `_bulk`.
//! Fields: <https://www.elastic.co/docs/reference/ecs/ecs-field-reference>.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::Http;
use super::message::out_of_ten;
use super::{Body, Failure, Message, Sink};
use crate::alert::Alert;
use crate::deviation::Tree;
use crate::observe::HOST;
use crate::output::text::{clean, shorten};

/// The version whose fields these are.
const VERSION: &str = "8.17.0";
/// Where documents go unless told otherwise.
const INDEX: &str = "logs-retroscope.alert-default";

pub struct Bulk {
    http: Http,
    index: String,
}

impl Bulk {
    pub fn new(http: Http, index: Option<String>) -> Self {
        Self { http: http.below("/_bulk"), index: index.unwrap_or_else(|| INDEX.to_owned()) }
    }
}

impl Sink for Bulk {
    /// With the key as the document's id: what is there already is answered with a conflict, and is no failure.
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        let Body::Alert(alert) = &message.body else { return Ok(()) };
        let action = json!({ "create": { "_index": self.index, "_id": message.key } });
        let body = format!("{action}\n{}\n", document(message, alert));
        let answer = self.http.post("application/x-ndjson", body, &message.key, within)?;
        let answer: Value = serde_json::from_str(&answer.body)
            .map_err(|_| Failure::passing("the answer is no JSON, as Elasticsearch's are"))?;
        let result = &answer["items"][0]["create"];
        let status = result["status"].as_u64().unwrap_or(0);
        match status {
            200..=299 | 409 => Ok(()),
            _ => {
                let reason = shorten(&clean(result["error"]["reason"].as_str().unwrap_or("no reason given")), 200);
                Err(Failure {
                    why: format!("status {status}: {reason}"),
                    may_pass: status == 429 || status >= 500,
                    after: None,
                })
            }
        }
    }
}

/// An alert as an ECS document.
pub fn document(message: &Message, alert: &Alert) -> Value {
    let reasons = alert.engines.iter().filter(|engine| engine.points > 0.0);
    let reasons: Vec<_> = reasons.map(|engine| format!("{}: {}", engine.engine, clean(&engine.reason))).collect();
    let mut categories: Vec<&str> = alert
        .deviations
        .iter()
        .map(|found| match found.tree {
            Tree::Process => "process",
            Tree::File => "file",
            Tree::Network => "network",
        })
        .collect();
    categories.sort_unstable();
    categories.dedup();
    let me = alert.ancestry.last();
    let parent = alert.ancestry.len().checked_sub(2).and_then(|i| alert.ancestry.get(i));
    let files: Vec<_> = alert
        .deviations
        .iter()
        .filter(|found| found.tree == Tree::File)
        .filter_map(|found| crate::alert::file_of(&found.text))
        .collect();
    let mut document = json!({
        "@timestamp": alert.time,
        "ecs": { "version": VERSION },
        "message": message.title(),
        "tags": if message.is_test { vec!["retroscope", "test"] } else { vec!["retroscope"] },
        "labels": { "recording": &*message.recording, "incident": alert.incident, "retroscope_alert": alert.id },
        "event": {
            "kind": "alert",
            "category": categories,
            "type": ["info"],
            "id": message.key,
            "module": "retroscope",
            "dataset": "retroscope.alert",
            "severity": out_of_ten(alert.severity),
            "risk_score": (f64::from(alert.score) * 100.0).round() / 100.0,
            "reason": reasons.join("; "),
            "action": clean(&alert.action),
        },
        "process": {
            "pid": alert.pid,
            "command_line": &*alert.process,
            "executable": me.map(|process| &*process.exe),
            "entity_id": alert.exec_id.map(|id| id.to_string()),
            "parent": parent.map(|process| json!({
                "pid": process.pid,
                "command_line": &*process.command,
                "executable": &*process.exe,
                "entity_id": process.exec_id.to_string(),
            })),
        },
        "container": (&*alert.container != HOST).then(|| json!({
            "id": &*alert.container,
            "name": alert.container_name,
            "runtime": alert.runtime,
            "image": { "name": &*alert.image, "hash": alert.image_digest.as_ref().map(|digest| json!({ "all": [digest] })) },
        })),
        "orchestrator": alert.pod.as_ref().map(|pod| json!({
            "type": "kubernetes",
            "namespace": alert.namespace,
            "resource": { "type": "pod", "name": pod },
        })),
        "rule": (!alert.rules.is_empty()).then(|| json!({ "id": alert.rules[0] })),
        "file": files.first().map(|path| json!({ "path": path })),
        "threat": alert.technique.as_ref().map(|technique| json!({
            "framework": "MITRE ATT&CK",
            "technique": { "id": [technique.id], "name": [technique.name] },
            "tactic": {
                "id": technique.tactics.iter().map(|tactic| tactic.id).collect::<Vec<_>>(),
                "name": technique.tactics.iter().map(|tactic| tactic.name).collect::<Vec<_>>(),
            },
        })),
    });
    prune(&mut document);
    document
}

/// Takes out nulls, and objects that are empty without them.
pub fn prune(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(prune);
        fields.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|inner| !inner.is_empty()));
    }
}
