//! Container ids in cgroup paths: how each runtime names its cgroups.
//!
//! The path is the same on v2, on each v1 controller and on a hybrid layout; what differs is the cgroup driver (a path, or
//! systemd's slices and scopes) and what lies above: a user's slice (rootless), a container (Docker in Docker, kind).

/// What the last component that names a container tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// 64 hex digits.
    pub id: &'a str,
    /// The container's own cgroup, of which those below it are parts.
    pub cgroup: &'a str,
    /// The runtime, where the name says it.
    pub runtime: Option<&'static str>,
}

/// What stands before the id in a component, without the `-` or `:` between: `libpod-ID`, `docker-ID.scope`,
/// `system.slice:docker:ID`.
const PREFIXES: &[(&str, &str)] = &[
    ("libpod", "podman"),
    // `podman run --cgroups=split`, as in a systemd unit.
    ("libpod-payload", "podman"),
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
];

/// The container a cgroup belongs to: the innermost, where one runs inside another.
pub fn named(path: &str) -> Option<Named<'_>> {
    components(path).find_map(|(cgroup, component)| named_by(cgroup, component))
}

/// The cgroups from this one up to the root's child, each as (path, its own name).
pub fn components(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = path.trim_end_matches('/');
    std::iter::from_fn(move || {
        let (parent, name) = rest.rsplit_once('/')?;
        let found = (rest, name);
        rest = parent;
        (!name.is_empty()).then_some(found)
    })
}

/// Whether this component names a container, and which.
pub fn named_by<'a>(cgroup: &'a str, component: &'a str) -> Option<Named<'a>> {
    let stem = component.strip_suffix(".scope").unwrap_or(component);
    let (before, id) = stem.split_at_checked(stem.len().checked_sub(64)?)?;
    if !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let parent = cgroup.strip_suffix(component)?.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if before.is_empty() {
        return match parent {
            // A pod of podman's; its containers are below.
            "libpod_parent" => None,
            "docker" => Some(Named { id, cgroup, runtime: Some("docker") }),
            _ => Some(Named { id, cgroup, runtime: None }),
        };
    }
    let prefix = before.strip_suffix(['-', ':'])?;
    let prefix = prefix.rsplit(':').next().unwrap_or(prefix);
    // The monitor beside a container: libpod-conmon-ID, crio-conmon-ID.
    if prefix.ends_with("conmon") {
        return None;
    }
    let runtime = PREFIXES.iter().find(|(known, _)| *known == prefix).map(|(_, runtime)| *runtime);
    Some(Named { id, cgroup, runtime })
}

/// The Kubernetes uid of the pod that a cgroup belongs to, as the kubelet names its cgroups (`cgroup_manager_linux.go`):
/// `/kubepods/burstable/podUID/...`, or `kubepods-burstable-podUID.slice` with `_` for `-`.
pub fn pod_uid(path: &str) -> Option<String> {
    let in_slice = |component: &str| {
        let (before, uid) = component.strip_suffix(".slice")?.rsplit_once("-pod")?;
        (before.split('-').any(|part| part == "kubepods")).then(|| uid.replace('_', "-"))
    };
    let plain = path.split('/').any(|component| component == "kubepods");
    let found = path.split('/').rev().find_map(|component| {
        in_slice(component).or_else(|| component.strip_prefix("pod").filter(|_| plain).map(str::to_owned))
    })?;
    let is_uid = found.len() >= 32 && found.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(found)
}

/// The ids that a container of an OCI runtime may have by the name of its cgroup: `/ID`, or `runc-ID.scope` of systemd's.
pub fn plain_ids(component: &str) -> impl Iterator<Item = &str> {
    let stem = component.strip_suffix(".scope");
    let after_prefix = stem.and_then(|stem| stem.split_once('-')).map(|(_, id)| id);
    [Some(component), after_prefix].into_iter().flatten().filter(|id| !id.is_empty())
}

