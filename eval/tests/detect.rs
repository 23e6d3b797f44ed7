//! Every metric of `detect` against numbers computed by hand from the picture in `common`.

mod common;

use common::*;
use eval::alerts::{self, AlertRow};
use eval::detect::{Act, Detection, Flagging, detect};
use record_bpf::Class;
use replay::alert::Alert;
use replay::engines::Severity;

fn measure(alerts: &[Alert], flagging: Flagging, at: Severity) -> Detection {
    let dir = tempfile::tempdir().unwrap();
    let recording = labelled(&dir.path().join("rec"));
    let rows: Vec<AlertRow> = alerts.iter().map(AlertRow::from).collect();
    detect(&recording, &rows, flagging, at).unwrap()
}

/// (severity, flagged, true positives, false positives, false negatives, false alerts, acts)
type Line = (&'static str, u64, u64, u64, u64, u64, u64);

fn lines(found: &Detection) -> Vec<Line> {
    let line = |t: &eval::detect::Threshold| {
        let (tp, fp, fneg) = (t.true_positives, t.false_positives, t.false_negatives);
        (t.at_or_above, t.flagged, tp, fp, fneg, t.false_alerts, t.acts_detected)
    };
    found.thresholds.iter().map(line).collect()
}

#[test]
fn events_are_flagged_by_evidence_and_by_process() {
    let found = measure(&alerts(), Flagging::Process, Severity::High);
    assert_eq!((found.events, found.malicious_events, found.benign_events), (11, 5, 6));
    // 36 s in one container, 18 s in the other.
    assert!((found.container_hours - 54.0 / 3600.0).abs() < 1e-12);
    let expected: [Line; 4] = [
        // All three events of drop, one of them no evidence.
        ("critical", 3, 3, 0, 2, 0, 1),
        // And the three of web.
        ("high", 6, 3, 3, 2, 1, 1),
        // And the two of mask.
        ("medium", 8, 5, 3, 0, 1, 2),
        // And the one event of nobody, by evidence.
        ("low", 9, 5, 4, 0, 2, 2),
    ];
    assert_eq!(lines(&found), expected);
    let shares: Vec<_> = found.thresholds.iter().map(|t| (t.precision, t.recall)).collect();
    let expected = [(1.0, 0.6), (0.5, 0.6), (0.625, 1.0), (5.0 / 9.0, 1.0)];
    assert_eq!(shares, expected.map(|(precision, recall)| (Some(precision), Some(recall))));
}

#[test]
fn evidence_alone_flags_less() {
    let found = measure(&alerts(), Flagging::Evidence, Severity::High);
    let expected: [Line; 4] = [
        ("critical", 2, 2, 0, 3, 0, 1),
        ("high", 3, 2, 1, 3, 1, 1),
        ("medium", 4, 3, 1, 2, 1, 2),
        ("low", 5, 3, 2, 2, 2, 2),
    ];
    assert_eq!(lines(&found), expected);
}

#[test]
fn false_alerts_are_counted_by_severity_event_and_container_hour() {
    let found = measure(&alerts(), Flagging::Process, Severity::High);
    let counts: Vec<_> =
        found.severities.iter().map(|s| (s.severity, s.alerts, s.true_alerts, s.false_alerts)).collect();
    assert_eq!(counts, [("critical", 1, 1, 0), ("high", 1, 0, 1), ("medium", 1, 1, 0), ("low", 1, 0, 1)]);
    let high = &found.severities[1];
    assert_eq!(high.false_alerts_per_benign_event, Some(1.0 / 6.0));
    assert!((high.false_alerts_per_container_hour.unwrap() - 200.0 / 3.0).abs() < 1e-9);
    assert_eq!(found.false_alerts(), 1);
}

#[test]
fn acts_are_detected_from_the_severity_asked_for() {
    let high = measure(&alerts(), Flagging::Process, Severity::High);
    let drop = Act {
        act: "drop".to_owned(),
        techniques: vec!["T1105".to_owned(), "T1496".to_owned()],
        events: 3,
        detected: true,
        detected_by: Some("A0002".to_owned()),
        severity: Some("critical"),
        // From its first event at 20 s to the one that raised the alert at 21 s.
        time_to_detect_s: Some(1.0),
        highest: Some("critical"),
        alerts: vec!["A0002".to_owned()],
    };
    let missed = Act {
        act: "mask".to_owned(),
        techniques: vec!["T1036".to_owned(), "T1496".to_owned()],
        events: 2,
        detected: false,
        detected_by: None,
        severity: None,
        time_to_detect_s: None,
        highest: Some("medium"),
        alerts: vec!["A0003".to_owned()],
    };
    assert_eq!(high.acts, [drop, missed]);
    assert_eq!(high.detection_rate(), Some(0.5));
    let medium = measure(&alerts(), Flagging::Process, Severity::Medium);
    assert_eq!(medium.detection_rate(), Some(1.0));
    let mask = &medium.acts[1];
    assert_eq!((mask.detected_by.as_deref(), mask.time_to_detect_s), (Some("A0003"), Some(0.0)));
}

#[test]
fn an_alert_that_was_raised_before_the_act_is_false_whatever_is_added_to_it() {
    let rows = [row(Class::File, 0, 0), row(Class::Network, 0, 3)];
    let early = [alert("A0001", Severity::High, Some(WEB), 0, &rows)];
    let found = measure(&early, Flagging::Process, Severity::High);
    assert_eq!((found.acts[0].detected, found.acts[0].time_to_detect_s), (false, None));
    assert_eq!((found.false_alerts(), found.early_alerts), (1, 1));
    // Of the act's own moment it is true.
    let rows = [row(Class::File, 0, 0), row(Class::Network, 0, 3)];
    let found = measure(&[alert("A0001", Severity::High, Some(WEB), 20, &rows)], Flagging::Process, Severity::High);
    assert_eq!((found.acts[0].detected, found.acts[0].time_to_detect_s), (true, Some(1.0)));
    assert_eq!((found.false_alerts(), found.early_alerts), (0, 0));
}

#[test]
fn an_alert_of_one_act_shows_a_later_one_from_its_first_evidence_on() {
    let rows = [row(Class::Network, 0, 3), row(Class::Network, 0, 6)];
    let found = measure(&[alert("A0001", Severity::High, Some(DROP), 21, &rows)], Flagging::Process, Severity::High);
    assert_eq!(found.acts.iter().map(|act| act.time_to_detect_s).collect::<Vec<_>>(), [Some(1.0), Some(1.0)]);
    assert_eq!((found.false_alerts(), found.early_alerts), (0, 0));
}

#[test]
fn without_labels_all_is_benign() {
    let dir = tempfile::tempdir().unwrap();
    let recording = record(&dir.path().join("rec"), &events(), &[], Some(Default::default()));
    let rows: Vec<AlertRow> = alerts().iter().map(AlertRow::from).collect();
    let found = detect(&recording, &rows, Flagging::Process, Severity::High).unwrap();
    assert_eq!((found.labelled, found.malicious_events, found.benign_events), (false, 0, 11));
    assert_eq!(found.severities.iter().map(|s| s.false_alerts).collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert!(found.thresholds.iter().all(|t| t.recall.is_none() && t.precision == Some(0.0)));
    assert_eq!(found.detection_rate(), None);
}

#[test]
fn an_empty_recording_and_no_alerts_give_no_shares() {
    let dir = tempfile::tempdir().unwrap();
    let recording = record(&dir.path().join("rec"), &[], &[], Some(Default::default()));
    let found = detect(&recording, &[], Flagging::Process, Severity::High).unwrap();
    assert_eq!((found.events, found.alerts, found.container_hours), (0, 0, 0.0));
    assert!(found.thresholds.iter().all(|t| t.flagged == 0 && t.precision.is_none() && t.recall.is_none()));
    assert!(found.severities.iter().all(|s| s.false_alerts_per_container_hour.is_none()));
}

#[test]
fn labels_of_no_event_are_said_and_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut labels = labels();
    labels.push(datasets::Label { seq: 99, ..labels[0].clone() });
    let recording = record(&dir.path().join("rec"), &events(), &labels, Some(Default::default()));
    let found = detect(&recording, &[], Flagging::Process, Severity::High).unwrap();
    assert_eq!((found.labels_without_event, found.malicious_events, found.acts[0].events), (1, 5, 3));
}

#[test]
fn what_is_ambiguous_is_left_out_of_every_score() {
    let dir = tempfile::tempdir().unwrap();
    let mut labels = labels();
    // The connect of "mask", and an open that was benign.
    labels[4].ambiguous = true;
    labels.push(datasets::Label { class: Class::File, seq: 1, ambiguous: true, ..labels[0].clone() });
    let recording = record(&dir.path().join("rec"), &events(), &labels, Some(Default::default()));
    let judge = |rows: &[&[replay::deviation::RowRef]]| {
        let alerts: Vec<AlertRow> =
            rows.iter().map(|rows| AlertRow::from(&alert("A0001", Severity::High, None, 50, rows))).collect();
        detect(&recording, &alerts, Flagging::Evidence, Severity::High).unwrap()
    };
    let (connect, open, benign) = (row(Class::Network, 0, 6), row(Class::File, 0, 1), row(Class::File, 0, 0));

    let found = judge(&[&[connect], &[open, benign], &[open, row(Class::Process, 0, 5)]]);
    assert_eq!((found.events, found.malicious_events, found.benign_events, found.ambiguous_events), (9, 4, 5, 2));
    // The first alert is of nothing else; the second has a benign row, too, and the third a malicious one.
    assert_eq!(found.undecided_alerts, 1);
    let high = found.severities.iter().find(|severity| severity.severity == "high").unwrap();
    assert_eq!((high.alerts, high.true_alerts, high.false_alerts), (3, 1, 1));
    let high = found.thresholds.iter().find(|threshold| threshold.at_or_above == "high").unwrap();
    assert_eq!((high.flagged, high.true_positives, high.false_positives, high.false_alerts), (2, 1, 1, 1));
    let mask = found.acts.iter().find(|act| act.act == "mask").unwrap();
    assert_eq!((mask.events, mask.detected, mask.techniques.as_slice()), (1, true, &["T1036".to_owned()][..]));
}

#[test]
fn alerts_read_are_the_alerts_written() {
    let dir = tempfile::tempdir().unwrap();
    let recording = labelled(&dir.path().join("rec"));
    write_alerts(dir.path(), &alerts());
    let read = alerts::read(dir.path(), &recording).unwrap();
    assert_eq!(read, alerts().iter().map(AlertRow::from).collect::<Vec<_>>());
    assert_eq!(read[1].evidence.len(), 2);
}

#[test]
fn evidence_from_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let recording = labelled(&dir.path().join("rec"));
    // Row 2 of CPU 0 exists, as an exec.
    let foreign = AlertRow::from(&alert("A0001", Severity::High, None, 0, &[row(Class::File, 0, 2)]));
    let error = detect(&recording, &[foreign], Flagging::Process, Severity::High).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("1 rows of their evidence are not in it"), "{error}");
}
