//! Paths as the kernel has them, in both views: chroots, mounts of a process' own, containers; long, deleted, strange names.

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::podman::{Image, finish, podman, start};
use common::{Recorded, can_record, one, record, record_python};
use record_bpf::Kind;

fn in_dir(program: &str) -> (Recorded, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (record_python(&format!("import os, sys\nd = sys.argv[1]\n{program}"), &[&path]), path)
}

#[test]
fn a_chroot_has_both_views() {
    if !can_record("a_chroot_has_both_views") {
        return;
    }
    let (run, dir) = in_dir(
        "
os.makedirs(d + '/jail/sub')
before = os.open(d + '/jail/outer', os.O_WRONLY | os.O_CREAT)
os.chroot(d + '/jail'); os.chdir('/')
fd = os.open('/sub/inner', os.O_WRONLY | os.O_CREAT)
os.ftruncate(fd, 10)
os.close(fd)
os.listdir('/')
",
    );
    let open = one(run.file(Kind::Open, "/sub/inner"));
    let host = format!("{dir}/jail/sub/inner");
    assert_eq!((open.host_path.as_deref(), open.path_from_user), (Some(host.as_str()), false));
    assert_eq!(one(run.file(Kind::Truncate, "/sub/inner")).host_path.as_deref(), Some(host.as_str()));
    assert_eq!(one(run.file(Kind::Close, "/sub/inner")).host_path.as_deref(), Some(host.as_str()));
    let root = run.file(Kind::Open, "/");
    assert_eq!(one(root).host_path.as_deref(), Some(format!("{dir}/jail").as_str()));
    assert_eq!(one(run.file(Kind::Open, &format!("{dir}/jail/outer"))).host_path, None, "the same in both views");
}

#[test]
fn mounts_of_a_process_own_are_seen_through() {
    if !can_record("mounts_of_a_process_own_are_seen_through") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path().to_str().unwrap();
    let _alone = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let script = "cd $0 && mkdir real bound fresh && mount --bind real bound && mount -t tmpfs none fresh &&
        echo a > bound/a && echo b > fresh/b && echo c > c";
    let run = record(&["unshare", "--mount", "sh", "-c", script, d]);
    let written = |name: &str| {
        let path = format!("{d}/{name}");
        one(run.file(Kind::Open, &path)).host_path.as_deref().map(str::to_owned)
    };
    assert_eq!(written("bound/a"), Some(format!("{d}/real/a")));
    assert_eq!(written("fresh/b"), None, "the host has not mounted it");
    assert_eq!(written("c"), None, "the same in both views");
}

#[test]
fn long_paths_are_whole_up_to_the_limit_and_marked_beyond() {
    if !can_record("long_paths_are_whole_up_to_the_limit_and_marked_beyond") {
        return;
    }
    let (run, dir) = in_dir(
        "
def make(total, width):
    os.chdir(d)
    left = total - len(d)
    while left > width + 3:
        name = 'x' * width
        os.mkdir(name); os.chdir(name); left -= len(name) + 1
    os.close(os.open('y' * (left - 1), os.O_WRONLY | os.O_CREAT))
os.mkdir(d + '/a'); base = d
d = base + '/a'; make(4000, 200)
os.mkdir(base + '/b'); d = base + '/b'; make(4000, 1)
os.mkdir(base + '/c'); d = base + '/c'; make(6000, 200)
",
    );
    let all: Vec<_> = run
        .files(Kind::Open)
        .filter(|row| row.path.as_deref().is_some_and(|path| path.ends_with('y') && path.contains("/x")))
        .collect();
    let whole: Vec<_> = all.iter().filter(|row| !row.path_truncated).collect();
    assert_eq!(whole.len(), 2);
    for row in whole {
        let path = row.path.as_deref().unwrap();
        assert_eq!((path.len(), path.starts_with(&dir)), (4000, true));
    }
    let cut = one(all.into_iter().filter(|row| row.path_truncated).collect());
    let path = cut.path.as_deref().unwrap();
    assert!(path.len() >= 4096 && path.len() < 6000 && !path.starts_with(&dir), "{} bytes", path.len());
    assert!(
        run.manifest.accounting.as_ref().unwrap().failures["path_truncated"] >= 2,
        "the open and the close are counted"
    );
}

