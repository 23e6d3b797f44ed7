//! Where something happened: the container, its image and what runs it, as the recording knows them.

use std::sync::Arc;

use datasets::Container;
use serde_json::Value;

use crate::observe::HOST;

/// A container, or the host.
#[derive(Clone, Debug)]
pub struct Place {
    pub image: Arc<str>,
    /// As `sha256:...`.
    pub image_digest: Option<String>,
    /// Its id; `host` outside containers.
    pub container: Arc<str>,
    pub container_name: Option<String>,
    /// podman, docker, containerd, cri-o, or the OCI runtime.
    pub runtime: Option<String>,
    pub pod: Option<String>,
    /// Kubernetes namespace of the pod.
    pub namespace: Option<String>,
    pub cgroup: String,
    labels: Option<Value>,
}

impl Place {
    /// `container`: what the recording knows of the id; `image`: what it is learned under.
    pub fn new(container: Option<&Container>, image: Arc<str>, id: Arc<str>) -> Self {
        let labels = container.and_then(|known| serde_json::from_str(known.labels.as_deref()?).ok());
        let mut place = Self {
            image,
            image_digest: container.and_then(|known| known.image_digest.clone()),
            container: id,
            container_name: container.and_then(|known| known.name.clone()),
            runtime: container.and_then(|known| known.runtime.clone()),
            pod: container.and_then(|known| known.pod.clone()),
            namespace: container.and_then(|known| known.namespace.clone()),
            cgroup: container.map_or_else(String::new, |known| known.cgroup.clone()),
            labels,
        };
        // Recordings before schema 1.2 have the pod in the labels that Kubernetes sets alone.
        place.pod = place.pod.take().or_else(|| place.label("io.kubernetes.pod.name"));
        place.namespace = place.namespace.take().or_else(|| place.label("io.kubernetes.pod.namespace"));
        place
    }

    pub fn is_host(&self) -> bool {
        &*self.container == HOST
    }

    pub fn label(&self, key: &str) -> Option<String> {
        self.labels.as_ref()?.get(key)?.as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_may_be_known_by_labels_alone() {
        let labels = r#"{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop"}"#;
        let container = Container {
            id: "a".into(),
            runtime: Some("containerd".to_owned()),
            labels: Some(labels.to_owned()),
            ..Container::default()
        };
        let place = Place::new(Some(&container), "web:1".into(), "a".into());
        assert_eq!((place.pod.as_deref(), place.namespace.as_deref()), (Some("web-0"), Some("shop")));
        assert!(!place.is_host() && Place::new(None, HOST.into(), HOST.into()).is_host());
    }
}
