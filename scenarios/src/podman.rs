//! How podman is called: one configuration file of our own, so that nothing of the host's is changed.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Where the runner keeps its configuration and locks; gone after a reboot.
pub(crate) const STATE: &str = "/run/retroscope";

/// Limits given to every container. podman's default is 1,048,576, which fails without CAP_SYS_RESOURCE where the host's
/// hard limit is lower; no scenario comes near these.
const MAX_FILES: u64 = 10_000;
const MAX_PROCESSES: u64 = 10_000;

/// How to call podman so that it sees this run's containers: program, then `args`, with `vars` in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodmanEnv {
    pub program: PathBuf,
    pub vars: Vec<(String, String)>,
    pub args: Vec<String>,
}

impl PodmanEnv {
    /// A command to which the caller adds podman's sub-command.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.vars.iter().map(|(name, value)| (name, value))).args(&self.args);
        command
    }
}

/// How to call podman so that containers run on this host: probes it and writes a configuration of our own.
///
/// # Errors
/// [`Error::Write`] when the configuration cannot be written under `/run`.
pub fn podman_env() -> Result<PodmanEnv, Error> {
    let state = Path::new(STATE);
    std::fs::create_dir_all(state).map_err(Error::write(state))?;
    let path = state.join("containers.conf");
    // Renamed into place: another run may be reading it.
    let mut file = tempfile::NamedTempFile::new_in(state).map_err(Error::write(state))?;
    file.write_all(containers_conf(&Host::probe()).as_bytes()).map_err(Error::write(&path))?;
    file.persist(&path).map_err(|error| Error::Write { path: path.clone(), source: error.error })?;
    let vars = vec![("CONTAINERS_CONF".to_owned(), path.display().to_string())];
    Ok(PodmanEnv { program: "podman".into(), vars, args: Vec::new() })
}

/// The facts that decide the configuration.
struct Host {
    systemd: bool,
    runc: bool,
    /// Hard limits of this process, which containers cannot exceed without CAP_SYS_RESOURCE.
    max_files: u64,
    max_processes: u64,
}

impl Host {
    fn probe() -> Host {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Host {
            // As sd_booted(3).
            systemd: Path::new("/run/systemd/system").is_dir(),
            runc: find_program("runc").is_some(),
            max_files: hard_limit(&limits, "Max open files").min(MAX_FILES),
            max_processes: hard_limit(&limits, "Max processes").min(MAX_PROCESSES),
        }
    }
}

fn containers_conf(host: &Host) -> String {
    let Host { systemd, runc, max_files, max_processes } = *host;
    let manager = if systemd { "systemd" } else { "cgroupfs" };
    // crun refuses cgroup v1 and v2 mounted side by side ("hybrid"); runc takes all three layouts.
    let runtime = if runc { "runc" } else { "crun" };
    format!(
        "# Written by retroscope from what it found on this host.\n\
         [containers]\n\
         default_ulimits = [\"nofile={max_files}:{max_files}\", \"nproc={max_processes}:{max_processes}\"]\n\
         log_driver = \"k8s-file\"\n\
         base_hosts_file = \"none\"\n\
         host_containers_internal_ip = \"none\"\n\
         [engine]\n\
         cgroup_manager = \"{manager}\"\n\
         runtime = \"{runtime}\"\n\
         events_logger = \"none\"\n\
         [network]\n\
         network_backend = \"netavark\"\n"
    )
}

/// The hard limit in a line of `/proc/PID/limits`: `Max open files   1024   524288   files`.
fn hard_limit(limits: &str, name: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    match line.and_then(|rest| rest.split_whitespace().nth(1)) {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().unwrap_or(1024),
        None => 1024,
    }
}

/// The first executable of that name in `PATH` and the system's own folders.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/podman", "/usr/libexec/podman"];
    std::env::split_paths(&path).chain(system.map(PathBuf::from)).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Runs a command to its end and returns its standard output. It gets its own process group, so that Ctrl-C reaches the
/// runner alone, which then ends things in order.
pub(crate) fn output(mut command: Command) -> Result<String, Error> {
    let name = describe(&command);
    let done = command
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .map_err(|source| Error::Podman { command: name.clone(), message: source.to_string() })?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned());
    }
    let errors = String::from_utf8_lossy(&done.stderr);
    let message = match last_line(&errors) {
        Some(line) => line.to_owned(),
        None => done.status.to_string(),
    };
    Err(Error::Podman { command: name, message })
}

/// The program with its sub-command, as a person would name it.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().map(|name| name.to_string_lossy().into_owned());
    let first = command.get_args().filter_map(OsStr::to_str).find(|arg| !arg.starts_with('-'));
    [program.as_deref(), first].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The line of an error output that says what went wrong: the last that is not empty.
pub(crate) fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_never_exceeded() {
        let limits = "Limit          Soft Limit  Hard Limit  Units\nMax processes  unlimited   unlimited   processes\n\
                      Max open files 1024        4096        files\n";
        assert_eq!(hard_limit(limits, "Max open files"), 4096);
        assert_eq!(hard_limit(limits, "Max processes"), u64::MAX);
        assert_eq!(hard_limit("", "Max processes"), 1024);
        let conf = containers_conf(&Host { systemd: false, runc: true, max_files: 4096, max_processes: MAX_PROCESSES });
        let parsed: toml::Table = conf.parse().unwrap();
        assert_eq!(parsed["containers"]["default_ulimits"][0].as_str(), Some("nofile=4096:4096"));
        assert_eq!(parsed["engine"]["cgroup_manager"].as_str(), Some("cgroupfs"));
    }
}
