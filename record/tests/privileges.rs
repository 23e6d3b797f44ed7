//! A running recorder has the capabilities that are documented and no others, in every thread, and records all the same.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{can_record, read, recorder};
use record::privileges::{When, mask};
use record_bpf::Kind;

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().to_owned()
}

fn caps(status: &str, name: &str) -> u64 {
    u64::from_str_radix(&field(status, name), 16).unwrap()
}

/// The status of each thread, once the recorder has dropped what it does not need.
fn threads(child: &Child) -> Vec<String> {
    let (pid, begun) = (child.id(), Instant::now());
    let main = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    while field(&main(), "NoNewPrivs:") != "1" {
        assert!(begun.elapsed() < Duration::from_secs(30), "privileges were never dropped");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks.map(|task| fs::read_to_string(task.path().join("status")).unwrap()).collect()
}

fn end(child: Child) -> std::process::Output {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn begin(dir: &Path, options: &[&str], script: &str) -> Child {
    let args = [options, &["--metrics", "127.0.0.1:0", "--", "sh", "-c", script, "sh", dir.to_str().unwrap()]].concat();
    recorder(dir, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Writes its own status, then does something now and then.
const SCRIPT: &str = "cat /proc/self/status > \"$1/child\"; while :; do /bin/true; sleep 0.1; done";

#[test]
fn every_thread_keeps_the_documented_set_and_the_command_its_callers() {
    if !can_record("every_thread_keeps_the_documented_set_and_the_command_its_callers") {
        return;
    }
    let admin = !record::privileges::perfmon_is_enough();
    for (events, tls) in [("default", false), ("default,tls", true)] {
        let dir = tempfile::tempdir().unwrap();
        let child = begin(dir.path(), &["--events", events], SCRIPT);
        let threads = threads(&child);
        let wanted = mask(|when| {
            matches!(when, When::Always | When::Command)
                || (tls && (when == When::Tls || (admin && when == When::TlsAdmin)))
        });
        assert!(threads.len() >= 4, "main, drain, signals, metrics: {}", threads.len());
        for status in &threads {
            assert_eq!(caps(status, "CapEff:"), wanted, "{status}");
            assert_eq!(caps(status, "CapPrm:"), wanted, "{status}");
            assert_eq!(
                (caps(status, "CapInh:"), caps(status, "CapBnd:"), caps(status, "CapAmb:")),
                (0, 0, 0),
                "{status}"
            );
            assert_eq!(field(status, "NoNewPrivs:"), "1");
            assert_eq!(field(status, "Umask:"), "0077");
        }
        std::thread::sleep(Duration::from_secs(1));
        let output = end(child);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let own = fs::read_to_string("/proc/self/status").unwrap();
        let commands = fs::read_to_string(dir.path().join("child")).unwrap();
        for name in ["CapEff:", "CapPrm:", "CapBnd:", "NoNewPrivs:", "Umask:"] {
            assert_eq!(field(&commands, name), field(&own, name), "the command's {name}");
        }
        let report = datasets::verify(&dir.path().join("recording"), |_| {}).unwrap();
        assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
        let recorded = read(dir, output);
        let execs =
            recorded.process(Kind::Exec).filter(|row| row.exe.as_deref().is_some_and(|exe| exe.ends_with("/true")));
        assert!(execs.count() >= 5, "recorded after privileges were dropped");
    }
}

#[test]
fn another_user_can_take_over() {
    if !can_record("another_user_can_take_over") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let child = begin(dir.path(), &["--user", "nobody"], SCRIPT);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    for status in threads(&child) {
        assert_eq!(field(&status, "Uid:"), vec![nobody.uid.to_string(); 4].join("\t"));
        assert_eq!(field(&status, "Gid:"), vec![nobody.gid.to_string(); 4].join("\t"));
        assert_eq!(caps(&status, "CapEff:"), mask(|when| matches!(when, When::Always | When::Command)));
    }
    let output = end(child);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut todo = vec![dir.path().join("recording")];
    while let Some(path) = todo.pop() {
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.uid(), nobody.uid.as_raw(), "{}", path.display());
        assert_eq!(meta.mode() & 0o077, 0, "{}", path.display());
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let report = datasets::verify(&dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);

    let unknown = tempfile::tempdir().unwrap();
    let output = recorder(unknown.path(), &["--user", "no-such-user", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-user"));
    assert!(!unknown.path().join("recording").exists(), "nothing was begun");
}

#[test]
fn privileges_can_be_kept() {
    if !can_record("privileges_can_be_kept") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output =
        recorder(dir.path(), &["--keep-privileges", "--", "sh", "-c", "grep NoNewPrivs /proc/$PPID/status"]).output();
    let output = output.unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("NoNewPrivs:\t0"));
}
