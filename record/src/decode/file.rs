//! File records.

use record_bpf::Kind;
use record_bpf::abi::{self, Wire};

use super::text::{kernel_path, user_path};

#[derive(Debug)]
pub struct FileRecord {
    pub wire: abi::File,
    pub kind: Kind,
    /// None where the kernel had none to give.
    pub path: Option<String>,
    pub new_path: Option<String>,
}

pub fn file(bytes: &[u8], kind: Kind) -> Option<FileRecord> {
    let (wire, data) = abi::File::read(bytes)?;
    let (path, data) = data.split_at_checked(wire.path_len.into())?;
    let (base, data) = data.split_at_checked(wire.base_len.into())?;
    let (path2, data) = data.split_at_checked(wire.path2_len.into())?;
    let (base2, _) = data.split_at_checked(wire.base2_len.into())?;
    let from_user = wire.flags & abi::FILE_PATH_USER != 0;
    let unknown = path.is_empty() && (from_user || wire.flags & abi::FILE_IMPLICIT_CLOSE != 0);
    Some(FileRecord {
        path: (!unknown).then(|| if from_user { user_path(path, base) } else { kernel_path(path) }),
        new_path: (!path2.is_empty()).then(|| user_path(path2, base2)),
        wire,
        kind,
    })
}
