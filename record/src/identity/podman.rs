//! podman's own records: containers/storage, there from a container's creation on, and libpod's database.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scenarios::PodmanEnv;
use serde::Deserialize;

use super::{Identity, bolt};

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
    pub(super) fn command(&self) -> Command {
        let mut command = self.0.command();
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn output(&self, args: &[&str]) -> Option<String> {
        let output = self.command().args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Whether there is such a program; it is not run.
    pub fn is_installed(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(&self.0.program).is_file())
    }

    /// A variable of the environment that it is called with.
    fn var(&self, name: &str) -> Option<OsString> {
        let own = self.0.vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.into());
        own.or_else(|| std::env::var_os(name))
    }

    /// podman's version, or None when it is not installed or does not run.
    pub fn version(&self) -> Option<String> {
        self.output(&["version", "--format", "{{.Client.Version}}"])
    }
}

/// podman's stores: the system's, and those of users who run containers without root.
#[derive(Debug, Default)]
pub struct Storage {
    roots: Vec<PathBuf>,
}

/// An entry of `*-containers/containers.json` (containers/storage 1.43, `containers.go`).
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredMetadata {
    #[serde(rename = "image-name")]
    image_name: String,
    name: String,
    /// CRI-O keeps its containers in the same store; its entries have this.
    #[serde(rename = "pod-id")]
    pod_id: Option<String>,
}

/// An entry of `*-images/images.json`.
#[derive(Deserialize)]
struct StoredImage {
    id: String,
    #[serde(default)]
    digest: String,
}

/// A container's or pod's configuration in libpod's database (podman 3 and 4; from 5 on it is SQLite by default).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Libpod {
    name: String,
    pod: String,
    labels: BTreeMap<String, String>,
}

impl Storage {
    /// Where podman's store is by its configuration. podman itself would be sure, and take a fifth of a second of CPU time;
    /// [`Storage::ask`] does that.
    pub fn find(podman: &Podman) -> Storage {
        let files = match podman.var("CONTAINERS_STORAGE_CONF") {
            Some(file) => vec![PathBuf::from(file)],
            None => CONFIGURATIONS.map(PathBuf::from).to_vec(),
        };
        let text = files.iter().find_map(|file| fs::read_to_string(file).ok());
        let root = text.and_then(|text| graph_root(&text));
        let mut roots = vec![root.unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT))];
        roots.extend(rootless(&fs::read_to_string("/etc/passwd").unwrap_or_default()));
        Storage { roots }
    }

    /// Asks podman itself where its store is; whether that is news.
    pub fn ask(&mut self, podman: &Podman) -> bool {
        let known = self.roots.len();
        if let Some(root) = podman.output(&["info", "--format", "{{.Store.GraphRoot}}"]) {
            self.add(Path::new(&root));
        }
        self.roots.len() > known
    }

    /// A store that was found elsewhere.
    pub fn add(&mut self, root: &Path) {
        if !self.roots.iter().any(|known| known == root) {
            self.roots.push(root.to_owned());
        }
    }

    /// Where it looks.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The file system trees that images and containers are made of: of containers/storage's overlay and vfs drivers.
    pub fn layers(&self) -> Vec<PathBuf> {
        let within = |root: &PathBuf, dir: &str| fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
        let overlay = self.roots.iter().flat_map(|root| within(root, "overlay")).map(|layer| layer.path().join("diff"));
        let vfs = self.roots.iter().flat_map(|root| within(root, "vfs/dir")).map(|layer| layer.path());
        overlay.chain(vfs).collect()
    }

    pub fn lookup(&self, id: &str) -> Option<Identity> {
        self.drivers("-containers").find_map(|(root, dir)| {
            // containers.json for most, volatile-containers.json for `--rm` ones (containers/storage 1.43 and later).
            let files = ["containers.json", "volatile-containers.json"].map(|file| dir.join(file));
            let mut identity = files.iter().find_map(|file| lookup_in(file, id))?;
            identity.image_digest = identity.image_id.as_deref().and_then(|image| digest(root, image));
            let bundle = dir.join(id).join("userdata");
            identity.bundle = bundle.is_dir().then_some(bundle);
            describe(&root.join("libpod/bolt_state.db"), id, &mut identity);
            Some(identity)
        })
    }

    /// (root, its directory for one storage driver): `overlay-containers`, `vfs-images`.
    fn drivers<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a PathBuf, PathBuf)> {
        drivers(&self.roots, suffix)
    }
}

