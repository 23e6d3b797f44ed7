//! Mounts by either interface, in a mount namespace of their own.

use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, at, call, check_call, in_child, int, one};
use crate::expect;
use crate::selftest::sys;

pub fn cases() -> Vec<Case> {
    const NEW: &[Kind] = &[
        Kind::Fsopen,
        Kind::Fsconfig,
        Kind::Fsmount,
        Kind::MoveMount,
        Kind::OpenTree,
        Kind::MountSetattr,
        Kind::Fspick,
    ];
    vec![
        Case::new("mount", &[Kind::Mount, Kind::Umount, Kind::PivotRoot], old, check_old),
        Case::new("mount-by-descriptor", NEW, new, check_new),
    ]
}

/// What is mounted from here on is seen by this process alone, and gone with it.
fn private() -> Result<(), Stop> {
    let ret = call(libc::SYS_unshare, [libc::CLONE_NEWNS as u64]);
    if ret != 0 {
        return Err(Stop::skip(format!("no mount namespace: unshare returned {ret}")));
    }
    let ret = call(libc::SYS_mount, [0, at(c"/"), 0, libc::MS_REC | libc::MS_PRIVATE, 0]);
    if ret == 0 { Ok(()) } else { Err(Stop::fail(format!("mount --make-rprivate: {ret}"))) }
}

/// Whether the trigger may make a mount namespace, found out where it does not last.
fn need_namespace() -> Result<(), Stop> {
    let ended = sys::fork(|| private().map(|()| 0))?;
    if ended.status == 0 { Ok(()) } else { Err(Stop::skip("no mount namespace can be made here")) }
}

fn old(scratch: &Scratch) -> Result<Value, Stop> {
    need_namespace()?;
    let (place, root) = (scratch.path("place"), scratch.path("root"));
    for dir in [&place, &root] {
        std::fs::create_dir(dir)?;
    }
    in_child(scratch, || {
        private()?;
        let (c_place, c_root) = (sys::c(&place), sys::c(&root));
        let (source, tmpfs) = (c"selftest".to_owned(), c"tmpfs".to_owned());
        let mount = |at_path: &std::ffi::CString| {
            call(libc::SYS_mount, [at(&*source), at(at_path.as_c_str()), at(&*tmpfs), libc::MS_NOSUID, 0])
        };
        let mounted = mount(&c_place);
        let unmounted = call(libc::SYS_umount2, [at(c_place.as_c_str()), libc::MNT_DETACH as u64]);
        mount(&c_root);
        std::fs::create_dir(format!("{root}/old"))?;
        let old_root = sys::c(format!("{root}/old"));
        let pivoted = call(libc::SYS_pivot_root, [at(c_root.as_c_str()), at(old_root.as_c_str())]);
        Ok(json!({
            "mount": mounted, "umount": unmounted, "pivot": pivoted, "place": place, "root": root,
        }))
    })
}

fn check_old(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::Mount, |row| row.path.as_deref() == Some(facts.text("place")))?;
    check_call(rows, facts, row, "mount")?;
    expect!((row.source.as_deref(), row.fs_type.as_deref()), (Some("selftest"), Some("tmpfs")));
    expect!((row.flags, row.text_from_user, row.path_truncated), (Some(libc::MS_NOSUID), Some(true), false));
    let row = one(rows, Kind::Umount, |_| true)?;
    check_call(rows, facts, row, "umount")?;
    expect!((row.path.as_deref(), row.flags), (Some(facts.text("place")), Some(libc::MNT_DETACH as u64)));
    let row = one(rows, Kind::PivotRoot, |_| true)?;
    check_call(rows, facts, row, "pivot")?;
    expect!(row.path.as_deref(), Some(facts.text("root")));
    expect!(row.source.as_deref(), Some(&*format!("{}/old", facts.text("root"))));
    Ok(())
}

// include/uapi/linux/mount.h
const FSCONFIG_SET_STRING: u64 = 1;
const FSCONFIG_CMD_CREATE: u64 = 6;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOVE_MOUNT_F_EMPTY_PATH: u64 = 4;
const OPEN_TREE_CLONE: u64 = 1;

