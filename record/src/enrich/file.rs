//! Rows of the file class.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Common, FileEvent};
use record_bpf::Kind;
use record_bpf::abi;

use super::strings::Interner;
use crate::decode::FileRecord;

/// Path of each descriptor opened, for closes that the kernel sees too late to name: (pid, fd) → (inode, path).
#[derive(Default)]
pub struct Opened(HashMap<(u32, i32), (u64, Arc<str>)>);

impl Opened {
    pub fn exited(&mut self, pid: u32) {
        self.0.retain(|(of, _), _| *of != pid);
    }
}

pub fn event(common: Common, file: &FileRecord, strings: &mut Interner, opened: &mut Opened) -> FileEvent {
    let wire = &file.wire;
    let has = |flag: u32| wire.flags & flag != 0;
    let mut path = file.path.as_deref().map(|path| strings.get(path));
    match common.kind {
        Kind::Open if wire.ret >= 0 => {
            if let Some(path) = &path {
                opened.0.insert((common.pid, wire.fd), (wire.inode, path.clone()));
            }
        }
        Kind::Close => {
            let open = opened.0.remove(&(common.pid, wire.fd));
            path = path.or_else(|| open.filter(|(inode, _)| *inode == wire.inode).map(|(_, path)| path));
        }
        _ => {}
    }
    let (is_open, is_close) = (common.kind == Kind::Open, common.kind == Kind::Close);
    let is_chmod = common.kind == Kind::Chmod;
    // A file without a name was not reached: the call failed, or went by name only.
    let identified = wire.inode != 0;
    FileEvent {
        new_path: file.new_path.as_deref().map(|path| strings.get(path)),
        path_from_user: has(abi::FILE_PATH_USER),
        path_truncated: has(abi::FILE_PATH_TRUNCATED | abi::FILE_PATH_FAULT),
        deleted: has(abi::FILE_PATH_DELETED),
        ret: wire.ret,
        fd: (wire.fd >= 0).then_some(wire.fd),
        flags: (is_open || is_close).then_some(wire.open_flags),
        mode: (is_chmod || identified).then_some(wire.mode),
        inode: identified.then_some(wire.inode),
        dev: identified.then_some(wire.dev),
        bytes_read: is_close.then_some(wire.bytes_read),
        bytes_written: is_close.then_some(wire.bytes_written),
        reads: is_close.then_some(wire.reads),
        writes: is_close.then_some(wire.writes),
        implicit: has(abi::FILE_IMPLICIT_CLOSE),
        path,
        common,
    }
}