fn drivers<'a>(roots: &'a [PathBuf], suffix: &'a str) -> impl Iterator<Item = (&'a PathBuf, PathBuf)> {
    let entries =
        |root: &'a PathBuf| fs::read_dir(root).into_iter().flatten().flatten().map(move |entry| (root, entry));
    let of_driver = move |name: &str| name.ends_with(suffix);
    roots
        .iter()
        .flat_map(entries)
        .filter(move |(_, entry)| entry.file_name().to_str().is_some_and(of_driver))
        .map(|(root, entry)| (root, entry.path()))
}

const DEFAULT_ROOT: &str = "/var/lib/containers/storage";

/// The first that is there counts (containers-storage.conf(5)).
const CONFIGURATIONS: [&str; 2] = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];

/// `graphroot` of a storage.conf.
fn graph_root(text: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Config {
        storage: Option<Table>,
    }
    #[derive(Deserialize)]
    struct Table {
        graphroot: Option<PathBuf>,
    }
    let config: Config = toml::from_str(text).ok()?;
    config.storage?.graphroot.filter(|root| root.is_absolute())
}

/// The stores of users, by the lines of passwd(5): those that are there.
fn rootless(passwd: &str) -> Vec<PathBuf> {
    let home = |line: &str| line.split(':').nth(5).filter(|home| home.starts_with('/')).map(PathBuf::from);
    let store = |home: PathBuf| home.join(".local/share/containers/storage");
    let mut found: Vec<PathBuf> = passwd.lines().filter_map(home).map(store).filter(|store| store.is_dir()).collect();
    found.sort();
    found.dedup();
    found
}

fn lookup_in(file: &Path, id: &str) -> Option<Identity> {
    let containers: Vec<StoredContainer> = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let found = containers.into_iter().find(|container| container.id == id)?;
    let metadata: StoredMetadata = serde_json::from_str(&found.metadata).unwrap_or_default();
    if metadata.pod_id.is_some() {
        return None;
    }
    let filled = |text: String| (!text.is_empty()).then_some(text);
    Some(Identity {
        runtime: Some("podman".to_owned()),
        name: filled(metadata.name).or_else(|| found.names.into_iter().next()),
        image: filled(metadata.image_name),
        image_id: filled(found.image),
        source: "podman storage",
        ..Identity::default()
    })
}

fn digest(root: &PathBuf, image: &str) -> Option<String> {
    drivers(std::slice::from_ref(root), "-images").find_map(|(_, dir)| {
        let images: Vec<StoredImage> = serde_json::from_slice(&fs::read(dir.join("images.json")).ok()?).ok()?;
        images.into_iter().find(|known| known.id == image).map(|known| known.digest).filter(|digest| !digest.is_empty())
    })
}

/// Labels and pod, from libpod's buckets `ctr/ID/config` and `pod/ID/config` (libpod `boltdb_state.go`).
fn describe(database: &Path, id: &str, identity: &mut Identity) {
    let config = |kind: &[u8], id: &str| {
        let json = bolt::read(database, |db| db.get(&db.bucket(&[kind, id.as_bytes()])?, b"config"))?;
        serde_json::from_slice::<Libpod>(&json).ok()
    };
    let Some(container) = config(b"ctr", id) else { return };
    identity.set_labels(container.labels);
    if !container.pod.is_empty() {
        identity.pod = config(b"pod", &container.pod).map(|pod| pod.name).filter(|name| !name.is_empty());
        identity.pod_uid = Some(container.pod);
    }
}

#[cfg(test)]
mod tests {
    use super::super::bolt::fixture::{Item, database};
    use super::*;