fn new(scratch: &Scratch) -> Result<Value, Stop> {
    need_namespace()?;
    let place = scratch.path("place");
    std::fs::create_dir(&place)?;
    in_child(scratch, || {
        private()?;
        let path = sys::c(&place);
        let path = at(path.as_c_str());
        let cwd = int(libc::AT_FDCWD);
        let context = call(libc::SYS_fsopen, [at(c"tmpfs"), 1]);
        let fd = context as u64;
        let config = call(libc::SYS_fsconfig, [fd, FSCONFIG_SET_STRING, at(c"source"), at(c"selftest"), 0]);
        let create = call(libc::SYS_fsconfig, [fd, FSCONFIG_CMD_CREATE, 0, 0, 0]);
        let mount = call(libc::SYS_fsmount, [fd, 0, MOUNT_ATTR_NOSUID]);
        let moved = call(libc::SYS_move_mount, [mount as u64, at(c""), cwd, path, MOVE_MOUNT_F_EMPTY_PATH]);
        let attributes = [MOUNT_ATTR_RDONLY, 0, 0, 0]; // struct mount_attr
        Ok(json!({
            "fsopen": context, "config": config, "create": create, "fsmount": mount, "move": moved, "place": place,
            "refused": call(libc::SYS_fsopen, [at(c"selftestfs"), 0]),
            "fspick": call(libc::SYS_fspick, [cwd, path, 0]),
            "setattr": call(libc::SYS_mount_setattr, [cwd, path, 0, at(&attributes), 32]),
            "tree": call(libc::SYS_open_tree, [cwd, path, 0]),
            "clone": call(libc::SYS_open_tree, [cwd, path, OPEN_TREE_CLONE]),
        }))
    })
}

fn check_new(rows: &Rows, facts: &Facts) -> Checked {
    let place = Some(facts.text("place"));
    let row = one(rows, Kind::Fsopen, |row| row.fs_type.as_deref() == Some("tmpfs"))?;
    check_call(rows, facts, row, "fsopen")?;
    expect!(row.flags, Some(1));
    check_call(rows, facts, one(rows, Kind::Fsopen, |row| row.fs_type.as_deref() == Some("selftestfs"))?, "refused")?;
    let config = |command: &str| one(rows, Kind::Fsconfig, |row| row.request.as_deref() == Some(command));
    let row = config("FSCONFIG_SET_STRING")?;
    check_call(rows, facts, row, "config")?;
    expect!((row.name.as_deref(), row.source.as_deref()), (Some("source"), Some("selftest")));
    expect!(row.fs_type.as_deref(), Some("tmpfs"));
    check_call(rows, facts, config("FSCONFIG_CMD_CREATE")?, "create")?;
    let row = one(rows, Kind::Fsmount, |_| true)?;
    check_call(rows, facts, row, "fsmount")?;
    expect!((row.fs_type.as_deref(), row.flags), (Some("tmpfs"), Some(MOUNT_ATTR_NOSUID)));
    let row = one(rows, Kind::MoveMount, |_| true)?;
    check_call(rows, facts, row, "move")?;
    expect!((row.path.as_deref(), row.source.as_deref(), row.fs_type.as_deref()), (place, None, Some("tmpfs")));
    let row = one(rows, Kind::Fspick, |_| true)?;
    check_call(rows, facts, row, "fspick")?;
    expect!(row.path.as_deref(), place);
    let row = one(rows, Kind::MountSetattr, |_| true)?;
    check_call(rows, facts, row, "setattr")?;
    expect!((row.path.as_deref(), row.flags), (place, Some(MOUNT_ATTR_RDONLY)));
    for (flags, ret, from_user) in [(0, "tree", false), (OPEN_TREE_CLONE, "clone", true)] {
        let row = one(rows, Kind::OpenTree, |row| row.flags == Some(flags))?;
        check_call(rows, facts, row, ret)?;
        expect!((row.path.as_deref(), row.text_from_user), (place, Some(from_user)));
    }
    Ok(())
}
