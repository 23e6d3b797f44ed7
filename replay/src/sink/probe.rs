//! A made-up alert that says what it is, to try a sink out.

use std::sync::Arc;

use jiff::Timestamp;
use record_bpf::Class;

use super::{Body, Message};
use crate::alert::{Alert, Ancestor, Command, EngineScore, Finding, Technique};
use crate::deviation::{DeviationKind, RowRef, Tier, Tree};
use crate::engines::Severity;
use crate::output::text;

/// The test alert, as of now. Each is a new one: its key holds the time.
pub fn message(severity: Severity) -> Message {
    let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    let alert = alert(severity, now);
    Message { is_test: true, ..Message::alert(&alert, &Arc::from("(test of a sink)")) }
}

/// The same for incidents' receivers.
pub fn incident(severity: Severity) -> Message {
    let Body::Alert(alert) = message(severity).body else { unreachable!("it was made as an alert") };
    let incidents = crate::alert::incident::gather(&[*alert], 0.0);
    Message { is_test: true, ..Message::incident(&incidents[0], &Arc::from("(test of a sink)")) }
}

fn alert(severity: Severity, ts: i64) -> Alert {
    let process: Arc<str> = "/usr/bin/true --this-is-a-test-of-retroscope".into();
    let image: Arc<str> = "retroscope-test".into();
    let finding = Finding {
        tree: Tree::Process,
        kind: DeviationKind::NewProcess,
        tier: Tier::Structure,
        text: Arc::clone(&process),
        host_path: None,
        path: vec![Arc::clone(&image), "(outside)".into(), "/usr/bin/true".into()],
        at: 2,
        risk: None,
        changes: Vec::new(),
        token_novelty: None,
        nearest: None,
        ts,
        count: 1,
        rows: vec![RowRef { class: Class::Process, cpu: 0, seq: 0 }],
        reached: std::collections::BTreeMap::new(),
        verdicts: Vec::new(),
        unanswered: Vec::new(),
    };
    Alert {
        id: "TEST".to_owned(),
        incident: "I0000".to_owned(),
        severity,
        score: 0.0,
        ts,
        time: text::time(ts),
        raised_at: ts,
        image,
        image_digest: None,
        container: "0".repeat(64).into(),
        recording: None,
        container_name: Some("retroscope-test".to_owned()),
        runtime: None,
        pod: None,
        namespace: None,
        pid: 1,
        exec_id: Some(1),
        ancestry: vec![Ancestor { exec_id: 1, pid: 1, exe: "/usr/bin/true".into(), command: Arc::clone(&process) }],
        process,
        engines: vec![EngineScore {
            engine: "rules",
            points: 0.0,
            weight: 0.0,
            reason: "somebody tries this sink out".to_owned(),
            judge: "replay sinks test".to_owned(),
        }],
        rules: Vec::new(),
        technique: Some(Technique::new("T1496")),
        action: "none; this is a test".to_owned(),
        commands: vec![Command { why: "nothing to do", run: "true".to_owned() }],
        deviations: vec![finding],
        allowed: None,
        truth: None,
    }
}
