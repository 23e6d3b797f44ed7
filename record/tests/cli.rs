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

#[test]
fn a_signed_recording_names_its_signer_and_a_changed_one_is_refused() {
    use datasets::{FindingKind, PublicKey, Signer, Verdict, verify_signed};
    if !common::can_record("a_signed_recording_names_its_signer_and_a_changed_one_is_refused") {
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    let path = keys.path().join("key");
    let public = Signer::generate(&path).unwrap();
    let recorded = common::record_with(&["--sign-key", path.to_str().unwrap()], &["/bin/true"]);
    let dir = recorded.dir.path().join("recording");
    let judge = |key: &PublicKey| verify_signed(&dir, Some(key), |_| {}).unwrap();
    let report = judge(&PublicKey::read(&keys.path().join("key.pub")).unwrap());
    assert_eq!((report.verdict, report.signed_by), (Verdict::Intact, Some(public.to_hex())));
    let other = Signer::generate(&keys.path().join("other")).unwrap();
    assert_eq!(judge(&other).verdict, Verdict::Untrusted);

    // One byte of a file.
    let segment = dir.join(&recorded.manifest.segments[0].file);
    let original = std::fs::read(&segment).unwrap();
    let mut bytes = original.clone();
    bytes[original.len() / 2] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let report = judge(&public);
    assert_eq!(report.verdict, Verdict::Damaged);
    let at = (original.len() / 2) as u64;
    let altered = report.findings.iter().find(|finding| finding.kind == FindingKind::Altered).unwrap();
    assert!(altered.bytes.iter().any(|(first, last)| (*first..=*last).contains(&at)), "{altered:?}");
    std::fs::write(&segment, original).unwrap();

    // One word of the manifest, its digest left alone.
    let manifest = dir.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("\"complete\"", "\"recovered\"", 1)).unwrap();
    assert_eq!(judge(&public).verdict, Verdict::Damaged);
    // Signed anew by somebody else.
    std::fs::write(&manifest, text).unwrap();
    datasets::sign(&dir, &Signer::read(&keys.path().join("other")).unwrap()).unwrap();
    assert_eq!(judge(&public).verdict, Verdict::Untrusted);
    // A key that others can read is refused before anything is recorded.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let output =
        common::recorder(keys.path(), &["--sign-key", path.to_str().unwrap(), "--", "/bin/true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "a key that is no good is bad input");
    assert!(!keys.path().join("recording").exists());
}
