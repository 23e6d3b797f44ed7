//! Where runtimes keep their files: their defaults, and what the daemons that run were told on their command lines. A daemon
//! inside a container (Docker in Docker, kind) is reached through its own root directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::containerd::Containerd;

/// Directories to look in. A place need not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Docker's data directories.
    pub docker: BTreeSet<PathBuf>,
    pub containerd: BTreeSet<Containerd>,
    /// Run roots of containers/storage as CRI-O uses it.
    pub crio: BTreeSet<PathBuf>,
    /// State directories of OCI runtimes: a directory per container.
    pub oci: BTreeSet<PathBuf>,
}

/// A daemon's command line and how its paths are seen from here.
struct Daemon {
    words: Vec<String>,
    /// Empty, or its root directory.
    root: PathBuf,
}

impl Places {
    /// Looks at every process there is.
    pub fn find() -> Places {
        let mut places = Places::default();
        places.add_defaults();
        let own = fs::read_link("/proc/self/ns/mnt").ok();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let process = entry.path();
            let Ok(comm) = fs::read_to_string(process.join("comm")) else { continue };
            let comm = comm.trim_end();
            if !["dockerd", "containerd", "crio"].contains(&comm) {
                continue;
            }
            let Ok(text) = fs::read_to_string(process.join("cmdline")) else { continue };
            let words: Vec<String> = text.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
            let elsewhere = fs::read_link(process.join("ns/mnt")).ok() != own;
            places.add(comm, &Daemon { words, root: if elsewhere { process.join("root") } else { PathBuf::new() } });
        }
        places
    }

    fn add_defaults(&mut self) {
        self.docker.insert("/var/lib/docker".into());
        let config = fs::read("/etc/docker/daemon.json").ok();
        self.docker.extend(config.and_then(|text| data_root(&text)));
        self.containerd.insert(containerd(None, None, fs::read_to_string(CONTAINERD_CONFIG).ok(), Path::new("")));
        self.crio.insert("/run/containers/storage".into());
        self.oci.extend(["/run/runc", "/run/crun", "/run/docker/runtime-runc/moby"].map(PathBuf::from));
        self.oci.extend(below("/run/containerd/runc"));
        for user in below("/run/user") {
            self.oci.extend(["runc", "crun"].map(|runtime| user.join(runtime)));
        }
    }

    fn add(&mut self, comm: &str, daemon: &Daemon) {
        match comm {
            "dockerd" => {
                let config = daemon.option(&["--config-file"]).unwrap_or_else(|| "/etc/docker/daemon.json".into());
                let config = fs::read(daemon.seen(&config)).ok().and_then(|text| data_root(&text));
                let data = daemon.option(&["--data-root", "--graph", "-g"]).or(config);
                self.docker.insert(daemon.seen(&data.unwrap_or_else(|| "/var/lib/docker".into())));
            }
            "containerd" => {
                let config = daemon.option(&["--config", "-c"]).unwrap_or_else(|| CONTAINERD_CONFIG.into());
                let config = fs::read_to_string(daemon.seen(&config)).ok();
                let (root, state) = (daemon.option(&["--root"]), daemon.option(&["--state"]));
                self.containerd.insert(containerd(root, state, config, &daemon.root));
            }
            _ => {
                let run_root = daemon.option(&["--runroot"]).unwrap_or_else(|| "/run/containers/storage".into());
                self.crio.insert(daemon.seen(&run_root));
            }
        }
    }
}

const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";

impl Daemon {
    /// The value of an option, as `--name value` or `--name=value`.
    fn option(&self, names: &[&str]) -> Option<PathBuf> {
        let value = self.words.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
            Some((name, value)) if names.contains(&name) => Some(value),
            _ if names.contains(&word.as_str()) => self.words.get(at + 1).map(String::as_str),
            _ => None,
        })?;
        Path::new(value).is_absolute().then(|| PathBuf::from(value))
    }

    fn seen(&self, path: &Path) -> PathBuf {
        seen_through(&self.root, path)
    }
}

