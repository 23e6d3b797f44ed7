//! The program: output, gates, exit codes.

mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::*;

fn eval(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A failed command says one line and the way out, and nothing on stdout.
fn assert_fails(args: &[&str], expected: i32, says: &str) {
    let output = eval(args);
    let text = error(&output);
    assert_eq!(code(&output), expected, "{args:?}: {text}");
    assert!(text.contains(says), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().nth(1).unwrap().starts_with("hint: "), "{text}");
    assert!(output.stdout.is_empty());
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        labelled(&dir.path().join("rec"));
        write_alerts(&dir.path().join("out"), &alerts());
        Files { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn detect_as_table_and_json() {
    let files = Files::new();
    let (rec, out) = (files.path("rec"), files.path("out"));
    let table = eval(&["detect", &rec, "--alerts", &out]);
    assert_eq!(code(&table), 0, "{}", error(&table));
    let text = String::from_utf8(table.stdout).unwrap();
    for line in ["11 events: 5 malicious, 6 benign", "62.50 %", "66.67", "A0002", "1.000000 s"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let json = eval(&["detect", &rec, "--alerts", &out, "--format", "json", "--flag", "evidence", "--at", "medium"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["flagging"], "evidence");
    assert_eq!(json["thresholds"][2]["recall"], 0.6);
    assert_eq!(json["acts"][1]["detected_by"], "A0003");
}

#[test]
fn gates() {
    let files = Files::new();
    let (rec, out) = (files.path("rec"), files.path("out"));
    let gate = |more: &[&str]| code(&eval(&[&["detect", &rec, "--alerts", &out], more].concat()));
    assert_eq!(gate(&["--fail-under", "0.5", "--fail-over", "1"]), 0);
    assert_eq!(gate(&["--fail-under", "0.51"]), 1);
    assert_eq!(gate(&["--fail-over", "0"]), 1);
    assert_eq!(gate(&["--fail-over", "0", "--at", "critical"]), 0);
    assert_eq!(gate(&["--fail-under", "1", "--at", "medium"]), 0);
    let failed = eval(&["detect", &rec, "--alerts", &out, "--fail-under", "1"]);
    assert_eq!(error(&failed), "check failed: 0.500 of the acts detected at high or above, wanted 1\n");
    assert!(!failed.stdout.is_empty());
}

#[test]
fn capture_as_table_and_json() {
    let files = Files::new();
    let rec = files.path("rec");
    let table = eval(&["capture", &rec]);
    assert_eq!(code(&table), 0, "{}", error(&table));
    assert!(String::from_utf8(table.stdout).unwrap().contains("85.71 %"));
    let json = eval(&["capture", &rec, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["total"]["stored"], 11);
}

#[test]
fn a_replay_in_place_finds_nothing_where_all_is_learned() {
    let files = Files::new();
    let output = eval(&["detect", &files.path("rec"), "--format", "json", "--set", "engines.weights.semantics=0"]);
    assert_eq!(code(&output), 0, "{}", error(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["events"], 11);
    assert_eq!(json["acts"].as_array().unwrap().len(), 2);
}

#[test]
fn bad_input() {
    let files = Files::new();
    let (rec, out) = (files.path("rec"), files.path("out"));
    assert_fails(&["detect", "no-such-recording"], 4, "no-such-recording");
    assert_fails(&["capture", &out], 4, "manifest.json");
    assert_fails(&["detect", &rec, "--alerts", &files.path("nowhere")], 4, "alerts.parquet: cannot read");
    assert_fails(&["detect", &rec, "--set", "args.nonsense=1"], 2, "nonsense");

    let garbage = files.path("garbage");
    std::fs::create_dir(&garbage).unwrap();
    std::fs::write(Path::new(&garbage).join("alerts.parquet"), b"PAR1 and then nothing of the kind PAR1").unwrap();
    assert_fails(&["detect", &rec, "--alerts", &garbage], 4, "not a readable Parquet file");
    // A Parquet file, but of something else.
    std::fs::copy(Path::new(&rec).join("labels.parquet"), Path::new(&garbage).join("alerts.parquet")).unwrap();
    assert_fails(&["detect", &rec, "--alerts", &garbage], 4, "column id is missing");

    std::fs::write(Path::new(&out).join("run.json"), r#"{"recording":{"files":[]}}"#).unwrap();
    assert_fails(&["detect", &rec, "--alerts", &out], 4, "the alerts are not of");

    let segment = Path::new(&rec).join("file/00000.parquet");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    assert_fails(&["capture", &rec], 4, "file/00000.parquet");
    std::fs::remove_file(&segment).unwrap();
    assert_fails(&["capture", &rec], 4, "missing");
}

#[test]
fn a_gate_on_detection_needs_ground_truth() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("rec"), &events(), &[], Some(Default::default()));
    write_alerts(&dir.path().join("out"), &alerts());
    let (rec, out) = (dir.path().join("rec"), dir.path().join("out"));
    let (rec, out) = (rec.to_str().unwrap(), out.to_str().unwrap());
    assert_fails(&["detect", rec, "--alerts", out, "--fail-under", "1"], 4, "no ground truth");
    assert_eq!(code(&eval(&["detect", rec, "--alerts", out, "--fail-over", "2"])), 0);
}

#[test]
fn bad_usage() {
    for args in [
        &["detect", "--fail-under", "2"][..],
        &["detect", "--at", "severe"],
        &["detect", "--alerts", "out", "--learn", "base"],
        &["tune"],
    ] {
        assert_eq!(code(&eval(args)), 2, "{args:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let files = Files::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_eval"))
        .args(["capture", &files.path("rec")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), error(&output).as_str()), (0, ""));
}

#[test]
fn splits_are_obeyed() {
    let files = Files::new();
    let rec = files.path("rec");
    assert_fails(&["detect", &rec, "--split", "test"], 2, "is of no split, and not of the split test");
    // The shipped recordings have seed 1.
    assert_fails(&["detect", "xmrig", "--split", "test"], 2, "is of the split train, and not of the split test");
    let splits = |name: &str, text: &str| {
        let path = files.path(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let late = splits("late.toml", "[train]\nseeds = [2]\n[validation]\nseeds = [3]\n[test]\nseeds = [1]\n");
    assert_fails(&["detect", "xmrig", "--learn", "webapp", "--splits", &late], 2, "only train is there to learn from");
    let twice = splits("twice.toml", "[train]\nseeds = [1]\n[validation]\nseeds = [3]\n[test]\nseeds = [1]\n");
    assert_fails(&["detect", "xmrig", "--splits", &twice], 4, "seed 1 is in train and in test");
}

#[test]
fn every_program_completes_itself_in_a_shell_and_has_man_pages() {
    let programs = Path::new(env!("CARGO_BIN_EXE_eval")).parent().unwrap();
    let each = [
        ("record", "check"),
        ("enforce", "lsm"),
        ("enforce", "selftest"),
        ("enforce", "xdp"),
        ("replay", "explain"),
        ("datasets", "verify"),
        ("scenarios", "lint"),
        ("eval", "soak"),
    ];
    for (name, command) in each {
        let run = |args: &[&str]| Command::new(programs.join(name)).args(args).output().unwrap();
        let said = |args: &[&str]| {
            let output = run(args);
            assert_eq!(code(&output), 0, "{name} {args:?}: {}", error(&output));
            String::from_utf8(output.stdout).unwrap()
        };
        for shell in ["bash", "zsh", "fish"] {
            let script = said(&["completions", shell]);
            assert!(script.contains(name) && script.contains(command), "{name} in {shell}");
        }
        assert_eq!(code(&run(&["completions", "tcsh"])), 2, "{name}");

        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("man1");
        let written = said(&["man", "--output", pages.to_str().unwrap()]);
        for page in [format!("{name}.1"), format!("{name}-{command}.1")] {
            let text = std::fs::read_to_string(pages.join(&page)).unwrap();
            assert!(text.contains(".TH") && text.contains(".SH NAME") && written.contains(&page), "{page}: {text}");
        }
        assert!(said(&["man"]).contains(".SH SYNOPSIS"), "{name}");
        assert_eq!(code(&run(&["man", "--output", "/proc/nowhere"])), 5, "{name}");
    }
}
