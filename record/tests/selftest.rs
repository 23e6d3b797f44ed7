//! `record selftest` on this machine, and the same cases inside a real container.

mod common;

use std::process::Command;

use common::podman::{Image, finish, podman, recorder_root, start};
use common::{can_record, one};
use record::selftest::{Case, FACTS_FILE, Outcome, cases, judge};

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
    assert!(dir.path().join("00/triggers").join(FACTS_FILE).exists());
}

const CONTAINER: &str = "retroscope-test-selftest";

#[test]
fn every_kind_of_event_is_found_inside_a_container() {
    let Some(podman) = podman("every_kind_of_event_is_found_inside_a_container") else { return };
    let image = Image::import(podman.clone(), CONTAINER, recorder_root().path());
    let cases: Vec<Case> = cases().into_iter().filter(Case::is_plain).collect();
    let mut classes: Vec<_> = cases.iter().flat_map(|case| case.kinds).map(|kind| kind.class().name()).collect();
    classes.sort_unstable();
    classes.dedup();

    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", CONTAINER, "--events", &classes.join(",")]);
    let run = ["run", "--name", CONTAINER, "--network=none", "--privileged", image.name()];
    let trigger = ["/record", "selftest-trigger", "/triggers"];
    let names = cases.iter().map(|case| case.name);
    let ran = podman.command().args(run).args(trigger).args(names).output().unwrap();
    let recorded = finish(child, dir);
    let facts = recorded.dir.path().join("facts.jsonl");
    let source = format!("{CONTAINER}:/triggers/{FACTS_FILE}");
    let copied = podman.command().args(["cp", &source]).arg(&facts).output().unwrap();
    podman.command().args(["rm", "-f", "-t", "0", CONTAINER]).output().unwrap();
    assert!(ran.status.success(), "podman run: {}", String::from_utf8_lossy(&ran.stderr));
    assert!(copied.status.success(), "podman cp: {}", String::from_utf8_lossy(&copied.stderr));

    let recording = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap();
    let id = &one(recording.containers().unwrap()).id;
    assert!(recorded.events.iter().all(|event| event.common().container.as_ref() == Some(id)));
    let mut wrong = Vec::new();
    for verdict in judge(&cases, &recording, &facts).unwrap() {
        match verdict.outcome {
            Outcome::Ok => {}
            Outcome::Skipped(why) => eprintln!("\n*** SKIPPED selftest case {}: {why} ***\n", verdict.case.name),
            Outcome::Wrong(what) => wrong.push(format!("{}: {what}", verdict.case.name)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}
