//! Tracing, and namespaces of processes.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use record_bpf::Kind;
use serde_json::{Value, json};

use super::signals::Waiting;
use super::{Case, Checked, Facts, Rows, Scratch, Stop, at, call, check_call, in_child, one};
use crate::expect;
use crate::selftest::sys;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("ptrace", &[Kind::Ptrace], ptrace, check_ptrace),
        Case::new("setns", &[Kind::Setns], setns, check_setns),
        Case::new("unshare", &[Kind::Unshare], unshare, check_unshare),
        Case::new("clone-namespaces", &[Kind::Clone], clone, check_clone),
    ]
}

fn ptrace(_: &Scratch) -> Result<Value, Stop> {
    let child = Waiting::start()?;
    let nobody = sys::fork_ok(|| Ok(()))?;
    let seize = call(libc::SYS_ptrace, [0x4206, child.arg(), 0, 0]);
    let (mut word, far) = (0u64, 77u64);
    // The same address in the child, which has a copy of this memory.
    let (local, remote) = ([at(&word), 8], [at(&far), 8]);
    let read = call(libc::SYS_process_vm_readv, [child.arg(), at(&local), 1, at(&remote), 1, 0]);
    std::hint::black_box((&mut word, far));
    let pidfd = call(libc::SYS_pidfd_open, [child.arg(), 0]);
    let getfd = call(libc::SYS_pidfd_getfd, [pidfd as u64, 2, 0]);
    Ok(json!({
        "pid": sys::pid(), "child": child.pid, "seize": seize, "read": read, "getfd": getfd,
        "refused": call(libc::SYS_ptrace, [16, u64::from(nobody), 0, 0]),
    }))
}

fn check_ptrace(rows: &Rows, facts: &Facts) -> Checked {
    let asked = |request: &str| one(rows, Kind::Ptrace, |row| row.request.as_deref() == Some(request));
    let child = rows.host_pid(facts.number("child"))?;
    for (request, ret) in [
        ("PTRACE_SEIZE", "seize"),
        ("process_vm_readv", "read"),
        ("pidfd_getfd", "getfd"),
        ("PTRACE_ATTACH", "refused"),
    ] {
        let row = asked(request)?;
        check_call(rows, facts, row, ret)?;
        expect!(row.target_pid, (ret != "refused").then_some(child));
        expect!(row.target_container, if ret == "refused" { None } else { row.common.container.clone() });
    }
    expect!(asked("process_vm_readv")?.length, u64::try_from(facts.number::<i64>("read")).ok());
    Ok(())
}

fn setns(scratch: &Scratch) -> Result<Value, Stop> {
    in_child(scratch, || {
        let file = std::fs::File::open("/proc/self/ns/uts")?;
        let by_file = call(libc::SYS_setns, [super::int(file.as_raw_fd()), libc::CLONE_NEWUTS as u64]);
        let pidfd = call(libc::SYS_pidfd_open, [u64::from(sys::pid()), 0]);
        let flags = libc::CLONE_NEWUTS | libc::CLONE_NEWNET;
        let by_pidfd = call(libc::SYS_setns, [pidfd as u64, flags as u64]);
        Ok(json!({ "by_file": by_file, "by_pidfd": by_pidfd, "inode": file.metadata()?.ino(), "flags": flags }))
    })
}

fn check_setns(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::Setns, |row| row.request.as_deref() == Some("uts"))?;
    check_call(rows, facts, row, "by_file")?;
    expect!(row.namespace, Some(facts.number::<u32>("inode")));
    expect!((row.flags, row.target_pid), (Some(libc::CLONE_NEWUTS as u64), None));
    let row = one(rows, Kind::Setns, |row| row.request.as_deref() == Some("net,uts"))?;
    check_call(rows, facts, row, "by_pidfd")?;
    expect!((row.flags, row.namespace), (Some(facts.number("flags")), None));
    expect!(row.target_pid, Some(row.common.pid));
    Ok(())
}

fn unshare(scratch: &Scratch) -> Result<Value, Stop> {
    in_child(scratch, || {
        let flags = libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
        Ok(json!({ "ret": call(libc::SYS_unshare, [flags as u64]), "flags": flags }))
    })
}

fn check_unshare(rows: &Rows, facts: &Facts) -> Checked {
    let row = one(rows, Kind::Unshare, |_| true)?;
    check_call(rows, facts, row, "ret")?;
    expect!(row.request.as_deref(), Some("ipc,uts"));
    expect!(row.flags, Some(facts.number("flags")));
    Ok(())
}

fn clone(_: &Scratch) -> Result<Value, Stop> {
    let end = |pid: i64| {
        if pid == 0 {
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(0) }
        }
        if pid > 0 {
            // SAFETY: the child is ours and waited for once.
            unsafe { libc::waitpid(pid as i32, std::ptr::null_mut(), 0) };
        }
        pid
    };
    let flags = (libc::CLONE_NEWUTS | libc::SIGCHLD) as u64;
    let first = end(call(libc::SYS_clone, [flags, 0, 0, 0, 0]));
    let mut args = [0u64; 8]; // struct clone_args
    (args[0], args[4]) = (libc::CLONE_NEWIPC as u64, libc::SIGCHLD as u64);
    let second = end(call(libc::SYS_clone3, [at(&args), 64]));
    // Without new namespaces: no row.
    end(call(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0]));
    Ok(json!({ "pid": sys::pid(), "clone": first, "clone3": second }))
}

fn check_clone(rows: &Rows, facts: &Facts) -> Checked {
    for (request, ret, flags) in [("uts", "clone", libc::CLONE_NEWUTS), ("ipc", "clone3", libc::CLONE_NEWIPC)] {
        let row = one(rows, Kind::Clone, |row| row.request.as_deref() == Some(request))?;
        check_call(rows, facts, row, ret)?;
        expect!(row.flags, Some(flags as u64));
        let child = facts.number::<i64>(ret);
        expect!(row.target_pid, if child > 0 { Some(rows.host_pid(child as u32)?) } else { None });
    }
    expect!(rows.all(Kind::Clone, |_: &datasets::SecurityEvent| true).len(), 2);
    Ok(())
}
