//! OCI bundles and the state of the runtimes that run them: what every engine's containers come down to, and all there is of a
//! container that was started with runc or crun by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Identity;
use super::paths;

/// The parts of a bundle's `config.json` (OCI runtime-spec 1.0 and later) that identify a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Spec {
    pub annotations: BTreeMap<String, String>,
    pub linux: SpecLinux,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SpecLinux {
    #[serde(rename = "cgroupsPath")]
    pub cgroups_path: String,
}

impl Spec {
    pub fn load(bundle: &Path) -> Option<Spec> {
        serde_json::from_slice(&fs::read(bundle.join("config.json")).ok()?).ok()
    }
}

/// A container of an OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    /// `runc`, `crun`, ...
    pub runtime: Option<String>,
    pub bundle: Option<PathBuf>,
    pub source: &'static str,
}

impl Found {
    /// Its name is its id; its annotations stand for labels.
    pub fn identity(&self) -> Identity {
        let spec = self.bundle.as_deref().and_then(Spec::load).unwrap_or_default();
        let mut identity = Identity {
            runtime: self.runtime.clone(),
            name: Some(self.id.clone()),
            bundle: self.bundle.clone(),
            source: self.source,
            ..Identity::default()
        };
        identity.set_labels(spec.annotations);
        identity
    }
}

/// Options of runc 1.1 and crun 1.8 that take a value in the next word, before or after the sub-command.
const WITH_VALUE: &[&str] = &[
    "--root",
    "--log",
    "--log-format",
    "--criu",
    "--rootless",
    "--bundle",
    "-b",
    "--console-socket",
    "--pid-file",
    "--preserve-fds",
    "--config",
    "-f",
    "--cgroup-manager",
];

/// A command line of an OCI runtime that makes a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    pub runtime: String,
    pub id: String,
    pub bundle: PathBuf,
    /// `--root`: where it keeps its state.
    pub root: Option<PathBuf>,
}

impl Creation {
    /// Of the words of a command line (runtime-tools' command line API: `RUNTIME [global options] create|run|restore [options]
    /// ID`) and its working directory.
    pub fn parse(words: &[&str], cwd: &Path) -> Option<Creation> {
        let (program, rest) = words.split_first()?;
        let runtime = program.rsplit('/').next()?.to_owned();
        let (mut plain, mut bundle, mut root) = (Vec::new(), None, None);
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with('-') => (name, Some(value)),
                _ if WITH_VALUE.contains(word) => (*word, rest.next().copied()),
                _ => (*word, None),
            };
            match name {
                "--bundle" | "-b" => bundle = value,
                "--root" => root = value,
                _ if name.starts_with('-') => {}
                _ => plain.push(name),
            }
        }
        match plain[..] {
            ["create" | "run" | "restore", id] => Some(Creation {
                runtime,
                id: id.to_owned(),
                bundle: cwd.join(bundle.unwrap_or_default()),
                root: root.map(|root| cwd.join(root)),
            }),
            _ => None,
        }
    }

    /// Of a process that is still there. Its paths are made to hold here, whatever mount namespace it is in.
    pub fn of_process(pid: u32, seen: impl Fn(PathBuf) -> PathBuf) -> Option<Creation> {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let text = fs::read(process.join("cmdline")).ok()?;
        let text = String::from_utf8(text).ok()?;
        let words: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
        let cwd = fs::read_link(process.join("cwd")).ok()?;
        let found = Creation::parse(&words, &cwd)?;
        Some(Creation { bundle: seen(found.bundle), root: found.root.map(seen), ..found })
    }

    /// The container, if the new cgroup at `path` is its own: where its bundle wants it, or named as itself.
    pub fn of_cgroup(&self, path: &str) -> Option<Found> {
        let wanted = Spec::load(&self.bundle)?.linux.cgroups_path;
        let wanted = if wanted.is_empty() { &self.id } else { &wanted };
        let own = paths::is_cgroup_of(path, wanted);
        own.then(|| Found {
            id: self.id.clone(),
            runtime: Some(self.runtime.clone()),
            bundle: Some(self.bundle.clone()),
            source: "oci command",
        })
    }
}

