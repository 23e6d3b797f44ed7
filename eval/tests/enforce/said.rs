//! What `eval enforce` prints of what it found.

use std::process::Command;

use serde_json::json;

fn eval(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_eval")).args(args).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn health(requests: u64, failed: u64) -> serde_json::Value {
    json!({ "ended": null, "responses": { "200": requests - failed, "502": failed }, "unanswered": failed, "activities": 9,
        "activities_failed": 0, "log_lines": { "app": 2 } })
}

/// A run as it is saved.
fn saved() -> serde_json::Value {
    let first =
        |what: &str| json!({ "after_ms": 12.5, "count": 3, "what": what, "line": "chain output: counter reject" });
    let found = |refused, told, events, unreached| json!({ "refused": refused, "told": told, "events": events, "failed": null, "unreached": unreached });
    let none = serde_json::Value::Null;
    let under = json!({ "health": health(100, 4), "refused": 7, "decided": 90, "told": 0, "told_broken": [],
        "broken": [{ "place": "app", "what": "to cache, tcp 6379", "line": "chain output: counter reject", "count": 7 }] });
    json!({
        "kernel": "6.18 x86_64", "cpu": "a CPU", "cpus": 2, "memory_mib": 4096, "load_before": 0.1, "load_after": 0.2,
        "recorder": null, "policies": ["seccomp", "nftables"],
        "lives": [{
            "name": "xmrig", "learned": { "profile": null, "seeds": [1, 2], "seconds": 240.0, "events": 123_456 },
            "written": [], "benign": [{ "seed": 21, "free": health(100, 0), "under": { "nftables": under } }],
            "attacks": [{
                "scenario": "xmrig", "seed": 21, "free": health(100, 0), "under": {},
                "steps": [
                    { "act": "exploit-and-mine", "step": "mine-with-a-very-long-name-indeed", "technique": "T1496",
                      "events": 200, "failed": null, "under": {
                        "seccomp": found(none.clone(), none.clone(), 200, false),
                        "nftables": found(first("app: to pool, tcp 3333"), none.clone(), 20, false) } },
                    { "act": "masquerade", "step": "mine-in-disguise", "technique": "T1496", "events": 100, "failed": null,
                      "under": {
                        "seccomp": found(none.clone(), first("memfd_create"), 0, true),
                        "nftables": found(none.clone(), none, 0, true) } },
                ],
            }],
        }],
    })
}

#[test]
fn a_saved_run_is_printed_within_80_columns_and_says_where_the_two_differ() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("enforce.json");
    std::fs::write(&path, saved().to_string()).unwrap();
    let (code, out, errors) = eval(&["enforce", "--from", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    for part in ["xmrig, seed 21: masquerade", "12 ms", "10 %", "gone", "differs: told", "to cache, tcp 6379"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, out, _) = eval(&["enforce", "--from", path.to_str().unwrap(), "--format", "json"]);
    let read: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(read["lives"][0]["attacks"], saved()["lives"][0]["attacks"]);
}

#[test]
fn many_policies_fit_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("enforce.json");
    let mut run = saved();
    run["policies"] = json!(["seccomp", "nftables", "xdp"]);
    for at in 0..2 {
        let under = &mut run["lives"][0]["attacks"][0]["steps"][at]["under"];
        under["xdp"] = under["nftables"].clone();
    }
    std::fs::write(&path, run.to_string()).unwrap();
    let (code, out, errors) = eval(&["enforce", "--from", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    assert_eq!(out.matches("stopped").count(), 2, "{out}");
}

#[test]
fn what_is_no_run_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("enforce.json");
    std::fs::write(&path, "{}").unwrap();
    let (code, _, errors) = eval(&["enforce", "--from", path.to_str().unwrap()]);
    assert!(code == 4 && errors.contains("enforce.json") && errors.contains("hint: "), "{errors}");
    let (code, _, errors) = eval(&["enforce", "no-such-scenario", "-o", dir.path().join("out").to_str().unwrap()]);
    assert!(code == 4 && errors.contains("unknown scenario"), "{code} {errors}");
    let (code, _, errors) = eval(&["enforce", "xmrig", "-o", dir.path().to_str().unwrap()]);
    assert!(code == 5 && errors.contains("hint: "), "{code} {errors}");
}
