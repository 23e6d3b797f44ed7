//! Memory without a file, memory that is writable and executable, kernel code, rings, keys.

use std::os::fd::AsRawFd;

use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, at, call, check_call, in_child, int, one};
use crate::expect;
use crate::selftest::sys;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("memfd_create", &[Kind::MemfdCreate], memfd, check_memfd),
        Case::new("writable-code", &[Kind::Mmap, Kind::Mprotect], memory, check_memory),
        Case::new("kernel-module", &[Kind::ModuleLoad, Kind::ModuleUnload], module, check_module),
        Case::new("bpf", &[Kind::Bpf], bpf, check_bpf),
        Case::new("io_uring_setup", &[Kind::IoUringSetup], io_uring, check_io_uring),
        Case::new("keys", &[Kind::AddKey, Kind::RequestKey, Kind::Keyctl], keys, check_keys),
    ]
}

fn memfd(_: &Scratch) -> Result<Value, Stop> {
    let ret = call(libc::SYS_memfd_create, [at(c"selftest memory"), libc::MFD_CLOEXEC.into()]);
    // The kernel refuses before it reads the name; a constant's page may not be in memory then, for the recorder either.
    let name = sys::c("refused");
    let refused = call(libc::SYS_memfd_create, [at(name.as_c_str()), 1 << 30]);
    Ok(json!({ "pid": sys::pid(), "ret": ret, "refused": refused }))
}

fn check_memfd(rows: &Rows, facts: &Facts) -> Checked {
    let named = |name: &str| one(rows, Kind::MemfdCreate, |row| row.name.as_deref() == Some(name));
    let row = named("selftest memory")?;
    check_call(rows, facts, row, "ret")?;
    expect!((row.flags, row.text_from_user), (Some(libc::MFD_CLOEXEC.into()), Some(false)));
    let row = named("refused")?;
    check_call(rows, facts, row, "refused")?;
    expect!((row.ret, row.text_from_user), (-libc::EINVAL, Some(true)));
    Ok(())
}

const RWX: u64 = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
const RW: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;

fn memory(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("code");
    std::fs::write(&path, [0x90; 4096])?;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let private = libc::MAP_PRIVATE as u64;
    let fresh = call(libc::SYS_mmap, [0, 8192, RWX, anonymous, int(-1), 0]);
    let of_file = call(libc::SYS_mmap, [0, 4096, RWX, private, int(file.as_raw_fd()), 0]);
    // Never both at once: no row.
    let data = call(libc::SYS_mmap, [0, 12288, RW, anonymous, int(-1), 0]);
    call(libc::SYS_mprotect, [data as u64, 4096, (libc::PROT_READ | libc::PROT_EXEC) as u64]);
    let changed = call(libc::SYS_mprotect, [data as u64, 12288, RWX]);
    let refused = call(libc::SYS_mprotect, [1, 4096, RWX]);
    Ok(json!({
        "pid": sys::pid(), "fresh": fresh, "of_file": of_file, "data": data, "changed": changed, "refused": refused,
        "path": path, "anonymous": anonymous, "private": private, "zero": 0,
    }))
}

fn check_memory(rows: &Rows, facts: &Facts) -> Checked {
    let address = |name: &str| Some(facts.number::<i64>(name).cast_unsigned());
    for (address, length, flags, path) in
        [(address("fresh"), 8192, "anonymous", None), (address("of_file"), 4096, "private", Some(facts.text("path")))]
    {
        let row = one(rows, Kind::Mmap, |row| row.address == address)?;
        check_call(rows, facts, row, "zero")?;
        expect!((row.length, row.flags), (Some(length), Some(facts.number(flags))));
        expect!(row.request.as_deref(), Some("read,write,exec"));
        expect!((row.path.as_deref(), row.text_from_user), (path, path.map(|_| false)));
    }
    expect!(rows.all(Kind::Mmap, |_: &datasets::SecurityEvent| true).len(), 2);
    let row = one(rows, Kind::Mprotect, |row| row.address == address("data"))?;
    check_call(rows, facts, row, "changed")?;
    expect!((row.length, row.request.as_deref()), (Some(12288), Some("read,write,exec")));
    check_call(rows, facts, one(rows, Kind::Mprotect, |row| row.address == Some(1))?, "refused")
}

