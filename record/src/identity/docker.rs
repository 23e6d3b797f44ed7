//! Docker's own records: `containers/ID/config.v2.json` under its data directory, there from `docker create` on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::Identity;

/// `config.v2.json` of Docker 20.10 to 28 (moby, `container/container.go`), as far as it identifies.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    name: String,
    config: RunConfig,
    /// Image id, `sha256:...`.
    image: String,
    driver: String,
    /// Where images are containerd's (from 25 on): its manifest.
    image_manifest: Option<Descriptor>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    /// As the user named it.
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// `image/DRIVER/repositories.json`: names and digests of every image.
#[derive(Deserialize)]
struct Repositories {
    #[serde(rename = "Repositories")]
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

/// The container with this id, of the daemon with this data directory.
pub fn lookup(data: &Path, id: &str) -> Option<Identity> {
    let direct = data.join("containers").join(id).join("config.v2.json");
    // With userns-remap everything is one directory further down, named UID.GID.
    let text = fs::read(direct).ok().or_else(|| {
        let remapped = |name: &str| name.split_once('.').is_some_and(|(uid, gid)| is_number(uid) && is_number(gid));
        fs::read_dir(data)
            .ok()?
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(remapped))
            .find_map(|entry| fs::read(entry.path().join("containers").join(id).join("config.v2.json")).ok())
    })?;
    let config: Config = serde_json::from_slice(&text).ok()?;
    let mut identity = Identity {
        runtime: Some("docker".to_owned()),
        name: filled(config.name.trim_start_matches('/')),
        image: filled(&config.config.image),
        image_id: filled(config.image.trim_start_matches("sha256:")),
        image_digest: config.image_manifest.map(|manifest| manifest.digest),
        source: "docker config",
        ..Identity::default()
    };
    if identity.image_digest.is_none() {
        let repositories = data.join("image").join(&config.driver).join("repositories.json");
        identity.image_digest = digest(&repositories, &config.image, &config.config.image);
    }
    identity.set_labels(config.config.labels.unwrap_or_default());
    Some(identity)
}

/// The digest by which a registry knows an image: an entry `REPOSITORY@sha256:...` with its id. An image that was built here and
/// never pushed has none. Of several, that of the repository it was started by.
fn digest(repositories: &Path, image_id: &str, image: &str) -> Option<String> {
    let all: Repositories = serde_json::from_slice(&fs::read(repositories).ok()?).ok()?;
    let mut found: Vec<(&str, &str)> = all
        .repositories
        .values()
        .flatten()
        .filter(|(_, id)| *id == image_id)
        .filter_map(|(reference, _)| reference.split_once('@'))
        .collect();
    found.sort_by_key(|(repository, _)| !image.starts_with(repository));
    found.first().map(|(_, digest)| (*digest).to_owned())
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Docker 20.10.24, shortened to what is read and its surroundings.
    const CONFIG: &str = r#"{"StreamConfig":{},"State":{"Running":true,"Pid":30529},"ID":"aa","Path":"/probe","Args":["30"],
        "Config":{"Hostname":"0287ca82662c","Env":null,"Cmd":["/probe","30"],"Image":"shop/web:1","Labels":{"app":"shop",
        "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"prod","io.kubernetes.pod.uid":"u1",
        "io.kubernetes.container.name":"web"}},"Image":"sha256:fe17","Name":"/k8s_web_web-0_prod_u1_0","Driver":"overlay2"}"#;
    const REPOSITORIES: &str = r#"{"Repositories":{"mirror/web":{"mirror/web@sha256:22":"sha256:fe17"},"shop/web":
        {"shop/web:1":"sha256:fe17","shop/web@sha256:11":"sha256:fe17","shop/web@sha256:99":"sha256:0000"}}}"#;

    #[test]
    fn a_container_is_named_with_its_image_digest_labels_and_pod() {
        for below in ["", "100000.100000"] {
            let data = tempfile::tempdir().unwrap();
            let containers = data.path().join(below).join("containers/aa");
            fs::create_dir_all(&containers).unwrap();
            fs::write(containers.join("config.v2.json"), CONFIG).unwrap();
            fs::create_dir_all(data.path().join("image/overlay2")).unwrap();
            fs::write(data.path().join("image/overlay2/repositories.json"), REPOSITORIES).unwrap();
            let found = lookup(data.path(), "aa").unwrap();
            assert_eq!(found.runtime.as_deref(), Some("docker"));
            assert_eq!(found.name.as_deref(), Some("web"), "the container's name within its pod");
            assert_eq!((found.image.as_deref(), found.image_id.as_deref()), (Some("shop/web:1"), Some("fe17")));
            assert_eq!(found.image_digest.as_deref(), Some("sha256:11"));
            assert_eq!((found.pod.as_deref(), found.namespace.as_deref()), (Some("web-0"), Some("prod")));
            assert_eq!(found.pod_uid.as_deref(), Some("u1"));
            assert!(found.labels.unwrap().contains(r#""app":"shop""#));
            assert!(lookup(data.path(), "bb").is_none());
        }
    }

    #[test]
    fn newer_dockers_manifest_and_damage() {
        let data = tempfile::tempdir().unwrap();
        let containers = data.path().join("containers/aa");
        fs::create_dir_all(&containers).unwrap();
        // With containerd's image store; `Labels` may be null.
        let text = r#"{"Name":"/x","Config":{"Image":"web","Labels":null},"Image":"sha256:33","Driver":"overlayfs",
            "ImageManifest":{"mediaType":"m","digest":"sha256:44","size":9}}"#;
        fs::write(containers.join("config.v2.json"), text).unwrap();
        let found = lookup(data.path(), "aa").unwrap();
        assert_eq!((found.image_digest.as_deref(), found.labels), (Some("sha256:44"), None));
        fs::write(containers.join("config.v2.json"), &text[..40]).unwrap();
        assert!(lookup(data.path(), "aa").is_none());
    }
}
