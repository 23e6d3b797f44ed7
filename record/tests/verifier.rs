//! The programs stay easy to verify: what the verifier goes through is kept to a budget.

mod common;

use std::process::Command;

use common::can_record;
use record::verifier::{BUDGET, Budget};

#[test]
fn no_program_outgrows_its_budget() {
    if !can_record("no_program_outgrows_its_budget") {
        return;
    }
    let budget = Budget::parse(BUDGET).unwrap();
    let report = record::verifier::report(&record::check::widest()).unwrap();
    assert!(report.programs.len() >= 6 && report.programs.iter().all(|stats| stats.verified > 0), "{report:?}");
    if !budget.is_for(&report.kernel) {
        eprintln!(
            "\n*** SKIPPED no_program_outgrows_its_budget: it is for {}, not {} ***\n",
            budget.kernel, report.kernel
        );
        return;
    }
    let complaints = budget.complaints(&report);
    assert!(
        complaints.is_empty(),
        "record-bpf/verifier.toml: {complaints:#?}\nif it has to be: record check --verifier --update record-bpf/verifier.toml"
    );
}

#[test]
fn the_command_prints_and_writes_what_was_measured() {
    if !can_record("the_command_prints_and_writes_what_was_measured") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("budget.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_record"));
    let output = command.args(["check", "--verifier", "--format", "json", "--update"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let budget = Budget::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(budget.is_for(report["kernel"].as_str().unwrap()));
    let programs = report["programs"].as_array().unwrap();
    assert_eq!(programs.len(), budget.programs.len());
    for program in programs {
        assert_eq!(program["verified"].as_u64(), budget.programs.get(program["program"].as_str().unwrap()).copied());
        assert!(program["instructions"].as_u64() > Some(0), "{program}");
    }
    let without = Command::new(env!("CARGO_BIN_EXE_record")).args(["check", "--update", "x"]).output().unwrap();
    assert_eq!(without.status.code(), Some(2), "--update needs --verifier");
}
