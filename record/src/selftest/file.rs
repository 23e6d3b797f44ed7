//! Files: open, close with bytes, rename, unlink, chmod.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use datasets::FileEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("open-close", &[Kind::Open, Kind::Close], open_close, check_open_close),
        Case::new("open-missing", &[Kind::Open], open_missing, check_open_missing),
        Case::new("rename", &[Kind::Rename], rename, check_rename),
        Case::new("unlink", &[Kind::Unlink], unlink, check_unlink),
        Case::new("chmod", &[Kind::Chmod], chmod, check_chmod),
    ]
}

pub(super) fn at<'a>(path: &'a str) -> impl Fn(&FileEvent) -> bool + 'a {
    move |row| row.path.as_deref() == Some(path)
}

fn open_close(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("data");
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o640).clone();
    let mut file = options.open(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?; // the umask may be stricter
    file.write_all(&[b'x'; 1000])?;
    file.write_all(&[b'y'; 234])?;
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = [0; 500];
    file.read_exact(&mut buffer)?;
    let (inode, dev) = sys::identity(&path)?;
    Ok(json!({ "path": path, "fd": file.as_raw_fd(), "inode": inode, "dev": dev }))
}

fn check_open_close(rows: &Rows, facts: &Facts) -> Checked {
    let open = rows.one(Kind::Open, at(facts.text("path")))?;
    expect!(open.ret, facts.number("fd"));
    expect!(open.fd, Some(facts.number("fd")));
    let flags =
        open.flags.unwrap_or(0) & (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND).cast_unsigned();
    expect!(flags, (libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).cast_unsigned());
    expect!(open.mode.map(|mode| mode & libc::S_IFMT), Some(libc::S_IFREG));
    expect!(open.inode, Some(facts.number("inode")));
    expect!(open.dev, Some(facts.number("dev")));
    expect!((open.path_from_user, open.path_truncated, open.deleted), (false, false, false));
    let close = rows.one(Kind::Close, at(facts.text("path")))?;
    expect!(close.fd, open.fd);
    expect!((close.inode, close.dev), (open.inode, open.dev));
    expect!(close.mode, Some(libc::S_IFREG | 0o640));
    expect!((close.bytes_written, close.writes), (Some(1234), Some(2)));
    expect!((close.bytes_read, close.reads), (Some(500), Some(1)));
    expect!(close.implicit, false);
    expect!(close.common.ts >= open.common.ts, true);
    Ok(())
}

fn open_missing(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("missing");
    match File::open(&path) {
        Ok(_) => Err(Stop::fail("a file that is not there was opened")),
        Err(_) => Ok(json!({ "path": path })),
    }
}

fn check_open_missing(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Open, at(facts.text("path")))?;
    expect!((row.ret, row.fd), (-libc::ENOENT, None));
    expect!(row.path_truncated, false);
    Ok(())
}

fn rename(scratch: &Scratch) -> Result<Value, Stop> {
    let (old, new) = (scratch.path("old"), scratch.path("new"));
    File::create(&old)?;
    fs::rename(&old, &new)?;
    Ok(json!({ "old": old, "new": new }))
}

fn check_rename(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Rename, at(facts.text("old")))?;
    expect!(row.new_path.as_deref(), Some(facts.text("new")));
    expect!((row.ret, row.path_truncated), (0, false));
    Ok(())
}

fn unlink(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("doomed");
    File::create(&path)?;
    fs::remove_file(&path)?;
    Ok(json!({ "path": path }))
}

fn check_unlink(rows: &Rows, facts: &Facts) -> Checked {
    let row = rows.one(Kind::Unlink, at(facts.text("path")))?;
    expect!((row.ret, row.path_truncated), (0, false));
    Ok(())
}

fn chmod(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("tool");
    let file = File::create(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?; // fchmod
    Ok(json!({ "path": path }))
}

fn check_chmod(rows: &Rows, facts: &Facts) -> Checked {
    let modes: Vec<_> = rows.all(Kind::Chmod, at(facts.text("path"))).iter().map(|row| (row.mode, row.ret)).collect();
    expect!(modes, vec![(Some(0o4755), 0), (Some(0o600), 0)]);
    Ok(())
}
