//! The recordings that ship: both acts of the attack are found for the right reason, ordinary life is silent, and the
//! summary is the one that was committed. `UPDATE_GOLDEN=1` writes the summaries anew.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{replay, stderr, stdout};
use serde_json::{Value, json};

/// The summary that must not change unnoticed: what was raised and why, and when each tree was locked.
fn summary(out: &Path) -> Value {
    let run: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    let trees = |image: &Value| {
        let trees = image["trees"].as_array().unwrap().iter();
        trees
            .map(|tree| json!([tree["tree"], tree["locked_after_s"], tree["learned"], tree["patterns"]]))
            .collect::<Vec<_>>()
    };
    let images =
        run["images"].as_array().unwrap().iter().map(|image| json!({"image": image["image"], "trees": trees(image)}));
    let raised = alerts(out).into_iter().filter(|alert| alert["severity"] != "low").map(|alert| {
        let kinds = alert["deviations"].as_array().unwrap().iter().map(|d| json!([d["kind"], d["tier"], d["text"]]));
        json!({
            "severity": alert["severity"],
            // To the point: the last digits of a cosine may differ between CPUs.
            "score": alert["score"].as_f64().unwrap().round(),
            "process": alert["process"],
            "technique": alert["technique"]["id"],
            "act": alert["truth"]["act"],
            "deviations": kinds.collect::<Vec<_>>(),
        })
    });
    json!({
        "counts": run["counts"],
        "images": images.collect::<Vec<_>>(),
        "acts": run["acts"],
        "raised": raised.collect::<Vec<_>>(),
    })
}

fn alerts(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn replayed(scenario: &str, out: &Path) -> Vec<Value> {
    let output = replay(&["--scenario", scenario, "-o", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{scenario}.json"));
    let found = format!("{}\n", serde_json::to_string_pretty(&summary(out)).unwrap());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::write(&golden, &found).unwrap();
    }
    let expected = fs::read_to_string(&golden).expect("the golden summary; UPDATE_GOLDEN=1 writes it");
    let differs = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert!(expected == found, "{}: first difference {differs:?}; UPDATE_GOLDEN=1 accepts it", golden.display());
    alerts(out)
}

fn is_severe(alert: &Value) -> bool {
    matches!(alert["severity"].as_str(), Some("high" | "critical"))
}

#[test]
fn xmrig_both_acts_by_their_own_reason_and_nothing_else() {
    let tmp = tempfile::tempdir().unwrap();
    let alerts = replayed("xmrig", tmp.path());
    let severe: Vec<&Value> = alerts.iter().filter(|alert| is_severe(alert)).collect();
    let with = |act: &str, kind: &str| {
        severe.iter().find(|alert| {
            let first = &alert["deviations"][0];
            alert["truth"]["act"] == act && alert["technique"]["id"] == "T1496" && first["kind"] == kind
        })
    };
    let miner = with("exploit-and-mine", "new_process").expect("the first act, by its process");
    assert!(miner["process"].as_str().unwrap().contains("xmrig"));
    let disguised = with("masquerade", "new_arguments").expect("the second act, by its arguments");
    assert_eq!(disguised["deviations"][0]["path"][2], "/srv/app/bin/worker");
    // The pool is what to cut off, not the name server that was asked on the way.
    assert!([miner, disguised].iter().all(|alert| alert["action"].as_str().unwrap().contains(":3333;")));
    assert!(severe.iter().all(|alert| alert["truth"].is_object()), "a severe alert outside the attack");
}

#[test]
fn webapp_raises_nothing_severe() {
    let tmp = tempfile::tempdir().unwrap();
    let severe: Vec<Value> = replayed("webapp", tmp.path()).into_iter().filter(is_severe).collect();
    assert!(severe.is_empty(), "{severe:#?}");
}
