//! The command line: exit codes, one-line errors with a way out, loss that is accounted for, a clean Ctrl-C.

mod common;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{can_record, python, recorder};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_record")).args(args).output().unwrap()
}

fn assert_error(output: &Output, code: i32, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} in {stderr}");
    }
}

#[test]
fn an_unknown_scenario_names_the_known_ones() {
    if can_record("an_unknown_scenario_names_the_known_ones") {
        assert_error(&run(&["--scenario", "nonesuch"]), 4, &["nonesuch", "webapp", "xmrig"]);
    }
}

#[test]
fn an_output_that_exists_or_cannot_be_made_is_refused() {
    if !can_record("an_output_that_exists_or_cannot_be_made_is_refused") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "data").unwrap();
    let path = dir.path().to_str().unwrap();
    assert_error(&run(&["-o", path, "--", "true"]), 5, &[path, "hint: "]);
    assert_eq!(std::fs::read(dir.path().join("precious")).unwrap(), b"data");
    assert_error(&run(&["-o", "/proc/nowhere", "--", "true"]), 5, &["/proc/nowhere"]);
}

#[test]
fn a_command_that_is_not_there_is_named() {
    if !can_record("a_command_that_is_not_there_is_named") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = recorder(dir.path(), &["--", "/no/such/program"]).output().unwrap();
    assert_error(&output, 2, &["/no/such/program", "No such file"]);
}

#[test]
fn bad_usage_says_what_would_be_right() {
    let output = run(&["--events", "telepathy"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("process, security, file, network"));
}

#[test]
fn without_root_it_says_so() {
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("record");
    std::fs::copy(env!("CARGO_BIN_EXE_record"), &program).unwrap();
    let mut command = Command::new(&program);
    if root {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65_534).gid(65_534); // nobody
    }
    let output = command.args(["--duration", "1s"]).current_dir("/").output().unwrap();
    assert_error(&output, 3, &["root", "hint: ", "sudo"]);
}

#[test]
fn check_reports_facts_and_classes() {
    if !can_record("check_reports_facts_and_classes") {
        return;
    }
    let output = run(&["check", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ready"], true);
    let facts = report["facts"].as_array().unwrap();
    assert!(facts.iter().any(|fact| fact["name"] == "BPF programs" && fact["ok"] == true));
    assert_eq!(report["classes"].as_array().unwrap().len(), 9);
}

#[test]
fn what_a_small_ring_loses_is_accounted_for() {
    if !can_record("what_a_small_ring_loses_is_accounted_for") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // A ring of 1 MiB that is looked at every 10 s, and a storm that cannot fit.
    let program = "
import os
for _ in range(60000): os.close(os.open('/etc/hostname', os.O_RDONLY))
";
    let args = ["--ring=1", "--batch=1000000", "--deadline=10000", "--sample=off", "--format=json", "--"];
    let python = python();
    let output = recorder(dir.path(), &[&args[..], &[&python, "-I", "-S", "-c", program]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = &summary["classes"]["file"];
    assert!(file["lost"].as_u64().unwrap() > 50_000, "{summary}");
    assert!(file["emitted"].as_u64().unwrap() >= 120_000, "{summary}");
    // verify recomputes the identity from the rows' sequence numbers, and names the gaps.
    let report = datasets::verify(&dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
    assert!(report.cpus.iter().any(|cpu| !cpu.gaps.is_empty()));
}

#[test]
fn an_interrupt_ends_a_recording_cleanly() {
    if !can_record("an_interrupt_ends_a_recording_cleanly") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let child =
        recorder(dir.path(), &["--", "sleep", "60"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let recording = datasets::Recording::open(dir.path().join("recording")).unwrap();
    assert_eq!(recording.manifest().state, datasets::State::Complete);
    assert!(recording.processes().unwrap().iter().any(|process| process.comm.as_deref() == Some("sleep")));
}
