//! Who a container is: podman's own records, read directly (at once, no locks) and asked for (addresses, aliases, labels).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use scenarios::PodmanEnv;
use serde::Deserialize;

/// How podman is called: the environment that selects its configuration.
#[derive(Clone, Debug)]
pub struct Podman(PodmanEnv);

impl From<PodmanEnv> for Podman {
    fn from(env: PodmanEnv) -> Podman {
        Podman(env)
    }
}

impl Default for Podman {
    fn default() -> Podman {
        Podman(PodmanEnv { program: "podman".into(), vars: Vec::new(), args: Vec::new() })
    }
}

impl Podman {
    fn command(&self) -> Command {
        let mut command = self.0.command();
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn output(&self, args: &[&str]) -> Option<String> {
        let output = self.command().args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// podman's version, or None when it is not installed or does not run.
    pub fn version(&self) -> Option<String> {
        self.output(&["version", "--format", "{{.Client.Version}}"])
    }
}

/// What podman's storage knows from the moment a container is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub name: Option<String>,
    pub image: Option<String>,
    pub image_id: Option<String>,
}

/// Reads `*-containers/containers.json` under podman's graph root (containers/storage, `containers.go`).
#[derive(Debug)]
pub struct Storage {
    roots: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct StoredContainer {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    metadata: String,
}

#[derive(Deserialize)]
struct StoredMetadata {
    #[serde(rename = "image-name", default)]
    image_name: String,
    #[serde(default)]
    name: String,
}

impl Storage {
    pub fn find(podman: &Podman) -> Storage {
        let asked = podman.output(&["info", "--format", "{{.Store.GraphRoot}}"]);
        let root = asked.map_or_else(|| PathBuf::from("/var/lib/containers/storage"), PathBuf::from);
        Storage { roots: vec![root] }
    }

    /// The file system trees that images and containers are made of: of containers/storage's overlay and vfs drivers.
    pub fn layers(&self) -> Vec<PathBuf> {
        let within = |root: &PathBuf, dir: &str| fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
        let overlay = self.roots.iter().flat_map(|root| within(root, "overlay")).map(|layer| layer.path().join("diff"));
        let vfs = self.roots.iter().flat_map(|root| within(root, "vfs/dir")).map(|layer| layer.path());
        overlay.chain(vfs).collect()
    }

    /// The container's OCI bundle: there from its creation on, before anything runs in it.
    pub fn bundle(&self, id: &str) -> Option<PathBuf> {
        self.roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten().find_map(|entry| {
            entry.file_name().to_str()?.ends_with("-containers").then_some(())?;
            let bundle = entry.path().join(id).join("userdata");
            bundle.is_dir().then_some(bundle)
        })
    }

