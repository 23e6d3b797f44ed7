//! Files: names that come and go, attributes that change, and reads and writes one by one.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::ptr;

use datasets::FileEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::file::at;
use super::sys::{self, c};
use super::{Case, Checked, Facts, Rows, Scratch, Stop};
use crate::expect;

const EACH_CALL: &[&str] = &["--file-io", "calls"];

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("link", &[Kind::Link], link, check_link),
        Case::new("symlink", &[Kind::Symlink], symlink, check_symlink),
        Case::new("directory", &[Kind::Mkdir, Kind::Rmdir], directory, check_directory),
        Case::new("mknod", &[Kind::Mknod], mknod, check_mknod),
        Case::new("chown", &[Kind::Chown], chown, check_chown),
        Case::new("truncate", &[Kind::Truncate, Kind::Fallocate], truncate, check_truncate),
        Case::new("xattr", &[Kind::Setxattr, Kind::Removexattr], xattr, check_xattr),
        Case::new("read-write", &[Kind::Read, Kind::Write], read_write, check_read_write).options(EACH_CALL),
    ]
}

/// What a call returned, as a row has it: a file system or kernel that refuses is recorded all the same.
fn ret(result: impl Into<i64>) -> i64 {
    match result.into() {
        -1 => -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or_default()),
        done => done,
    }
}

fn link(scratch: &Scratch) -> Result<Value, Stop> {
    let (old, new) = (scratch.path("old"), scratch.path("new"));
    File::create(&old)?;
    fs::hard_link(&old, &new)?;
    Ok(json!({ "old": old, "new": new }))
}

fn check_link(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Link, at(facts.text("old")))?;
    expect!(row.new_path.as_deref(), Some(facts.text("new")));
    expect!((row.ret, row.path_from_user), (0, !rows.hooked("fentry/security_path_link")));
    Ok(())
}

fn symlink(scratch: &Scratch) -> Result<Value, Stop> {
    let new = scratch.path("link");
    std::os::unix::fs::symlink("../some/target", &new)?;
    Ok(json!({ "new": new }))
}

fn check_symlink(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Symlink, |row: &FileEvent| row.new_path.as_deref() == Some(facts.text("new")))?;
    expect!((row.path.as_deref(), row.ret), (Some("../some/target"), 0));
    Ok(())
}

fn directory(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("made");
    // SAFETY: a C string.
    sys::call("mkdir", unsafe { libc::mkdir(c(&path).as_ptr(), 0o1750) })?;
    fs::remove_dir(&path)?;
    Ok(json!({ "path": path }))
}

fn check_directory(rows: &Rows, facts: &Facts) -> Checked {
    let made = rows.one(Kind::Mkdir, at(facts.text("path")))?;
    expect!((made.mode, made.ret), (Some(0o1750), 0));
    let removed = rows.one(Kind::Rmdir, at(facts.text("path")))?;
    expect!((removed.ret, removed.path_truncated), (0, false));
    Ok(())
}

fn mknod(scratch: &Scratch) -> Result<Value, Stop> {
    let (fifo, device) = (scratch.path("fifo"), scratch.path("null"));
    // SAFETY: C strings.
    let (made, refused) = unsafe {
        let made = ret(libc::mknod(c(&fifo).as_ptr(), libc::S_IFIFO | 0o600, 0));
        (made, ret(libc::mknod(c(&device).as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 3))))
    };
    // A container without CAP_MKNOD may not make a device.
    Ok(json!({ "fifo": fifo, "fifo_ret": made, "device": device, "device_ret": refused }))
}

fn check_mknod(rows: &Rows, facts: &Facts) -> Checked {
    let fifo = rows.one(Kind::Mknod, at(facts.text("fifo")))?;
    expect!((fifo.mode, fifo.node_dev), (Some(libc::S_IFIFO | 0o600), None));
    expect!(fifo.ret, facts.number("fifo_ret"));
    let device = rows.one(Kind::Mknod, at(facts.text("device")))?;
    expect!((device.mode, device.node_dev), (Some(libc::S_IFCHR | 0o666), Some(1 << 20 | 3)));
    expect!(device.ret, facts.number("device_ret"));
    Ok(())
}

const KEEP: u32 = u32::MAX;

fn chown(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("owned");
    let file = File::create(&path)?;
    // SAFETY: a C string, and a descriptor that is open.
    let (named, open) = unsafe {
        let named = ret(libc::chown(c(&path).as_ptr(), 1234, KEEP));
        (named, ret(libc::fchown(file.as_raw_fd(), KEEP, 4321)))
    };
    Ok(json!({ "path": path, "named": named, "open": open, "fd": file.as_raw_fd() }))
}

fn check_chown(rows: &Rows, facts: &Facts) -> Checked {
    let all = rows.all(Kind::Chown, at(facts.text("path")));
    let found: Vec<_> = all.iter().map(|row| (row.uid, row.gid, row.path_from_user, row.fd, row.ret)).collect();
    let by_name = !rows.hooked("fentry/security_path_chown");
    let named = (Some(1234), None, by_name, None, facts.number("named"));
    expect!(found, vec![named, (None, Some(4321), false, Some(facts.number("fd")), facts.number("open"))]);
    Ok(())
}

fn truncate(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("sized");
    let file = File::create(&path)?;
    file.set_len(5000)?; // ftruncate
    // SAFETY: a C string, and a descriptor that is open.
    let (named, allocated) = unsafe {
        let named = ret(libc::truncate(c(&path).as_ptr(), 70));
        (named, ret(libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 8192, 4096)))
    };
    Ok(json!({ "path": path, "named": named, "allocated": allocated }))
}

