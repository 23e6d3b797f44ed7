//! `record selftest` on this machine, and the same cases inside a real container.

mod common;

use std::process::Command;

use common::can_record;

fn selftest(args: &[&str]) -> (i32, serde_json::Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_record"));
    let output = command.args(["selftest", "--format", "json"]).args(args).output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), report)
}

#[test]
fn every_kind_of_event_is_found_with_every_field_right() {
    if !can_record("every_kind_of_event_is_found_with_every_field_right") {
        return;
    }
    let (code, report) = selftest(&[]);
    let cases = report["cases"].as_array().unwrap();
    let wrong: Vec<_> = cases.iter().filter(|case| case["result"] == "wrong").collect();
    assert!(wrong.is_empty() && code == 0, "{wrong:#?} {}", report["accounting"]);
    for case in cases.iter().filter(|case| case["result"] == "skipped") {
        eprintln!("\n*** SKIPPED selftest case {}: {} ***\n", case["case"], case["note"]);
    }
    assert_eq!(report["kinds"].as_array().unwrap().len(), record_bpf::Kind::ALL.len());
}

#[test]
fn classes_can_be_chosen_and_the_recordings_kept() {
    if !can_record("classes_can_be_chosen_and_the_recordings_kept") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = selftest(&["--events", "network", "--keep", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{report:#}");
    let is_network = |kind: &serde_json::Value| kind.as_str().is_some_and(|kind| kind.starts_with("network."));
    let cases = report["cases"].as_array().unwrap();
    assert!(!cases.is_empty() && cases.iter().all(|case| case["kinds"].as_array().unwrap().iter().any(is_network)));
    let recording = datasets::Recording::open(dir.path().join("00/recording")).unwrap();
    assert!(recording.manifest().rows() > 0);
    assert!(dir.path().join("00/triggers").join(record::selftest::FACTS_FILE).exists());
}