/// What runc (`state.json`, libcontainer 1.0 and later) and crun (`status`, 1.0 and later) write down of a container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub bundle: Option<PathBuf>,
    /// Of its cgroups, as paths below the hierarchy or as mounted.
    pub cgroups: Vec<String>,
}

#[derive(Deserialize)]
struct RuncState {
    #[serde(default)]
    cgroup_paths: BTreeMap<String, String>,
    #[serde(default)]
    config: RuncConfig,
}

#[derive(Default, Deserialize)]
struct RuncConfig {
    /// `key=value`; runc adds `bundle=PATH` to the annotations.
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Deserialize)]
struct CrunStatus {
    #[serde(rename = "cgroup-path", default)]
    cgroup_path: String,
    bundle: Option<PathBuf>,
}

impl State {
    /// `dir`: ROOT/ID.
    pub fn load(dir: &Path) -> Option<State> {
        if let Ok(bytes) = fs::read(dir.join("state.json")) {
            return State::of_runc(&bytes);
        }
        State::of_crun(&fs::read(dir.join("status")).ok()?)
    }

    fn of_runc(bytes: &[u8]) -> Option<State> {
        let state: RuncState = serde_json::from_slice(bytes).ok()?;
        let bundle = state.config.labels.iter().rev().find_map(|label| label.strip_prefix("bundle="));
        Some(State { bundle: bundle.map(PathBuf::from), cgroups: state.cgroup_paths.into_values().collect() })
    }

    fn of_crun(bytes: &[u8]) -> Option<State> {
        let status: CrunStatus = serde_json::from_slice(bytes).ok()?;
        Some(State { bundle: status.bundle, cgroups: vec![status.cgroup_path] })
    }

    fn has(&self, cgroup: &str) -> bool {
        self.cgroups.iter().any(|path| match path.trim_end_matches('/').strip_suffix(cgroup) {
            Some("" | "/sys/fs/cgroup") => true,
            Some(above) => above.strip_prefix("/sys/fs/cgroup/").is_some_and(|mount| MOUNTS.contains(&mount)),
            None => false,
        })
    }
}

/// The container whose cgroup this is, among those an OCI runtime keeps under `root`, if the cgroup is named as the container.
pub fn in_state(root: &Path, cgroup: &str, component: &str) -> Option<Found> {
    let runtime = root.components().rev().find_map(|part| {
        let name = part.as_os_str().to_str()?;
        ["runc", "crun", "youki"].into_iter().find(|known| name.ends_with(known))
    });
    let found = |id: &str, state: State| {
        state.has(cgroup).then(|| Found {
            id: id.to_owned(),
            runtime: runtime.map(str::to_owned),
            bundle: state.bundle,
            source: "oci state",
        })
    };
    paths::plain_ids(component).find_map(|id| found(id, State::load(&root.join(id))?))
}

