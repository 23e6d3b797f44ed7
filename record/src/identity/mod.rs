//! Who a container is, from what its runtime keeps on disk. Read at once when its cgroup appears: a container of a few
//! milliseconds is gone before any runtime could be asked.

pub mod addresses;
mod bolt;
mod containerd;
mod crio;
mod docker;
mod helper;
mod inspect;
mod oci;
pub mod paths;
mod places;
mod podman;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use inspect::{Inspected, Inspector};
pub use places::Places;
pub use podman::{Podman, Storage};

use oci::Creation;
use paths::Named;

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub runtime: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    /// Hex.
    pub image_id: Option<String>,
    /// `sha256:...`
    pub image_digest: Option<String>,
    /// A JSON object.
    pub labels: Option<String>,
    pub pod: Option<String>,
    /// Of Kubernetes.
    pub namespace: Option<String>,
    pub pod_uid: Option<String>,
    /// Its OCI bundle: a directory with `config.json`.
    pub bundle: Option<PathBuf>,
    /// Which record it was read from.
    pub source: &'static str,
}

/// The source of an identity that no runtime's record gave: only what the cgroup's name tells is known.
pub const UNRESOLVED: &str = "unresolved";

impl Identity {
    /// Sets the labels, and what Kubernetes' own among them say of the pod (`kubelettypes/labels.go`).
    fn set_labels(&mut self, labels: BTreeMap<String, String>) {
        for (field, key) in [
            (&mut self.name, "io.kubernetes.container.name"),
            (&mut self.pod, "io.kubernetes.pod.name"),
            (&mut self.namespace, "io.kubernetes.pod.namespace"),
            (&mut self.pod_uid, "io.kubernetes.pod.uid"),
        ] {
            if let Some(value) = labels.get(key).filter(|value| !value.is_empty()) {
                *field = Some(value.clone());
            }
        }
        if !labels.is_empty() {
            self.labels = serde_json::to_string(&labels).ok();
        }
    }
}

/// The container that a cgroup belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub id: String,
    /// The container's own cgroup, of which those below it are parts.
    pub cgroup: String,
    pub identity: Identity,
}

/// Finds out which container a cgroup belongs to and who that is.
#[derive(Debug, Default)]
pub struct Resolver {
    storage: Option<Storage>,
    places: Places,
    looked: Option<Instant>,
    /// Ids of resolved containers by their own cgroup.
    known: HashMap<String, String>,
    /// Whom to ask, once, where the store of a podman container is that is in none of the known ones.
    podman: Option<Podman>,
}