    pub fn lookup(&self, id: &str) -> Option<Stored> {
        self.roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten().find_map(|entry| {
            entry.file_name().to_str()?.ends_with("-containers").then_some(())?;
            // containers.json for most, volatile-containers.json for `--rm` ones (containers/storage 1.43 and later).
            ["containers.json", "volatile-containers.json"]
                .iter()
                .find_map(|file| lookup_in(&entry.path().join(file), id))
        })
    }
}

fn lookup_in(file: &Path, id: &str) -> Option<Stored> {
    let containers: Vec<StoredContainer> = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let found = containers.into_iter().find(|container| container.id == id)?;
    let metadata: Option<StoredMetadata> = serde_json::from_str(&found.metadata).ok();
    let filled = |text: String| (!text.is_empty()).then_some(text);
    let (image, name) = metadata.map_or((None, None), |m| (filled(m.image_name), filled(m.name)));
    Some(Stored { name: name.or_else(|| found.names.into_iter().next()), image, image_id: filled(found.image) })
}

/// What only `podman container inspect` tells, once the container's network is up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    pub addresses: Vec<String>,
    pub aliases: Vec<String>,
    /// A JSON object.
    pub labels: Option<String>,
}

/// Asks podman about containers on a thread of its own: podman takes its time and locks the container while it starts.
pub struct Inspector {
    requests: Option<Sender<String>>,
    answers: Receiver<(String, Inspected)>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A container gets its address a moment after its cgroup.
const SETTLE: Duration = Duration::from_millis(1500);
const TRIES: u32 = 3;

impl Inspector {
    pub fn start(podman: Podman) -> Inspector {
        let (requests, incoming) = mpsc::channel::<String>();
        let (outgoing, answers) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut waiting: Vec<(Instant, u32, String)> = Vec::new();
            let mut open = true;
            while open || !waiting.is_empty() {
                match incoming.recv_timeout(Duration::from_millis(200)) {
                    Ok(id) => waiting.push((Instant::now() + SETTLE, TRIES, id)),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => open = false,
                }
                // At the end there is no time left to settle.
                let due = |at: &Instant| !open || *at <= Instant::now();
                let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _, _)| due(at));
                waiting = later;
                for (_, tries, id) in now {
                    match inspect(&podman, &id) {
                        Some(found) if !found.addresses.is_empty() || tries == 1 || !open => {
                            let _ = outgoing.send((id, found)); // the recorder may have gone
                        }
                        Some(_) => waiting.push((Instant::now() + SETTLE, tries - 1, id)),
                        None => {} // removed already
                    }
                }
            }
        });
        Inspector { requests: Some(requests), answers, thread: Some(thread) }
    }

    pub fn ask(&self, id: &str) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(id.to_owned()); // a dead thread only leaves fields empty
        }
    }

    /// The answers that have come in.
    pub fn answers(&self) -> impl Iterator<Item = (String, Inspected)> + '_ {
        self.answers.try_iter()
    }

    /// Waits for the last answers.
    pub fn finish(mut self) -> Vec<(String, Inspected)> {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.answers.try_iter().collect()
    }
}

fn inspect(podman: &Podman, id: &str) -> Option<Inspected> {
    let text = podman.output(&["container", "inspect", id])?;
    let found: serde_json::Value = serde_json::from_str(&text).ok()?;
    let container = found.get(0)?;
    let network = container.get("NetworkSettings");
    let networks = network.and_then(|n| n.get("Networks")).and_then(|n| n.as_object());
    let mut result = Inspected::default();
    let mut address = |value: Option<&serde_json::Value>, key: &str| {
        if let Some(text) = value.and_then(|v| v.get(key)).and_then(|v| v.as_str()).filter(|text| !text.is_empty())
            && !result.addresses.iter().any(|known| known == text)
        {
            result.addresses.push(text.to_owned());
        }
    };
    for key in ["IPAddress", "GlobalIPv6Address"] {
        address(network, key);
        networks.into_iter().flatten().for_each(|(_, one)| address(Some(one), key));
    }
    let aliases = networks.into_iter().flatten().filter_map(|(_, one)| one.get("Aliases")?.as_array());
    result.aliases = aliases.flatten().filter_map(|alias| alias.as_str().map(str::to_owned)).collect();
    result.aliases.sort();
    result.aliases.dedup();
    let labels = container.get("Config").and_then(|config| config.get("Labels")).filter(|labels| labels.is_object());
    result.labels = labels.map(ToString::to_string);
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_storage_names_a_container() {
        let dir = tempfile::tempdir().unwrap();
        let containers = dir.path().join("overlay-containers");
        fs::create_dir(&containers).unwrap();
        let metadata = r#"{\"image-name\":\"localhost/web:1\",\"name\":\"shop\"}"#;
        let json = format!(r#"[{{"id":"aa","names":["x"],"image":"ff","metadata":"{metadata}"}},{{"id":"bb"}}]"#);
        fs::write(containers.join("containers.json"), json).unwrap();
        let storage = Storage { roots: vec![dir.path().to_owned()] };
        let found = storage.lookup("aa").unwrap();
        assert_eq!(found.name.as_deref(), Some("shop"));
        assert_eq!(found.image.as_deref(), Some("localhost/web:1"));
        assert_eq!(found.image_id.as_deref(), Some("ff"));
        assert_eq!(storage.lookup("bb"), Some(Stored { name: None, image: None, image_id: None }));
        assert_eq!(storage.lookup("cc"), None);
    }

    #[test]
    fn a_damaged_storage_names_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("vfs-containers")).unwrap();
        fs::write(dir.path().join("vfs-containers/containers.json"), "[{").unwrap();
        assert_eq!(Storage { roots: vec![dir.path().to_owned()] }.lookup("aa"), None);
    }
}
