//! SIGHUP: filters read again without a gap, and the end of a recording that has no filter file.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::podman::{Image, finish, podman, start};
use common::{Recorded, can_record, recorder};
use record_bpf::Kind;

/// Makes a file of each number, one every 5 ms.
const PROBE: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
	char path[64];
	for (int n = 0; n < atoi(argv[1]); n++) {
		snprintf(path, sizeof(path), "/tmp/n-%d", n);
		int fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0 || close(fd) || unlink(path)) return 1;
		usleep(5000);
	}
	return 0;
}
"#;

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Writes the filter file and has it read.
fn reload(child: &Child, file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    signal(child, "-HUP");
    std::thread::sleep(Duration::from_millis(700));
}

/// The numbers that a container made files of.
fn numbers(recorded: &Recorded, name: &str) -> Vec<u32> {
    let recording = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap();
    let containers = recording.containers().unwrap();
    let Some(container) = containers.iter().find(|container| container.name.as_deref() == Some(name)) else {
        return Vec::new();
    };
    let opened = recorded.files(Kind::Open).filter(|row| row.common.container.as_ref() == Some(&container.id));
    let mut found: Vec<u32> =
        opened.filter_map(|row| row.path.as_deref()?.strip_prefix("/tmp/n-")?.parse().ok()).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_container_that_matches_before_and_after_loses_nothing() {
    let Some(podman) = podman("a_container_that_matches_before_and_after_loses_nothing") else { return };
    let image = Image::build(podman, "retroscope-reload", PROBE);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("filters.toml");
    fs::write(&file, "container = ['retroscope-reload-stays']\n").unwrap();
    let child = start(dir.path(), &["--filter-file", file.to_str().unwrap()]);
    let (stays, comes) = std::thread::scope(|scope| {
        let stays = scope.spawn(|| image.run("retroscope-reload-stays", &[], &["1200"]));
        let comes = scope.spawn(|| image.run("retroscope-reload-comes", &[], &["1200"]));
        std::thread::sleep(Duration::from_millis(2500));
        reload(&child, &file, "container = ['retroscope-reload-*']\n");
        reload(&child, &file, "container = ['retroscope-reload-*'\n");
        reload(&child, &file, "container = ['retroscope-reload-stays']\n");
        (stays.join().unwrap(), comes.join().unwrap())
    });
    assert!(stays.status.success() && comes.status.success());
    let recorded = finish(child, dir);

    assert_eq!(numbers(&recorded, "retroscope-reload-stays"), (0..1200).collect::<Vec<_>>(), "every one");
    let came = numbers(&recorded, "retroscope-reload-comes");
    let (first, last) = (came[0], came[came.len() - 1]);
    assert!(first > 0 && last < 1199, "{first} to {last}: while it matched");
    assert_eq!(came, (first..=last).collect::<Vec<_>>(), "every one in between, also over the file that is broken");
    let stderr = String::from_utf8_lossy(&recorded.output.stderr);
    assert_eq!(stderr.matches("filters read again").count(), 2, "{stderr}");
    assert!(stderr.contains("filters stay as they are: ") && stderr.contains("filters.toml"), "{stderr}");
    let changes: Vec<_> = recorded.manifest.filter_changes.iter().map(|change| change.filter.join(" ")).collect();
    assert_eq!(changes, ["container = retroscope-reload-*", "container = retroscope-reload-stays"]);
    assert!(recorded.manifest.filter_changes[0].at.ns > recorded.manifest.started.ns);
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn without_a_filter_file_a_hangup_ends_the_recording() {
    if !can_record("without_a_filter_file_a_hangup_ends_the_recording") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = recorder(dir.path(), &["--", "sleep", "60"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    signal(&child, "-HUP");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recording = datasets::Recording::open(dir.path().join("recording")).unwrap();
    assert_eq!(recording.manifest().state, datasets::State::Complete);
}

#[test]
fn a_broken_filter_file_is_refused_at_the_begin() {
    if !can_record("a_broken_filter_file_is_refused_at_the_begin") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("filters.toml");
    fs::write(&file, "kontainer = ['x']\n").unwrap();
    let output = recorder(dir.path(), &["--filter-file", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("kontainer"));
    assert!(!dir.path().join("recording").exists());
}
