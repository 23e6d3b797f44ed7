//! Where the host sees a file of a container: from the host's mount table.
//!
//! The kernel side tells a file by its device and its path inside that file system, whatever is mounted where in the
//! container. A mount of the same file system in the recorder's own mount namespace then gives the host's path: a volume
//! where it was made, the container's root where the runtime mounted it. A file system that the host has not mounted, as a
//! tmpfs inside a container, has no host path.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::text;
use crate::error::{Error, Result};

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// One mount of a file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// The part of the file system that is mounted.
    root: String,
    point: String,
    /// Mount points on top of it: what is below them is hidden.
    covered: Vec<String>,
}

/// Mounts by device, those of the larger part of a file system first.
#[derive(Debug, Default)]
struct Table(HashMap<u32, Arc<[Mount]>>);

/// A container's view of a device: kept, since the host may unmount before the last events are read.
struct Seen {
    generation: u64,
    mounts: Option<Arc<[Mount]>>,
}

/// The host's mounts, read again when they change.
pub struct HostView {
    file: File,
    table: Table,
    generation: u64,
    /// (container, device). A device number is used again after its file system is gone, as by the next container; what a
    /// container's first file told holds for its life.
    seen: HashMap<(Option<Arc<str>>, u32), Seen>,
}

/// Pairs of container and device kept before all are looked up anew.
const SEEN_MAX: usize = 65_536;

impl HostView {
    pub fn open() -> Result<HostView> {
        let error = |source| Error::Read { path: PathBuf::from(MOUNTINFO), source };
        let mut file = File::open(MOUNTINFO).map_err(error)?;
        let table = read(&mut file).map_err(error)?;
        Ok(HostView { file, table, generation: 0, seen: HashMap::new() })
    }

    /// Reads the table again if it changed since the last call. A table that cannot be read any more stays as it was.
    pub fn refresh(&mut self) {
        let mut poll = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
        // SAFETY: one valid pollfd; a timeout of 0 returns at once. proc_pid_mounts(5): a change is POLLERR and POLLPRI.
        if unsafe { libc::poll(&raw mut poll, 1, 0) } > 0
            && let Ok(table) = read(&mut self.file)
        {
            self.table = table;
            self.generation += 1;
        }
    }

    /// The host's path of a file at `place` inside the file system on `dev` (kernel dev_t).
    pub fn path(&mut self, container: Option<&Arc<str>>, dev: u32, place: &str) -> Option<String> {
        let key = (container.cloned(), dev);
        if !self.seen.contains_key(&key) {
            // New to us: the table may be older than the mount.
            self.refresh();
            if self.seen.len() >= SEEN_MAX {
                self.seen.clear();
            }
        }
        let (table, generation) = (&self.table, self.generation);
        let find = || table.0.get(&dev).cloned();
        let seen = self.seen.entry(key).or_insert_with(|| Seen { generation, mounts: find() });
        if seen.generation != generation {
            seen.generation = generation;
            let found = find();
            if container.is_none() || continues(seen.mounts.as_deref(), found.as_deref()) {
                seen.mounts = found;
            }
        }
        seen.mounts.as_ref()?.iter().find_map(|mount| mount.path(place))
    }
}

/// Whether it is still the same file system: mounted where it was. Elsewhere, its number was given to another.
fn continues(before: Option<&[Mount]>, now: Option<&[Mount]>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return false };
    now.iter().any(|new| before.iter().any(|old| (&old.root, &old.point) == (&new.root, &new.point)))
}

impl Mount {
    fn path(&self, place: &str) -> Option<String> {
        let rest = below(place, &self.root)?;
        let path = match (self.point.as_str(), rest) {
            ("/", "") => "/".to_owned(),
            ("/", rest) => rest.to_owned(),
            (point, rest) => format!("{point}{rest}"),
        };
        let hidden = self.covered.iter().any(|point| below(&path, point).is_some());
        (!hidden).then_some(path)
    }
}

/// What follows `dir` in `path`: empty, or from a slash on. None: `path` is elsewhere.
fn below<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    if dir == "/" {
        return Some(if path == "/" { "" } else { path });
    }
    path.strip_prefix(dir).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn read(file: &mut File) -> io::Result<Table> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(Table::parse(&bytes))
}

/// A line of the table.
struct Line {
    id: u32,
    parent: u32,
    dev: u32,
    root: String,
    point: String,
}

impl Table {
    fn parse(mountinfo: &[u8]) -> Table {
        let lines: Vec<Line> = mountinfo.split(|&byte| byte == b'\n').filter_map(Line::parse).collect();
        let mut by_device: HashMap<u32, Vec<Mount>> = HashMap::new();
        for line in lines.iter().filter(|line| line.is_reachable(&lines)) {
            let covered = lines.iter().filter(|other| other.parent == line.id && other.id != line.id);
            by_device.entry(line.dev).or_default().push(Mount {
                root: line.root.clone(),
                point: line.point.clone(),
                covered: covered.map(|other| other.point.clone()).collect(),
            });
        }
        Table(
            by_device
                .into_iter()
                .map(|(dev, mut mounts)| {
                    mounts.sort_by_key(|mount| mount.root.len());
                    (dev, mounts.into())
                })
                .collect(),
        )
    }
}

