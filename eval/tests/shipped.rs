//! The recordings that ship, end to end: replay with the default configuration and the real model, then measure. Needs
//! what `./dev setup base` sets up.

use std::process::Command;

/// stdout as JSON, and the exit code.
fn detect(args: &[&str]) -> (serde_json::Value, i32) {
    let eval =
        Command::new(env!("CARGO_BIN_EXE_eval")).args(["detect", "--format", "json"]).args(args).output().unwrap();
    let says = String::from_utf8_lossy(&eval.stderr);
    (serde_json::from_slice(&eval.stdout).unwrap_or_else(|_| panic!("{says}")), eval.status.code().unwrap())
}

#[test]
fn both_acts_of_the_miner_attack_are_detected_without_a_false_alert() {
    let (found, code) = detect(&["xmrig", "--fail-under", "1", "--fail-over", "0"]);
    assert_eq!(code, 0, "{found:#}");
    let acts: Vec<_> = found["acts"].as_array().unwrap().iter().map(|act| act["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["exploit-and-mine", "masquerade"]);
    assert!(found["malicious_events"].as_u64().unwrap() > 100);
}

#[test]
fn ordinary_life_raises_nothing_at_high() {
    let (found, code) = detect(&["webapp", "--fail-over", "0"]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["labelled"], false);
    assert!(found["benign_events"].as_u64().unwrap() > 10_000);
}
