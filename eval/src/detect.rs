//! Alerts against ground truth.

use std::collections::BTreeSet;

use datasets::Recording;
use replay::engines::Severity;
use serde::Serialize;

use crate::alerts::AlertRow;
use crate::judged::{self, ActEvents, Judged};
use crate::{Error, Result, frames};

/// When an event counts as flagged by an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flagging {
    /// It is a row of the alert's evidence, or of the process incarnation (`exec_id`) that the alert is about.
    Process,
    /// It is a row of the alert's evidence.
    Evidence,
}

/// What `eval detect` says.
#[derive(Debug, Serialize)]
pub struct Detection {
    pub recording: String,
    pub scenario: Option<String>,
    /// What it is for: train, validation or test; null: nobody has said.
    pub split: Option<&'static str>,
    /// Whether there is ground truth; without it every event is benign.
    pub labelled: bool,
    pub flagging: Flagging,
    /// An act is detected by an alert of this severity or a higher one.
    pub detected_at: &'static str,
    pub events: u64,
    pub malicious_events: u64,
    pub benign_events: u64,
    /// Events of which nobody can say whether they are the attack's: they count nowhere.
    pub ambiguous_events: u64,
    /// Alerts of nothing but ambiguous events: neither true nor false.
    pub undecided_alerts: u64,
    /// Alerts with labelled evidence that had been raised before the first act they show began: they are false.
    pub early_alerts: u64,
    /// Labels that name no event of the recording: they count nowhere.
    pub labels_without_event: u64,
    /// From first to last event, summed over containers; h.
    pub container_hours: f64,
    pub alerts: u64,
    /// Event level, from each severity up, highest first.
    pub thresholds: Vec<Threshold>,
    /// Alert level, by severity, highest first.
    pub severities: Vec<SeverityCount>,
    pub acts: Vec<Act>,
}

/// Events flagged by alerts of `at_or_above` and higher.
#[derive(Debug, PartialEq, Serialize)]
pub struct Threshold {
    pub at_or_above: &'static str,
    pub flagged: u64,
    pub true_positives: u64,
    pub false_positives: u64,
    pub false_negatives: u64,
    /// true positives / flagged; null: nothing flagged.
    pub precision: Option<f64>,
    /// true positives / malicious events; null: no malicious events.
    pub recall: Option<f64>,
    /// False alerts of this severity and higher.
    pub false_alerts: u64,
    pub acts_detected: u64,
}

/// Alerts of exactly this severity. An alert is true if at least one row of its evidence is labelled, and it was raised after the
/// act had begun.
#[derive(Debug, PartialEq, Serialize)]
pub struct SeverityCount {
    pub severity: &'static str,
    pub alerts: u64,
    pub true_alerts: u64,
    pub false_alerts: u64,
    /// null: no benign events.
    pub false_alerts_per_benign_event: Option<f64>,
    /// null: no time passed in any container.
    pub false_alerts_per_container_hour: Option<f64>,
}

/// One act of the attack.
#[derive(Debug, PartialEq, Serialize)]
pub struct Act {
    pub act: String,
    pub techniques: Vec<String>,
    /// Labelled events in the recording.
    pub events: u64,
    pub detected: bool,
    /// The alert that detected it first; null: not detected.
    pub detected_by: Option<String>,
    pub severity: Option<&'static str>,
    /// Event time from the act's first event to the detection, s.
    pub time_to_detect_s: Option<f64>,
    /// The highest severity of any alert that shows the act, detected or not.
    pub highest: Option<&'static str>,
    /// Every alert that shows the act.
    pub alerts: Vec<String>,
}

impl Detection {
    /// Share of the acts that were detected, 0 to 1; `None` without acts.
    pub fn detection_rate(&self) -> Option<f64> {
        share(self.acts.iter().filter(|act| act.detected).count() as u64, self.acts.len() as u64)
    }

    /// False alerts of `detected_at` and higher.
    pub fn false_alerts(&self) -> u64 {
        let threshold = self.thresholds.iter().find(|threshold| threshold.at_or_above == self.detected_at);
        threshold.map_or(0, |threshold| threshold.false_alerts)
    }
}

