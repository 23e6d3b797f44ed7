//! `replay` of recordings on object storage, through moto: an S3 server on loopback.

mod common;
#[path = "../../datasets/tests/s3/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{attacked, ordinary, replay, stderr};
use serde_json::Value;
use server::Server;

impl Server {
    fn replay(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_replay"), "owner", args).env("NO_COLOR", "1").output().unwrap()
    }
}

/// What a replay wrote that says nothing of where its input was.
fn same(one: &Path, other: &Path) {
    for file in ["alerts.jsonl", "alerts.parquet", "profile.json", "deviations.parquet", "incidents.jsonl"] {
        let (one, other) = (one.join(file), other.join(file));
        assert_eq!(one.exists(), other.exists(), "{file}");
        if one.exists() {
            assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{file} differs");
        }
    }
}

#[test]
fn a_recording_on_object_storage_is_replayed_and_explained_as_one_on_disk() {
    let Some(server) = Server::start() else { return };
    let tmp = tempfile::tempdir().unwrap();
    let (local, baseline) = (attacked(&tmp.path().join("rec")), ordinary(&tmp.path().join("life")));
    server.place_recording(&local, "runs/rec");
    server.place_recording(&baseline, "runs/life");
    let out = |name: &str| tmp.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();

    let here = replay(&[&text(&local), "--learn", &text(&baseline), "-o", &text(&out("here"))]);
    assert!(here.status.success(), "{}", stderr(&here));
    let args = ["s3://rec/runs/rec", "--learn", "s3://rec/runs/life", "-o", &text(&out("there"))];
    let there = server.replay(&args);
    assert!(there.status.success(), "{}", stderr(&there));
    same(&out("here"), &out("there"));
    let run: Value = serde_json::from_slice(&fs::read(out("there").join("run.json")).unwrap()).unwrap();
    assert_eq!(run["recording"]["dir"], "s3://rec/runs/rec");

    let alerts = fs::read_to_string(out("there").join("alerts.jsonl")).unwrap();
    let alert: Value = serde_json::from_str(alerts.lines().next().expect("an alert")).unwrap();
    let explained = |out: &Path| {
        let output = server.replay(&["explain", alert["id"].as_str().unwrap(), &text(out), "--format", "json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["alerts"].clone()
    };
    let (one, other) = (explained(&out("here")), explained(&out("there")));
    assert_eq!(one, other);
    assert!(one[0]["rows"].as_array().unwrap().iter().any(|rows| !rows.as_array().unwrap().is_empty()), "{one}");

    let services = |of: &str| server.replay(&["services", of, "--format", "json"]);
    let (one, other) = (services(&text(&local)), services("s3://rec/runs/rec"));
    assert!(one.status.success() && other.status.success(), "{}{}", stderr(&one), stderr(&other));
    let services = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap()["services"].clone();
    assert_eq!(services(&one), services(&other));

    // An object that is not what the manifest says is found before anything is judged.
    server.place("runs/rec/process/00000.parquet", Some(b"PAR1 something else"));
    let altered = server.replay(&args);
    assert_eq!(altered.status.code(), Some(4), "{}", stderr(&altered));
    assert!(stderr(&altered).contains("s3://rec/runs/rec/process/00000.parquet"), "{}", stderr(&altered));
}

#[test]
fn what_a_replay_writes_stays_on_a_disk() {
    let tmp = tempfile::tempdir().unwrap();
    let local = attacked(&tmp.path().join("rec"));
    let output = replay(&[local.to_str().unwrap(), "-o", "s3://rec/out"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("needs a local directory"), "{}", stderr(&output));
    assert!(!Path::new("s3:").exists());
}
