//! The number of threads changes nothing, also where containers are correlated with each other: three of them turn to one
//! unknown peer, and more events lie between than are taken at once.

mod common;

use std::fs;
use std::path::Path;

use common::{BEGIN, SECOND, Script, replay, stderr};
use serde_json::Value;

/// `replay/rules/peer_of_many_containers.yml`
const PEER_OF_MANY: &str = "0b549a64-ce30-5aa5-9477-18d5bb958676";
/// Opens between one connection and the next: twice as many are more than `pipeline::CHUNK`.
const BETWEEN: i64 = 35_000;
const FILES: [&str; 4] = ["alerts.jsonl", "alerts.parquet", "incidents.jsonl", "profile.json"];

fn replayed(recording: &str, baseline: Option<&str>, out: &Path, threads: &str) -> Vec<Vec<u8>> {
    let mut args = vec![recording, "-o", out.to_str().unwrap(), "--threads", threads];
    // The embedding is no part of this.
    args.extend(["--set", "engines.weights.semantics=0"]);
    args.extend(baseline.iter().flat_map(|baseline| ["--learn", baseline]));
    let output = replay(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    FILES.iter().map(|name| fs::read(out.join(name)).unwrap()).collect()
}

/// The same with one thread, two and four; what one gives.
fn same(recording: &str, baseline: Option<&str>, tmp: &Path) -> Vec<Value> {
    let [one, two, four] =
        ["1", "2", "4"].map(|threads| replayed(recording, baseline, &tmp.join(format!("out-{threads}")), threads));
    for (i, name) in FILES.iter().enumerate() {
        assert!(one[i] == two[i], "{recording}: {name} with one thread and with two");
        assert!(one[i] == four[i], "{recording}: {name} with one thread and with four");
    }
    let alerts = std::str::from_utf8(&one[0]).unwrap();
    alerts.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_containers_do_with_each_other_is_the_same_for_any_number_of_threads() {
    let tmp = tempfile::tempdir().unwrap();
    let baseline = common::ordinary(&tmp.path().join("base"));
    let mut script = Script::new();
    script.replica(1_001, &"d".repeat(64), "app-2", "10.89.0.5");
    script.ordinary(0, 30);
    for (i, main) in [1, 2, 1_001].into_iter().enumerate() {
        let ts = BEGIN + (40 + 40 * i as i64) * SECOND;
        script.connect(ts, main, "203.0.113.77", 443);
        for n in 1..=BETWEEN {
            script.open(ts + n * 1_000, 1 + (n as u64 & 1), "/srv/app/data/items/1.json", 0, 4);
        }
    }
    let recording = script.write(&tmp.path().join("rec"));
    let alerts = same(recording.to_str().unwrap(), Some(baseline.to_str().unwrap()), tmp.path());
    let judges = alerts.iter().flat_map(|alert| alert["deviations"].as_array().unwrap());
    let verdicts = judges.flat_map(|deviation| deviation["verdicts"].as_array().unwrap());
    let met: Vec<&Value> = verdicts.filter(|verdict| verdict["judge"] == PEER_OF_MANY).collect();
    let [met] = met[..] else { panic!("met once: {met:#?}") };
    assert!(met["reason"].as_str().unwrap().contains("3 different ContainerId"), "{met}");
}

#[test]
fn a_recording_of_several_containers_is_the_same_for_any_number_of_threads() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = datasets::Recording::shipped("xmrig").unwrap();
    assert!(recording.containers().unwrap().len() > 1);
    let alerts = same(recording.dir().to_str().unwrap(), None, tmp.path());
    let by_rules = |alert: &Value| alert["rules"].as_array().is_some_and(|rules| !rules.is_empty());
    assert!(alerts.iter().filter(|alert| by_rules(alert)).count() > 1, "something that could differ");
}
