//! What is wrong is said before anything is attached.

use std::process::Command;

use crate::box_and_host::{Enforcer, HOST, Pair, VETH, file, policy, rule};

fn enforce(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_enforce")).args(args).env("NO_COLOR", "1").output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn says(args: &[&str], code: i32, parts: &[&str]) {
    let (ended, said) = enforce(args);
    assert!(ended == code && parts.iter().all(|part| said.contains(part)), "{args:?}: {ended}: {said}");
    assert!(said.contains("\nhint: ") && said.lines().count() == 2, "{args:?}: {said}");
}

#[test]
fn a_policy_that_is_none_is_named_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let many: Vec<_> = (1..6).map(|from| rule(&["10.0.0.0/8"], "udp", from, 99)).collect();
    let block = policy(&[rule(&["10.0.0.0/33"], "udp", 9, 9)], &[]);
    let protocol = policy(&[rule(&["10.0.0.0/8"], "icmp", 9, 9)], &[]);
    let backwards = policy(&[], &[rule(&["10.0.0.0/8"], "tcp", 9, 8)]);
    let newer = policy(&[], &[]).replace("\"version\":1", "\"version\":2");
    for (text, part) in [
        ("", "EOF"),
        ("[]", "line 1"),
        ("{\"version\": 1}", "missing field"),
        (&newer, "version 2 of the form"),
        (&block, "\"10.0.0.0/33\" is no block"),
        (&protocol, "icmp"),
        (&backwards, "ports 9 to 8"),
        (&policy(&many, &[]), "5 different ranges of ports"),
    ] {
        let path = file(&dir, text);
        says(&["xdp", path.to_str().unwrap(), "--interface", "lo"], 4, &["policy.json", part, "replay policy export"]);
    }
    let missing = dir.path().join("missing.json");
    says(&["xdp", missing.to_str().unwrap(), "--interface", "lo"], 4, &["missing.json: No such file"]);
}

#[test]
fn only_a_cgroup_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, &policy(&[], &[]));
    let path = path.to_str().unwrap();
    says(&["lsm", path, "--cgroup", "/no/such"], 3, &["/no/such: no such cgroup", "/proc/PID/cgroup"]);
    says(&["lsm", path, "--cgroup", "/proc"], 3, &["/proc: no cgroup of version 2"]);
    let missing = dir.path().join("missing.json");
    says(&["lsm", missing.to_str().unwrap(), "--cgroup", "/"], 4, &["missing.json: No such file"]);
    let relative = policy(&[], &[]).replacen("\"exact\":[]", "\"exact\":[\"etc/shadow\"]", 1);
    says(&["lsm", file(&dir, &relative).to_str().unwrap(), "--cgroup", "/"], 4, &["etc/shadow", "no absolute path"]);
}

#[test]
fn only_a_veth_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, &policy(&[], &[]));
    let path = path.to_str().unwrap();
    says(&["xdp", path, "--interface", "no-such-if"], 3, &["no network interface no-such-if"]);
    says(&["xdp", path, "--interface", "lo"], 3, &["lo is no veth"]);
    for bad in [["--duration", "soon"], ["--max-syn-per-s", "0"], ["--interval", "x"], ["--format", "xml"]] {
        let (code, said) = enforce(&[&["xdp", path, "--interface", "lo"], &bad[..]].concat());
        assert!(code == 2 && said.contains(bad[0]), "{said}");
    }
}

#[test]
fn an_interface_that_is_held_is_left_alone() {
    let Some(_pair) = Pair::new("an_interface_that_is_held_is_left_alone") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, &policy(&[], &[]));
    let first = Enforcer::start(&path, &[]);
    let mut second = Command::new("ip");
    second.args(["netns", "exec", HOST, env!("CARGO_BIN_EXE_enforce"), "xdp"]).arg(&path);
    let output = second.args(["--interface", VETH]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("cannot attach to {VETH}")) && said.contains("another XDP program"), "{said}");
    first.end();

    // For people.
    let mut third = Command::new("ip");
    third.args(["netns", "exec", HOST, env!("CARGO_BIN_EXE_enforce"), "xdp"]).arg(&path);
    let output = third.args(["--interface", VETH, "--duration", "300ms"]).output().unwrap();
    let (said, table) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success() && said.contains("at rtx0, native mode"), "{said}");
    assert!(table.contains("packets passed, "), "{table}");
}
