//! Real containers: identity, the filter in the kernel, and the first exec of a container that starts during the recording.

mod common;

use std::fs;

use common::podman::{Image, finish, podman, start};
use common::{can_record, one, record};
use record::cgroup::Hierarchy;
use record_bpf::Kind;

/// Opens a file named by its first argument, then ends.
const PROBE: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv) {
	int fd = open(argv[1], O_CREAT | O_WRONLY, 0600);
	return write(fd, "seen", 4) == 4 && close(fd) == 0 ? 0 : 1;
}
"#;

#[test]
fn containers_are_named_filtered_in_the_kernel_and_followed_from_their_first_exec() {
    let Some(podman) = podman("containers_are_named_filtered_in_the_kernel_and_followed_from_their_first_exec") else {
        return;
    };
    let image = Image::build(podman, "retroscope-test", PROBE);
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", "retroscope-test-in-*"]);
    image.run("retroscope-test-out", &[], &["/tmp/unwanted"]);
    image.run("retroscope-test-in-1", &[], &["/tmp/wanted"]);
    let recorded = finish(child, dir);

    let recording = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap();
    let container = one(recording.containers().unwrap());
    assert_eq!(container.name.as_deref(), Some("retroscope-test-in-1"));
    assert_eq!(container.image.as_deref(), Some(image.name()));
    assert_eq!(container.runtime.as_deref(), Some("podman"));
    assert_eq!(container.id.len(), 64);

    let exec = one(recorded.process(Kind::Exec).filter(|row| row.exe.as_deref() == Some("/probe")).collect());
    assert_eq!(exec.common.container.as_ref(), Some(&container.id));
    let process = recorded.process_of(exec.common.exec_id);
    assert_eq!(process.ns_pid, Some(1), "pid 1 of its container");
    assert_ne!(process.pid, 1);
    let close = one(recorded.file(Kind::Close, "/tmp/wanted"));
    assert_eq!((close.bytes_written, &close.common.container), (Some(4), &Some(container.id.clone())));

    // Nothing of the other container, of the host, or of podman itself.
    assert!(recorded.file(Kind::Open, "/tmp/unwanted").is_empty());
    assert!(recorded.events.iter().all(|event| event.common().container.as_ref() == Some(&container.id)));
    assert!(recorded.processes.iter().all(|process| process.container.as_ref() == Some(&container.id)));
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn a_recorded_command_says_nothing_of_containers_that_it_has_nothing_to_do_with() {
    if !can_record("a_recorded_command_says_nothing_of_containers_that_it_has_nothing_to_do_with") {
        return;
    }
    // As a runtime names it; no runtime knows it, so its row would be an unresolved one.
    let of = |digit: char| format!("libpod-{}", String::from(digit).repeat(64));
    let hierarchy = Hierarchy::detect().unwrap();
    let [other, own] = ['e', 'f'].map(|digit| hierarchy.dir(&of(digit)));
    for dir in [&other, &own] {
        fs::create_dir(dir).unwrap();
    }
    let enter = format!("echo $$ > {}/cgroup.procs && exec /bin/true", own.display());
    let recorded = record(&["sh", "-c", &enter]);
    for dir in [&other, &own] {
        fs::remove_dir(dir).unwrap();
    }
    let recording = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap();
    let container = one(recording.containers().unwrap());
    assert_eq!(*container.id, "f".repeat(64), "the one that the command went into");
}
