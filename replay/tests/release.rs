//! A hundred replicas of one image, through the whole pipeline: what a release does on all of them scores low, what one of
//! them does scores high.

mod common;

use std::fs;
use std::path::Path;

use common::{BEGIN, SECOND, Script, replay, stderr};
use serde_json::Value;

const REPLICAS: usize = 100;
const WITHOUT_SEMANTICS: &[&str] = &["--set", "engines.weights.semantics=0"];

/// The incarnation of a replica's main process; the first replica is the script's own.
fn main_of(replica: usize) -> u64 {
    if replica == 0 { 1 } else { 1_000 + replica as u64 }
}

/// A hundred replicas that live their ordinary lives for a minute.
fn fleet() -> Script {
    let mut script = Script::new();
    for i in 1..REPLICAS {
        script.replica(main_of(i), &format!("{i:064x}"), &format!("app-{i}"), &format!("10.89.2.{i}"));
    }
    script.ordinary(0, 60);
    script
}

/// Four letters of a replica's own, as mkstemp would find them.
fn letters(replica: usize) -> String {
    [replica / 10, replica % 10, replica * 7 % 10, replica * 3 % 10]
        .map(|d| char::from(b'g' + d as u8))
        .iter()
        .collect()
}

/// A release on one replica: a program of its own version, a file of a random name, a new port of a known peer.
fn release(script: &mut Script, replica: usize, second: i64) {
    let (ts, main) = (BEGIN + second * SECOND, main_of(replica));
    let version = format!("2.4.{}", replica % 3);
    let exe = format!("/srv/shop/releases/{version}/bin/migrate");
    let migrate = script.exec(ts, main, &exe, &["migrate", "--to", &version]);
    script.open(ts + 1_000, migrate, "/srv/shop/releases/schema.sql", 0, 3);
    script.open(ts + 2_000, main, &format!("/srv/app/deploy-{}-lock", letters(replica)), 0o101, 4);
    script.connect(ts + 3_000, main, "10.89.0.4", 6380);
}

/// Something that nobody else does.
fn intrusion(script: &mut Script, replica: usize, second: i64) {
    let ts = BEGIN + second * SECOND;
    let agent = script.exec(ts, main_of(replica), "/srv/app/vendor/helper", &["helper", "--sync"]);
    script.open(ts + 1_000, agent, "/srv/app/vendor/helper.db", 0o101, 4);
    script.connect(ts + 2_000, agent, "10.89.0.77", 9000);
}

/// `further`: semantics without weight where nothing but statistics is looked at, which spares the embedding.
fn replayed(script: Script, tmp: &Path, further: &[&str]) -> Vec<Value> {
    let baseline = common::ordinary(&tmp.join("base"));
    let recording = script.write(&tmp.join("rec"));
    let out = tmp.join("out");
    let args = [recording.to_str().unwrap(), "--learn", baseline.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let output = replay(&[&args, further].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the statistics engine says of each deviation whose text contains `what`: score and reason.
fn statistics(alerts: &[Value], what: &str) -> Vec<(f64, String)> {
    let deviations = alerts.iter().flat_map(|alert| alert["deviations"].as_array().unwrap());
    // What a rule says of many events together is none of them.
    let single = deviations.filter(|deviation| deviation["kind"] != "rule_hit");
    let about = single.filter(|deviation| deviation["text"].as_str().unwrap().contains(what));
    let verdicts = about.flat_map(|deviation| deviation["verdicts"].as_array().unwrap());
    let of_statistics = verdicts.filter(|verdict| verdict["engine"] == "statistics");
    of_statistics.map(|v| (v["score"].as_f64().unwrap(), v["reason"].as_str().unwrap().to_owned())).collect()
}

fn all(found: &[(f64, String)], count: usize, fits: impl Fn(f64) -> bool) {
    assert_eq!(found.len(), count, "{found:?}");
    assert!(found.iter().all(|(score, _)| fits(*score)), "{found:?}");
}

#[test]
fn a_release_on_all_replicas_is_low_and_the_same_on_one_is_high() {
    let tmp = tempfile::tempdir().unwrap();
    // From replica to replica, three seconds apart: five minutes.
    let mut script = fleet();
    (0..REPLICAS).for_each(|i| release(&mut script, i, 100 + 3 * i as i64));
    let alerts = replayed(script, tmp.path(), &[]);
    for what in ["/bin/migrate --to", "/srv/app/deploy-", ":6380"] {
        all(&statistics(&alerts, what), REPLICAS, |score| score < 0.05);
    }
    let names = statistics(&alerts, "/srv/app/deploy-");
    assert!(names[0].1.contains("100 of 100") && names[0].1.contains("spellings"), "{}", names[0].1);
    let raised = alerts.iter().filter(|alert| alert["severity"] != "low");
    let by_rules = |alert: &Value| alert["rules"].as_array().is_some_and(|rules| !rules.is_empty());
    assert!(raised.into_iter().all(by_rules), "statistics and semantics raise nothing of a release");

    let tmp = tempfile::tempdir().unwrap();
    let mut script = fleet();
    release(&mut script, 42, 100);
    let alerts = replayed(script, tmp.path(), WITHOUT_SEMANTICS);
    for what in ["/bin/migrate --to", "/srv/app/deploy-", ":6380"] {
        all(&statistics(&alerts, what), 1, |score| score > 0.95);
    }
}

#[test]
fn a_canary_is_high_until_the_others_follow() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = fleet();
    [7, 8, 9].into_iter().for_each(|i| release(&mut script, i, 100 + i as i64));
    all(&statistics(&replayed(script, tmp.path(), WITHOUT_SEMANTICS), "/bin/migrate --to"), 3, |score| score > 0.95);

    // The others follow ten minutes later, within the gap.
    let tmp = tempfile::tempdir().unwrap();
    let mut script = fleet();
    for i in 0..REPLICAS {
        let second = if (7..10).contains(&i) { 100 + i as i64 } else { 700 + i as i64 };
        release(&mut script, i, second);
    }
    all(&statistics(&replayed(script, tmp.path(), WITHOUT_SEMANTICS), "/bin/migrate --to"), REPLICAS, |score| {
        score < 0.05
    });
}

#[test]
fn an_intrusion_on_one_replica_does_not_hide_in_a_release() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = fleet();
    (0..REPLICAS).for_each(|i| release(&mut script, i, 100 + i as i64));
    intrusion(&mut script, 42, 142);
    let alerts = replayed(script, tmp.path(), WITHOUT_SEMANTICS);
    all(&statistics(&alerts, "/bin/migrate --to"), REPLICAS, |score| score < 0.05);
    for what in ["vendor/helper --sync", "vendor/helper.db", ":9000"] {
        all(&statistics(&alerts, what), 1, |score| score > 0.95);
    }
}