impl Line {
    /// proc_pid_mountinfo(5): `36 35 98:0 /root /point rw - ext3 ...`.
    fn parse(line: &[u8]) -> Option<Line> {
        let mut fields = line.split(|&byte| byte == b' ');
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
        let (id, parent) = (number(fields.next()?)?, number(fields.next()?)?);
        let device = fields.next()?;
        let colon = device.iter().position(|&byte| byte == b':')?;
        let dev = number(&device[..colon])? << 20 | number(&device[colon + 1..])?;
        Some(Line { id, parent, dev, root: unescape(fields.next()?), point: unescape(fields.next()?) })
    }

    /// Whether its mount point leads to it: not if another mount lies over the way there, or on top of it entirely.
    fn is_reachable(&self, lines: &[Line]) -> bool {
        let hides = |parent: &Line, child: &Line| {
            lines.iter().any(|other| {
                other.parent == parent.id && other.id != child.id && below(&child.point, &other.point).is_some()
            })
        };
        let mut at = self;
        // A chain of parents is shorter than the table; a damaged one ends.
        for _ in 0..lines.len() {
            let Some(parent) = lines.iter().find(|line| line.id == at.parent && line.id != at.id) else { break };
            if hides(parent, at) {
                return false;
            }
            at = parent;
        }
        true
    }
}

/// Space, tab, newline and backslash come as three octal digits (seq_path in fs/seq_file.c).
fn unescape(field: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let value = octal.map(|digits| digits.iter().fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0')));
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    text(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
1 0 254:0 / / rw - ext4 /dev/vda rw
2 1 0:21 / /proc rw - proc proc rw
3 1 254:0 /var/lib/overlay /var/lib/overlay rw - ext4 /dev/vda rw
4 3 0:57 / /var/lib/overlay/ab/merged rw - overlay overlay rw
5 1 8:1 /srv /mnt/two\\040words rw - ext4 /dev/sdb rw
6 1 8:2 / /hidden/below rw - ext4 /dev/sdc rw
7 1 0:60 / /hidden rw - tmpfs tmpfs rw
";

    fn path(dev: (u32, u32), place: &str) -> Option<String> {
        let table = Table::parse(TABLE.as_bytes());
        table.0.get(&(dev.0 << 20 | dev.1))?.iter().find_map(|mount| mount.path(place))
    }

    #[test]
    fn a_volume_and_a_containers_root_are_where_the_host_has_them() {
        assert_eq!(path((254, 0), "/srv/volume/x").as_deref(), Some("/srv/volume/x"));
        assert_eq!(path((254, 0), "/").as_deref(), Some("/"));
        assert_eq!(path((0, 57), "/etc/passwd").as_deref(), Some("/var/lib/overlay/ab/merged/etc/passwd"));
        assert_eq!(path((8, 1), "/srv/a").as_deref(), Some("/mnt/two words/a"));
    }

    #[test]
    fn what_the_host_does_not_see_has_no_path() {
        assert_eq!(path((0, 99), "/x"), None, "a file system that is not mounted");
        assert_eq!(path((8, 1), "/other/a"), None, "a part that is not mounted");
        assert_eq!(path((8, 1), "/srvx"), None, "another name that begins alike");
        assert_eq!(path((8, 2), "/x"), None, "a mount below another");
        assert_eq!(path((254, 0), "/proc/x"), None, "a directory below a mount");
        assert_eq!(path((254, 0), "/hidden/x"), None);
    }

    #[test]
    fn a_part_that_is_mounted_over_itself_is_reached_through_the_upper_mount() {
        assert_eq!(path((254, 0), "/var/lib/overlay/ab/diff/f").as_deref(), Some("/var/lib/overlay/ab/diff/f"));
    }

    #[test]
    fn a_container_keeps_its_mounts_until_the_host_has_others_for_the_device() {
        // Never readable as a mount table, and never changed.
        let file = File::open("/dev/null").unwrap();
        let table = |text: &str| Table::parse(text.as_bytes());
        let mut view = HostView { file, table: table(TABLE), generation: 0, seen: HashMap::new() };
        let (old, new): (Arc<str>, Arc<str>) = ("old".into(), "new".into());
        let merged = |path: Option<String>| path.map(|path| path.replace("/var/lib/overlay/", ""));
        assert_eq!(merged(view.path(Some(&old), 57, "/f")).as_deref(), Some("ab/merged/f"));
        // Unmounted, while its last events are still to be read.
        view.table = table("1 0 254:0 / / rw - ext4 /dev/vda rw\n");
        view.generation += 1;
        assert_eq!(merged(view.path(Some(&old), 57, "/f")).as_deref(), Some("ab/merged/f"));
        assert_eq!(view.path(Some(&new), 57, "/f"), None);
        // The number is another container's now.
        view.table = table(&TABLE.replace("ab/merged", "cd/merged"));
        view.generation += 1;
        let newer: Arc<str> = "newer".into();
        assert_eq!(merged(view.path(Some(&newer), 57, "/f")).as_deref(), Some("cd/merged/f"));
        assert_eq!(merged(view.path(Some(&old), 57, "/f")).as_deref(), Some("ab/merged/f"));
        assert_eq!(view.path(Some(&new), 57, "/f"), None, "what it saw was not on the host");
        assert_eq!(merged(view.path(None, 57, "/f")).as_deref(), Some("cd/merged/f"));
    }

    #[test]
    fn the_hosts_own_root_is_found() {
        let mut view = HostView::open().unwrap();
        let meta = std::fs::metadata("/").unwrap();
        use std::os::unix::fs::MetadataExt;
        let dev = libc::major(meta.dev()) << 20 | libc::minor(meta.dev());
        assert_eq!(view.path(None, dev, "/x-that-is-not-there").as_deref(), Some("/x-that-is-not-there"));
    }
}
