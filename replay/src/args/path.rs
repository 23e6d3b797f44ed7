//! Paths: values in their segments are masked, except where the very name is what matters.

use super::mask;

/// Directories whose names are never masked and never collapsed: configuration, credentials, programs, devices.
const SENSITIVE: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/root",
    "/run/secrets",
    "/sbin",
    "/sys",
    "/usr",
    "/var/run/secrets",
    "/var/spool/cron",
];

/// The subset that stays name by name however many names it has: a wildcard there would hide a credential.
const NEVER_COLLAPSED: &[&str] =
    &["/boot", "/dev", "/etc", "/home", "/root", "/run/secrets", "/var/run/secrets", "/var/spool/cron"];

/// Directories whose files are named at random by the programs that make them.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp", "/dev/shm"];

fn under(path: &str, directories: &[&str]) -> bool {
    directories.iter().any(|dir| path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether a path names something whose exact name is the risk.
pub fn is_sensitive(path: &str) -> bool {
    under(path, SENSITIVE) || path.contains("/.ssh") || path.contains("/.aws") || path.ends_with(".sock")
}

/// Whether the children of this directory may be generalised to a wildcard: not where the names are the risk, nor above.
pub fn may_collapse(directory: &str) -> bool {
    let above = |never: &&str| never.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    !under(directory, NEVER_COLLAPSED)
        && !NEVER_COLLAPSED.iter().any(above)
        && !directory.contains("/.ssh")
        && !directory.contains("/.aws")
}

/// Whether what looks like a mask in a masked path is one: in sensitive places it is a name.
pub fn has_masks(masked: &str) -> bool {
    masked.starts_with("/proc/") || under(masked, TEMPORARY) || !is_sensitive(masked)
}

/// The path with the values in its segments masked. `.` and empty segments vanish; `..` stays, for a path that climbs
/// is not the path it seems to be.
pub fn mask_path(path: &str) -> String {
    if let Some(rest) = path.strip_prefix("/proc/") {
        return mask_proc(rest);
    }
    let temporary = under(path, TEMPORARY);
    let sensitive = is_sensitive(path) && !temporary;
    let mut out = String::with_capacity(path.len());
    for (i, segment) in path.split('/').enumerate() {
        if i > 0 {
            if segment.is_empty() || segment == "." {
                continue;
            }
            out.push('/');
        }
        if sensitive {
            out.push_str(segment);
        } else {
            out.push_str(&mask_segment(segment, temporary));
        }
    }
    if out.is_empty() && path.starts_with('/') {
        out.push('/');
    }
    out
}

/// /proc/<pid>/… with the pid masked, but pid 1 kept: it is the way to the container's (or host's) first process.
fn mask_proc(rest: &str) -> String {
    let segments = rest.split('/').filter(|segment| !segment.is_empty());
    let masked = segments.enumerate().map(|(i, segment)| {
        let number = segment.bytes().all(|b| b.is_ascii_digit());
        match (i, number) {
            (0, true) if segment != "1" && segment != "0" => "<pid>",
            (1.., true) => "<num>",
            _ => segment,
        }
    });
    format!("/proc/{}", masked.collect::<Vec<_>>().join("/"))
}

fn mask_segment(segment: &str, temporary: bool) -> String {
    let random = || temporary.then(|| mask::mask_random(segment)).flatten();
    mask::mask_value(segment).or_else(random).unwrap_or_else(|| mask::mask_embedded(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_segments_are_masked() {
        for (path, masked) in [
            ("/var/log/nginx/access.log.1", "/var/log/nginx/access.log.<num>"),
            ("/tmp/tmpk3_x9a1b/out", "/tmp/<tmp>/out"),
            ("/tmp/xmrig", "/tmp/xmrig"),
            ("/tmp/wgunicorn-h9u9qf5r", "/tmp/wgunicorn-<tmp>"),
            ("/srv/wgunicorn-h9u9qf5r", "/srv/wgunicorn-h9u9qf5r"),
            ("/dev/shm/sem.aB3xYz", "/dev/shm/sem.<tmp>"),
            ("/proc/4711/stat", "/proc/<pid>/stat"),
            ("/proc/self/fd/7", "/proc/self/fd/<num>"),
            ("/proc/1/root/etc/shadow", "/proc/1/root/etc/shadow"),
            ("/srv//data/./x", "/srv/data/x"),
            ("../../srv/x", "../../srv/x"),
            ("/", "/"),
            ("./run", "./run"),
            ("", ""),
        ] {
            assert_eq!(mask_path(path), masked, "{path}");
        }
    }

    #[test]
    fn sensitive_names_are_never_masked() {
        for path in [
            "/etc/cron.d/job-12345",
            "/root/.ssh/id_20250131",
            "/usr/bin/python3.11",
            "/dev/sda1234",
            "/srv/app/.ssh/key-1234",
            "/run/secrets/token-1",
            "/run/podman/podman.sock",
        ] {
            assert_eq!(mask_path(path), path);
        }
    }

    #[test]
    fn directories_with_credentials_do_not_collapse() {
        assert!(!may_collapse("/etc"));
        assert!(!may_collapse("/home/app/.ssh"));
        assert!(may_collapse("/usr/lib/python3"));
        assert!(may_collapse("/etcetera"));
        assert!(!may_collapse("") && !may_collapse("/var/run"));
        assert!(may_collapse("/var/lib"));
    }
}
