//! Container runtimes other than podman, each a daemon of the test's own with everything it keeps in one temporary directory.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::can_record;

/// `PATH`, with what `./dev setup` unpacked.
fn path() -> OsString {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/unpacked/usr");
    let more = [unpacked.join("bin"), unpacked.join("sbin"), "/usr/sbin".into()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::env::split_paths(&path).chain(more)).unwrap()
}

/// A program on that path, which is its own `PATH` too.
pub fn program(name: &str) -> Command {
    let found = std::env::split_paths(&path()).map(|dir| dir.join(name)).find(|file| file.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| name.into()));
    command.env("PATH", path());
    command
}

/// Whether the machine has what a test needs. One that cannot run says so, loudly.
pub fn has(test: &str, programs: &[&str]) -> bool {
    let runs = |name: &&&str| program(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let missing = programs.iter().find(|name| !runs(name));
    if let Some(missing) = missing {
        eprintln!("\n*** SKIPPED {test}: {missing} does not run here: run ./dev setup ***\n");
    }
    missing.is_none() && can_record(test)
}

/// A daemon; dropping it ends it.
struct Daemon(Child);

impl Daemon {
    fn start(command: &mut Command, log: &Path) -> Daemon {
        let log = File::create(log).unwrap();
        let command = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // A Ctrl-C at the tests must not reach it before them.
        Daemon(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: kill has no preconditions; the child has not been waited for, so the pid is its own.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGTERM) };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a client until it succeeds, while its daemon starts.
fn ready(client: impl Fn() -> Command, log: &Path) {
    let begun = Instant::now();
    loop {
        let answered = client().stdout(Stdio::null()).stderr(Stdio::null()).status();
        if answered.is_ok_and(|status| status.success()) {
            return;
        }
        let text = || fs::read_to_string(log).unwrap_or_default();
        assert!(begun.elapsed() < Duration::from_secs(60), "the daemon does not answer: {}", text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn ran(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// dockerd, without networks.
pub struct Docker {
    socket: String,
    _daemon: Daemon,
    pub dir: tempfile::TempDir,
}

impl Docker {
    pub fn start() -> Docker {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let socket = format!("unix://{}", at("docker.sock").display());
        let mut command = program("dockerd");
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--host", &socket]);
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("--pidfile").arg(at("pid"));
        let daemon = Daemon::start(&mut command, &at("log"));
        let log = at("log");
        let docker = Docker { socket, _daemon: daemon, dir };
        ready(
            || {
                let mut command = docker.command();
                command.arg("info");
                command
            },
            &log,
        );
        docker
    }

    pub fn command(&self) -> Command {
        let mut command = program("docker");
        command.args(["--host", &self.socket]);
        command
    }
}

/// containerd, without CRI.
pub struct Containerd {
    socket: PathBuf,
    _daemon: Daemon,
    pub dir: tempfile::TempDir,
}

impl Containerd {
    pub fn start() -> Containerd {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let socket = at("containerd.sock");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {socket:?}\n",
            at("root"),
            at("state"),
        );
        fs::write(at("config.toml"), config).unwrap();
        let mut command = program("containerd");
        let daemon = Daemon::start(command.arg("--config").arg(at("config.toml")), &at("log"));
        let log = at("log");
        let containerd = Containerd { socket, _daemon: daemon, dir };
        ready(
            || {
                let mut command = containerd.command();
                command.arg("version");
                command
            },
            &log,
        );
        containerd
    }

    pub fn command(&self) -> Command {
        let mut command = program("ctr");
        command.arg("--address").arg(&self.socket);
        command
    }
}

/// A directory with one static C program as `/probe`, and an empty `/tmp`.
pub fn root_with(probe: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("probe.c");
    fs::write(&source, probe).unwrap();
    ran(Command::new("cc").args(["-static", "-O1", "-o"]).arg(dir.path().join("probe")).arg(&source));
    fs::remove_file(source).unwrap();
    fs::create_dir(dir.path().join("tmp")).unwrap();
    dir
}

/// An OCI bundle that runs `/probe` of `root`, made by `runc spec`.
pub fn bundle(root: &Path, annotations: &serde_json::Value, args: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    ran(program("runc").arg("spec").current_dir(dir.path()));
    let file = dir.path().join("config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!([&["/probe"], args].concat());
    spec["root"] = serde_json::json!({ "path": root, "readonly": false });
    spec["annotations"] = annotations.clone();
    fs::write(&file, spec.to_string()).unwrap();
    dir
}
