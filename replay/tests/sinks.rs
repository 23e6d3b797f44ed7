//! Sinks that speak HTTP or write lines, against servers that answer well, badly, late and never.

mod common;
mod receivers;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{attacked, stderr, stdout};
use receivers::{Reply, Server};
use serde_json::Value;

/// Of all alerts, the raised ones.
fn raised(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("alerts.jsonl")).unwrap();
    let alerts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    alerts.filter(|alert| alert["severity"] != "low").collect()
}

fn run_json(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("run.json")).unwrap()).unwrap()
}

/// Replays the attack with a configuration's text, and environment variables.
fn replayed(tmp: &Path, config: &str, args: &[&str], vars: &[(&str, &str)]) -> std::process::Output {
    let recording = tmp.join("rec");
    if !recording.exists() {
        attacked(&recording);
    }
    let file = tmp.join("replay.toml");
    fs::write(&file, config).unwrap();
    let (out, recording) = (tmp.join("out"), recording.to_str().unwrap().to_owned());
    let fixed = [recording.as_str(), "-o", out.to_str().unwrap(), "--config", file.to_str().unwrap()];
    // What a test hides in a variable must not be found in anything that is written.
    common::replay_with(&[&fixed[..], args].concat(), vars)
}

#[test]
fn every_receiver_gets_each_raised_alert_once_in_its_own_form() {
    let tmp = tempfile::tempdir().unwrap();
    let webhook = Server::ok("");
    let slack = Server::ok("ok");
    let wecom = Server::ok(r#"{"errcode":0,"errmsg":"ok"}"#);
    let elastic = Server::ok(r#"{"errors":false,"items":[{"create":{"status":201}}]}"#);
    let ocsf = Server::ok("");
    let lines = tmp.path().join("lines.jsonl");
    let config = format!(
        "[sinks.hook]\ntype = 'webhook'\nurl = '{}/in?room=1'\nauthorization_env = 'HOOK_AUTH'\nsend = ['alerts', 'incidents']\n\
         [sinks.chat]\ntype = 'slack'\nurl_env = 'SLACK_URL'\n\
         [sinks.robot]\ntype = 'wecom'\nurl_env = 'WECOM_URL'\n\
         [sinks.elastic]\ntype = 'ecs'\nurl = '{}'\nindex = 'alerts'\n\
         [sinks.lake]\ntype = 'ocsf'\nurl = '{}/findings'\nmin_severity = 'critical'\n\
         [sinks.lines]\ntype = 'jsonl'\npath = '{}'\n",
        webhook.url,
        elastic.url,
        ocsf.url,
        lines.display()
    );
    let vars = [
        ("HOOK_AUTH", "Bearer HIDDEN-1"),
        ("SLACK_URL", &*format!("{}/services/HIDDEN-2", slack.url)),
        ("WECOM_URL", &*format!("{}/cgi-bin/webhook/send?key=HIDDEN-3", wecom.url)),
    ];
    let output = replayed(tmp.path(), &config, &["--fail-on-sink"], &vars);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let out = tmp.path().join("out");
    let alerts = raised(&out);
    assert!(alerts.len() >= 2, "{alerts:?}");

    // Webhook: all of it, and the incidents.
    let got = webhook.requests();
    assert!(got.iter().all(|request| request.path == "/in?room=1"));
    assert!(got.iter().all(|request| request.headers["authorization"] == "Bearer HIDDEN-1"));
    let (told, incidents): (Vec<_>, Vec<_>) =
        got.iter().map(receivers::Request::json).partition(|body| body["alert"].is_object());
    assert_eq!(told.iter().map(|body| body["alert"].clone()).collect::<Vec<_>>(), alerts);
    assert!(!incidents.is_empty() && incidents.iter().all(|body| body["incident"]["tree"].is_array()));
    let mut keys: Vec<_> = got.iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), got.len(), "a key of its own for each");

    // Slack: a header and plain text, the notification escaped.
    assert_eq!(slack.requests().len(), alerts.len());
    let first = slack.requests()[0].json();
    assert!(first["text"].as_str().unwrap().contains(" in app"), "{first}");
    assert!(first["blocks"].as_array().unwrap().iter().all(|block| block["text"]["type"] == "plain_text"), "{first}");
    assert!(first["blocks"][2]["text"]["text"].as_str().unwrap().contains("podman "), "{first}");

    // WeCom: a text of at most 2048 bytes.
    assert_eq!(wecom.requests().len(), alerts.len());
    assert!(wecom.requests().iter().all(|request| request.path.ends_with("key=HIDDEN-3")));
    assert!(wecom.requests().iter().all(|request| request.json()["text"]["content"].as_str().unwrap().len() <= 2048));

    // Elasticsearch: an action and a document per request.
    assert_eq!(elastic.requests().len(), alerts.len());
    for (request, alert) in elastic.requests().iter().zip(&alerts) {
        assert_eq!((request.path.as_str(), &*request.headers["content-type"]), ("/_bulk", "application/x-ndjson"));
        let mut body = request.body.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let (action, document) = (body.next().unwrap(), body.next().unwrap());
        assert_eq!(
            (&action["create"]["_index"], &action["create"]["_id"]),
            (&"alerts".into(), &document["event"]["id"])
        );
        assert_eq!(document["event"]["kind"], "alert");
        assert_eq!(document["container"]["id"], alert["container"]);
        assert_eq!(document["process"]["command_line"], alert["process"]);
        assert_eq!(document["threat"]["technique"]["id"][0], alert["technique"]["id"]);
    }

    // OCSF: the critical ones alone.
    let critical = alerts.iter().filter(|alert| alert["severity"] == "critical").count();
    assert_eq!(ocsf.requests().len(), critical);

    let written = fs::read_to_string(&lines).unwrap();
    assert_eq!(written.lines().count(), alerts.len());

    let run = run_json(&out);
    let sent: Vec<_> = run["sinks"].as_array().unwrap().iter().map(|sink| sink["sent"].as_u64().unwrap()).collect();
    let all = alerts.len() as u64;
    assert_eq!(sent, [all, all, got.len() as u64, critical as u64, all, all], "{}", run["sinks"]);
    for file in fs::read_dir(&out).unwrap() {
        let path = file.unwrap().path();
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("HIDDEN"), "{} tells", path.display());
    }
    assert!(!format!("{}{}", stdout(&output), stderr(&output)).contains("HIDDEN"));

    // The same again is the same: receivers that remember keys need not tell it twice.
    let again = replayed(tmp.path(), &config, &["--sink", "elastic", "--threads", "1"], &vars);
    assert!(again.status.success(), "{}", stderr(&again));
    let requests = elastic.requests();
    let bodies: Vec<_> = requests.iter().map(|request| &request.body).collect();
    assert_eq!(bodies[..alerts.len()], bodies[alerts.len()..]);
}

