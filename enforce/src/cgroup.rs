//! Cgroups of version 2.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use crate::error::{Error, Result};

/// A directory of the hierarchy, held open.
#[derive(Debug)]
pub struct Cgroup {
    pub path: PathBuf,
    pub file: File,
}

impl Cgroup {
    /// `given`: a directory, or a path below the root of the hierarchy.
    ///
    /// # Errors
    /// No such cgroup, or one of version 1.
    pub fn open(given: &Path) -> Result<Cgroup> {
        const WHICH: &str = "give a container's, as /proc/PID/cgroup of one of its processes says after `0::`";
        let none = |why: &str| Error::prerequisite(format!("--cgroup {}: {why}", given.display()), WHICH);
        let below = given.strip_prefix("/").unwrap_or(given);
        let path = [Some(given.to_owned()), root().map(|root| root.join(below))]
            .into_iter()
            .flatten()
            .find(|path| path.is_absolute() && path.is_dir())
            .ok_or_else(|| none("no such cgroup"))?;
        let file = File::open(&path).map_err(|error| none(&error.to_string()))?;
        match statfs(&path) {
            Ok(found) if found.filesystem_type() == CGROUP2_SUPER_MAGIC => Ok(Cgroup { path, file }),
            _ => Err(none("no cgroup of version 2")),
        }
    }
}

/// Where the hierarchy is mounted.
pub fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [_, path, "cgroup2", ..] => Some(path.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cgroup_is_refused() {
        let why = |path: &str| Cgroup::open(Path::new(path)).unwrap_err().to_string();
        assert!(why("/no/such").contains("no such cgroup"));
        assert!(why("/proc").contains("no cgroup of version 2"));
    }
}