/// Daemons are looked for again after at least this, when a container is found nowhere.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Resolver {
    pub fn new(podman: Podman) -> Resolver {
        Resolver {
            storage: Some(Storage::find(&podman)),
            places: Places::find(),
            looked: Some(Instant::now()),
            known: HashMap::new(),
            podman: podman.is_installed().then_some(podman),
        }
    }

    /// From now on podman is not asked: it takes time, and privileges that are about to be dropped.
    pub fn settle(&mut self) {
        self.podman = None;
    }

    /// The file system trees that images and containers are made of, where they can be listed.
    pub fn layers(&self) -> Vec<PathBuf> {
        self.storage.as_ref().map(Storage::layers).unwrap_or_default()
    }

    /// The id of the container that a cgroup belongs to, if it was resolved before.
    pub fn known(&self, path: &str) -> Option<&str> {
        let found = paths::components(path).find_map(|(cgroup, component)| match self.known.get(cgroup) {
            Some(id) => Some(Some(id.as_str())),
            None => paths::named_by(cgroup, component).map(|_| None),
        });
        found.flatten()
    }

    /// The container that a cgroup belongs to: the innermost, where one runs inside another. `creator`: the process that made
    /// the cgroup just now.
    pub fn resolve(&mut self, path: &str, creator: Option<u32>) -> Option<Resolved> {
        let creation = creator.and_then(|pid| Creation::of_process(pid, |path| places::seen_by(pid, path)));
        if let Some(root) = creation.as_ref().and_then(|creation| creation.root.clone()) {
            self.places.oci.insert(root);
        }
        let found = self.search(path, creation.as_ref());
        let open = found.as_ref().is_some_and(|found| found.identity.source == UNRESOLVED);
        let found = if open && self.look_again() { self.search(path, creation.as_ref()).or(found) } else { found };
        if let Some(found) = &found
            && found.identity.source != UNRESOLVED
        {
            self.known.insert(found.cgroup.clone(), found.id.clone());
        }
        found
    }

    fn search(&mut self, path: &str, creation: Option<&Creation>) -> Option<Resolved> {
        paths::components(path).find_map(|(cgroup, component)| {
            if let Some(named) = paths::named_by(cgroup, component) {
                return Some(self.named(&named, path, creation));
            }
            let (id, identity) = self.plain(cgroup, component, creation)?;
            Some(Resolved { id, cgroup: cgroup.to_owned(), identity })
        })
    }

    /// A container whose cgroup carries its unique id.
    fn named(&mut self, named: &Named<'_>, path: &str, creation: Option<&Creation>) -> Resolved {
        let mut found = self.by_id(named.id);
        if found.is_none()
            && let Some(creation) = creation.filter(|creation| creation.id == named.id)
        {
            // A store in a place of its own: its bundle is in it.
            self.learn(&creation.bundle);
            let by_command = || creation.of_cgroup(named.cgroup).map(|found| found.identity());
            found = self.by_id(named.id).or_else(by_command);
        }
        if found.is_none()
            && named.runtime == Some("podman")
            && let Some(podman) = self.podman.take()
            && self.storage.get_or_insert_default().ask(&podman)
        {
            found = self.by_id(named.id);
        }
        let unresolved =
            || Identity { runtime: named.runtime.map(str::to_owned), source: UNRESOLVED, ..Identity::default() };
        let mut identity = found.unwrap_or_else(unresolved);
        if identity.pod_uid.is_none() {
            identity.pod_uid = paths::pod_uid(path);
        }
        Resolved { id: named.id.to_owned(), cgroup: named.cgroup.to_owned(), identity }
    }

    fn by_id(&self, id: &str) -> Option<Identity> {
        let places = &self.places;
        let crio = || places.crio.iter().find_map(|root| crio::lookup(root, id));
        let podman = || self.storage.as_ref()?.lookup(id);
        let bundle = || places.containerd.iter().find_map(|containerd| containerd.bundle(id));
        let docker = || {
            let mut found = places.docker.iter().find_map(|data| docker::lookup(data, id))?;
            found.bundle = bundle();
            Some(found)
        };
        let containerd = || places.containerd.iter().find_map(|containerd| containerd.lookup(id, None));
        crio().or_else(podman).or_else(docker).or_else(containerd)
    }

    /// A container whose id is a name that somebody chose. Only a runtime's own word makes a cgroup a container.
    fn plain(&self, cgroup: &str, component: &str, creation: Option<&Creation>) -> Option<(String, Identity)> {
        let containerd = || {
            paths::plain_ids(component).find_map(|id| {
                let find = |containerd: &containerd::Containerd| containerd.lookup(id, Some(cgroup));
                Some((id.to_owned(), self.places.containerd.iter().find_map(find)?))
            })
        };
        let command = || {
            let found = creation?.of_cgroup(cgroup)?;
            Some((found.id.clone(), found.identity()))
        };
        let state = || {
            let found = self.places.oci.iter().find_map(|root| oci::in_state(root, cgroup, component))?;
            Some((found.id.clone(), found.identity()))
        };
        containerd().or_else(command).or_else(state)
    }

    /// Takes over where a bundle shows that a store is: `ROOT/DRIVER-containers/ID/userdata`.
    fn learn(&mut self, bundle: &Path) {
        let mut above = bundle.ancestors();
        let (Some(userdata), Some(_), Some(driver), Some(root)) =
            (above.next(), above.next(), above.next(), above.next())
        else {
            return;
        };
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name(userdata) == "userdata" && name(driver).ends_with("-containers") {
            self.places.crio.insert(root.to_owned());
            self.storage.get_or_insert_default().add(root);
        }
    }

    fn look_again(&mut self) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN) {
            return false;
        }
        self.looked = Some(Instant::now());
        let found = Places::find();
        self.places.docker.extend(found.docker);
        self.places.containerd.extend(found.containerd);
        self.places.crio.extend(found.crio);
        self.places.oci.extend(found.oci);
        true
    }
}

/// What `record check` says of a runtime's files: where they are, and whether they can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub runtime: &'static str,
    pub path: PathBuf,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// The runtimes whose files are on this machine.
