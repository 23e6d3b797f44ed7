//! A set of two recordings that ship: a life to learn from, and an attack in it. Needs what `./dev setup base` sets up.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use datasets::Recording;

fn eval(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        symlink(Recording::shipped(name).unwrap().dir(), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn a_life_teaches_what_an_attack_in_it_departs_from() {
    let folder = folder(&["node-agent-1", "persistence-cron-21"]);
    let path = folder.path().to_str().unwrap();
    let output = eval(&["set", path, "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["learned_from"], serde_json::json!(["node-agent-1"]));
    let row = &report["recordings"][0];
    assert_eq!((&row["name"], &row["life"]), (&"persistence-cron-21".into(), &"common/node".into()));
    assert_eq!((&row["seed"], &row["stealth"]), (&21.into(), &"loud".into()));
    assert!(row["labelled_events"].as_u64().unwrap() > 0 && row["labelled_events"].as_u64() < row["events"].as_u64());
    assert_eq!((&row["with_baseline"]["found"], &row["with_baseline"]["acts"]), (&1.into(), &1.into()));
    assert!(row["with_baseline"]["time_to_detect_s"].as_f64().unwrap() >= 0.0);
    assert_eq!(report["totals"]["loud"]["found_with_baseline"], 1);
}

#[test]
fn without_a_life_there_is_nothing_to_learn() {
    let folder = folder(&["persistence-cron-21"]);
    let output = eval(&["set", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nothing to learn from"), "{said}");
}