/// Whether a cgroup is the one a bundle asks for: `wanted` is its `linux.cgroupsPath` (a path, or systemd's
/// `slice:prefix:name`), or the container's id where it gives none. Runtimes put a path below their own cgroup.
pub fn is_cgroup_of(path: &str, wanted: &str) -> bool {
    let parts: Vec<&str> = wanted.split(':').collect();
    if let [_, prefix, name] = parts[..] {
        let scope = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        return path.ends_with(&format!("/{scope}"));
    }
    let wanted = wanted.trim_matches('/');
    !wanted.is_empty() && path.trim_end_matches('/').ends_with(&format!("/{wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "1f2e3d4c-5b6a-7980-a1b2-c3d4e5f60718";

    /// (path, the container's own part of it, runtime, pod uid)
    fn table() -> Vec<(String, String, Option<&'static str>, Option<&'static str>)> {
        let slice_uid = UID.replace('-', "_");
        let mut rows: Vec<(String, Option<&'static str>, Option<&'static str>)> = vec![
            // systemd driver
            (format!("/machine.slice/libpod-{ID}.scope"), Some("podman"), None),
            (format!("/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope"), Some("podman"), None),
            (format!("/system.slice/web.service/libpod-payload-{ID}"), Some("podman"), None),
            (format!("/system.slice/docker-{ID}.scope"), Some("docker"), None),
            (format!("/system.slice/nerdctl-{ID}.scope"), Some("containerd"), None),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice_uid}.slice/cri-containerd-{ID}.scope"
                ),
                Some("containerd"),
                Some(UID),
            ),
            (format!("/kubepods.slice/kubepods-pod{slice_uid}.slice/crio-{ID}.scope"), Some("cri-o"), Some(UID)),
            (format!("/kubepods.slice/kubepods-pod{slice_uid}.slice/docker-{ID}.scope"), Some("docker"), Some(UID)),
            // cgroupfs driver; each v1 controller has the same path
            (format!("/libpod_parent/libpod-{ID}"), Some("podman"), None),
            (format!("/libpod_parent/{OTHER}/libpod-{ID}"), Some("podman"), None),
            (format!("/docker/{ID}"), Some("docker"), None),
            (format!("/kubepods/burstable/pod{UID}/{ID}"), None, Some(UID)),
            (format!("/kubepods/besteffort/pod{UID}/crio-{ID}"), Some("cri-o"), Some(UID)),
            (format!("/k8s.io/{ID}"), None, None),
            // cgroupfs driver given systemd's form
            (format!("/system.slice:docker:{ID}"), Some("docker"), None),
            (format!("/kubepods-pod{slice_uid}.slice:cri-containerd:{ID}"), Some("containerd"), None),
            // rootless
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
                Some("podman"),
                None,
            ),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"),
                Some("docker"),
                None,
            ),
            // one inside another: Docker in Docker, kind
            (format!("/docker/{OTHER}/docker/{ID}"), Some("docker"), None),
            (format!("/docker/{OTHER}/kubelet/kubepods/besteffort/pod{UID}/{ID}"), None, Some(UID)),
            (
                format!(
                    "/system.slice/docker-{OTHER}.scope/kubelet.slice/kubelet-kubepods.slice/\
                     kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{slice_uid}.slice/cri-containerd-{ID}.scope"
                ),
                Some("containerd"),
                Some(UID),
            ),
        ];
        let mut all: Vec<_> = rows.clone().into_iter().map(|(path, r, p)| (path.clone(), path, r, p)).collect();
        // What a container makes below its own cgroup is a part of it.
        for (path, runtime, pod) in rows.drain(..) {
            for below in ["container", "init.scope", "system.slice/nginx.service"] {
                all.push((format!("{path}/{below}"), path.clone(), runtime, pod));
            }
        }
        all
    }

    #[test]
    fn every_runtimes_form_is_known() {
        for (path, cgroup, runtime, pod) in table() {
            let found = named(&path).unwrap_or_else(|| panic!("no container in {path}"));
            assert_eq!(found, Named { id: ID, cgroup: &cgroup, runtime }, "{path}");
            assert_eq!(pod_uid(&path).as_deref(), pod, "{path}");
        }
    }

    #[test]
    fn what_is_not_a_container_has_no_id() {
        let upper = ID.to_uppercase();
        for path in [
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/crio-conmon-{ID}.scope"),
            format!("/libpod_parent/libpod-conmon-{ID}"),
            format!("/libpod_parent/{ID}"),
            format!("/x/{}", &ID[1..]),
            format!("/x{ID}"),
            format!("/{upper}"),
            "/é".repeat(40),
            "/user.slice/user-1000.slice/session-3.scope".to_owned(),
            "/".to_owned(),
            String::new(),
        ] {
            assert_eq!(named(&path), None, "{path}");
            assert_eq!(pod_uid(&path), None, "{path}");
        }
    }

    #[test]
    fn static_pods_have_a_hash_for_a_uid() {
        let path = "/kubepods/burstable/podc4ca4238a0b923820dcc509a6f75849b/x";
        assert_eq!(pod_uid(path).as_deref(), Some("c4ca4238a0b923820dcc509a6f75849b"));
    }

    #[test]
    fn a_bundle_says_which_cgroup_is_its_own() {
        assert!(is_cgroup_of("/default/redis", "/default/redis"));
        assert!(is_cgroup_of("/user.slice/me/test", "test"));
        assert!(is_cgroup_of("/system.slice/runc-test.scope", "system.slice:runc:test"));
        assert!(is_cgroup_of("/system.slice/test.scope", "system.slice::test"));
        assert!(!is_cgroup_of("/default", "/default/redis"));
        assert!(!is_cgroup_of("/other-redis", "redis"));
        assert!(!is_cgroup_of("/anything", ""));
        assert_eq!(plain_ids("runc-my-app.scope").collect::<Vec<_>>(), ["runc-my-app.scope", "my-app"]);
        assert_eq!(plain_ids("redis").collect::<Vec<_>>(), ["redis"]);
    }
}
