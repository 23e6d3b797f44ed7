//! Bad input: a one-line error, a hint with the way out, the documented exit code, never a panic.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{attacked, ordinary, replay, stderr, stdout};

/// Runs and expects `code`, `message` in one error line, and a hint that contains `hint`.
fn refuses(args: &[&str], code: i32, message: &str, hint: &str) {
    let output = replay(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}{}", stdout(&output));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{args:?}: one error line and one hint: {text}");
    assert!(lines[0].starts_with("error: ") && lines[0].contains(message), "{args:?}: {text}");
    assert!(lines[1].starts_with("hint: ") && lines[1].contains(hint), "{args:?}: {text}");
    assert!(stdout(&output).is_empty(), "{args:?}: data on stdout beside an error");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_not_there() {
    let tmp = tempfile::tempdir().unwrap();
    let missing = tmp.path().join("nowhere");
    refuses(&[text(&missing)], 4, "no recording there", "directory of a recording");
    refuses(&[text(tmp.path())], 4, "not a recording", "manifest.json");
    refuses(&["--scenario", "no-such-scenario"], 4, "no-such-scenario", "record --scenario");
    refuses(&[], 2, "no recording given", "--scenario NAME");
    refuses(&[text(&missing), "--learn", "nowhere-either"], 4, "no recording there", "directory");
}

#[test]
fn unknown_and_wrong_configuration() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = ordinary(&tmp.path().join("rec"));
    let recording = text(&recording);
    refuses(
        &[recording, "--set", "convergence.windw=3"],
        2,
        "unknown config key convergence.windw",
        "convergence.window",
    );
    refuses(&[recording, "--set", "engines.weights.rules=much"], 2, "is a float, not a string", "40");
    let file = tmp.path().join("my.toml");
    fs::write(&file, "[convergence]\nwindov = 3\n").unwrap();
    refuses(&[recording, "--config", text(&file)], 2, "unknown config key convergence.windov", "convergence.window");
    refuses(&[recording, "--config", "/no/such.toml"], 2, "cannot read the config", "--config");
    let output = replay(&[recording, "--fail-on", "catastrophic"]);
    assert_eq!(output.status.code(), Some(2));
    let output = replay(&[recording, "--scenario", "xmrig"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn damaged_and_foreign_parquet() {
    let tmp = tempfile::tempdir().unwrap();
    let out = tmp.path().join("out");
    let segment = |name: &str| {
        let recording = ordinary(&tmp.path().join(name));
        let segment = recording.join("file/00000.parquet");
        (recording, segment)
    };
    let (recording, file) = segment("cut");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refuses(&[text(&recording), "-o", text(&out)], 4, "file/00000.parquet", "datasets verify");

    let (recording, file) = segment("foreign");
    fs::write(&file, b"PAR1 this is not it PAR1").unwrap();
    refuses(&[text(&recording), "-o", text(&out)], 4, "file/00000.parquet", "datasets verify");

    let (recording, file) = segment("gone");
    fs::remove_file(file).unwrap();
    refuses(&[text(&recording), "-o", text(&out)], 4, "missing", "datasets verify");

    // Another class's segment in its place, with the manifest made to agree: the columns give it away.
    let (recording, file) = segment("swapped");
    fs::copy(recording.join("process/00000.parquet"), &file).unwrap();
    let manifest = recording.join("manifest.json");
    let mut value: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    let segments = value["segments"].as_array().unwrap();
    let of = |class: &str| segments.iter().position(|segment| segment["class"] == class).unwrap();
    let (from, to) = (of("process"), of("file"));
    value["segments"][to]["sha256"] = value["segments"][from]["sha256"].clone();
    fs::write(&manifest, value.to_string()).unwrap();
    refuses(&[text(&recording), "-o", text(&out)], 4, "00000.parquet: column", "");
}

#[test]
fn foreign_profiles() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = ordinary(&tmp.path().join("rec"));
    let profile = tmp.path().join("profile.json");
    for (content, message) in [
        ("{", "not a profile"),
        ("{\"kind\": \"something else\"}", "its kind is not"),
        ("{\"kind\": \"retroscope profile\", \"version\": 99, \"images\": {}}", "version 99"),
        ("{\"kind\": \"retroscope profile\", \"version\": 1, \"images\": 7}", "damaged profile"),
    ] {
        fs::write(&profile, content).unwrap();
        refuses(&[text(&recording), "--learn", text(&profile)], 4, message, "");
        refuses(&["profile", "show", text(&profile)], 4, message, "");
    }
}

#[test]
fn output_that_cannot_be_written() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = ordinary(&tmp.path().join("rec"));
    let file = tmp.path().join("a-file");
    fs::write(&file, "").unwrap();
    refuses(&[text(&recording), "-o", text(&file)], 5, "cannot write", "-o DIR");
    refuses(&[text(&recording), "-o", text(&file.join("below"))], 5, "cannot write", "-o DIR");
    let locked = tmp.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write anywhere but into kernel file systems.
    let target = if fs::write(locked.join("probe"), "").is_ok() { Path::new("/proc/self/out") } else { &locked };
    refuses(&[text(&recording), "-o", text(target)], 5, "cannot write", "-o DIR");
}

#[test]
fn a_missing_model_is_an_error_when_it_is_needed() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let out = tmp.path().join("out");
    let nowhere = format!("model.path={}", text(&tmp.path().join("no-model")));
    refuses(&[text(&recording), "-o", text(&out), "--set", &nowhere], 3, "no embedding model", "setup");
    // Where nothing deviates no model is asked.
    let calm = ordinary(&tmp.path().join("calm"));
    let output = replay(&[text(&calm), "-o", text(&out), "--set", &nowhere]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_is_no_error_and_json_is_json() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = attacked(&tmp.path().join("rec"));
    let out = tmp.path().join("out");
    let output = replay(&[text(&recording), "-o", text(&out), "--format", "json"]);
    let alerts: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON and nothing else on stdout");
    assert!(alerts.as_array().unwrap().len() > 1);
    let script = format!("{} {} -o {} | true", env!("CARGO_BIN_EXE_replay"), text(&recording), text(&out));
    let piped =
        std::process::Command::new("bash").args(["-c", &format!("set -o pipefail; {script}")]).output().unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{}", stderr(&piped));
}

#[test]
fn an_empty_recording_is_replayed() {
    let tmp = tempfile::tempdir().unwrap();
    let recording = common::Script::new().write(&tmp.path().join("rec"));
    let output = replay(&[text(&recording), "-o", text(&tmp.path().join("out"))]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("0 events"), "{}", stdout(&output));
}
