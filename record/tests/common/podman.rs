//! Real containers of one static program, and a recorder beside them.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use scenarios::PodmanEnv;

use super::{Recorded, can_record, read, recorder};

/// podman as it works here, or None, said loudly.
pub fn podman(test: &str) -> Option<PodmanEnv> {
    if !can_record(test) {
        return None;
    }
    let ready = scenarios::preflight().and_then(|()| scenarios::podman_env());
    if let Err(error) = &ready {
        eprintln!("\n*** SKIPPED {test}: {error} ***\n");
    }
    ready.ok()
}

/// An image of a test's own. Dropping it removes it.
pub struct Image {
    podman: PodmanEnv,
    name: String,
}

impl Image {
    /// One static C program as `/probe`, and an empty `/tmp`. `name`: of the image, without registry and tag; each test has its own.
    pub fn build(podman: PodmanEnv, name: &str, source: &str) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("probe.c");
        std::fs::write(&file, source).unwrap();
        let mut cc = Command::new("cc");
        assert!(cc.args(["-static", "-O1", "-o"]).arg(dir.path().join("probe")).arg(&file).status().unwrap().success());
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Image::import(podman, name, dir.path())
    }

    /// Of everything in `root`.
    pub fn import(podman: PodmanEnv, name: &str, root: &Path) -> Image {
        let tar = Command::new("tar").arg("-C").arg(root).args(["-c", "."]).output().unwrap();
        assert!(tar.status.success(), "tar: {}", String::from_utf8_lossy(&tar.stderr));
        let image = Image { podman, name: format!("localhost/{name}:probe") };
        let mut import = image.podman.command();
        let import = import.args(["import", "-q", "-", &image.name]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut import = import.spawn().unwrap();
        import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
        assert!(import.wait().unwrap().success());
        image
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `podman run` to the end of the program.
    pub fn run(&self, container: &str, options: &[&str], args: &[&str]) -> Output {
        let mut command = self.podman.command();
        command.args(["run", "--rm", "--network=none", "--name", container]).args(options);
        let output = command.args([&*self.name, "/probe"]).args(args).output().unwrap();
        assert!(output.status.success(), "podman run: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.podman.command().args(["image", "rm", "-f", &self.name]).output();
    }
}

/// Starts the recorder and waits until it records.
pub fn start(dir: &Path, args: &[&str]) -> Child {
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
pub fn finish(child: Child, dir: tempfile::TempDir) -> Recorded {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "record failed: {}", String::from_utf8_lossy(&output.stderr));
    read(dir, output)
}

/// The root of an image that holds the recorder's binary and its shared libraries: all that the triggers need.
pub fn recorder_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let binary = env!("CARGO_BIN_EXE_record");
    let ldd = Command::new("ldd").arg(binary).output().unwrap();
    let text = String::from_utf8(ldd.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    for (from, to) in libraries.map(|path| (path, &path[1..])).chain([(binary, "record")]) {
        let to = root.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    for dir in ["triggers", "tmp"] {
        std::fs::create_dir(root.path().join(dir)).unwrap();
    }
    root
}
