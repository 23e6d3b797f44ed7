//! A seccomp policy in use: the system calls of a real container are recorded and learned, the exported profile is given to podman, and
//! the container still does what it did, and no more.

use crate::podman::{Image, finish, podman, replay, start};

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
const CONTAINERS: &str = "retroscope-test-policy-*";
const CLASSES: &[&str] = &["--events", "process,security,file,syscall", "--syscalls", "bitmap"];

#[test]
fn a_container_works_under_its_learned_seccomp_profile_and_what_it_never_did_is_refused() {
    let test = "a_container_works_under_its_learned_seccomp_profile_and_what_it_never_did_is_refused";
    let Some(podman) = podman(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let image = Image::build(podman, dir.path(), IMAGE, PROBE);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    let recorder = start(&dir.path().join("life"), CONTAINERS, CLASSES);
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
    let recorder = start(&dir.path().join("more"), CONTAINERS, CLASSES);
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
