//! containerd's own records: the shim's bundle (`STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json`), there before the
//! container's cgroup, and the metadata database (`ROOT/io.containerd.metadata.v1.bolt/meta.db`).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::oci::Spec;
use super::{Identity, bolt, paths};

/// Where one containerd keeps its files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Containerd {
    /// `root`: what stays.
    pub root: PathBuf,
    /// `state`: what goes with a reboot.
    pub state: PathBuf,
}

/// A task's bundle.
struct Task {
    namespace: String,
    id: String,
    bundle: PathBuf,
    spec: Spec,
}

impl Containerd {
    /// The container with this id, in whichever of containerd's namespaces. `cgroup`: where the id is not unique by itself, the
    /// cgroup that must be its own.
    pub fn lookup(&self, id: &str, cgroup: Option<&str>) -> Option<Identity> {
        let task = self.task(id, cgroup)?;
        let annotation = |key: &str| task.spec.annotations.get(key).cloned();
        let stored = self.stored(&task.namespace, &task.id);
        let image = stored.as_ref().and_then(|stored| stored.image.clone());
        let image = image.or_else(|| annotation("io.kubernetes.cri.image-name"));
        let target = image.as_deref().and_then(|image| self.target(&task.namespace, image));
        let mut identity = Identity {
            runtime: Some("containerd".to_owned()),
            name: Some(task.id.clone()),
            image_id: target.as_deref().and_then(|digest| self.image_id(digest)),
            image_digest: target,
            image,
            bundle: Some(task.bundle),
            source: "containerd bundle",
            ..Identity::default()
        };
        // Of a container that CRI did not make, the annotations are the labels it was given.
        let labels = stored.map_or_else(|| task.spec.annotations.clone(), |stored| stored.labels);
        identity.set_labels(labels);
        let sandbox = annotation("io.kubernetes.cri.container-type").as_deref() == Some("sandbox");
        for (field, key) in [
            (&mut identity.pod, "io.kubernetes.cri.sandbox-name"),
            (&mut identity.namespace, "io.kubernetes.cri.sandbox-namespace"),
            (&mut identity.pod_uid, "io.kubernetes.cri.sandbox-uid"),
            (&mut identity.name, "io.kubernetes.cri.container-name"),
        ] {
            if let Some(value) = annotation(key) {
                *field = Some(value);
            }
        }
        if sandbox {
            identity.name = Some("POD".to_owned());
        }
        Some(identity)
    }

    /// The bundle of a container of Docker's or containerd's.
    pub fn bundle(&self, id: &str) -> Option<PathBuf> {
        self.tasks().map(|namespace| namespace.join(id)).find(|bundle| bundle.is_dir())
    }

    fn tasks(&self) -> impl Iterator<Item = PathBuf> {
        let tasks = self.state.join("io.containerd.runtime.v2.task");
        fs::read_dir(tasks).into_iter().flatten().flatten().map(|entry| entry.path())
    }

    fn task(&self, id: &str, cgroup: Option<&str>) -> Option<Task> {
        self.tasks().find_map(|namespace| {
            let bundle = namespace.join(id);
            let spec = Spec::load(&bundle)?;
            let wanted = &spec.linux.cgroups_path;
            if cgroup.is_some_and(|path| !paths::is_cgroup_of(path, if wanted.is_empty() { id } else { wanted })) {
                return None;
            }
            let namespace = namespace.file_name()?.to_str()?.to_owned();
            Some(Task { namespace, id: id.to_owned(), bundle, spec })
        })
    }

    fn database(&self) -> PathBuf {
        self.root.join("io.containerd.metadata.v1.bolt/meta.db")
    }