#[test]
fn deleted_files_and_strange_names_keep_their_paths() {
    if !can_record("deleted_files_and_strange_names_keep_their_paths") {
        return;
    }
    let (run, dir) = in_dir(
        r"
fd = os.open(d + '/gone', os.O_RDWR | os.O_CREAT)
os.write(fd, b'12345')
os.unlink(d + '/gone')
again = os.open(f'/proc/self/fd/{fd}', os.O_RDONLY)
os.ftruncate(fd, 3)
os.close(again); os.close(fd)
for name in (b'two\nlines', b'caf\xe9', b'tab\t \\', 'smörgås'.encode(), b' '):
    os.close(os.open(d.encode() + b'/' + name, os.O_WRONLY | os.O_CREAT))
",
    );
    let gone = format!("{dir}/gone");
    let opens: Vec<_> = run.file(Kind::Open, &gone).iter().map(|row| row.deleted).collect();
    assert_eq!(opens, [false, true], "the second one through /proc, after it was removed");
    assert!(one(run.file(Kind::Truncate, &gone)).deleted);
    assert_eq!(run.file(Kind::Close, &gone).iter().filter(|row| row.deleted).count(), 2);
    for name in ["two\nlines", "caf\\xe9", "tab\t \\", "smörgås", " "] {
        let path = format!("{dir}/{name}");
        assert!(!one(run.file(Kind::Open, &path)).path_truncated, "{name:?}");
        assert_eq!(run.file(Kind::Close, &path).len(), 1, "{name:?}");
    }
}

/// Creates what its arguments name, the last one in a chroot on the volume; then waits to be stopped.
const PROBE: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
static int touch(const char *path) {
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	return fd < 0 || close(fd);
}
int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++)
		if (touch(argv[i])) { perror(argv[i]); return 1; }
	if (open("/proc/self/status", O_RDONLY) < 0) return 2;
	int back = open("/", O_RDONLY);
	if (mkdir("/data/jail", 0700) || chroot("/data/jail") || touch("/jailed")) return 3;
	if (fchdir(back) || chroot(".") || touch("/data/ready")) return 4;
	while (access("/data/stop", F_OK)) usleep(20000);
	return 0;
}
"#;

const CONTAINER: &str = "retroscope-test-paths";

/// Who mounts a tmpfs of which the number matters: given back, it is the next one's, of another test too.
static NUMBERS: Mutex<()> = Mutex::new(());

#[test]
fn a_container_s_files_are_found_on_the_host() {
    let Some(podman) = podman("a_container_s_files_are_found_on_the_host") else { return };
    let _alone = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let image = Image::build(podman.clone(), CONTAINER, PROBE);
    let volume = tempfile::tempdir().unwrap();
    let v = volume.path().to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", CONTAINER]);
    let mut command = podman.command();
    command.args(["run", "--rm", "--network=none", "--name", CONTAINER, "-v", &format!("{v}:/data")]);
    command.args(["--tmpfs", "/scratch", image.name(), "/probe"]);
    command.args(["/data/on-volume", "/tmp/in-image", "/scratch/nowhere", "/dev/shm/shared"]);
    let mut running = command.stderr(Stdio::inherit()).spawn().unwrap();
    let begun = Instant::now();
    while !volume.path().join("ready").exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60) && running.try_wait().unwrap().is_none(),
            "the container runs"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // What the host sees while the container runs: an account of its own.
    let asked = podman.command().args(["inspect", CONTAINER, "--format", "{{.GraphDriver.Data.MergedDir}}"]).output();
    let merged = String::from_utf8(asked.unwrap().stdout).unwrap().trim().to_owned();
    let in_image = std::fs::metadata(Path::new(&merged).join("tmp/in-image")).map(|meta| meta.ino());
    let on_volume = std::fs::metadata(volume.path().join("on-volume")).unwrap().ino();
    std::fs::write(volume.path().join("stop"), "").unwrap();
    assert!(running.wait().unwrap().success());
    let recorded = finish(child, dir);

    let opened = |path: &str| {
        let row = one(recorded.file(Kind::Open, path));
        assert!(!row.path_from_user && !row.path_truncated, "{path}");
        (row.host_path.as_deref().map(str::to_owned), row.inode.unwrap())
    };
    assert_eq!(opened("/data/on-volume"), (Some(format!("{v}/on-volume")), on_volume));
    match in_image {
        Ok(inode) => assert_eq!(opened("/tmp/in-image"), (Some(format!("{merged}/tmp/in-image")), inode)),
        Err(error) => eprintln!("\n*** SKIPPED the image's own files: {merged} is not mounted here: {error} ***\n"),
    }
    assert_eq!(opened("/scratch/nowhere").0, None, "a tmpfs that the host has not mounted");
    assert_eq!(opened("/jailed").0, Some(format!("{v}/jail/jailed")), "a chroot on the volume");
    let shared = opened("/dev/shm/shared").0.expect("podman mounts it on the host");
    assert!(shared.ends_with("/userdata/shm/shared"), "{shared}");
    // pid 1 of its pid namespace, and runc before it; the host has mounted another procfs.
    let status = recorded.file(Kind::Open, "/proc/1/status");
    assert!(!status.is_empty() && status.iter().all(|row| row.host_path.is_none()));
    assert_eq!(one(recorded.file(Kind::Close, "/jailed")).host_path, Some(format!("{v}/jail/jailed").into()));
}
