//! File records.

use record_bpf::Kind;
use record_bpf::abi::{self, Wire};

use super::text::{kernel_path, text, until_nul, user_path};

#[derive(Debug)]
pub struct FileRecord {
    pub wire: abi::File,
    pub kind: Kind,
    /// None where the kernel had none to give.
    pub path: Option<String>,
    pub new_path: Option<String>,
    /// Path inside the file system, for a file seen from another root than the recorder's.
    pub place: Option<String>,
    pub attribute: Option<String>,
}

pub fn file(bytes: &[u8], kind: Kind) -> Option<FileRecord> {
    let (wire, data) = abi::File::read(bytes)?;
    let (path, data) = data.split_at_checked(wire.path_len.into())?;
    let (beyond, data) = data.split_at_checked(wire.beyond_len.into())?;
    let (base, data) = data.split_at_checked(wire.base_len.into())?;
    let (path2, data) = data.split_at_checked(wire.path2_len.into())?;
    let (base2, data) = data.split_at_checked(wire.base2_len.into())?;
    let (attribute, _) = data.split_at_checked(wire.attr_len.into())?;
    let (inside, _) = path.split_at_checked(wire.inside_len.into())?;
    let from_user = wire.flags & abi::FILE_PATH_USER != 0;
    let unknown = path.is_empty() && (from_user || wire.flags & (abi::FILE_IMPLICIT_CLOSE | abi::FILE_AS_OPENED) != 0);
    let named = || match (from_user, kind) {
        // The text of a symbolic link is no path of ours: it is looked up from where the link is, and later.
        (true, Kind::Symlink) => text(until_nul(path)),
        (true, _) => user_path(path, base),
        (false, _) => kernel_path(path),
    };
    let other_root = wire.flags & abi::FILE_OTHER_ROOT != 0;
    Some(FileRecord {
        path: (!unknown).then(named),
        new_path: (!path2.is_empty()).then(|| if from_user { user_path(path2, base2) } else { kernel_path(path2) }),
        place: other_root.then(|| kernel_path(&[inside, beyond].concat())),
        attribute: (!attribute.is_empty()).then(|| text(until_nul(attribute))),
        wire,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, change: impl FnOnce(&mut abi::File), data: &[u8]) -> FileRecord {
        let zeros = [0; size_of::<abi::File>()];
        let (mut wire, _) = abi::File::read(&zeros).unwrap();
        change(&mut wire);
        // SAFETY: the struct has no padding (asserted in record-bpf), so that all its bytes are initialized.
        let head: [u8; size_of::<abi::File>()] = unsafe { std::mem::transmute(wire) };
        file(&[&head, data].concat(), kind).unwrap()
    }

    #[test]
    fn a_file_under_another_root_has_its_place_in_the_file_system() {
        // /data/x in a container, where /data is /volumes/v of a file system that is mounted somewhere on the host.
        let seen = record(
            Kind::Open,
            |wire| {
                wire.flags = abi::FILE_OTHER_ROOT;
                (wire.path_len, wire.inside_len, wire.beyond_len) = (7, 2, 10);
            },
            b"x\0data\0v\0volumes\0",
        );
        assert_eq!(seen.path.as_deref(), Some("/data/x"));
        assert_eq!(seen.place.as_deref(), Some("/volumes/v/x"));
    }

    #[test]
    fn the_text_of_a_symbolic_link_stays_as_it_was_given() {
        let made = record(
            Kind::Symlink,
            |wire| {
                wire.flags = abi::FILE_PATH_USER;
                (wire.path_len, wire.path2_len, wire.base2_len) = (7, 2, 4);
            },
            b"../a/b\0l\0srv\0",
        );
        assert_eq!((made.path.as_deref(), made.new_path.as_deref()), (Some("../a/b"), Some("/srv/l")));
    }

    #[test]
    fn an_attribute_is_named() {
        let set = record(
            Kind::Setxattr,
            |wire| {
                wire.flags = abi::FILE_PATH_USER;
                (wire.path_len, wire.attr_len) = (3, 7);
            },
            b"/f\0user.x\0",
        );
        assert_eq!((set.path.as_deref(), set.attribute.as_deref()), (Some("/f"), Some("user.x")));
    }
}