    /// Buckets as in containerd's `metadata/buckets.go`: v1/NAMESPACE/containers/ID/{image, labels}.
    fn stored(&self, namespace: &str, id: &str) -> Option<Stored> {
        bolt::read(&self.database(), |db| {
            let path: [&[u8]; 4] = [b"v1", namespace.as_bytes(), b"containers", id.as_bytes()];
            let container = db.bucket(&path)?;
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().filter(|text| !text.is_empty());
            let labels = db.bucket(&[path[0], path[1], path[2], path[3], b"labels"]);
            let labels = labels.map(|bucket| db.entries(&bucket)).unwrap_or_default();
            Some(Stored {
                image: db.get(&container, b"image").and_then(text),
                labels: labels
                    .into_iter()
                    .filter_map(|(key, value)| Some((text(key)?, text(value).unwrap_or_default())))
                    .collect(),
            })
        })
    }

    /// The digest that an image's name stands for: v1/NAMESPACE/images/NAME/target/digest.
    fn target(&self, namespace: &str, image: &str) -> Option<String> {
        bolt::read(&self.database(), |db| {
            let target = db.bucket(&[b"v1", namespace.as_bytes(), b"images", image.as_bytes(), b"target"])?;
            String::from_utf8(db.get(&target, b"digest")?).ok()
        })
    }

    /// The image id, which is the digest of its configuration: in the manifest, or the manifest of this machine's platform.
    fn image_id(&self, digest: &str) -> Option<String> {
        let manifest = self.manifest(digest)?;
        let config = match manifest.config {
            Some(config) => config,
            None => {
                let ours = |manifest: &&Descriptor| {
                    manifest
                        .platform
                        .as_ref()
                        .is_some_and(|platform| platform.os == "linux" && platform.architecture == ARCHITECTURE)
                };
                self.manifest(&manifest.manifests.iter().find(ours)?.digest)?.config?
            }
        };
        Some(config.digest.trim_start_matches("sha256:").to_owned())
    }

    fn manifest(&self, digest: &str) -> Option<Manifest> {
        let (algorithm, hex) = digest.split_once(':')?;
        let blobs = self.root.join("io.containerd.content.v1.content/blobs");
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let sound = plain(algorithm) && plain(hex);
        let text = sound.then(|| fs::read(blobs.join(algorithm).join(hex)).ok()).flatten()?;
        serde_json::from_slice(&text).ok()
    }
}

/// The OCI image specification's name of the machines the recorder runs on.
const ARCHITECTURE: &str = "amd64";

struct Stored {
    image: Option<String>,
    labels: BTreeMap<String, String>,
}

/// An image manifest or an index of them (OCI image-spec 1.0, Docker schema 2).
#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[cfg(test)]
mod tests {
    use super::super::bolt::fixture::{Item, database};
    use super::*;