/// Compares `alerts` with the ground truth of `recording`; an act is detected by an alert of `at` or higher.
///
/// # Errors
/// An unreadable recording; evidence that the recording does not have.
pub fn detect(recording: &Recording, alerts: &[AlertRow], flagging: Flagging, at: Severity) -> Result<Detection> {
    replay::input::verify(recording)?;
    let labels = recording.labels()?;
    let (truth, names) = frames::truth(&labels)?;
    let judged =
        judged::judge(frames::events(recording)?, truth, frames::ambiguous(&labels)?, names.len(), alerts, flagging)?;
    if judged.evidence_without_event > 0 {
        return Err(Error::OtherRecording {
            recording: recording.dir().to_owned(),
            reason: format!("{} rows of their evidence are not in it", judged.evidence_without_event),
        });
    }
    let techniques = |act: &str| {
        let of_act = labels.iter().filter(|label| *label.act == *act && !label.ambiguous);
        of_act.map(|label| label.technique.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let acts = names.iter().enumerate().map(|(at_act, name)| {
        let shown = act(&judged, at_act, alerts, at);
        Act { act: name.clone(), techniques: techniques(name), ..shown }
    });
    let acts: Vec<Act> = acts.collect();
    let malicious = count(&judged, |labelled, _| labelled);
    let benign = count(&judged, |labelled, _| !labelled);
    let container_hours = judged.container_seconds / 3600.0;
    let severities = || Severity::ALL.into_iter().rev();
    let manifest = recording.manifest();
    Ok(Detection {
        recording: recording.dir().display().to_string(),
        scenario: manifest.scenario.as_ref().map(|scenario| scenario.name.clone()),
        labelled: !labels.is_empty(),
        split: None,
        flagging,
        detected_at: at.name(),
        events: malicious + benign,
        malicious_events: malicious,
        benign_events: benign,
        ambiguous_events: judged.ambiguous_events,
        undecided_alerts: judged.undecided.len() as u64,
        early_alerts: judged.early.len() as u64,
        labels_without_event: judged.labels_without_event,
        container_hours,
        alerts: alerts.len() as u64,
        thresholds: severities().map(|severity| threshold(&judged, alerts, severity, malicious)).collect(),
        severities: severities().map(|s| severity_count(&judged, alerts, s, benign, container_hours)).collect(),
        acts,
    })
}

fn count(judged: &Judged, wanted: impl Fn(bool, u32) -> bool) -> u64 {
    judged.events.iter().filter(|(labelled, flagged, _)| wanted(*labelled, *flagged)).map(|(.., n)| n).sum()
}

fn threshold(judged: &Judged, alerts: &[AlertRow], severity: Severity, malicious: u64) -> Threshold {
    let level = frames::level(severity);
    let true_positives = count(judged, |labelled, flagged| labelled && flagged >= level);
    let flagged = count(judged, |_, flagged| flagged >= level);
    let acts = judged.hits.iter().filter(|hit| alerts[hit.alert].severity >= severity).map(|hit| hit.act);
    Threshold {
        at_or_above: severity.name(),
        flagged,
        true_positives,
        false_positives: flagged - true_positives,
        false_negatives: malicious - true_positives,
        precision: share(true_positives, flagged),
        recall: share(true_positives, malicious),
        false_alerts: false_alerts(judged, alerts, |other| other >= severity),
        acts_detected: acts.collect::<BTreeSet<_>>().len() as u64,
    }
}

fn false_alerts(judged: &Judged, alerts: &[AlertRow], wanted: impl Fn(Severity) -> bool) -> u64 {
    // True, or nobody can say.
    let not_false: BTreeSet<usize> = judged.hits.iter().map(|hit| hit.alert).chain(judged.undecided.clone()).collect();
    alerts.iter().enumerate().filter(|(at, alert)| wanted(alert.severity) && !not_false.contains(at)).count() as u64
}

fn severity_count(judged: &Judged, alerts: &[AlertRow], severity: Severity, benign: u64, hours: f64) -> SeverityCount {
    let all = alerts.iter().filter(|alert| alert.severity == severity).count() as u64;
    let false_alerts = false_alerts(judged, alerts, |other| other == severity);
    let undecided = judged.undecided.iter().filter(|at| alerts[**at].severity == severity).count() as u64;
    SeverityCount {
        severity: severity.name(),
        alerts: all,
        true_alerts: all - false_alerts - undecided,
        false_alerts,
        false_alerts_per_benign_event: share(false_alerts, benign),
        false_alerts_per_container_hour: (hours > 0.0).then(|| false_alerts as f64 / hours),
    }
}

/// What is known of an act but its name and techniques.
fn act(judged: &Judged, act: usize, alerts: &[AlertRow], at: Severity) -> Act {
    let ActEvents { events, begin } = judged.acts[act];
    let hits: Vec<_> = judged.hits.iter().filter(|hit| hit.act == act).collect();
    // One that was raised in an earlier act shows this one from its first evidence of it on.
    let detections = hits.iter().filter(|hit| alerts[hit.alert].severity >= at);
    let first = detections.map(|hit| (hit.first.max(alerts[hit.alert].raised_at), hit.alert)).min();
    let highest = hits.iter().map(|hit| alerts[hit.alert].severity).max();
    Act {
        act: String::new(),
        techniques: Vec::new(),
        events,
        detected: first.is_some(),
        detected_by: first.map(|(_, alert)| alerts[alert].id.clone()),
        severity: first.map(|(_, alert)| alerts[alert].severity.name()),
        time_to_detect_s: first.zip(begin).map(|((when, _), begin)| (when - begin) as f64 / 1e9),
        highest: highest.map(Severity::name),
        alerts: hits.iter().map(|hit| alerts[hit.alert].id.clone()).collect(),
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
