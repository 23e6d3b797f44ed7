//! Prometheus Alertmanager, API v2. It tells alerts apart by their labels, so a second replay of the same recording updates
//! what the first one raised.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::Http;
use super::{Body, Failure, Message, Sink};
use crate::alert::Alert;
use crate::output::text::clean;

pub struct Alertmanager(Http);

impl Alertmanager {
    pub fn new(http: Http) -> Self {
        Self(http.below("/api/v2/alerts"))
    }
}

impl Sink for Alertmanager {
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure> {
        let Body::Alert(alert) = &message.body else { return Ok(()) };
        self.0.post_json(&json!([body(message, alert)]), &message.key, within).map(|_| ())
    }
}

fn body(message: &Message, alert: &Alert) -> Value {
    let technique = alert.technique.as_ref().map_or("", |technique| technique.id.as_str());
    let labels = [
        ("alertname", "RetroscopeAlert"),
        ("severity", alert.severity.name()),
        ("container", alert.place_name()),
        ("image", &alert.image),
        ("namespace", alert.namespace.as_deref().unwrap_or("")),
        ("pod", alert.pod.as_deref().unwrap_or("")),
        ("technique", technique),
        ("recording", &message.recording),
        ("key", &message.key),
        ("test", if message.is_test { "true" } else { "" }),
    ];
    // To Alertmanager an empty label is none.
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let labels: serde_json::Map<_, _> = labels.map(|(name, value)| (name.to_owned(), json!(clean(value)))).collect();
    let facts = message.facts().into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
    let commands = alert.commands.iter().map(|command| clean(&command.run)).collect::<Vec<_>>();
    json!({
        "labels": labels,
        "annotations": {
            "summary": message.title(),
            "description": facts.join("\n"),
            "action": clean(&alert.action),
            "commands": commands.join("\n"),
        },
        "startsAt": alert.time,
    })
}
