//! The whole way on a made-up recording: both acts are found, ordinary life is silent, threads change nothing.

mod common;

use std::fs;

use common::{attacked, ordinary, replay, stderr, stdout};
use serde_json::Value;

fn alerts(dir: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("alerts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn both_acts_are_found_and_named() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let out = tmp.path().join("out");
    let output = replay(&[recording.to_str().unwrap(), "-o", out.to_str().unwrap(), "--fail-on", "high"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));

    let alerts = alerts(&out);
    let severe = |alert: &&Value| matches!(alert["severity"].as_str(), Some("high" | "critical"));
    let miner = alerts.iter().filter(severe).find(|a| a["process"].as_str().unwrap().starts_with("/tmp/.x/xmrig"));
    let miner = miner.expect("the miner of the first act");
    assert_eq!(miner["technique"]["id"], "T1496");
    assert_eq!(miner["truth"]["act"], "exploit-and-mine");
    assert_eq!(miner["container_name"], "app");
    assert_eq!(miner["deviations"][0]["kind"], "new_process");
    let chain: Vec<_> = miner["ancestry"].as_array().unwrap().iter().map(|p| p["exe"].as_str().unwrap()).collect();
    assert_eq!(chain, ["/usr/bin/python3", "/usr/bin/dash", "/tmp/.x/xmrig"]);

    let disguised =
        alerts.iter().filter(severe).find(|a| a["process"].as_str().unwrap().starts_with("/srv/app/bin/worker"));
    let disguised = disguised.expect("the miner of the second act");
    assert_eq!(disguised["technique"]["id"], "T1496");
    assert_eq!(disguised["deviations"][0]["kind"], "new_arguments");
    assert_eq!(disguised["deviations"][0]["tier"], "grammar");
    assert!(disguised["truth"]["time_to_detect_ms"].as_f64().unwrap() <= 1000.0);

    let file = fs::File::open(out.join("alerts.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1024).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), alerts.len());
    assert!(batches[0].column_by_name("evidence").is_some() && batches[0].column_by_name("score_semantics").is_some());

    let table = stdout(&output);
    for needle in ["T1496 Resource Hijacking", "rules", "statistics", "semantics", "⟦/tmp/.x/xmrig⟧", "report:"] {
        assert!(table.contains(needle), "{needle} is not in\n{table}");
    }
    // Commands are copied whole.
    let mut wrapped = table.lines().filter(|line| !line.starts_with("  $ "));
    assert!(wrapped.all(|line| line.chars().count() <= 120), "wider than the terminal");

    let run: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    assert!(
        run["recording"]["files"].as_array().unwrap().iter().all(|file| file["sha256"].as_str().unwrap().len() == 64)
    );
    assert!(run["acts"].as_array().unwrap().iter().all(|act| act["severity"].is_string()));
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("T1496"));
    for outside in ["http://www", "https://", "src=", "@import", "url("] {
        let found = report.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "the report refers to {outside}");
    }
}

#[test]
fn ordinary_life_raises_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = ordinary(&tmp.path().join("rec"));
    let out = tmp.path().join("out");
    let output = replay(&[recording.to_str().unwrap(), "-o", out.to_str().unwrap(), "--fail-on", "medium"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let run: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    for image in run["images"].as_array().unwrap() {
        assert!(image["trees"].as_array().unwrap().iter().all(|tree| tree["locked"] == true), "{image}");
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let mut results = Vec::new();
    for threads in ["1", "2", "4"] {
        let out = tmp.path().join(threads);
        let output = replay(&[recording.to_str().unwrap(), "-o", out.to_str().unwrap(), "--threads", threads]);
        assert!(output.status.success(), "{}", stderr(&output));
        let mut run: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
        run.as_object_mut().unwrap().remove("timings").expect("timings are one object");
        let files = ["alerts.jsonl", "alerts.parquet", "incidents.jsonl", "report.html", "profile.json"];
        let files = files.map(|name| fs::read(out.join(name)).unwrap());
        assert!(files.iter().all(|content| !content.is_empty()));
        results.push((files, run));
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_baseline_detects_from_the_first_event() {
    let tmp = tempfile::tempdir().unwrap();
    let baseline = ordinary(&tmp.path().join("base"));
    let mut script = common::Script::new();
    script.ordinary(0, 3);
    script.attack(3);
    let early = script.write(&tmp.path().join("rec"));
    let (out, again) = (tmp.path().join("out"), tmp.path().join("again"));
    let learn = ["--learn", baseline.to_str().unwrap()];
    let output = replay(&[&[early.to_str().unwrap(), "-o", out.to_str().unwrap()], &learn[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let found = alerts(&out);
    assert!(found.iter().any(|a| a["severity"] == "critical" || a["severity"] == "high"), "{found:?}");

    // The profile that was saved is the baseline that was learned.
    let output = replay(&[early.to_str().unwrap(), "-o", again.to_str().unwrap(), "--learn", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(alerts(&out), alerts(&again));
    let shown = replay(&["profile", "show", out.to_str().unwrap(), "--image", "app"]);
    assert!(stdout(&shown).contains("/srv/app/bin/worker") && !stdout(&shown).contains("nginx"), "{}", stdout(&shown));
}

#[test]
fn an_attack_during_learning_is_alerted_and_not_learned() {
    let tmp = tempfile::tempdir().unwrap();
    let mut script = common::Script::new();
    script.ordinary(0, 280);
    script.attack(10);
    let recording = script.write(&tmp.path().join("rec"));
    let out = tmp.path().join("out");
    let output = replay(&[recording.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = alerts(&out);
    for act in ["exploit-and-mine", "masquerade"] {
        assert!(found.iter().any(|a| a["truth"]["act"] == act && a["severity"] != "low"), "{act}: {found:#?}");
    }
    let profile = fs::read_to_string(out.join("profile.json")).unwrap();
    for never in ["stratum", "minexmr", "shop/attacker"] {
        assert!(!profile.contains(never), "{never} was learned");
    }
}

/// Two events as Tetragon writes them, and nothing of files, names and bytes.
const TETRAGON: &str = r#"{"process_exec":{"process":{"pid":50,"uid":0,"cwd":"/","binary":"/tmp/xmrig","arguments":"-o stratum+tcp://pool.minexmr.com:4444","pod":{"namespace":"shop","name":"web-0","container":{"id":"containerd://aa11","name":"web","image":{"id":"sha256:1","name":"web:1"}}}},"parent":{"pid":49,"binary":"/bin/sh"}},"time":"2023-11-14T22:13:20.5Z"}
{"process_kprobe":{"process":{"pid":50,"binary":"/tmp/xmrig"},"parent":{},"function_name":"tcp_connect","args":[{"sock_arg":{"family":"AF_INET","saddr":"10.0.0.2","daddr":"203.0.113.7","sport":4000,"dport":80}}]},"time":"2023-11-14T22:13:20.6Z"}
"#;

#[test]
fn an_imported_log_is_replayed_and_says_what_engines_go_without() {
    let tmp = tempfile::tempdir().unwrap();
    let (log, out) = (tmp.path().join("log"), tmp.path().join("out"));
    datasets::import::import(TETRAGON.as_bytes(), "log".as_ref(), None, &log, |_| {}).unwrap();
    let output = replay(&[log.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    for line in ["not in log:", "profile: no file tree", "statistics: no volumes", "file_event ", "CRITICAL"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // What there is, is not lacking.
    for line in ["no process tree", "no network tree", "no replicas", "process_creation ", "network_connection "] {
        assert!(!said.contains(line), "{line}: {said}");
    }
    let run: Value = serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
    let lacks = run["recording"]["lacks"].as_array().unwrap();
    assert!(lacks.iter().any(|lack| lack["engine"] == "rules" && lack["what"].as_str().unwrap().contains("security ")));
}
