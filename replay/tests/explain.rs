//! `replay explain`: numbers that add up, out of what was stored, and rows that are in the recording.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{attacked, replay, stderr, stdout};
use serde_json::Value;

/// A replayed attack: the recording, the results, the alerts.
fn replayed(tmp: &Path, further: &[&str]) -> (PathBuf, PathBuf, Vec<Value>) {
    let recording = attacked(&tmp.join("rec"));
    let out = tmp.join("out");
    let output = replay(&[&[recording.to_str().unwrap(), "-o", out.to_str().unwrap()], further].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    let alerts = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (recording, out, alerts)
}

fn miner(alerts: &[Value]) -> &Value {
    alerts.iter().find(|alert| alert["process"].as_str().unwrap().starts_with("/tmp/.x/xmrig")).expect("the miner")
}

fn explained(args: &[&str]) -> Value {
    let output = replay(&[&["explain"], args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn the_numbers_add_up_and_the_rows_are_the_recordings() {
    let tmp = tempfile::tempdir().unwrap();
    let (recording, out, alerts) = replayed(tmp.path(), &[]);
    let miner = miner(&alerts);
    let (id, out) = (miner["id"].as_str().unwrap(), out.to_str().unwrap());
    let found = &explained(&[id, out])["alerts"][0];

    // The score is the sum over engines of weight times the highest stored score.
    let deviations = found["alert"]["deviations"].as_array().unwrap();
    let highest = |engine: &Value| {
        let verdicts = deviations.iter().flat_map(|deviation| deviation["verdicts"].as_array().unwrap());
        let scores =
            verdicts.filter(|verdict| verdict["engine"] == *engine).map(|verdict| verdict["score"].as_f64().unwrap());
        scores.fold(0.0, f64::max)
    };
    let engines = miner["engines"].as_array().unwrap();
    let sum: f64 = engines.iter().map(|line| line["weight"].as_f64().unwrap() * highest(&line["engine"])).sum();
    assert!((sum - miner["score"].as_f64().unwrap()).abs() < 0.006, "{sum} {}", miner["score"]);
    assert!(engines.iter().all(|line| highest(&line["engine"]) > 0.0), "all three speak: {engines:?}");
    // Each formula ends in the stored score.
    for (deviation, derivations) in deviations.iter().zip(found["derivations"].as_array().unwrap()) {
        for (verdict, lines) in deviation["verdicts"].as_array().unwrap().iter().zip(derivations.as_array().unwrap()) {
            let ending = format!("= {:.4}", verdict["score"].as_f64().unwrap());
            let lines: Vec<_> = lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            assert!(lines.iter().any(|line| line.ends_with(&ending)), "{ending}: {lines:#?}");
        }
    }
    // Each row is the one that the alert names, and says what happened.
    for (deviation, rows) in deviations.iter().zip(found["rows"].as_array().unwrap()) {
        let named = deviation["rows"].as_array().unwrap();
        let rows = rows.as_array().unwrap();
        assert_eq!(named.len(), rows.len());
        for (named, row) in named.iter().zip(rows) {
            assert!(["class", "cpu", "seq"].iter().all(|key| named[key] == row[key]), "{named} {row}");
        }
    }
    assert_eq!(found["rows"][0][0]["exe"], "/tmp/.x/xmrig");

    let text = stdout(&replay(&["explain", id, out]));
    for needle in [
        "score = Σ weight · highest score of the engine",
        "critical from 80",
        "rarity = 1",
        "share = Σ w(malicious) / Σ w(all)",
        "exemplar: cosine",
        "⟦/tmp/.x/xmrig⟧",
        "row: process",
        "exe=/tmp/.x/xmrig",
        recording.to_str().unwrap(),
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }

    // An incident is all its alerts.
    let incident = miner["incident"].as_str().unwrap();
    let of_it = alerts.iter().filter(|alert| alert["incident"] == *incident).count();
    assert!(of_it > 1, "the shell, its curl and the miner");
    assert_eq!(explained(&[incident, out])["alerts"].as_array().unwrap().len(), of_it);
}

#[test]
fn what_is_not_there_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    let (recording, out, alerts) = replayed(tmp.path(), &["--set", "engines.weights.semantics=0"]);
    let (id, out) = (miner(&alerts)["id"].as_str().unwrap(), out.to_str().unwrap());
    let fails = |args: &[&str], code: i32, needles: &[&str]| {
        let output = replay(&[&["explain"], args].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(needles.iter().all(|needle| text.contains(needle)), "{needles:?} in {text}");
        assert_eq!(text.lines().count(), 2, "one line and a hint: {text}");
    };
    fails(&["A9999", out], 2, &["no alert or incident", "A0001 to A"]);
    fails(&[id, "/nonexistent"], 4, &["run.json", "directory that a replay wrote"]);

    let moved = tmp.path().join("moved");
    fs::rename(&recording, &moved).unwrap();
    fails(&[id, out], 4, &["--recording DIR", "--no-rows"]);
    let place = moved.to_str().unwrap();
    assert_eq!(explained(&[id, out, "--recording", place])["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(explained(&[id, out, "--no-rows"])["alerts"][0]["rows"].as_array().unwrap().len(), 0);

    // Another recording, whose manifest fits its own files.
    let other = common::ordinary(&tmp.path().join("other"));
    fails(&[id, out, "--recording", other.to_str().unwrap()], 4, &["SHA-256 differs", "that was replayed"]);

    // Results of before verdicts were stored.
    let alerts = Path::new(out).join("alerts.jsonl");
    let old = fs::read_to_string(&alerts).unwrap().replace("\"verdicts\":", "\"formerly\":");
    fs::write(&alerts, old).unwrap();
    fails(&[id, out], 4, &["missing field `verdicts`", "replay the recording again"]);
}