#[test]
fn what_fails_for_now_is_tried_again() {
    let tmp = tempfile::tempdir().unwrap();
    let patient = Server::start(
        vec![
            Reply::TooMany(1),
            Reply::Answer(500, "busy".to_owned()),
            Reply::CutOff,
            Reply::Hang(Duration::from_secs(3)),
        ],
        Reply::Answer(204, String::new()),
    );
    let wecom = Server::start(
        vec![Reply::Answer(200, r#"{"errcode":-1,"errmsg":"busy"}"#.to_owned())],
        Reply::Answer(200, r#"{"errcode":0}"#.to_owned()),
    );
    let elastic = Server::start(
        vec![Reply::Answer(
            200,
            r#"{"errors":true,"items":[{"create":{"status":429,"error":{"reason":"full"}}}]}"#.to_owned(),
        )],
        // Known from before.
        Reply::Answer(
            200,
            r#"{"errors":true,"items":[{"create":{"status":409,"error":{"reason":"there"}}}]}"#.to_owned(),
        ),
    );
    let config = format!(
        "[sinks.a]\ntype = 'webhook'\nurl = '{}'\ntimeout = 2\nattempts = 8\n[sinks.b]\ntype = 'wecom'\nurl = '{}'\n\
         [sinks.c]\ntype = 'ecs'\nurl = '{}'\n",
        patient.url, wecom.url, elastic.url
    );
    let output = replayed(tmp.path(), &config, &["--fail-on-sink"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let alerts = raised(&tmp.path().join("out")).len();
    let got = patient.requests();
    assert_eq!(got.len(), alerts + 4);
    assert!(got[1].at - got[0].at >= Duration::from_secs(1), "Retry-After was asked for");
    assert!(got[..5].iter().all(|request| request.headers["idempotency-key"] == got[0].headers["idempotency-key"]));
    let run = run_json(&tmp.path().join("out"));
    let retries: Vec<_> = run["sinks"].as_array().unwrap().iter().map(|sink| sink["retries"].clone()).collect();
    assert_eq!(retries, [4, 1, 1]);
}

#[test]
fn a_bad_receiver_costs_its_deadline_and_is_named() {
    let tmp = tempfile::tempdir().unwrap();
    let slow = Server::start(Vec::new(), Reply::Hang(Duration::from_secs(30)));
    let refusing = Server::start(Vec::new(), Reply::Answer(403, "invalid_token".to_owned()));
    let dead = receivers::free_port();
    let config = format!(
        "[sinks.slow]\ntype = 'webhook'\nurl = '{}/HIDDEN'\ndeadline = 1\n[sinks.refusing]\ntype = 'slack'\nurl = '{}/HIDDEN'\n\
         [sinks.dead]\ntype = 'alertmanager'\nurl = 'http://127.0.0.1:{dead}'\ndeadline = 1\n\
         [sinks.narrow]\ntype = 'webhook'\nurl = '{}'\nqueue = 1\ndeadline = 1\n",
        slow.url, refusing.url, slow.url
    );
    let without = Instant::now();
    let output = replayed(tmp.path(), &config, &["--sink", "none", "--fail-on-sink"], &[]);
    let without = without.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = |name: &str| fs::read(tmp.path().join("out").join(name)).unwrap();
    let names = ["alerts.jsonl", "alerts.parquet", "incidents.jsonl", "report.html", "profile.json"];
    let before = names.map(files);

    let begin = Instant::now();
    let output = replayed(tmp.path(), &config, &[], &[]);
    assert_eq!(output.status.code(), Some(0), "the exit code tells of alerts: {}", stderr(&output));
    // Five attempts of ten seconds at each alert would take minutes. The machine may be slower this time.
    let more = begin.elapsed().saturating_sub(without);
    assert!(more < Duration::from_secs(25), "{more:?} more than without sinks");
    assert!(before == names.map(files), "what sinks do changes what is written");
    let text = stderr(&output);
    for needle in [
        "warning: sink slow",
        "warning: sink refusing",
        "HTTP 403: invalid_token",
        "warning: sink dead",
        "hint: replay sinks test dead",
    ] {
        assert!(text.contains(needle), "{needle}: {text}");
    }
    assert!(!text.contains("HIDDEN"), "{text}");
    let run = run_json(&tmp.path().join("out"));
    let alerts = raised(&tmp.path().join("out")).len() as u64;
    let find = |name: &str| run["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap().clone();
    for name in ["slow", "refusing", "dead"] {
        assert_eq!((&find(name)["sent"], &find(name)["failed"]), (&0.into(), &alerts.into()), "{}", find(name));
    }
    assert_eq!(find("refusing")["retries"], 0, "403 does not pass by itself");
    let narrow = find("narrow");
    let (failed, dropped) = (narrow["failed"].as_u64().unwrap(), narrow["dropped"].as_u64().unwrap());
    assert_eq!(failed + dropped, alerts);
    assert!(dropped > 0, "a queue of one holds no more: {narrow}");

    let output = replayed(tmp.path(), &config, &["--sink", "refusing", "--fail-on-sink"], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn mistakes_are_told_before_the_work() {
    let tmp = tempfile::tempdir().unwrap();
    for (config, args, message) in [
        ("[sinks.a]\ntype = 'slack'\nurl_env = 'RETROSCOPE_NOT_SET'", &[][..], "RETROSCOPE_NOT_SET is not set"),
        ("[sinks.a]\ntype = 'slack'\nurl = 'ftp://a/b'", &[], "no http"),
        ("[sinks.a]\ntype = 'webhook'\nurl = 'https://a'\nca_file = '/nowhere'", &[], "/nowhere"),
        ("[sinks.a]\ntype = 'email'\nurl = 'smtp://a'\nto = ['x@example']", &[], "`from` is missing"),
        ("[sinks.a]\ntype = 'syslog'\nurl = 'udp://a'", &[], "udp://HOST:PORT"),
        ("", &["--sink", "ops"], "no sink ops in the configuration, which has none"),
        ("", &["--sink", "fax=1"], "unknown type fax"),
        ("[sinks.a]\ntype = 'jsonl'\npath = '/nowhere/at/all'", &[], "/nowhere/at/all"),
    ] {
        let output = replayed(tmp.path(), config, args, &[]);
        assert_eq!(output.status.code(), Some(2), "{config}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{config}: {}", stderr(&output));
        assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
    }
}

#[test]
fn a_sink_can_be_tried_out() {
    let server = Server::ok("");
    let target = format!("webhook={}", server.url);
    let output = common::replay(&["sinks", "test", "--sink", &target]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1 sent"), "{}", stdout(&output));
    let got = server.requests();
    assert_eq!((got.len(), &got[0].json()["test"]), (1, &true.into()));
    let dead = format!("webhook=http://127.0.0.1:{}", receivers::free_port());
    let output = common::replay(&["sinks", "test", "--sink", &dead]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("1 failed: "), "{}", stdout(&output));
    // stdout is a file too.
    let output = common::replay(&["sinks", "test", "--sink", "ecs=-"]);
    let line: Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    assert_eq!(line["tags"], serde_json::json!(["retroscope", "test"]));
}
