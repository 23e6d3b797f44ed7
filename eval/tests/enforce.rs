//! A policy in use: the system calls of a real container are recorded and learned, the exported seccomp profile is given to podman, and
//! the container still does what it did, and no more.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use scenarios::PodmanEnv;

/// Does some work; with an argument also what podman's own policy allows and the learned one does not know.
const PROBE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
	struct utsname name;
	int fd = open("/tmp/data", O_CREAT | O_RDWR, 0600);
	pid_t child = fork();
	if (child == 0) _exit(uname(&name) || getppid() <= 0);
	int status;
	if (waitpid(child, &status, 0) != child || status) return 1;
	if (write(fd, "work", 4) != 4 || fsync(fd) || close(fd)) return 2;
	printf("work done\n");
	if (argc > 1) {
		int memory = memfd_create("x", 0);
		printf("memfd_create: %s\n", memory < 0 ? strerror(errno) : "made");
		printf("symlink: %s\n", symlink("/etc/passwd", "/tmp/link") ? strerror(errno) : "made");
		void *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		printf("writable code: %s\n", code == MAP_FAILED ? strerror(errno) : "made");
	}
	return 0;
}
"#;

const IMAGE: &str = "localhost/retroscope-test-policy:probe";

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_eval")).with_file_name(name)
}

/// podman as it works here, or None, said loudly.
fn podman(test: &str) -> Option<PodmanEnv> {
    let skip = |why: &str| eprintln!("\n*** SKIPPED {test}: {why} ***\n");
    // SAFETY: geteuid() has no preconditions.
    if unsafe { libc::geteuid() } != 0 || !beside("record").is_file() || !beside("replay").is_file() {
        skip("needs root, and the programs record and replay built");
        return None;
    }
    if Command::new(beside("record")).arg("check").output().unwrap().status.code() == Some(3) {
        skip("this kernel cannot record");
        return None;
    }
    scenarios::preflight().and_then(|()| scenarios::podman_env()).map_err(|error| skip(&error.to_string())).ok()
}

/// The image, removed when dropped.
struct Image(PodmanEnv);

impl Image {
    fn build(podman: PodmanEnv, dir: &Path) -> Image {
        let root = dir.join("root");
        std::fs::create_dir_all(root.join("tmp")).unwrap();
        std::fs::write(dir.join("probe.c"), PROBE).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-static", "-O1", "-o"]).arg(root.join("probe")).arg(dir.join("probe.c"));
        assert!(cc.status().unwrap().success());
        let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output().unwrap();
        assert!(tar.status.success());
        let mut import = podman.command();
        let mut import =
            import.args(["import", "-q", "-", IMAGE]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
        assert!(import.wait().unwrap().success());
        Image(podman)
    }

    fn run(&self, name: &str, options: &[&str], args: &[&str]) -> String {
        let mut command = self.0.command();
        command.args(["run", "--rm", "--network=none", "--name", name]).args(options);
        let output = command.args([IMAGE, "/probe"]).args(args).output().unwrap();
        said(&output, "podman run");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.0.command().args(["image", "rm", "-f", IMAGE]).output();
    }
}

fn said(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the recorder and waits until it records.
fn start(recording: &Path) -> Child {
    let mut command = Command::new(beside("record"));
    command.args(["-q", "--container", "retroscope-test-policy-*", "--events", "process,security,file,syscall"]);
    command.args(["--syscalls", "bitmap", "-o"]).arg(recording).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let begun = Instant::now();
    while !recording.join("manifest.json").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the recorder did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The manifest comes before the programs are attached.
    std::thread::sleep(Duration::from_secs(3));
    child
}

fn finish(child: Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    said(&child.wait_with_output().unwrap(), "record");
}

fn replay(args: &[&str]) -> String {
    let output = Command::new(beside("replay")).args(args).env("NO_COLOR", "1").output().unwrap();
    said(&output, "replay");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_container_works_under_its_learned_seccomp_profile_and_what_it_never_did_is_refused() {
    let test = "a_container_works_under_its_learned_seccomp_profile_and_what_it_never_did_is_refused";
    let Some(podman) = podman(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let image = Image::build(podman, dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    let recorder = start(&dir.path().join("life"));
    assert_eq!(image.run("retroscope-test-policy-1", &[], &[]), "work done\n");
    finish(recorder);
    replay(&["learn", &path("life"), "-o", &path("life.json")]);
    let export = ["policy", "export", &path("life.json"), "--format", "seccomp", "-o", &path("life.seccomp.json")];
    replay(&export);

    // Without the policy all of it is done.
    let free = image.run("retroscope-test-policy-2", &[], &["more"]);
    assert_eq!(free, "work done\nmemfd_create: made\nsymlink: made\nwritable code: made\n");
    let policy = format!("--security-opt=seccomp={}", path("life.seccomp.json"));
    let held = image.run("retroscope-test-policy-3", &[&policy], &["more"]);
    let refused = "Operation not permitted";
    assert_eq!(held, format!("work done\nmemfd_create: {refused}\nsymlink: {refused}\nwritable code: {refused}\n"));

    // The same, told from a recording alone: of ordinary life nothing, of the rest just that.
    let recorder = start(&dir.path().join("more"));
    image.run("retroscope-test-policy-4", &[], &["more"]);
    finish(recorder);
    let simulate = |recording: &str| -> serde_json::Value {
        serde_json::from_str(&replay(&["policy", "simulate", &path("life.json"), &path(recording), "--format", "json"]))
            .unwrap()
    };
    let seccomp = simulate("life")[0]["benign"]["seccomp"].clone();
    assert_eq!(seccomp["refused"], 0, "{seccomp}");
    assert!(seccomp["decided"].as_u64().unwrap() > 0);
    let broken = simulate("more")[0]["benign"]["seccomp"]["broken"].clone();
    let what: Vec<&str> = broken.as_array().unwrap().iter().filter_map(|group| group["what"].as_str()).collect();
    for call in ["memfd_create", "symlink", "mmap"] {
        assert!(what.iter().any(|what| what.contains(call)), "{call}: {what:?}");
    }
}