    /// As the CRI plugin of containerd 1.6 annotates the bundle of an application's container.
    const CRI: &str = r#"{"ociVersion":"1.0.2-dev","annotations":{"io.kubernetes.cri.container-name":"web",
        "io.kubernetes.cri.container-type":"container","io.kubernetes.cri.image-name":"docker.io/library/nginx:1.25",
        "io.kubernetes.cri.sandbox-id":"ff","io.kubernetes.cri.sandbox-name":"web-0",
        "io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.sandbox-uid":"u1"},
        "linux":{"cgroupsPath":"kubepods-burstable-podu1.slice:cri-containerd:aa"}}"#;

    struct Files {
        _dir: tempfile::TempDir,
        at: Containerd,
    }

    fn files(namespace: &str, id: &str, spec: &str, meta: &[u8]) -> Files {
        let dir = tempfile::tempdir().unwrap();
        let at = Containerd { root: dir.path().join("root"), state: dir.path().join("state") };
        let bundle = at.state.join("io.containerd.runtime.v2.task").join(namespace).join(id);
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), spec).unwrap();
        fs::create_dir_all(at.root.join("io.containerd.metadata.v1.bolt")).unwrap();
        fs::write(at.database(), meta).unwrap();
        let blobs = at.root.join("io.containerd.content.v1.content/blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let index = r#"{"manifests":[{"digest":"sha256:a1","platform":{"os":"linux","architecture":"arm64"}},
            {"digest":"sha256:a2","platform":{"os":"linux","architecture":"amd64"}}]}"#;
        fs::write(blobs.join("11"), index).unwrap();
        fs::write(blobs.join("a2"), r#"{"config":{"digest":"sha256:c0"},"layers":[]}"#).unwrap();
        Files { _dir: dir, at }
    }

    fn meta(namespace: &str, id: &str, image: &str, labels: Vec<(&str, Item<'_>)>) -> Vec<u8> {
        let target = Item::Bucket(vec![("digest", Item::Value(b"sha256:11"))]);
        let images = Item::Bucket(vec![(image, Item::Bucket(vec![("target", target)]))]);
        let container = vec![("image", Item::Value(image.as_bytes())), ("labels", Item::Bucket(labels))];
        let containers = Item::Bucket(vec![(id, Item::Bucket(container))]);
        let namespace = (namespace, Item::Bucket(vec![("containers", containers), ("images", images)]));
        database(&[("v1", Item::Bucket(vec![namespace]))])
    }

    #[test]
    fn a_cri_container_has_its_pod_and_the_images_digest() {
        let labels = vec![("app", Item::Value(b"shop")), ("io.kubernetes.pod.uid", Item::Value(b"u1"))];
        let files = files("k8s.io", "aa", CRI, &meta("k8s.io", "aa", "docker.io/library/nginx:1.25", labels));
        let found = files.at.lookup("aa", None).unwrap();
        assert_eq!((found.runtime.as_deref(), found.name.as_deref()), (Some("containerd"), Some("web")));
        assert_eq!(found.image.as_deref(), Some("docker.io/library/nginx:1.25"));
        assert_eq!((found.image_digest.as_deref(), found.image_id.as_deref()), (Some("sha256:11"), Some("c0")));
        assert_eq!((found.pod.as_deref(), found.namespace.as_deref()), (Some("web-0"), Some("prod")));
        assert_eq!(found.pod_uid.as_deref(), Some("u1"));
        assert!(found.labels.unwrap().contains(r#""app":"shop""#));
        assert!(files.at.bundle("aa").is_some());
        assert!(files.at.lookup("bb", None).is_none());
    }

    #[test]
    fn the_bundle_alone_still_names_it() {
        let files = files("k8s.io", "aa", CRI, b"damaged");
        let found = files.at.lookup("aa", None).unwrap();
        assert_eq!((found.name.as_deref(), found.pod.as_deref()), (Some("web"), Some("web-0")));
        assert_eq!((found.image.as_deref(), found.image_digest), (Some("docker.io/library/nginx:1.25"), None));
    }

    #[test]
    fn a_name_given_by_hand_holds_only_for_its_own_cgroup() {
        let spec = r#"{"annotations":{"app":"shop"},"linux":{"cgroupsPath":"/default/redis"}}"#;
        let files = files("default", "redis", spec, &meta("default", "redis", "web:1", vec![]));
        let found = files.at.lookup("redis", Some("/default/redis")).unwrap();
        assert_eq!((found.name.as_deref(), found.image.as_deref()), (Some("redis"), Some("web:1")));
        assert!(files.at.lookup("redis", Some("/elsewhere/redis")).is_none());
    }

    #[test]
    fn a_sandbox_is_its_pods() {
        let spec = CRI.replace("\"container-type\":\"container\"", "").replace(
            "\"io.kubernetes.cri.container-type\":\"container\"",
            "\"io.kubernetes.cri.container-type\":\"sandbox\"",
        );
        let files = files("k8s.io", "aa", &spec, &database(&[]));
        let found = files.at.lookup("aa", None).unwrap();
        assert_eq!((found.name.as_deref(), found.pod.as_deref()), (Some("POD"), Some("web-0")));
    }
}