    #[test]
    fn podmans_storage_names_a_container() {
        let dir = tempfile::tempdir().unwrap();
        let containers = dir.path().join("overlay-containers");
        fs::create_dir(&containers).unwrap();
        let metadata = r#"{\"image-name\":\"localhost/web:1\",\"name\":\"shop\"}"#;
        let crio = r#"{\"pod-name\":\"p\",\"pod-id\":\"q\",\"image-name\":\"web\"}"#;
        let json = format!(
            r#"[{{"id":"aa","names":["x"],"image":"ff","metadata":"{metadata}"}},{{"id":"bb"}},{{"id":"dd","metadata":"{crio}"}}]"#
        );
        fs::write(containers.join("containers.json"), json).unwrap();
        fs::create_dir(dir.path().join("overlay-images")).unwrap();
        fs::write(dir.path().join("overlay-images/images.json"), r#"[{"id":"ff","digest":"sha256:11"}]"#).unwrap();
        fs::create_dir(dir.path().join("libpod")).unwrap();
        let container = br#"{"id":"aa","name":"shop","pod":"pp","labels":{"app":"shop"}}"#;
        let of = |config| Item::Bucket(vec![("config", Item::Value(config))]);
        let buckets = [
            ("ctr", Item::Bucket(vec![("aa", of(container))])),
            ("pod", Item::Bucket(vec![("pp", of(br#"{"id":"pp","name":"front"}"#))])),
        ];
        fs::write(dir.path().join("libpod/bolt_state.db"), database(&buckets)).unwrap();
        let storage = Storage { roots: vec![dir.path().to_owned()] };
        let found = storage.lookup("aa").unwrap();
        assert_eq!(found.name.as_deref(), Some("shop"));
        assert_eq!(found.image.as_deref(), Some("localhost/web:1"));
        assert_eq!((found.image_id.as_deref(), found.image_digest.as_deref()), (Some("ff"), Some("sha256:11")));
        assert_eq!((found.pod.as_deref(), found.pod_uid.as_deref()), (Some("front"), Some("pp")));
        assert_eq!(found.labels.as_deref(), Some(r#"{"app":"shop"}"#));
        let bare = storage.lookup("bb").unwrap();
        assert_eq!((bare.name, bare.image, bare.image_digest, bare.pod), (None, None, None, None));
        assert_eq!(storage.lookup("cc"), None);
        assert_eq!(storage.lookup("dd"), None, "CRI-O's");
    }

    #[test]
    fn a_damaged_storage_names_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("vfs-containers")).unwrap();
        fs::write(dir.path().join("vfs-containers/containers.json"), "[{").unwrap();
        assert_eq!(Storage { roots: vec![dir.path().to_owned()] }.lookup("aa"), None);
    }

    #[test]
    fn the_configuration_says_where_the_store_is() {
        let conf = tempfile::NamedTempFile::new().unwrap();
        let text = "[storage]\ndriver = \"overlay\"\ngraphroot = \"/srv/store\"\n[storage.options]\nsize = \"\"\n";
        fs::write(conf.path(), text).unwrap();
        let var = ("CONTAINERS_STORAGE_CONF".to_owned(), conf.path().display().to_string());
        let podman = Podman(PodmanEnv { program: "podman".into(), vars: vec![var], args: Vec::new() });
        assert_eq!(Storage::find(&podman).roots()[0], Path::new("/srv/store"));
        fs::write(conf.path(), "[storage]\ngraphroot = \"\"\n").unwrap();
        assert_eq!(Storage::find(&podman).roots()[0], Path::new(DEFAULT_ROOT));
        assert_eq!(graph_root("[storage"), None);
    }

    #[test]
    fn users_have_stores_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join(".local/share/containers/storage");
        fs::create_dir_all(&store).unwrap();
        let passwd =
            format!("root:x:0:0::/nonexistent:/bin/sh\nme:x:1000:1000:Me:{0}:/bin/sh\nbroken\n", home.path().display());
        assert_eq!(rootless(&passwd), [store]);
    }
}
