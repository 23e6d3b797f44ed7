//! `eval gate` with something made worse on purpose: the detector by its configuration, the recorder by what it has to share its core
//! with, and by a ring that is too small. Needs what `./dev setup base` sets up.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time: what one burns, another would measure.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eval")).arg("gate").args(args).env("NO_COLOR", "1").output().unwrap()
}

fn own_baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gate.toml")
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The short form, as `./dev test` and the workflow run it: this very tree must pass.
#[test]
fn this_tree_passes_and_a_worse_detector_fails() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (own, junit) = (own_baseline(), folder.path().join("gate.xml"));
    let (own, junit) = (own.to_str().unwrap(), junit.to_str().unwrap());
    let output = gate(&["--baseline", own, "--short", "--format", "markdown", "--junit", junit]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    for figure in ["accuracy.acts-found", "accuracy.false-alerts", "recordings.captured", "speed.replay-to-scan-"] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    assert!(text.starts_with("### Gate: passed") && !text.contains("| new |"), "{text}");
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("failures=\"0\"") && xml.contains("accuracy.acts-found"), "{xml}");

    // Alerts are raised from 70 points on, and not from 40.
    let worse = ["--set", "severity.medium=70", "--set", "severity.high=75"];
    let output = gate(&[&["--baseline", own, "--short", "--only", "accuracy", "--junit", junit], &worse[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("check failed: accuracy.acts-found"), "{}", said(&output));
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("failures=\"1\"") || xml.contains("failures=\"2\""), "{xml}");

    // And one that says too much.
    let noisy = ["--set", "severity.medium=1", "--only", "accuracy.false-alerts"];
    let output = gate(&[&["--baseline", own, "--short"], &noisy[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

fn adapter(dir: &Path, name: &str, command: &str) -> String {
    let path = dir.join(format!("{name}.toml"));
    let rest = "events = 'echo 0'\noutput = '{dir}/result.json'\n";
    std::fs::write(&path, format!("name = '{name}'\nabout = 'a test'\ncommand = {command}\n{rest}")).unwrap();
    path.display().to_string()
}

/// Two adapters that differ in that one keeps the core busy that the work runs on.
#[test]
fn a_slower_recorder_fails() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let baseline = dir.path().join("gate.toml");
    let quick = adapter(dir.path(), "quick", "['taskset', '-c', '0', '{workload}']");
    // With a time limit, so that nothing burns on if the test is ended.
    let burn = "for i in 1 2 3; do timeout 20 sh -c 'while :; do :; done' & p=\"$p $!\"; done; \"$@\"; kill $p";
    let slow =
        adapter(dir.path(), "slow", &format!("['taskset', '-c', '0', 'sh', '-c', '''{burn}''', 'sh', '{{workload}}']"));
    let with = |recorder: &str, more: &[&str]| {
        let only = ["--only", "overhead.storm", "--rounds", "3", "--scale", "0.05", "--recorder", recorder];
        gate(&[&["--baseline", baseline.to_str().unwrap()], &only[..], more].concat())
    };
    let output = with(&quick, &["--update"]);
    assert!(output.status.success(), "{}", said(&output));
    // However busy the machine is, a workload by itself is measured in both, and a core of its own is not a quarter of one.
    let text = std::fs::read_to_string(&baseline).unwrap().replace("slack = 0.1", "slack = 0.6");
    std::fs::write(&baseline, text).unwrap();
    let output = with(&slow, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("check failed: overhead.storm"), "{}", said(&output));
}

/// Needs root and a kernel that can record: says so elsewhere.
#[test]
fn a_lossy_recorder_fails() {
    let _turn = turn();
    let record = Path::new(env!("CARGO_BIN_EXE_eval")).with_file_name("record");
    // SAFETY: geteuid() has no preconditions.
    let can = record.is_file()
        && unsafe { libc::geteuid() } == 0
        && Command::new(&record).arg("check").output().unwrap().status.code() != Some(3);
    let dir = tempfile::tempdir().unwrap();
    let baseline = dir.path().join("gate.toml");
    std::fs::write(
        &baseline,
        "version = 1\n[figure.\"capture.storm-stored\"]\nvalue = 1.0\nbetter = 'more'\nslack = 0.005\nshare = 0.0\nunit = 'share'\nhow = 'all'\n",
    )
    .unwrap();
    let only = ["--only", "capture.storm-stored", "--seconds", "1.5"];
    let output = gate(&[&["--baseline", baseline.to_str().unwrap()], &only[..], &["--", "--ring", "1"]].concat());
    if !can {
        eprintln!("\n*** SKIPPED a_lossy_recorder_fails: needs root and {} ***\n", record.display());
        assert!(said(&output).contains("not measured: capture.storm-stored"), "{}", said(&output));
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("check failed: capture.storm-stored"), "{}", said(&output));
}

#[test]
fn what_was_measured_elsewhere_is_compared_and_mistakes_name_the_way_out() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (baseline, measured) = (dir.path().join("gate.toml"), dir.path().join("measured.json"));
    let (baseline, measured) = (baseline.to_str().unwrap(), measured.to_str().unwrap());
    let output = gate(&["--baseline", baseline, "--only", "recordings", "--update", "-o", measured]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(gate(&["--baseline", baseline, "--measured", measured]).status.code(), Some(0));
    let mut figures: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(measured).unwrap()).unwrap();
    for figure in figures.as_array_mut().unwrap() {
        if figure["name"] == "recordings.bytes-per-event" {
            figure["value"] = (figure["value"].as_f64().unwrap() * 1.5).into();
        }
    }
    std::fs::write(measured, figures.to_string()).unwrap();
    let output = gate(&["--baseline", baseline, "--measured", measured]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("check failed: recordings.bytes-per-event"), "{}", said(&output));
    for (args, code, words) in [
        (&["--baseline", "/nowhere/gate.toml", "--short"][..], 4, "--update"),
        (&["--baseline", measured, "--short"], 4, "gate.toml"),
        (&["--baseline", baseline, "--only", "nothing"], 4, "no figure begins with nothing"),
    ] {
        let output = gate(args);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(words) && said(&output).contains("hint: "), "{}", said(&output));
    }
}
