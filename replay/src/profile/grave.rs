//! What a profile that is locked never takes in by itself, however often it recurs: what an intruder is after.
//!
//! Slow tuning forgives what is new and harmless. These need a person, who may learn them anew or merge a profile that has
//! them. The list is about what a behaviour *is*; rules judge besides.

use std::sync::Arc;

use crate::args::path::is_sensitive;
use crate::args::{Canonical, Grammar};
use crate::deviation::Tree;
use crate::observe::Observation;

use super::ArgLeaf;

/// Anybody in the container may write here: no place for a program.
const WRITABLE: &[&str] = &["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/", "/proc/", "/memfd:"];

/// Whose reading is the theft of a credential, or the way out of the container.
const SECRET: &[&str] = &[
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/root/",
    "/home/",
    "/run/secrets/",
    "/var/run/secrets/",
    "/proc/1/",
];
const SECRET_PARTS: &[&str] = &["/.ssh", "/.aws", "/.kube", "/.docker", "/.gnupg", "secret", "credential", ".sock"];

/// Why the behaviour is never taken in; None: it may be. `core`: the leaf as it was locked, for command lines, so that what
/// was taken in since makes nothing further harmless. `risk`: `tuning.risk`.
pub fn grave(observation: &Observation, core: Option<&ArgLeaf>, risk: f32) -> Option<&'static str> {
    match observation.tree {
        Tree::Process => process(observation, core, risk),
        Tree::File => file(observation.steps.last().map_or("", |op| op), &observation.raw),
        Tree::Network => network(&observation.steps),
    }
}

fn process(observation: &Observation, core: Option<&ArgLeaf>, bound: f32) -> Option<&'static str> {
    let program = observation.program();
    if WRITABLE.iter().any(|place| program.starts_with(place)) {
        return Some("a program in a place that anybody may write to");
    }
    let args: &Canonical = observation.args.as_ref()?;
    let risk = match core {
        Some(leaf) => leaf.grammar(program).compare(program, args).risk,
        None => Grammar::default().compare(program, args).risk,
    };
    (risk >= bound).then_some("a risky command line")
}

fn file(op: &str, path: &str) -> Option<&'static str> {
    let secret =
        SECRET.iter().any(|place| path.starts_with(place)) || SECRET_PARTS.iter().any(|part| path.contains(part));
    match op {
        "set id" | "make executable" => Some("makes a program"),
        "denied" => Some("was refused"),
        _ if secret => Some("touches credentials"),
        "write" | "rename to" | "rename" | "unlink" | "chmod" if is_sensitive(path) && path != "/dev/null" => {
            Some("changes the system")
        }
        _ => None,
    }
}

/// `steps`: program, direction and protocol, peer, port.
fn network(steps: &[Arc<str>]) -> Option<&'static str> {
    let (direction, peer) = (steps.get(1)?, steps.get(2)?);
    if !direction.starts_with("connect") {
        return Some("opens a door");
    }
    if peer.starts_with("public ") || peer.ends_with(" public") || &**peer == "metadata" || peer.contains(".sock") {
        return Some("reaches outside");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        for (op, path, grave) in [
            ("read", "/srv/app/data/week.csv", false),
            ("write", "/srv/app/reports/week.csv", false),
            ("read", "/etc/localtime", false),
            ("write", "/dev/null", false),
            ("read", "/etc/shadow", true),
            ("read", "/var/lib/app/secrets/key", true),
            ("list", "/home/app", true),
            ("write", "/etc/cron.d/job", true),
            ("unlink", "/usr/bin/ps", true),
            ("make executable", "/srv/app/x", true),
            ("denied", "/srv/app/x", true),
            ("write", "/run/docker.sock", true),
        ] {
            assert_eq!(super::file(op, path).is_some(), grave, "{op} {path}");
        }
    }

    #[test]
    fn peers() {
        for (direction, peer, grave) in [
            ("connect tcp", "image redis:7", false),
            ("connect tcp", "private 10.1.2.0/24", false),
            ("connect tcp", "domain db.internal private", false),
            ("connect unix", "socket /run/app/gunicorn", false),
            ("connect tcp", "public 203.0.113.0/24", true),
            ("connect tcp", "domain cdn.example public", true),
            ("connect tcp", "metadata", true),
            ("connect unix", "socket /run/docker.sock", true),
            ("listen tcp", "any", true),
            ("accept tcp", "loopback", true),
        ] {
            let steps: Vec<Arc<str>> = ["app", direction, peer, "80"].map(Arc::from).into();
            assert_eq!(super::network(&steps).is_some(), grave, "{direction} {peer}");
        }
    }
}
