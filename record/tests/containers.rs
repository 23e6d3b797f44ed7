//! Real containers: identity, the filter in the kernel, and the first exec of a container that starts during the recording.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Recorded, can_record, one, read, recorder};
use record_bpf::Kind;
use scenarios::PodmanEnv;

const IMAGE: &str = "localhost/retroscope-test:probe";

/// Opens a file named by its first argument, then ends.
const PROBE: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv) {
	int fd = open(argv[1], O_CREAT | O_WRONLY, 0600);
	return write(fd, "seen", 4) == 4 && close(fd) == 0 ? 0 : 1;
}
"#;

/// podman as it works here, or None, said loudly.
fn podman(test: &str) -> Option<PodmanEnv> {
    if !can_record(test) {
        return None;
    }
    let ready = scenarios::preflight().and_then(|()| scenarios::podman_env());
    if let Err(error) = &ready {
        eprintln!("\n*** SKIPPED {test}: {error} ***\n");
    }
    ready.ok()
}

/// An image of one static program.
fn import_probe(podman: &PodmanEnv, dir: &Path) {
    let source = dir.join("probe.c");
    std::fs::write(&source, PROBE).unwrap();
    let status =
        Command::new("cc").args(["-static", "-O1", "-o"]).arg(dir.join("probe")).arg(&source).status().unwrap();
    assert!(status.success(), "cc -static");
    std::fs::create_dir(dir.join("tmp")).unwrap();
    let tar = Command::new("tar").arg("-C").arg(dir).args(["-c", "probe", "tmp"]).output().unwrap();
    assert!(tar.status.success());
    let mut import = podman.command();
    let mut import =
        import.args(["import", "-q", "-", IMAGE]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
    assert!(import.wait().unwrap().success());
}

fn run(podman: &PodmanEnv, name: &str, file: &str) {
    let output = podman
        .command()
        .args(["run", "--rm", "--network=none", "--name", name, IMAGE, "/probe", file])
        .output()
        .unwrap();
    assert!(output.status.success(), "podman run: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the recorder and waits until it records.
fn start(dir: &Path, args: &[&str]) -> Child {
    let child = recorder(dir, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let manifest = dir.join("recording/manifest.json");
    let begun = Instant::now();
    while !manifest.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the recorder did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The manifest comes before the programs are attached.
    std::thread::sleep(Duration::from_secs(3));
    child
}

/// Ends it as Ctrl-C does.
fn finish(child: Child, dir: tempfile::TempDir) -> Recorded {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "record failed: {}", String::from_utf8_lossy(&output.stderr));
    read(dir, output)
}

#[test]
fn containers_are_named_filtered_in_the_kernel_and_followed_from_their_first_exec() {
    let Some(podman) = podman("containers_are_named_filtered_in_the_kernel_and_followed_from_their_first_exec") else {
        return;
    };
    let image = tempfile::tempdir().unwrap();
    import_probe(&podman, image.path());
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", "retroscope-test-in-*"]);
    run(&podman, "retroscope-test-out", "/tmp/unwanted");
    run(&podman, "retroscope-test-in-1", "/tmp/wanted");
    let recorded = finish(child, dir);
    podman.command().args(["image", "rm", "-f", IMAGE]).output().unwrap();

    let recording = datasets::Recording::open(recorded.dir.path().join("recording")).unwrap();
    let container = one(recording.containers().unwrap());
    assert_eq!(container.name.as_deref(), Some("retroscope-test-in-1"));
    assert_eq!(container.image.as_deref(), Some(IMAGE));
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
