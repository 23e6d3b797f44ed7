//! CRI-O's own records: the OCI configuration it writes for each container under containers/storage's run root, whose annotations
//! hold everything CRI knows (`server/container_create_linux.go`; keys of `pkg/annotations`, CRI-O 1.20 to 1.30).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Identity;
use super::oci::Spec;

/// The container with this id. `run_root`: containers/storage's, as `/run/containers/storage`.
pub fn lookup(run_root: &Path, id: &str) -> Option<Identity> {
    let drivers = fs::read_dir(run_root).ok()?.flatten();
    drivers.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with("-containers"))).find_map(
        |entry| {
            let bundle = entry.path().join(id).join("userdata");
            let mut identity = identity(&Spec::load(&bundle)?.annotations)?;
            identity.bundle = Some(bundle);
            Some(identity)
        },
    )
}

fn identity(annotations: &BTreeMap<String, String>) -> Option<Identity> {
    let get = |key: &str| annotations.get(key).filter(|value| !value.is_empty()).cloned();
    // podman writes some of CRI-O's keys too, but not the name that CRI-O composes.
    get("io.kubernetes.cri-o.Name")?;
    let sandbox = get("io.kubernetes.cri-o.ContainerType").as_deref() == Some("sandbox");
    let name = if sandbox { Some("POD".to_owned()) } else { get("io.kubernetes.container.name") };
    // `Image` is an id or a name@digest, depending on the version; `ImageRef` the id, `ImageName` the name.
    let image_ref = get("io.kubernetes.cri-o.ImageRef").or_else(|| get("io.kubernetes.cri-o.Image"));
    let (image_id, digest) = match image_ref {
        Some(text) => match text.split_once('@') {
            Some((_, digest)) => (None, Some(digest.to_owned())),
            None => (Some(text).filter(|text| text.len() == 64), None),
        },
        None => (None, None),
    };
    let mut identity = Identity {
        runtime: Some("cri-o".to_owned()),
        image: get("io.kubernetes.cri-o.ImageName"),
        image_id,
        image_digest: digest,
        source: "cri-o config",
        ..Identity::default()
    };
    let labels = get("io.kubernetes.cri-o.Labels").and_then(|json| serde_json::from_str(&json).ok());
    identity.set_labels(labels.unwrap_or_default());
    for (field, value) in [
        (&mut identity.name, name),
        (&mut identity.pod, get("io.kubernetes.pod.name").or_else(|| get("io.kubernetes.cri-o.KubeName"))),
        (&mut identity.namespace, get("io.kubernetes.pod.namespace").or_else(|| get("io.kubernetes.cri-o.Namespace"))),
        (&mut identity.pod_uid, get("io.kubernetes.pod.uid")),
    ] {
        if value.is_some() {
            *field = value;
        }
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aa";

    fn look(annotations: &str) -> Option<Identity> {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("overlay-containers").join(ID).join("userdata");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), format!(r#"{{"ociVersion":"1.0.2","annotations":{annotations}}}"#))
            .unwrap();
        lookup(dir.path(), ID)
    }

    #[test]
    fn a_container_of_a_pod() {
        let image = "b1".repeat(32);
        let found = look(&format!(
            r#"{{"io.container.manager":"cri-o","io.kubernetes.cri-o.Name":"k8s_web_web-0_prod_u1_0",
            "io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.container.name":"web",
            "io.kubernetes.cri-o.ImageName":"docker.io/library/nginx:1.25","io.kubernetes.cri-o.ImageRef":"{image}",
            "io.kubernetes.cri-o.Labels":"{{\"app\":\"shop\"}}","io.kubernetes.pod.name":"web-0",
            "io.kubernetes.pod.namespace":"prod","io.kubernetes.pod.uid":"u1"}}"#
        ))
        .unwrap();
        assert_eq!((found.runtime.as_deref(), found.name.as_deref()), (Some("cri-o"), Some("web")));
        assert_eq!(found.image.as_deref(), Some("docker.io/library/nginx:1.25"));
        assert_eq!((found.image_id, found.image_digest), (Some(image), None));
        assert_eq!((found.pod.as_deref(), found.namespace.as_deref()), (Some("web-0"), Some("prod")));
        assert_eq!((found.pod_uid.as_deref(), found.labels.as_deref()), (Some("u1"), Some(r#"{"app":"shop"}"#)));
    }

    #[test]
    fn a_sandbox_and_an_image_by_digest() {
        let found = look(
            r#"{"io.kubernetes.cri-o.Name":"k8s_POD_web-0_prod_u1_0","io.kubernetes.cri-o.ContainerType":"sandbox",
            "io.kubernetes.cri-o.Image":"registry.k8s.io/pause@sha256:11","io.kubernetes.cri-o.KubeName":"web-0",
            "io.kubernetes.cri-o.Namespace":"prod","io.kubernetes.pod.uid":"u1"}"#,
        )
        .unwrap();
        assert_eq!((found.name.as_deref(), found.pod.as_deref()), (Some("POD"), Some("web-0")));
        assert_eq!((found.image_digest.as_deref(), found.image_id), (Some("sha256:11"), None));
    }

    #[test]
    fn podmans_own_use_of_the_keys_is_not_cri_o() {
        let podmans = r#"{"io.container.manager":"libpod","io.kubernetes.cri-o.TTY":"false","io.kubernetes.cri-o.ContainerType":"container"}"#;
        assert_eq!(look(podmans), None);
        assert_eq!(look("{}"), None);
    }
}
