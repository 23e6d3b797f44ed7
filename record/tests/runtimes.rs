//! Docker, containerd and runc, for real: who their containers are, from the first exec on.

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::podman::{Image, finish, podman, start};
use common::runtimes::{Containerd, Docker, bundle, has, program, ran, root_with};
use common::{Recorded, one};
use datasets::{Container, Recording};
use record_bpf::Kind;

/// Opens a file named by its first argument, and ends after as many seconds as the second says.
const PROBE: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
	int fd = open(argv[1], O_CREAT | O_WRONLY, 0600);
	if (argc > 2)
		sleep(atoi(argv[2]));
	return write(fd, "seen", 4) == 4 && close(fd) == 0 ? 0 : 1;
}
"#;

fn containers(recorded: &Recorded) -> Vec<Container> {
    Recording::open(recorded.dir.path().join("recording")).unwrap().containers().unwrap()
}

/// The only container, which ran /probe with this file, recorded from its first exec on; and nothing else was recorded.
fn only(recorded: &Recorded, file: &str) -> Container {
    let container = one(containers(recorded));
    let exec = one(recorded.process(Kind::Exec).filter(|row| row.exe.as_deref() == Some("/probe")).collect());
    assert_eq!(exec.common.container.as_ref(), Some(&container.id));
    assert_eq!(recorded.process_of(exec.common.exec_id).ns_pid, Some(1), "pid 1 of its container");
    assert_eq!(one(recorded.file(Kind::Close, file)).common.container.as_ref(), Some(&container.id));
    assert!(recorded.events.iter().all(|event| event.common().container.as_ref() == Some(&container.id)));
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
    container
}

