//! Trigger and assert: what is named from a directory's descriptor, and what is changed through a file's own.
//! The plain forms are cases of `record selftest`.

mod common;

use common::{Recorded, can_record, one, record_python};
use datasets::FileEvent;
use record_bpf::Kind;

fn in_dir(program: &str) -> (Recorded, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (record_python(&format!("import os, stat, sys\nd = sys.argv[1]\n{program}"), &[&path]), path)
}

#[test]
fn names_start_from_a_directorys_descriptor() {
    if !can_record("names_start_from_a_directorys_descriptor") {
        return;
    }
    let (run, dir) = in_dir(
        "
os.mkdir(d + '/sub'); sub = os.open(d + '/sub', os.O_RDONLY)
os.mkdir('made', 0o711, dir_fd=sub)
os.rmdir('made', dir_fd=sub)
open(d + '/old', 'w').close()
os.link(d + '/old', 'hard', dst_dir_fd=sub)
os.symlink('hard', 'soft', dir_fd=sub)
os.mknod('fifo', stat.S_IFIFO | 0o640, dir_fd=sub)
os.chown('soft', 7, 8, dir_fd=sub, follow_symlinks=False)
os.lchown(d + '/sub/soft', 9, -1)
os.chdir(d + '/sub')
os.truncate('hard', 11)
os.setxattr('hard', 'user.a', b'1'); os.removexattr('hard', 'user.a')
",
    );
    let sub = |name: &str| format!("{dir}/sub/{name}");
    let made = one(run.file(Kind::Mkdir, &sub("made")));
    assert_eq!((made.mode, made.ret), (Some(0o711), 0));
    assert_eq!(one(run.file(Kind::Rmdir, &sub("made"))).ret, 0, "unlinkat with AT_REMOVEDIR");
    assert!(run.file(Kind::Unlink, &sub("made")).is_empty());
    assert_eq!(one(run.file(Kind::Link, &format!("{dir}/old"))).new_path.as_deref(), Some(&*sub("hard")));
    assert_eq!(one(run.file(Kind::Symlink, "hard")).new_path.as_deref(), Some(&*sub("soft")));
    let fifo = one(run.file(Kind::Mknod, &sub("fifo")));
    assert_eq!((fifo.mode, fifo.node_dev, fifo.ret), (Some(libc::S_IFIFO | 0o640), None, 0));
    let owners: Vec<_> = run.file(Kind::Chown, &sub("soft")).iter().map(|row| (row.uid, row.gid, row.flags)).collect();
    let no_follow = Some(libc::AT_SYMLINK_NOFOLLOW.cast_unsigned());
    assert_eq!(owners, [(Some(7), Some(8), no_follow), (Some(9), None, no_follow)]);
    assert_eq!(one(run.file(Kind::Truncate, &sub("hard"))).size, Some(11));
    for kind in [Kind::Setxattr, Kind::Removexattr] {
        assert_eq!(one(run.file(kind, &sub("hard"))).attribute.as_deref(), Some("user.a"));
    }
}

#[test]
fn a_descriptors_file_is_named_by_the_kernel() {
    if !can_record("a_descriptors_file_is_named_by_the_kernel") {
        return;
    }
    let (run, dir) = in_dir(
        "
fd = os.open(d + '/before', os.O_RDWR | os.O_CREAT)
os.rename(d + '/before', d + '/after')
os.fchown(fd, 5, 6); os.ftruncate(fd, 100); os.posix_fallocate(fd, 50, 500)
os.setxattr(fd, 'user.b', b'1'); os.removexattr(fd, 'user.b')
import ctypes
ctypes.CDLL(None).syscall(452, fd, None, 0o601, 0x1000) # fchmodat2 with AT_EMPTY_PATH and no name at all
print(os.fstat(fd).st_ino)
",
    );
    let inode = String::from_utf8_lossy(&run.output.stdout).lines().next().unwrap().parse().unwrap();
    let after = |kind| -> &FileEvent {
        let row = one(run.file(kind, &format!("{dir}/after")));
        assert!(!row.path_from_user && row.fd.is_some() && row.inode == Some(inode) && row.ret == 0, "{row:?}");
        row
    };
    assert_eq!((after(Kind::Chown).uid, after(Kind::Chown).gid), (Some(5), Some(6)));
    assert_eq!(after(Kind::Truncate).size, Some(100));
    assert_eq!((after(Kind::Fallocate).offset, after(Kind::Fallocate).size), (Some(50), Some(500)));
    assert_eq!(after(Kind::Setxattr).attribute.as_deref(), Some("user.b"));
    // Whether a NULL name is the descriptor's file (since 6.11) or EFAULT: no name was read from the caller.
    let chmod = one(run.file(Kind::Chmod, &format!("{dir}/after")));
    assert_eq!((chmod.mode, chmod.path_from_user, chmod.inode), (Some(0o601), false, Some(inode)));
    assert_eq!(after(Kind::Removexattr).attribute.as_deref(), Some("user.b"));
}

#[test]
fn what_fails_is_recorded_with_its_errno() {
    if !can_record("what_fails_is_recorded_with_its_errno") {
        return;
    }
    let (run, dir) = in_dir(
        "
def fails(call, *args):
    try: call(*args)
    except OSError: return
    raise SystemExit('it worked')
fails(os.mkdir, d); fails(os.rmdir, d + '/no'); fails(os.link, d + '/no', d + '/b'); fails(os.symlink, 'x', d)
fails(os.truncate, d, 1); fails(os.chown, d + '/no', 1, 1); fails(os.setxattr, d, 'nonsense', b'')
",
    );
    assert!(!String::from_utf8_lossy(&run.output.stderr).contains("exited with"), "each call fails");
    let no = format!("{dir}/no");
    assert_eq!(one(run.file(Kind::Mkdir, &dir)).ret, -libc::EEXIST);
    assert_eq!(one(run.file(Kind::Rmdir, &no)).ret, -libc::ENOENT);
    assert_eq!(one(run.file(Kind::Link, &no)).ret, -libc::ENOENT);
    assert_eq!(one(run.file(Kind::Symlink, "x")).ret, -libc::EEXIST);
    assert_eq!(one(run.file(Kind::Truncate, &dir)).ret, -libc::EISDIR);
    assert_eq!(one(run.file(Kind::Chown, &no)).ret, -libc::ENOENT);
    assert_eq!(one(run.file(Kind::Setxattr, &dir)).ret, -libc::EOPNOTSUPP);
}