/// None of it is a module: every kernel refuses, by whatever it looks at first.
fn module(scratch: &Scratch) -> Result<Value, Stop> {
    let path = scratch.path("rootkit.ko");
    std::fs::write(&path, "no module")?;
    let file = std::fs::File::open(&path)?;
    Ok(json!({
        "pid": sys::pid(), "path": path,
        "file": call(libc::SYS_finit_module, [int(file.as_raw_fd()), at(c""), 1]),
        "image": call(libc::SYS_init_module, [at(c"no module"), 9, at(c"")]),
        "unload": call(libc::SYS_delete_module, [at(c"selftest_none"), libc::O_NONBLOCK as u64]),
    }))
}

fn check_module(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::ModuleLoad, |row| row.path.as_deref() == Some(facts.text("path")))?;
    check_call(rows, facts, row, "file")?;
    expect!((row.flags, row.text_from_user, row.length), (Some(1), Some(false), None));
    let row = one(rows, Kind::ModuleLoad, |row| row.path.is_none())?;
    check_call(rows, facts, row, "image")?;
    expect!(row.length, Some(9));
    let row = one(rows, Kind::ModuleUnload, |_| true)?;
    check_call(rows, facts, row, "unload")?;
    expect!((row.name.as_deref(), row.flags), (Some("selftest_none"), Some(libc::O_NONBLOCK as u64)));
    Ok(())
}

fn bpf(_: &Scratch) -> Result<Value, Stop> {
    let mut attr = [0u32; 32]; // union bpf_attr of BPF_MAP_CREATE: an array of one word, and its name at byte 28
    (attr[0], attr[1], attr[2], attr[3]) = (2, 4, 4, 1);
    attr[7] = u32::from_le_bytes(*b"self");
    attr[8] = u32::from_le_bytes(*b"test");
    let map = call(libc::SYS_bpf, [0, at(&attr), 128]);
    let next = [0u32; 32];
    Ok(json!({ "pid": sys::pid(), "map": map, "next": call(libc::SYS_bpf, [11, at(&next), 128]) }))
}

fn check_bpf(rows: &Rows, facts: &Facts) -> Checked {
    let asked = |request: &str| one(rows, Kind::Bpf, |row| row.request.as_deref() == Some(request));
    let row = asked("BPF_MAP_CREATE")?;
    check_call(rows, facts, row, "map")?;
    expect!(row.name.as_deref(), Some("selftest"));
    let row = asked("BPF_PROG_GET_NEXT_ID")?;
    check_call(rows, facts, row, "next")?;
    expect!(row.name.as_deref(), None);
    Ok(())
}

const IORING_SETUP_CLAMP: u32 = 1 << 4;

fn io_uring(_: &Scratch) -> Result<Value, Stop> {
    let mut params = [0u32; 30]; // struct io_uring_params: flags is the third word
    params[2] = IORING_SETUP_CLAMP;
    Ok(json!({ "pid": sys::pid(), "ret": call(libc::SYS_io_uring_setup, [4, at(&params)]) }))
}

fn check_io_uring(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::IoUringSetup, |_| true)?;
    check_call(rows, facts, row, "ret")?;
    expect!((row.length, row.flags), (Some(4), Some(IORING_SETUP_CLAMP.into())));
    Ok(())
}

const PROCESS_KEYRING: i32 = -2; // KEY_SPEC_PROCESS_KEYRING

fn keys(scratch: &Scratch) -> Result<Value, Stop> {
    // The keyring of a process goes with it.
    in_child(scratch, || {
        let ring = int(PROCESS_KEYRING);
        Ok(json!({
            "add": call(libc::SYS_add_key, [at(c"user"), at(c"selftest key"), at(c"secret"), 6, ring]),
            "request": call(libc::SYS_request_key, [at(c"user"), at(c"no such key"), 0, ring]),
            "keyctl": call(libc::SYS_keyctl, [0, ring, 0]),
        }))
    })
}

fn check_keys(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::AddKey, |_| true)?;
    check_call(rows, facts, row, "add")?;
    expect!((row.request.as_deref(), row.name.as_deref()), (Some("user"), Some("selftest key")));
    expect!(row.length, Some(6));
    let row = one(rows, Kind::RequestKey, |_| true)?;
    check_call(rows, facts, row, "request")?;
    expect!((row.request.as_deref(), row.name.as_deref()), (Some("user"), Some("no such key")));
    let row = one(rows, Kind::Keyctl, |_| true)?;
    check_call(rows, facts, row, "keyctl")?;
    expect!(row.request.as_deref(), Some("KEYCTL_GET_KEYRING_ID"));
    Ok(())
}