#[test]
fn dockers_containers_are_named_from_their_first_exec() {
    if !has("dockers_containers_are_named_from_their_first_exec", &["dockerd", "docker", "cc"]) {
        return;
    }
    let docker = Docker::start();
    let root = root_with(PROBE);
    let tar = ran(Command::new("tar").arg("-C").arg(root.path()).args(["-c", "."]));
    let mut import = docker.command();
    let mut import = import
        .args(["import", "-", "retroscope-test-ident:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
    assert!(import.wait().unwrap().success());
    let run = |name: &str, image: &str, options: &[&str], file: &str| {
        let mut command = docker.command();
        ran(command
            .args(["run", "--rm", "--network=none", "--name", name])
            .args(options)
            .args([image, "/probe", file]));
    };
    ran(docker.command().args(["tag", "retroscope-test-ident:1", "retroscope-test-ident-other:1"]));

    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--image", "retroscope-test-ident:1", "--label", "app=shop"]);
    run("retroscope-test-ident-out", "retroscope-test-ident-other:1", &["--label", "app=shop"], "/tmp/unwanted");
    run("retroscope-test-ident-out", "retroscope-test-ident:1", &["--label", "app=other"], "/tmp/unwanted");
    run("retroscope-test-ident-in", "retroscope-test-ident:1", &["--label", "app=shop"], "/tmp/wanted");
    let recorded = finish(child, dir);

    let container = only(&recorded, "/tmp/wanted");
    let id = ran(docker.command().args(["image", "inspect", "--format", "{{.Id}}", "retroscope-test-ident:1"]));
    let id = String::from_utf8(id.stdout).unwrap().trim().trim_start_matches("sha256:").to_owned();
    let Container { runtime, name, image, image_id, image_digest, labels, identity, cgroup, .. } = container.clone();
    assert_eq!(runtime.as_deref(), Some("docker"));
    assert_eq!(name.as_deref(), Some("retroscope-test-ident-in"));
    assert_eq!((image.as_deref(), image_id), (Some("retroscope-test-ident:1"), Some(id)));
    assert_eq!(image_digest, None, "made here, in no registry");
    assert_eq!(labels.as_deref(), Some(r#"{"app":"shop"}"#));
    assert_eq!(identity.as_deref(), Some("docker config"));
    assert!(cgroup.ends_with(&*container.id), "{cgroup}");
}

#[test]
fn containerds_containers_are_named_from_their_first_exec() {
    const TEST: &str = "containerds_containers_are_named_from_their_first_exec";
    if !has(TEST, &["containerd", "ctr", "cc"]) {
        return;
    }
    let Some(podman) = podman(TEST) else { return };
    // containerd builds no images.
    let built = Image::build(podman.clone(), "retroscope-test-ident-ctr", PROBE);
    let image = built.name().to_owned();
    let containerd = Containerd::start();
    let archive = containerd.dir.path().join("image.tar");
    ran(podman.command().args(["save", "-q", "--format", "oci-archive", "-o"]).arg(&archive).arg(&image));
    ran(containerd.command().args(["images", "import"]).arg(&archive));
    let name = "retroscope-test-ident-ctr-1";
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", "retroscope-test-ident-ctr-*"]);
    let run = |name: &str, options: &[&str], file: &str| {
        let mut command = containerd.command();
        let in_dir = |option: &str, name: &str| format!("{option}={}", containerd.dir.path().join(name).display());
        command.args(["run", "--rm", &in_dir("--runc-root", "runc"), &in_dir("--fifo-dir", "fifo")]);
        ran(command.args(options).args([&*image, name, "/probe", file]));
    };
    run("elsewhere", &[], "/tmp/unwanted");
    run(name, &["--label", "app=shop"], "/tmp/wanted");
    let recorded = finish(child, dir);

    let listed = String::from_utf8(ran(containerd.command().args(["images", "list"])).stdout).unwrap();
    let Container { id, runtime, name: named, image: from, image_id, image_digest, labels, identity, .. } =
        only(&recorded, "/tmp/wanted");
    assert_eq!((&*id, named.as_deref()), (name, Some(name)));
    assert_eq!((runtime.as_deref(), from.as_deref()), (Some("containerd"), Some(&*image)));
    let digest = image_digest.unwrap();
    assert!(digest.starts_with("sha256:") && listed.contains(&digest), "{digest} in {listed}");
    let config = ran(podman.command().args(["image", "inspect", "--format", "{{.Id}}", &image]));
    assert_eq!(image_id.as_deref(), Some(String::from_utf8(config.stdout).unwrap().trim()));
    let labels: BTreeMap<String, String> = serde_json::from_str(&labels.unwrap()).unwrap();
    assert_eq!(labels.get("app").map(String::as_str), Some("shop"));
    assert_eq!(identity.as_deref(), Some("containerd bundle"));
}

/// Containers in a row, each over in a moment: their processes are gone before any question could be asked.
const SHORT: usize = 100;
/// What a container may live, from exec to exit.
const MOMENT_NS: i64 = 50_000_000;
/// Of that many one must name them all.
const ROUNDS: usize = 3;

/// A container of runc's that runs before the recording begins, its state where runc keeps it by default.
struct Before<'a>(&'a str);

impl Before<'_> {
    fn start<'a>(name: &'a str, bundle: &Path) -> Before<'a> {
        let before = Before(name);
        before.remove();
        let mut runc = program("runc");
        // Detached, it would keep pipes open.
        let runc = runc.args(["run", "--detach", "--bundle"]).arg(bundle).arg(name).stdin(Stdio::null());
        assert!(runc.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        before
    }

    fn remove(&self) {
        let _ = program("runc").args(["delete", "--force", self.0]).output();
    }
}

impl Drop for Before<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn a_hundred_containers_in_a_row_of_a_moment_each_are_all_named() {
    if !has("a_hundred_containers_in_a_row_of_a_moment_each_are_all_named", &["runc", "cc"]) {
        return;
    }
    let root = root_with(PROBE);
    let short = bundle(root.path(), &serde_json::json!({ "app": "shop" }), &["/tmp/wanted"]);
    let long = bundle(root.path(), &serde_json::json!({ "app": "old" }), &["/tmp/before", "300"]);
    let state = tempfile::tempdir().unwrap();
    let name = |n: usize| format!("retroscope-test-ident-runc-{n}");
    let before = Before::start("retroscope-test-ident-runc-before", long.path());
    let record = || {
        let dir = tempfile::tempdir().unwrap();
        let child = start(dir.path(), &["--container", "retroscope-test-ident-runc-*"]);
        for n in 0..SHORT {
            let mut runc = program("runc");
            ran(runc.arg("--root").arg(state.path()).arg("run").arg("--bundle").arg(short.path()).arg(name(n)));
        }
        finish(child, dir)
    };
    // Who a container of runc's is must be read while runc is there, some 80 ms: a recorder that waits for a core as long misses it.
    let mut rounds = (1..=ROUNDS).map(|round| (round, record()));
    let whole = |(round, recorded): &(usize, Recorded)| {
        let named = containers(recorded).len() - 1;
        if named < SHORT {
            eprintln!("round {round}: {named} of {SHORT} named, so the machine was busy; {ROUNDS} rounds at most");
        }
        named == SHORT || *round == ROUNDS
    };
    let (_, recorded) = rounds.find(whole).unwrap();

    let mut containers: BTreeMap<Arc<str>, Container> =
        containers(&recorded).into_iter().map(|container| (container.id.clone(), container)).collect();
    let old = containers.remove(before.0).unwrap();
    assert_eq!((old.runtime.as_deref(), old.identity.as_deref()), (Some("runc"), Some("oci state")));
    assert_eq!(old.labels.as_deref(), Some(r#"{"app":"old"}"#));
    assert_eq!(containers.len(), SHORT);
    let mut execs: BTreeMap<Arc<str>, Vec<i64>> = BTreeMap::new();
    for row in recorded.process(Kind::Exec).filter(|row| row.exe.as_deref() == Some("/probe")) {
        execs.entry(row.common.container.clone().unwrap()).or_default().push(row.common.ts);
    }
    for n in 0..SHORT {
        let container = &containers[&*name(n)];
        assert_eq!(container.name.as_deref(), Some(&*name(n)));
        assert_eq!(container.runtime.as_deref(), Some("runc"));
        assert_eq!(container.labels.as_deref(), Some(r#"{"app":"shop"}"#));
        assert_ne!(container.identity.as_deref(), Some("unresolved"));
        let exec = one(execs.remove(&container.id).unwrap());
        let of_it = |row: &&datasets::ProcessEvent| row.common.container.as_ref() == Some(&container.id);
        let exit = recorded.process(Kind::Exit).filter(of_it).map(|row| row.common.ts).max().unwrap();
        assert!(exit - exec < MOMENT_NS, "{} lived {} ms", name(n), (exit - exec) / 1_000_000);
    }
    assert!(execs.is_empty());
    let report = datasets::verify(&recorded.dir.path().join("recording"), |_| {}).unwrap();
    assert_eq!(report.verdict, datasets::Verdict::Intact, "{:?}", report.findings);
}

#[test]
fn podmans_containers_have_their_digest_labels_and_pod() {
    const TEST: &str = "podmans_containers_have_their_digest_labels_and_pod";
    let Some(podman) = podman(TEST) else { return };
    let image = Image::build(podman.clone(), "retroscope-test-ident-podman", PROBE);
    const ROUNDS: usize = 5;
    let dir = tempfile::tempdir().unwrap();
    let child = start(dir.path(), &["--container", "retroscope-test-ident-podman-*"]);
    for n in 0..ROUNDS {
        image.run(&format!("retroscope-test-ident-podman-{n}"), &["--label", "app=shop"], &["/tmp/wanted"]);
    }
    let recorded = finish(child, dir);
    let digest = ran(podman.command().args(["image", "inspect", "--format", "{{.Digest}}", image.name()]));
    let digest = String::from_utf8(digest.stdout).unwrap().trim().to_owned();
    let mut found = containers(&recorded);
    found.sort_by_key(|container| container.first_seen);
    assert_eq!(found.len(), ROUNDS);
    for (n, container) in found.iter().enumerate() {
        assert_eq!(container.name, Some(format!("retroscope-test-ident-podman-{n}")));
        assert_eq!(container.image.as_deref(), Some(image.name()));
        assert_eq!(container.image_digest.as_deref(), Some(&*digest));
        assert_eq!(container.identity.as_deref(), Some("podman storage"));
        // podman 5 keeps labels in SQLite, and a container of a moment is gone before it could be asked.
        if let Some(labels) = &container.labels {
            assert_eq!(labels, r#"{"app":"shop"}"#);
        }
        let of_it = |row: &&datasets::ProcessEvent| {
            row.exe.as_deref() == Some("/probe") && row.common.container.as_ref() == Some(&container.id)
        };
        one(recorded.process(Kind::Exec).filter(of_it).collect());
    }
}
