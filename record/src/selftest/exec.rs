//! What an exec runs: scripts, namespaces, layers of an overlay.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::ptr::null;

use datasets::ProcessEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("exec-script", &[Kind::Exec], script, check_script),
        Case::new("exec-namespaces", &[Kind::Exec], namespaces, check_namespaces),
        Case::new("exec-overlay", &[Kind::Exec], overlay, check_overlay),
    ]
}

const NAMESPACES: [&str; 4] = ["pid", "mnt", "net", "user"];

/// Inode numbers, as the links in /proc have them.
pub fn own_namespaces() -> Result<Value, Stop> {
    let mut found = json!({});
    for name in NAMESPACES {
        found[name] = std::fs::metadata(format!("/proc/self/ns/{name}"))?.ino().into();
    }
    Ok(found)
}

pub fn check_own_namespaces(row: &ProcessEvent, facts: &Facts) -> Checked {
    let found = [row.pid_ns, row.mnt_ns, row.net_ns, row.user_ns];
    let expected = NAMESPACES.map(|name| facts.0["ns"][name].as_u64().and_then(|inode| u32::try_from(inode).ok()));
    expect!(found, expected);
    Ok(())
}

pub fn effective_capabilities() -> Result<u64, Stop> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let caps = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    caps.ok_or_else(|| Stop::fail("/proc/self/status has no CapEff"))
}

/// A script whose interpreter is a script: the kernel follows both.
fn script(scratch: &Scratch) -> Result<Value, Stop> {
    let program = scratch.path("program");
    write_program(&program)?;
    let (outer, inner) = (scratch.path("outer"), scratch.path("inner"));
    for (path, interpreter) in [(&inner, &program), (&outer, &inner)] {
        write_executable(path, format!("#!{interpreter}\n").as_bytes())?;
    }
    // A #! line is cut at 256 bytes.
    if outer.len() > 200 {
        return Err(Stop::skip("the scratch directory's path is too long for a #! line"));
    }
    let child = sys::fork(|| {
        std::env::set_current_dir(scratch.dir())?;
        exec("./outer")
    })?;
    Ok(json!({ "child": child.pid, "status": child.status, "outer": outer, "inner": inner, "program": program }))
}

fn check_script(rows: &Rows, facts: &Facts) -> Checked {
    expect!(facts.number::<i32>("status"), 0);
    let child = rows.host_pid(facts.number("child"))?;
    let row = rows.one(Kind::Exec, |row: &ProcessEvent| row.common.pid == child)?;
    let program = facts.text("program");
    expect!(row.script.as_deref(), Some(facts.text("outer")));
    expect!((row.interpreter.as_deref(), row.exe.as_deref()), (Some(program), Some(program)));
    let argv: Vec<&str> = row.argv.iter().flatten().map(|word| &**word).collect();
    expect!(argv, vec![program, facts.text("inner"), "./outer"]);
    Ok(())
}

fn namespaces(scratch: &Scratch) -> Result<Value, Stop> {
    let note = scratch.path("child.json");
    let child = sys::fork(|| {
        // SAFETY: unshare takes a number.
        let ret = unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
        let facts = if ret == 0 { own_namespaces()? } else { Value::Null };
        std::fs::write(&note, facts.to_string())?;
        sys::exec_self(0, &["namespaces"]).map(|()| 0)
    })?;
    let text = std::fs::read_to_string(&note)?;
    if text == "null" {
        return Err(Stop::skip("no user namespace can be made here"));
    }
    let ns: Value = serde_json::from_str(&text).map_err(|error| Stop::fail(error.to_string()))?;
    Ok(json!({ "child": child.pid, "ns": ns, "outside": own_namespaces()? }))
}

