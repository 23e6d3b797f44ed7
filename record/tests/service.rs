//! The systemd unit, and the recorder in a container without --privileged.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use common::podman::{Image, podman, recorder_root};
use record_bpf::Kind;

fn unit() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/retroscope-record.service")).unwrap()
}

fn directive<'a>(unit: &'a str, name: &str) -> &'a str {
    let found = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{name} is not in the unit"))
}

#[test]
fn the_unit_has_a_command_line_that_is_right_and_the_capabilities_that_are_kept() {
    let unit = unit();
    let start = directive(&unit, "ExecStart");
    let words = start.split("exec /usr/local/bin/record ").nth(1).expect("it runs record").trim_end_matches('\'');
    let words = words.split_whitespace().filter(|word| *word != "-u").map(|word| word.trim_matches('"'));
    let words: Vec<_> = std::iter::once("record").chain(words.filter(|word| !word.starts_with('+'))).collect();
    let cli = record::cli::Cli::try_parse_from(words).expect("record takes these words");
    assert!(cli.record.filter_file.is_some() && cli.record.live.metrics.is_some() && cli.record.quiet);
    assert_eq!(directive(&unit, "ExecReload"), r#"/bin/sh -c 'kill -HUP "$MAINPID"'"#);
    let allowed: Vec<_> = directive(&unit, "CapabilityBoundingSet").split(' ').collect();
    for (capability, _, _) in record::privileges::KEPT {
        assert!(allowed.contains(&&*capability.to_string()), "{capability} is kept, and not in the unit");
    }
    for hardening in ["NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryDenyWriteExecute=yes", "UMask=0077"] {
        assert!(unit.lines().any(|line| line == hardening), "{hardening}");
    }
}

#[test]
fn systemd_accepts_the_unit() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/retroscope-record.service");
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(file).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && !said.contains("retroscope-record.service:"), "{said}");
        }
        Err(error) => eprintln!("\n*** SKIPPED systemd_accepts_the_unit: systemd-analyze: {error} ***\n"),
    }
}

const PROBE: &str = "#include <unistd.h>\nint main(void) { usleep(200000); return 0; }\n";

/// The capabilities that the README's command line gives.
fn documented() -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let caps = readme.split("--cap-add=").nth(1).expect("the README's command line");
    caps.split([' ', '\n']).next().unwrap().to_owned()
}

#[test]
fn a_recorder_in_a_container_records_another_without_being_privileged() {
    let Some(podman) = podman("a_recorder_in_a_container_records_another_without_being_privileged") else { return };
    let root = recorder_root();
    let recorder = Image::import(podman.clone(), "retroscope-recorder", root.path());
    let probe = Image::build(podman.clone(), "retroscope-recorded", PROBE);
    let dir = tempfile::tempdir().unwrap();
    let mut run = podman.command();
    run.args(["run", "--rm", "--name", "retroscope-recorder", "--network=none", "--pid=host", "--cgroupns=host"]);
    run.args(["--cap-drop=all", &format!("--cap-add={}", documented())]);
    run.args(["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "-v", "/var/lib/containers:/var/lib/containers:ro", "-v"]);
    run.arg(format!("{}:/recordings", dir.path().display())).args([recorder.name(), "/record"]);
    run.args(["--duration", "15s", "--container", "retroscope-recorded", "--output", "/recordings/recording"]);
    let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !dir.path().join("recording/manifest.json").exists() && begun.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(5));
    probe.run("retroscope-recorded", &[], &[]);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recorded = common::read(dir, output);
    let execs = recorded.process(Kind::Exec).filter(|row| row.exe.as_deref() == Some("/probe"));
    assert_eq!(execs.count(), 1, "the other container's program");
    let containers = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap().containers().unwrap();
    assert_eq!(containers[0].name.as_deref(), Some("retroscope-recorded"));
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}
