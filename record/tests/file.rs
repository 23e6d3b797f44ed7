//! Trigger and assert: open, close with bytes, rename, unlink, chmod.

mod common;

use std::os::unix::fs::MetadataExt;

use common::{Recorded, can_record, one, record_python};
use record_bpf::Kind;

fn in_dir(program: &str) -> (Recorded, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    (record_python(&format!("import os, sys\nd = sys.argv[1]\n{program}"), &[&path]), path)
}

#[test]
fn open_and_close_tell_path_flags_inode_and_bytes() {
    if !can_record("open_and_close_tell_path_flags_inode_and_bytes") {
        return;
    }
    let (run, dir) = in_dir(
        "
fd = os.open(d + '/data', os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
os.write(fd, b'x' * 1000); os.write(fd, b'y' * 234)
os.pread(fd, 500, 0); os.lseek(fd, 0, 0); os.read(fd, 4096)
print(fd, os.fstat(fd).st_ino)
os.close(fd)
",
    );
    let path = format!("{dir}/data");
    let stdout = String::from_utf8_lossy(&run.output.stdout).into_owned();
    let (fd, inode) = stdout.lines().next().unwrap().split_once(' ').unwrap();
    let open = one(run.file(Kind::Open, &path));
    assert_eq!(open.ret.to_string(), fd);
    assert_eq!(open.inode.unwrap().to_string(), inode);
    assert_eq!(open.flags.unwrap() & 0o1702, 0o1102 & !0o100 | 0o100, "O_RDWR | O_CREAT | O_TRUNC");
    assert_eq!(open.mode, Some(0o100_640));
    assert!(!open.path_from_user && !open.path_truncated && !open.deleted);
    let close = one(run.file(Kind::Close, &path));
    assert_eq!((close.bytes_written, close.writes), (Some(1234), Some(2)));
    assert_eq!((close.bytes_read, close.reads), (Some(1734), Some(2)));
    assert_eq!((close.fd, close.inode), (open.fd, open.inode));
    assert!(!close.implicit);
    assert!(close.common.ts >= open.common.ts);
}

#[test]
fn descriptors_left_open_are_closed_by_exec_and_exit() {
    if !can_record("descriptors_left_open_are_closed_by_exec_and_exit") {
        return;
    }
    let (run, dir) = in_dir(
        "
a = os.open(d + '/cloexec', os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
b = os.open(d + '/kept', os.O_WRONLY | os.O_CREAT)
os.set_inheritable(b, True)
os.write(a, b'12'); os.write(b, b'345')
os.execv('/bin/sh', ['sh', '-c', f'printf 6789 >&{b}'])
",
    );
    let cloexec = one(run.file(Kind::Close, &format!("{dir}/cloexec")));
    assert_eq!((cloexec.bytes_written, cloexec.implicit), (Some(2), true));
    // The shell writes through a copy of the descriptor: a row for each, both left to exit.
    let kept = run.file(Kind::Close, &format!("{dir}/kept"));
    let mut bytes: Vec<_> = kept.iter().map(|row| row.bytes_written.unwrap()).collect();
    bytes.sort_unstable();
    assert_eq!(bytes, [3, 4]);
    assert!(kept.iter().any(|row| row.implicit));
}

#[test]
fn dup2_and_close_range_close_too() {
    if !can_record("dup2_and_close_range_close_too") {
        return;
    }
    let (run, dir) = in_dir(
        "
a = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); b = os.open(d + '/b', os.O_WRONLY | os.O_CREAT)
os.write(a, b'1'); os.write(b, b'22')
os.dup2(a, b)
os.write(b, b'333')
os.closerange(a, b + 1)
",
    );
    let b = one(run.file(Kind::Close, &format!("{dir}/b")));
    assert_eq!(b.bytes_written, Some(2));
    let a: Vec<_> = run.file(Kind::Close, &format!("{dir}/a")).iter().map(|row| row.bytes_written).collect();
    assert_eq!(a, [Some(1), Some(3)], "one row per descriptor");
}

#[test]
fn a_failed_open_is_recorded_with_its_errno() {
    if !can_record("a_failed_open_is_recorded_with_its_errno") {
        return;
    }
    let (run, dir) = in_dir(
        "
os.chdir(d)
for name in (d + '/missing', 'also/missing'):
    try: os.open(name, os.O_RDONLY)
    except FileNotFoundError: pass
",
    );
    let row = one(run.file(Kind::Open, &format!("{dir}/missing")));
    assert_eq!((row.ret, row.fd, row.path_from_user), (-libc::ENOENT, None, true));
    let relative = one(run.file(Kind::Open, &format!("{dir}/also/missing")));
    assert_eq!(relative.ret, -libc::ENOENT);
}

#[test]
fn rename_unlink_and_chmod_tell_what_was_named() {
    if !can_record("rename_unlink_and_chmod_tell_what_was_named") {
        return;
    }
    let (run, dir) = in_dir(
        "
os.mkdir(d + '/sub'); open(d + '/old', 'w').close()
os.rename(d + '/old', d + '/sub/new')
dir = os.open(d + '/sub', os.O_RDONLY)
os.chmod('new', 0o4755, dir_fd=dir)
fd = os.open('new', os.O_RDONLY, dir_fd=dir)
os.fchmod(fd, 0o600)
os.rename('new', 'newer', src_dir_fd=dir, dst_dir_fd=dir)
os.unlink('newer', dir_fd=dir)
os.rmdir(d + '/sub')
",
    );
    let renamed = one(run.file(Kind::Rename, &format!("{dir}/old")));
    assert_eq!(renamed.new_path.as_deref(), Some(format!("{dir}/sub/new").as_str()));
    assert_eq!(renamed.ret, 0);
    let renamed = one(run.file(Kind::Rename, &format!("{dir}/sub/new")));
    assert_eq!(renamed.new_path.as_deref(), Some(format!("{dir}/sub/newer").as_str()));
    let modes: Vec<_> =
        run.file(Kind::Chmod, &format!("{dir}/sub/new")).iter().map(|row| (row.mode, row.path_from_user)).collect();
    assert_eq!(modes, [(Some(0o4755), true), (Some(0o600), false)]);
    assert_eq!(one(run.file(Kind::Unlink, &format!("{dir}/sub/newer"))).ret, 0);
    assert_eq!(one(run.file(Kind::Rmdir, &format!("{dir}/sub"))).ret, 0);
}

#[test]
fn paths_are_the_kernels_own() {
    if !can_record("paths_are_the_kernels_own") {
        return;
    }
    // A symbolic link, a name that is not UTF-8, a deep path, and a mount: each opened by another name than the file's.
    let (run, dir) = in_dir(
        r"
open(d + '/real', 'w').close(); os.symlink(d + '/real', d + '/link')
open(d + '/./link').close()
b = d.encode() + b'/caf\xe9'
open(b, 'w').close(); open(b).close()
deep = d + '/' + '/'.join(['d' * 40] * 60); os.makedirs(deep)
open(deep + '/leaf', 'w').close()
open('/proc/self/status').close()
",
    );
    assert_eq!(run.file(Kind::Open, &format!("{dir}/real")).len(), 2, "the link resolves to its target");
    assert!(run.file(Kind::Open, &format!("{dir}/link")).is_empty());
    assert_eq!(run.file(Kind::Open, &format!("{dir}/caf\\xe9")).len(), 2);
    let deep = format!("{dir}/{}/leaf", vec!["d".repeat(40); 60].join("/"));
    assert!(!one(run.file(Kind::Open, &deep)).path_truncated);
    let pid = run.process(Kind::Exit).next().unwrap().common.pid;
    assert_eq!(run.file(Kind::Open, &format!("/proc/{pid}/status")).len(), 1, "the path crosses into /proc");
}

#[test]
fn copies_inside_the_kernel_are_counted() {
    if !can_record("copies_inside_the_kernel_are_counted") {
        return;
    }
    let (run, dir) = in_dir(
        "
open(d + '/in', 'wb').write(b'z' * 70000)
a = os.open(d + '/in', os.O_RDONLY); b = os.open(d + '/out', os.O_WRONLY | os.O_CREAT)
n = os.sendfile(b, a, 0, 50000)
m = os.copy_file_range(a, b, 20000, 50000)
print(n, m)
os.close(a); os.close(b)
",
    );
    let read = run.file(Kind::Close, &format!("{dir}/in")).iter().map(|row| row.bytes_read.unwrap()).max();
    assert_eq!(read, Some(70000));
    assert_eq!(one(run.file(Kind::Close, &format!("{dir}/out"))).bytes_written, Some(70000));
}

#[test]
fn every_open_of_a_storm_is_there() {
    if !can_record("every_open_of_a_storm_is_there") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let program = "
import os, sys
for _ in range(20000): os.close(os.open(sys.argv[1], os.O_RDONLY))
";
    let run = record_python(program, &[file]);
    assert_eq!(run.file(Kind::Open, file).len(), 20000);
    assert_eq!(run.file(Kind::Close, file).len(), 20000);
    let inode = std::fs::metadata(file).unwrap().ino();
    assert!(run.file(Kind::Open, file).iter().all(|row| row.inode == Some(inode)));
}