fn check_namespaces(rows: &Rows, facts: &Facts) -> Checked {
    let child = rows.host_pid(facts.number("child"))?;
    let row = rows.one(Kind::Exec, |row: &ProcessEvent| row.common.pid == child)?;
    check_own_namespaces(row, facts)?;
    let differ = |name: &str| facts.0["ns"][name] != facts.0["outside"][name];
    expect!(NAMESPACES.map(differ), [false, true, true, true]);
    // No id is mapped there: an exec keeps no capability.
    expect!(row.caps_effective, Some(0));
    Ok(())
}

/// The smallest program: it ends with code 0. One read-only and executable segment over the whole file, at 4 MiB.
fn write_program(path: &str) -> Result<(), Stop> {
    const CODE: [u8; 9] = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]; // xor edi, edi; mov eax, exit; syscall
    const BASE: u64 = 0x40_0000;
    let size = 64 + 56 + CODE.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    elf.resize(16, 0);
    elf.extend([2u16, 62].iter().flat_map(|n| n.to_le_bytes())); // ET_EXEC, EM_X86_64
    elf.extend(1u32.to_le_bytes());
    elf.extend([BASE + 64 + 56, 64, 0].iter().flat_map(|n| n.to_le_bytes())); // entry, program headers, sections
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 1, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend([1u32, 5].iter().flat_map(|n| n.to_le_bytes())); // PT_LOAD, PF_R | PF_X
    elf.extend([0, BASE, BASE, size, size, 0x1000].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend(CODE);
    write_executable(path, &elf)
}

fn write_executable(path: &str, bytes: &[u8]) -> Result<(), Stop> {
    std::fs::write(path, bytes)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

/// Never returns Ok.
fn exec(path: &str) -> Result<i32, Stop> {
    let path = sys::c(path);
    let argv = [path.as_ptr(), std::ptr::null()];
    // SAFETY: a NULL-terminated array of C strings that outlive the call.
    sys::call("execv", unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) })
}

/// An overlay of two layers, on a tmpfs, in a mount namespace of the child's own.
fn overlay(scratch: &Scratch) -> Result<Value, Stop> {
    let top = scratch.path("top");
    std::fs::create_dir(&top)?;
    let ended = sys::fork(|| {
        mount_overlay(&top)?;
        for name in ["image", "changed", "added"] {
            sys::fork(|| exec(&format!("{top}/merged/{name}")))?;
        }
        Ok(0)
    })?;
    match ended.status {
        0 => Ok(json!({ "top": top })),
        _ => Err(Stop::skip("no overlayfs can be mounted here")),
    }
}

fn mount_overlay(top: &str) -> Result<(), Stop> {
    let c_top = sys::c(top);
    let options = sys::c(format!("lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"));
    let merged = sys::c(format!("{top}/merged"));
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: C strings that outlive the calls, or NULL where mount(2) takes it.
    unsafe {
        sys::call("unshare", libc::unshare(libc::CLONE_NEWNS))?;
        sys::call("mount", libc::mount(null(), c"/".as_ptr(), null(), private, null()))?;
        sys::call("mount", libc::mount(null(), c_top.as_ptr(), c"tmpfs".as_ptr(), 0, null()))?;
        for dir in ["lower", "upper", "work", "merged"] {
            std::fs::create_dir(format!("{top}/{dir}"))?;
        }
        write_program(&format!("{top}/lower/image"))?;
        write_program(&format!("{top}/lower/changed"))?;
        let overlay = c"overlay".as_ptr();
        sys::call("mount", libc::mount(overlay, merged.as_ptr(), overlay, 0, options.as_ptr().cast()))?;
    }
    write_program(&format!("{top}/merged/changed"))?;
    write_program(&format!("{top}/merged/added"))
}

fn check_overlay(rows: &Rows, facts: &Facts) -> Checked {
    for (name, upper) in [("image", false), ("changed", true), ("added", true)] {
        let path = format!("{}/merged/{name}", facts.text("top"));
        let row = rows.one(Kind::Exec, |row: &ProcessEvent| row.exe.as_deref() == Some(&*path))?;
        expect!((name, row.exe_upper), (name, Some(upper)));
    }
    Ok(())
}
