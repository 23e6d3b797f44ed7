//! The cgroup hierarchy that container ids are read from: v2, v1, or the v1 half of a hybrid layout.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// v1 controllers in the order we prefer them, with the number the BPF programs know them by (`controller` in state.h).
const CONTROLLERS: [(&str, u32); 6] =
    [("pids", 1), ("memory", 2), ("cpu", 3), ("cpuset", 4), ("devices", 5), ("freezer", 6)];

/// One mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// As in `/proc/PID/cgroup`; 0 is v2.
    pub id: i32,
    /// Number of the v1 controller in the BPF programs; 0 for v2.
    pub controller: u32,
    /// For people: `v2`, or the v1 controller's name.
    pub name: String,
    pub mount: PathBuf,
}

impl Hierarchy {
    /// Picks the hierarchy container runtimes use here: a v1 controller where one is mounted (also on a hybrid layout,
    /// where the v2 tree is not where runtimes put containers), else v2.
    pub fn detect() -> Result<Hierarchy> {
        let read =
            |path: &str| fs::read_to_string(path).map_err(|source| Error::Read { path: PathBuf::from(path), source });
        Hierarchy::choose(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?).ok_or_else(|| {
            Error::prerequisite("no cgroup hierarchy is mounted", "mount one: mount -t cgroup2 none /sys/fs/cgroup")
        })
    }

    fn choose(mountinfo: &str, own_cgroups: &str) -> Option<Hierarchy> {
        for (name, controller) in CONTROLLERS {
            let Some(mount) = mount_of(mountinfo, "cgroup", Some(name)) else { continue };
            let Some(id) = hierarchy_id(own_cgroups, name) else { continue };
            return Some(Hierarchy { id, controller, name: name.to_owned(), mount });
        }
        let mount = mount_of(mountinfo, "cgroup2", None)?;
        Some(Hierarchy { id: 0, controller: 0, name: "v2".to_owned(), mount })
    }

    /// The directory of a cgroup.
    pub fn dir(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }

    /// The processes in a cgroup; none if it is gone.
    pub fn processes(&self, path: &str) -> Vec<u32> {
        let file = self.dir(path).join("cgroup.procs");
        fs::read_to_string(file).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Every cgroup of the hierarchy: `(kernfs id, path from its root)`.
    pub fn walk(&self) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        let mut todo = vec![self.mount.clone()];
        while let Some(dir) = todo.pop() {
            // A cgroup may vanish while we look.
            let Ok(meta) = fs::metadata(&dir) else { continue };
            let path = dir.strip_prefix(&self.mount).unwrap_or(Path::new(""));
            found.push((meta.ino(), format!("/{}", path.display())));
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            todo.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
        found
    }
}

/// The mount point of a cgroup file system, from `/proc/self/mountinfo` (proc(5)).
pub fn mount_of(mountinfo: &str, fstype: &str, controller: Option<&str>) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let matches = after.next()? == fstype
            && controller.is_none_or(|name| after.nth(1).is_some_and(|o| o.split(',').any(|option| option == name)));
        matches.then(|| before.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

/// The id of a v1 hierarchy, from lines of `/proc/self/cgroup` as `8:pids:/`.
fn hierarchy_id(own_cgroups: &str, controller: &str) -> Option<i32> {
    own_cgroups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let id = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|name| name == controller).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_layout_uses_its_v1_half_and_a_unified_one_v2() {
        let hybrid = "30 20 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      31 20 0:27 / /sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids\n";
        let chosen = Hierarchy::choose(hybrid, "8:pids:/\n0::/\n").unwrap();
        assert_eq!((chosen.id, chosen.controller), (8, 1));
        assert_eq!(chosen.mount, Path::new("/sys/fs/cgroup/pids"));
        let unified = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Hierarchy::choose(unified, "0::/user.slice\n").unwrap().controller, 0);
        let v1 = "31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 20 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        let chosen = Hierarchy::choose(v1, "5:memory:/x\n4:cpu,cpuacct:/x\n1:name=systemd:/x\n").unwrap();
        assert_eq!((chosen.id, chosen.name.as_str()), (5, "memory"));
        assert_eq!(Hierarchy::choose("", ""), None);
    }
}
