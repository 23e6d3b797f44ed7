//! Rows of the file class.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Common, FileEvent};
use foldhash::fast::RandomState;
use record_bpf::Kind;
use record_bpf::abi;

use super::strings::Interner;
use crate::decode::FileRecord;
use crate::mounts::HostView;

/// Both views of a file's path.
#[derive(Clone, Default)]
struct Paths {
    own: Option<Arc<str>>,
    host: Option<Arc<str>>,
    truncated: bool,
}

/// Paths of the files that are open, by process and descriptor, with their inodes: the kernel tells them once.
#[derive(Default)]
pub struct Opened(HashMap<u32, HashMap<i32, (u64, Paths), RandomState>, RandomState>);

impl Opened {
    pub fn exited(&mut self, pid: u32) {
        self.0.remove(&pid);
    }

    fn insert(&mut self, pid: u32, fd: i32, inode: u64, paths: Paths) {
        self.0.entry(pid).or_default().insert(fd, (inode, paths));
    }

    fn remove(&mut self, pid: u32, fd: i32, inode: u64) -> Option<Paths> {
        let (opened, paths) = self.0.get_mut(&pid)?.remove(&fd)?;
        (opened == inode).then_some(paths)
    }
}

pub fn event(
    common: Common,
    file: &FileRecord,
    strings: &mut Interner,
    opened: &mut Opened,
    host: &mut HostView,
) -> FileEvent {
    let wire = &file.wire;
    let has = |flag: u32| wire.flags & flag != 0;
    let kind = common.kind;
    let mut paths = Paths {
        own: file.path.as_deref().map(|path| strings.get(path)),
        host: None,
        truncated: has(abi::FILE_PATH_TRUNCATED | abi::FILE_PATH_FAULT),
    };
    if let Some(place) = &file.place {
        let found = host.path(common.container.as_ref(), wire.dev, place);
        paths.host = found.filter(|path| Some(path.as_str()) != file.path.as_deref()).map(|path| strings.get(&path));
    }
    match kind {
        Kind::Open if wire.ret >= 0 && paths.own.is_some() => {
            opened.insert(common.pid, wire.fd, wire.inode, paths.clone());
        }
        Kind::Close => {
            let known = opened.remove(common.pid, wire.fd, wire.inode);
            if let (None, Some(known)) = (&paths.own, known) {
                paths = known;
            }
        }
        _ => {}
    }
    let is_close = kind == Kind::Close;
    let is_io = matches!(kind, Kind::Read | Kind::Write);
    let has_flags = is_close
        || matches!(kind, Kind::Open | Kind::Rename | Kind::Link | Kind::Chown | Kind::Setxattr | Kind::Fallocate);
    let asks_mode = matches!(kind, Kind::Chmod | Kind::Mkdir | Kind::Mknod);
    // chown leaves an id that is -1 as it is.
    let owner = |id: u32| (kind == Kind::Chown && id != u32::MAX).then_some(id);
    let device_node = kind == Kind::Mknod && matches!(wire.mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK);
    // A file without a name was not reached: the call failed, or went by name only.
    let identified = wire.inode != 0;
    FileEvent {
        new_path: file.new_path.as_deref().map(|path| strings.get(path)),
        path_from_user: has(abi::FILE_PATH_USER),
        path_truncated: paths.truncated,
        deleted: has(abi::FILE_PATH_DELETED),
        ret: wire.ret,
        fd: (wire.fd >= 0).then_some(wire.fd),
        flags: has_flags.then_some(wire.call_flags),
        mode: (asks_mode || identified).then_some(wire.mode),
        inode: identified.then_some(wire.inode),
        dev: identified.then_some(wire.dev),
        bytes_read: is_close.then_some(wire.bytes_read),
        bytes_written: is_close.then_some(wire.bytes_written),
        reads: is_close.then_some(wire.reads),
        writes: is_close.then_some(wire.writes),
        implicit: has(abi::FILE_IMPLICIT_CLOSE),
        path: paths.own,
        host_path: paths.host,
        offset: ((is_io || kind == Kind::Fallocate) && wire.offset != abi::OFFSET_UNKNOWN).then_some(wire.offset),
        size: matches!(kind, Kind::Truncate | Kind::Fallocate).then_some(wire.size),
        uid: owner(wire.uid),
        gid: owner(wire.gid),
        attribute: file.attribute.as_deref().map(|name| strings.get(name)),
        node_dev: device_node.then(|| kernel_dev(wire.node)),
        common,
    }
}

/// A device as user space passes it (glibc's makedev, 32 bits) to the kernel's own form, as in every other column.
fn kernel_dev(device: u32) -> u32 {
    libc::major(device.into()) << 20 | libc::minor(device.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_form_in_every_column() {
        let device = u32::try_from(libc::makedev(254, 300)).unwrap();
        assert_eq!(kernel_dev(device), 254 << 20 | 300);
    }
}