/// Names of v1 controllers' and other mounts below `/sys/fs/cgroup`.
const MOUNTS: &[&str] = &[
    "unified",
    "systemd",
    "pids",
    "memory",
    "cpu",
    "cpuacct",
    "cpu,cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "blkio",
    "net_cls",
    "net_prio",
    "net_cls,net_prio",
    "perf_event",
    "hugetlb",
    "rdma",
    "misc",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Creation> {
        Creation::parse(&line.split(' ').collect::<Vec<_>>(), Path::new("/srv"))
    }

    #[test]
    fn command_lines_of_runtimes_are_understood() {
        // As containerd-shim-runc-v2 1.6, conmon 2.1, dockerd 20.10 and people write them.
        for (line, runtime, id, bundle, root) in [
            (
                "runc --root /run/containerd/runc/default --log /x/log.json --log-format json create --bundle /b --pid-file /b/init.pid redis",
                "runc",
                "redis",
                "/b",
                Some("/run/containerd/runc/default"),
            ),
            ("/usr/sbin/runc run test", "runc", "test", "/srv/", None),
            (
                "/usr/bin/crun --systemd-cgroup --root=/run/crun create --bundle=b -d my-app",
                "crun",
                "my-app",
                "/srv/b",
                Some("/run/crun"),
            ),
            ("runc --rootless true run -b /b --detach a", "runc", "a", "/b", None),
        ] {
            let expected = Creation {
                runtime: runtime.to_owned(),
                id: id.to_owned(),
                bundle: bundle.into(),
                root: root.map(PathBuf::from),
            };
            assert_eq!(parse(line), Some(expected), "{line}");
        }
        for line in ["runc list", "runc start a", "runc --root /r state a", "runc run", "runc create a b", "bash", ""] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_command_names_only_its_own_cgroup() {
        let bundle = tempfile::tempdir().unwrap();
        let creation = |id: &str| Creation {
            runtime: "runc".to_owned(),
            id: id.to_owned(),
            bundle: bundle.path().to_owned(),
            root: None,
        };
        assert_eq!(creation("a").of_cgroup("/a"), None, "no bundle there");
        fs::write(bundle.path().join("config.json"), r#"{"ociVersion":"1.0.2","annotations":{"app":"shop"}}"#).unwrap();
        let found = creation("a").of_cgroup("/user/a").unwrap();
        assert_eq!((found.id.as_str(), found.runtime.as_deref()), ("a", Some("runc")));
        let identity = found.identity();
        assert_eq!(identity.labels.as_deref(), Some(r#"{"app":"shop"}"#));
        assert_eq!(identity.source, "oci command");
        assert_eq!(creation("a").of_cgroup("/user"), None, "the parent that it also made");
        fs::write(bundle.path().join("config.json"), r#"{"linux":{"cgroupsPath":"/shop/web"}}"#).unwrap();
        assert_eq!(creation("a").of_cgroup("/a"), None);
        assert_eq!(creation("a").of_cgroup("/shop/web").unwrap().id, "a");
    }

    /// runc 1.1.5's `state.json` on a hybrid host, shortened to what is read; crun 1.8's `status`.
    const RUNC: &str = r#"{"id":"a","init_process_pid":30529,"config":{"rootfs":"/b/rootfs","labels":["app=shop","bundle=/b"]},
        "cgroup_paths":{"":"/sys/fs/cgroup/unified/a","pids":"/sys/fs/cgroup/pids/a","cpu":"/sys/fs/cgroup/cpu/a"}}"#;
    const CRUN: &str =
        r#"{"pid":5,"cgroup-path":"/user.slice/crun-b.scope","rootfs":"rootfs","bundle":"/b2","detached":true}"#;

    #[test]
    fn states_of_runc_and_crun_are_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("runc");
        for (id, file, text) in [("a", "state.json", RUNC), ("b", "status", CRUN), ("c", "state.json", "{\"x\":")] {
            fs::create_dir_all(root.join(id)).unwrap();
            fs::write(root.join(id).join(file), text).unwrap();
        }
        let a = in_state(&root, "/a", "a").unwrap();
        assert_eq!((a.id.as_str(), a.runtime.as_deref(), a.bundle), ("a", Some("runc"), Some("/b".into())));
        let b = in_state(&root, "/user.slice/crun-b.scope", "crun-b.scope").unwrap();
        assert_eq!((b.id.as_str(), b.bundle), ("b", Some("/b2".into())));
        assert_eq!(in_state(&root, "/other/a", "a"), None, "another cgroup of that name");
        fs::write(root.join("a/state.json"), RUNC.replace("/pids/a", "/pids/x/a")).unwrap();
        assert!(in_state(&root, "/x/a", "a").is_some());
        assert_eq!(in_state(&root, "/c", "c"), None);
        assert_eq!(in_state(Path::new("/nonexistent"), "/a", "a"), None);
    }
}