/// An absolute path of a process whose root directory is seen at `root`; empty: the same as ours.
fn seen_through(root: &Path, path: &Path) -> PathBuf {
    if root.as_os_str().is_empty() { path.to_owned() } else { root.join(path.strip_prefix("/").unwrap_or(path)) }
}

/// How a path of another process is to be opened from here.
pub fn seen_by(pid: u32, path: PathBuf) -> PathBuf {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let elsewhere = namespace(&pid.to_string()) != namespace("self");
    if elsewhere { seen_through(Path::new(&format!("/proc/{pid}/root")), &path) } else { path }
}

fn data_root(daemon_json: &[u8]) -> Option<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Config {
        data_root: Option<PathBuf>,
        graph: Option<PathBuf>,
    }
    let config: Config = serde_json::from_slice(daemon_json).ok()?;
    config.data_root.or(config.graph)
}

/// `config`: the text of its `config.toml`; the command line comes first.
fn containerd(root: Option<PathBuf>, state: Option<PathBuf>, config: Option<String>, seen: &Path) -> Containerd {
    #[derive(Default, Deserialize)]
    struct Config {
        root: Option<PathBuf>,
        state: Option<PathBuf>,
    }
    let config: Config = config.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
    let filled = |path: &PathBuf| path.is_absolute();
    let root = root.or(config.root).filter(filled).unwrap_or_else(|| "/var/lib/containerd".into());
    let state = state.or(config.state).filter(filled).unwrap_or_else(|| "/run/containerd".into());
    Containerd { root: seen_through(seen, &root), state: seen_through(seen, &state) }
}

fn below(dir: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(line: &str, root: &str) -> Daemon {
        Daemon { words: line.split(' ').map(str::to_owned).collect(), root: root.into() }
    }

    fn places(comm: &str, daemon: &Daemon) -> Places {
        let mut places = Places::default();
        places.add(comm, daemon);
        places
    }

    #[test]
    fn a_daemons_own_words_say_where_its_files_are() {
        for line in
            ["dockerd --data-root /srv/docker -H fd://", "dockerd --data-root=/srv/docker", "dockerd -g /srv/docker"]
        {
            assert_eq!(places("dockerd", &daemon(line, "")).docker, [PathBuf::from("/srv/docker")].into(), "{line}");
        }
        let found = places("containerd", &daemon("containerd --root /a --state=/b --config /nonexistent", ""));
        assert_eq!(found.containerd, [Containerd { root: "/a".into(), state: "/b".into() }].into());
        let inside = places("dockerd", &daemon("dockerd --data-root /srv/docker", "/proc/7/root"));
        assert_eq!(inside.docker, [PathBuf::from("/proc/7/root/srv/docker")].into());
        let crio = places("crio", &daemon("/usr/bin/crio --runroot /run/crio-storage", ""));
        assert_eq!(crio.crio, [PathBuf::from("/run/crio-storage")].into());
    }

    #[test]
    fn so_do_its_configuration_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"bridge":"none","data-root":"/data/docker"}"#).unwrap();
        let line = format!("dockerd --config-file {}", file.path().display());
        assert_eq!(places("dockerd", &daemon(&line, "")).docker, [PathBuf::from("/data/docker")].into());
        // As dockerd writes it for the containerd it starts, version 0, and as people do, version 2.
        let text = "version = 0\nroot = \"/d/containerd/daemon\"\nstate = \"/e/containerd/daemon\"\n[grpc]\n  address = \"\"\n";
        fs::write(file.path(), text).unwrap();
        let found = places("containerd", &daemon(&format!("containerd --config {}", file.path().display()), ""));
        let expected = Containerd { root: "/d/containerd/daemon".into(), state: "/e/containerd/daemon".into() };
        assert_eq!(found.containerd, [expected].into());
        assert_eq!(data_root(b"{"), None);
    }
}
