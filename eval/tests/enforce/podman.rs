//! Containers, recordings and replays of these tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use scenarios::PodmanEnv;

pub fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_eval")).with_file_name(name)
}

/// podman as it works here, or None, said loudly.
pub fn podman(test: &str) -> Option<PodmanEnv> {
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
pub struct Image {
    pub podman: PodmanEnv,
    name: &'static str,
}

impl Image {
    /// Of one static program, `/probe`.
    pub fn build(podman: PodmanEnv, dir: &Path, name: &'static str, source: &str) -> Image {
        let root = dir.join("root");
        std::fs::create_dir_all(root.join("tmp")).unwrap();
        std::fs::write(dir.join("probe.c"), source).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-static", "-O1", "-o"]).arg(root.join("probe")).arg(dir.join("probe.c"));
        assert!(cc.status().unwrap().success());
        let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output().unwrap();
        assert!(tar.status.success());
        let mut import = podman.command();
        let mut import =
            import.args(["import", "-q", "-", name]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
        assert!(import.wait().unwrap().success());
        Image { podman, name }
    }

    pub fn run(&self, name: &str, options: &[&str], args: &[&str]) -> String {
        let mut command = self.podman.command();
        command.args(["run", "--rm", "--network=none", "--name", name]).args(options);
        let output = command.args([self.name, "/probe"]).args(args).output().unwrap();
        said(&output, "podman run");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.podman.command().args(["image", "rm", "-f", self.name]).output();
    }
}

pub fn said(output: &Output, what: &str) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the recorder and waits until it records.
pub fn start(recording: &Path, containers: &str, options: &[&str]) -> Child {
    let mut command = Command::new(beside("record"));
    command
        .args(["-q", "--container", containers])
        .args(options)
        .arg("-o")
        .arg(recording)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
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

pub fn finish(child: Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    said(&child.wait_with_output().unwrap(), "record");
}

pub fn replay(args: &[&str]) -> String {
    let output = Command::new(beside("replay")).args(args).env("NO_COLOR", "1").output().unwrap();
    said(&output, "replay");
    String::from_utf8(output.stdout).unwrap()
}