fn check_truncate(rows: &Rows, facts: &Facts) -> Checked {
    let all = rows.all(Kind::Truncate, at(facts.text("path")));
    let found: Vec<_> = all.iter().map(|row| (row.size, row.path_from_user, row.ret)).collect();
    let by_name = !rows.hooked("fentry/security_path_truncate");
    expect!(found, vec![(Some(5000), false, 0), (Some(70), by_name, facts.number("named"))]);
    let row = rows.one(Kind::Fallocate, at(facts.text("path")))?;
    expect!((row.offset, row.size), (Some(8192), Some(4096)));
    expect!(row.flags, Some(libc::FALLOC_FL_KEEP_SIZE.cast_unsigned()));
    expect!((row.ret, row.path_from_user), (facts.number("allocated"), false));
    Ok(())
}

/// struct xattr_args (include/uapi/linux/xattr.h, 6.13).
#[repr(C)]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_REMOVEXATTRAT: libc::c_long = 466;

fn xattr(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("tagged");
    let file = File::create(&path)?;
    let (fd, name, file_name) = (file.as_raw_fd(), c("user.retroscope"), c(&path));
    let value = c"v".as_ptr();
    let args = XattrArgs { value: value as u64, size: 1, flags: 0 };
    // SAFETY: C strings, and a value of one byte; an unknown system call returns ENOSYS.
    let set = unsafe {
        [
            ret(libc::setxattr(file_name.as_ptr(), name.as_ptr(), value.cast(), 1, 0)),
            ret(libc::lsetxattr(file_name.as_ptr(), name.as_ptr(), value.cast(), 1, libc::XATTR_REPLACE)),
            ret(libc::fsetxattr(fd, name.as_ptr(), value.cast(), 1, 0)),
            ret(libc::syscall(
                SYS_SETXATTRAT,
                libc::AT_FDCWD,
                file_name.as_ptr(),
                0,
                name.as_ptr(),
                &raw const args,
                size_of::<XattrArgs>(),
            )),
        ]
    };
    // SAFETY: as above.
    let removed = unsafe {
        [
            ret(libc::removexattr(file_name.as_ptr(), name.as_ptr())),
            ret(libc::lremovexattr(file_name.as_ptr(), name.as_ptr())),
            ret(libc::fremovexattr(fd, name.as_ptr())),
            ret(libc::syscall(SYS_REMOVEXATTRAT, libc::AT_FDCWD, file_name.as_ptr(), 0, name.as_ptr())),
        ]
    };
    Ok(json!({ "path": path, "set": set, "removed": removed }))
}

fn check_xattr(rows: &Rows, facts: &Facts) -> Checked {
    for (kind, fact) in [(Kind::Setxattr, "set"), (Kind::Removexattr, "removed")] {
        let all = rows.all(kind, at(facts.text("path")));
        expect!(all.iter().map(|row| row.path_from_user).collect::<Vec<_>>(), vec![true, true, false, true]);
        let expected: Vec<Option<i64>> = facts.0[fact].as_array().into_iter().flatten().map(Value::as_i64).collect();
        expect!(all.iter().map(|row| Some(i64::from(row.ret))).collect::<Vec<_>>(), expected);
        expect!(all.iter().all(|row| row.attribute.as_deref() == Some("user.retroscope")), true);
    }
    let flags: Vec<_> = rows.all(Kind::Setxattr, at(facts.text("path"))).iter().map(|row| row.flags).collect();
    expect!(flags[1], Some(libc::XATTR_REPLACE.cast_unsigned()));
    Ok(())
}

fn read_write(scratch: &Scratch) -> Result<Value, Stop> {
    let (path, copy) = (scratch.path("each"), scratch.path("copy"));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let fd = file.as_raw_fd();
    let to = File::create(&copy)?;
    let mut buffer = [b'x'; 600];
    let bytes = buffer.as_mut_ptr().cast();
    // SAFETY: `buffer` is as long as the lengths say; the descriptors are open.
    unsafe {
        sys::call("write", libc::write(fd, bytes, 600))?;
        sys::call("pwrite", libc::pwrite(fd, bytes, 50, 1000))?;
        sys::call("lseek", libc::lseek(fd, 100, libc::SEEK_SET))?;
        sys::call("read", libc::read(fd, bytes, 200))?;
        sys::call("pread", libc::pread(fd, bytes, 600, 900))?;
        sys::call("lseek", libc::lseek(fd, 10, libc::SEEK_SET))?;
        sys::call("sendfile", libc::sendfile(to.as_raw_fd(), fd, ptr::null_mut(), 30))?;
    }
    Ok(json!({ "path": path, "copy": copy, "fd": fd }))
}

fn check_read_write(rows: &Rows, facts: &Facts) -> Checked {
    let moved = |kind, path| -> Vec<(i32, Option<u64>)> {
        rows.all(kind, at(facts.text(path))).iter().map(|row: &&FileEvent| (row.ret, row.offset)).collect()
    };
    expect!(moved(Kind::Write, "path"), vec![(600, Some(0)), (50, Some(1000))]);
    expect!(moved(Kind::Read, "path"), vec![(200, Some(100)), (150, Some(900)), (30, Some(10))]);
    expect!(moved(Kind::Write, "copy"), vec![(30, Some(0))]);
    let close = rows.one(Kind::Close, at(facts.text("path")))?;
    expect!((close.bytes_written, close.writes), (Some(650), Some(2)));
    expect!((close.bytes_read, close.reads), (Some(380), Some(3)));
    expect!(rows.all(Kind::Read, at(facts.text("path")))[0].fd, Some(facts.number("fd")));
    Ok(())
}