pub fn sightings(storage: Option<&Storage>, places: &Places) -> Vec<Sighting> {
    let podman = storage.map(Storage::roots).unwrap_or_default().iter().map(|root| ("podman", root.clone()));
    let docker = places.docker.iter().map(|data| ("docker", data.join("containers")));
    let containerd =
        places.containerd.iter().map(|one| ("containerd", one.state.join("io.containerd.runtime.v2.task")));
    let oci = places.oci.iter().map(|root| ("oci runtime", root.clone()));
    let look = |(runtime, path): (&'static str, PathBuf)| match fs::read_dir(&path) {
        Ok(_) => Some(Sighting { runtime, path, error: None }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(Sighting { runtime, path, error: Some(error.to_string()) }),
    };
    podman.chain(docker).chain(containerd).chain(oci).filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn nowhere() -> Resolver {
        Resolver { looked: Some(Instant::now()), ..Resolver::default() }
    }

    #[test]
    fn what_no_runtime_knows_is_marked_and_not_guessed() {
        let uid = "1f2e3d4c-5b6a-7980-a1b2-c3d4e5f60718";
        let path = format!("/kubepods/burstable/pod{uid}/cri-containerd-{ID}.scope/below");
        let found = nowhere().resolve(&path, None).unwrap();
        assert_eq!(found.id, ID);
        assert!(path.starts_with(&found.cgroup) && found.cgroup.ends_with(".scope"));
        let told = Identity {
            runtime: Some("containerd".to_owned()),
            pod_uid: Some(uid.to_owned()),
            source: UNRESOLVED,
            ..Identity::default()
        };
        assert_eq!(found.identity, told, "nothing but what the path says");
        assert_eq!(nowhere().resolve("/user.slice/session-3.scope", None), None, "no container");
    }

    #[test]
    fn the_innermost_container_counts_and_its_parts_are_known_then() {
        let docker = tempfile::tempdir().unwrap();
        let outer = ID.replace('0', "f");
        for (id, name) in [(ID, "inner"), (&outer, "outer")] {
            let dir = docker.path().join("containers").join(id);
            fs::create_dir_all(&dir).unwrap();
            let config =
                format!(r#"{{"Name":"/{name}","Config":{{"Image":"i"}},"Image":"sha256:1","Driver":"overlay2"}}"#);
            fs::write(dir.join("config.v2.json"), config).unwrap();
        }
        let mut resolver = nowhere();
        resolver.places.docker.insert(docker.path().to_owned());
        let path = format!("/docker/{outer}/docker/{ID}");
        assert_eq!(resolver.resolve(&path, None).unwrap().identity.name.as_deref(), Some("inner"));
        assert_eq!(resolver.known(&format!("{path}/init.scope")), Some(ID));
        assert_eq!(resolver.known(&format!("/docker/{outer}/init.scope")), None, "not resolved yet");
        let found = resolver.resolve(&format!("/docker/{outer}/init.scope"), None).unwrap();
        assert_eq!((found.identity.name.as_deref(), found.identity.source), (Some("outer"), "docker config"));
        assert_eq!(
            resolver.known(&format!("/docker/{outer}/docker/{}", ID.replace('1', "e"))),
            None,
            "another one inside"
        );
    }

    #[test]
    fn a_store_anywhere_is_found_by_a_bundle_in_it() {
        let store = tempfile::tempdir().unwrap();
        let containers = store.path().join("overlay-containers");
        fs::create_dir_all(containers.join(ID).join("userdata")).unwrap();
        let json = format!(r#"[{{"id":"{ID}","names":["web"],"image":"ff"}}]"#);
        fs::write(containers.join("containers.json"), json).unwrap();
        let mut resolver = nowhere();
        assert_eq!(resolver.by_id(ID), None);
        resolver.learn(&containers.join(ID).join("userdata"));
        assert_eq!(resolver.by_id(ID).unwrap().name.as_deref(), Some("web"));
        resolver.learn(Path::new("/b"));
    }

    #[test]
    fn a_runtimes_files_are_sighted_where_they_are() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("containers")).unwrap();
        let places = Places {
            docker: [data.path().to_owned(), "/nonexistent".into()].into(),
            // Not a directory: there, and not readable as one.
            oci: ["/proc/self/status".into()].into(),
            ..Places::default()
        };
        let found = sightings(None, &places);
        assert_eq!(found[0], Sighting { runtime: "docker", path: data.path().join("containers"), error: None });
        assert_eq!((found.len(), found[1].runtime, found[1].error.is_some()), (2, "oci runtime", true));
    }
}
