//! The benchmark on four recordings that ship: a life to learn from, one to choose on, two attacks. Needs what `./dev setup base`
//! sets up.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use datasets::Recording;
use eval::alerts::AlertRow;
use eval::detect::{Flagging, detect};
use eval::detection::{baseline, evaluate, metrics};
use replay::engines::{Engine, Severity};
use serde_json::Value;

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

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// One run for all that a run must hold to, since it takes seconds: figures, files, the same again, and a number that was changed.
#[test]
fn a_benchmark_learns_chooses_reports_and_repeats() {
    let set = folder(&["node-agent-1", "node-agent-11", "persistence-cron-21", "log-wiping-21"]);
    let out = tempfile::tempdir().unwrap();
    let (set, dir) = (set.path().to_str().unwrap(), out.path().join("run"));
    let methods = "retroscope,rules-only,rules-alone,exact-profile,stide";
    let dir_name = dir.to_str().unwrap();
    let run = eval(&["detect", "--all", set, "--methods", methods, "--format", "json", "--output", dir_name]);
    let said = String::from_utf8_lossy(&run.stderr);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(report["learned_from"], serde_json::json!(["node-agent-1"]));
    assert_eq!(report["validation"], serde_json::json!(["node-agent-11"]));
    let methods = report["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 5);
    for method in methods {
        let point = &method["chosen"][0];
        assert_eq!(point["validation_false_alerts"], 0, "{}", method["name"]);
        let metrics = &point["metrics"];
        assert_eq!((&metrics["acts"], &metrics["recordings"]), (&2.into(), &2.into()));
        assert_eq!(point["acts"].as_array().unwrap().len(), 2);
        let events = &metrics["events"];
        let of = |name: &str| events[name].as_u64().unwrap();
        let all: u64 = ["true_positives", "false_positives", "false_negatives", "true_negatives"].map(of).iter().sum();
        // Of both recordings, every event that is not ambiguous.
        assert_eq!(all, 20_144, "{}", method["name"]);
        assert!(events["pr_auc"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(methods[0]["own"]["metrics"]["detected"], 2, "at medium");
    assert_eq!(report["stide_alphabet"], "event_kinds");

    let file = dir.join("run.json");
    assert_eq!(read(&file)["results"], report);
    let curves = read(&file)["curves"].clone();
    for (curve, method) in curves.as_array().unwrap().iter().zip(report["methods"].as_array().unwrap()) {
        assert_eq!((&curve["name"], &curve["acts"]), (&method["name"], &2.into()));
        let events: u64 = curve["events"].as_array().unwrap().iter().filter_map(Value::as_u64).sum();
        assert_eq!(events, 20_144, "{}", method["name"]);
        // The chosen cut-off lies between two points of the curve, and so do its counts.
        let chosen = &method["chosen"][0];
        let above = |point: &&Value| point["cut_off"].as_f64() >= chosen["cut_off"].as_f64();
        let reached = curve["points"].as_array().unwrap().iter().rfind(above);
        let found = reached.map_or(0, |point| point["detected"].as_u64().unwrap());
        assert_eq!(chosen["metrics"]["detected"], found, "{}", method["name"]);
    }
    assert_eq!(curves.as_array().unwrap().len(), 5);
    let again = eval(&["rerun", file.to_str().unwrap(), "--output", out.path().join("again").to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    for table in ["acts.parquet", "recordings.parquet"] {
        let bytes = |run: &str| std::fs::read(out.path().join(run).join(table)).unwrap();
        assert!(bytes("run") == bytes("again") && !bytes("run").is_empty(), "{table}");
    }

    let mut altered = read(&file);
    altered["results"]["methods"][4]["chosen"][0]["metrics"]["true_alerts"] = 77.into();
    std::fs::write(&file, altered.to_string()).unwrap();
    let rerun = eval(&["rerun", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&rerun.stderr);
    assert_eq!(rerun.status.code(), Some(1), "{said}");
    assert!(said.contains("results.methods[stide].chosen[0].metrics.true_alerts: 77 then"), "{said}");
}

/// The stages, one by one, come to what a replay does.
#[test]
fn an_evaluation_agrees_with_a_replay() {
    let (life, tried) = (Recording::shipped("node-agent-1").unwrap(), Recording::shipped("ransom-slow-21").unwrap());
    let config = replay::config::load(None, &[]).unwrap();
    let learned = baseline(&[&life], &config).unwrap();
    let named = [("ransom-slow-21".to_owned(), tried)];
    let evaluation = evaluate(&named, Some(&learned), &config).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    std::fs::write(&file, learned.to_json()).unwrap();
    let options = replay::cli::Replay {
        recording: Some("ransom-slow-21".to_owned()),
        learn: Some(file.to_string_lossy().into_owned()),
        ..replay::cli::Replay::default()
    };
    let alerts: Vec<AlertRow> = eval::alerts::replay_now(&options).unwrap();
    for (severity, cut_off) in [(Severity::Medium, 40.0), (Severity::High, 60.0), (Severity::Critical, 80.0)] {
        let replayed = detect(&named[0].1, &alerts, Flagging::Process, severity).unwrap();
        let measured = metrics::measure(&[&evaluation.outcomes[0]], cut_off);
        let threshold = replayed.thresholds.iter().find(|t| t.at_or_above == severity.name()).unwrap();
        let events = &measured.events;
        assert_eq!(events.true_positives, threshold.true_positives, "{severity}");
        assert_eq!(events.false_positives, threshold.false_positives, "{severity}");
        assert_eq!(events.false_negatives, threshold.false_negatives, "{severity}");
        assert_eq!(measured.detected, threshold.acts_detected, "{severity}");
        assert!((measured.container_hours - replayed.container_hours).abs() < 1e-9);
    }
    let at_medium = detect(&named[0].1, &alerts, Flagging::Process, Severity::Medium).unwrap();
    assert!(at_medium.acts[0].detected, "the example has something to compare");
    let engines = Engine::ALL.map(|engine| metrics::measure(&[&evaluation.by_engine[&engine][0]], 40.0));
    assert!(engines.iter().all(|metrics| metrics.true_alerts <= at_medium.alerts));
}

#[test]
fn what_is_missing_or_unknown_is_said() {
    let set = folder(&["node-agent-1", "persistence-cron-21"]);
    let output = eval(&["detect", "--all", set.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to choose a cut-off on"));
    let output = eval(&["detect", "--all", "--methods", "magic"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--methods list names them"));
    let listed = eval(&["detect", "--all", "--methods", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.starts_with("stide ")));
    let output = eval(&["rerun", "/dev/null"]);
    assert_eq!(output.status.code(), Some(4));
}
