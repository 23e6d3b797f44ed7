//! Whose word a name is: the kernel's where it lets programs attach to its functions, else the caller's.

use std::fs::{self, File, OpenOptions};

use record_bpf::Kind;
use serde_json::{Value, json};

use super::file::at;
use super::sys::{self, c};
use super::{Case, Checked, Facts, Rows, Scratch, Stop};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("names-through-a-link", &[Kind::Rename, Kind::Unlink], through_link, check_through_link),
        Case::new("names-of-failed-calls", &[Kind::Mknod, Kind::Truncate], failed, check_failed),
    ]
}

/// A file is renamed and removed by way of a symbolic link to its directory.
fn through_link(scratch: &Scratch) -> Result<Value, Stop> {
    let (real, link) = (scratch.path("real"), scratch.path("link"));
    fs::create_dir(&real)?;
    std::os::unix::fs::symlink(&real, &link)?;
    File::create(format!("{real}/old"))?;
    let (inode, dev) = sys::identity(format!("{real}/old"))?;
    fs::rename(format!("{link}/old"), format!("{link}/new"))?;
    fs::remove_file(format!("{link}/new"))?;
    Ok(json!({ "real": real, "link": link, "inode": inode, "dev": dev }))
}

fn check_through_link(rows: &Rows, facts: &Facts) -> Checked {
    let kernel = rows.hooked("fentry/security_path_rename");
    let dir = facts.text(if kernel { "real" } else { "link" });
    let (old, new) = (format!("{dir}/old"), format!("{dir}/new"));
    let renamed = rows.one(Kind::Rename, at(&old))?;
    expect!(renamed.new_path.as_deref(), Some(&*new));
    expect!((renamed.ret, renamed.path_from_user), (0, !kernel));
    let removed = rows.one(Kind::Unlink, at(&new))?;
    expect!((removed.ret, removed.path_from_user, removed.deleted), (0, !kernel, false));
    if kernel {
        let identity = (Some(facts.number("inode")), Some(facts.number("dev")));
        expect!((renamed.inode, renamed.dev), identity);
        expect!((removed.inode, removed.dev), identity);
    }
    Ok(())
}

/// Opens that pass the kernel's checks of mknod and truncate, then calls of those names that never come that far: the
/// rows must have the names of the calls.
fn failed(scratch: &Scratch) -> Result<Value, Stop> {
    let (file, missing) = (scratch.path("file"), scratch.path("missing/file"));
    File::create(&file)?;
    // SAFETY: a C string.
    let made = unsafe { libc::mknod(c(&missing).as_ptr(), libc::S_IFIFO | 0o600, 0) };
    OpenOptions::new().write(true).truncate(true).open(&file)?;
    // SAFETY: a C string.
    let cut = unsafe { libc::truncate(c(&missing).as_ptr(), 7) };
    if (made, cut) != (-1, -1) {
        return Err(Stop::fail("a file was made in a directory that is not there"));
    }
    Ok(json!({ "missing": missing }))
}

fn check_failed(rows: &Rows, facts: &Facts) -> Checked {
    let made = rows.one(Kind::Mknod, at(facts.text("missing")))?;
    expect!((made.ret, made.path_from_user, made.inode), (-libc::ENOENT, true, None));
    let cut = rows.one(Kind::Truncate, at(facts.text("missing")))?;
    expect!((cut.ret, cut.size, cut.path_from_user), (-libc::ENOENT, Some(7), true));
    Ok(())
}
