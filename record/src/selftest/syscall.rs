//! Every system call, and the set of them.

use datasets::SyscallEvent;
use record_bpf::Kind;
use serde_json::{Value, json};

use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("syscall", &[Kind::Call], calls, check_calls),
        Case::new("syscall-set", &[Kind::CallSet], set, check_set).options(&["--syscalls", "bitmap"]),
    ]
}

/// A sum that no other call here has for an argument.
const MARK: u64 = 0x5e1f_7e57;
const NAP_NS: i64 = 20_000_000;

fn calls(_: &Scratch) -> Result<Value, Stop> {
    let child = sys::fork_ok(|| {
        let nap = libc::timespec { tv_sec: 0, tv_nsec: NAP_NS };
        // SAFETY: a valid timespec; lseek, write and getpid take numbers, and no byte is written.
        unsafe {
            libc::nanosleep(&raw const nap, std::ptr::null_mut());
            libc::syscall(libc::SYS_lseek, -1, MARK, 1);
            libc::syscall(libc::SYS_getpgid, 0);
        }
        Ok(())
    })?;
    // SAFETY: getpgid has no preconditions.
    Ok(json!({ "child": child, "pgid": unsafe { libc::getpgid(0) } }))
}

fn check_calls(rows: &Rows, facts: &Facts) -> Checked {
    let child = rows.host_pid(facts.number("child"))?;
    let named = |name: &str| {
        rows.one(Kind::Call, |row: &SyscallEvent| row.common.pid == child && row.name.as_deref() == Some(name))
    };
    let row = named("lseek")?;
    expect!((row.nr, row.ret), (Some(8), Some(-i64::from(libc::EBADF))));
    // The descriptor is an int: what is above its 32 bits is the caller's affair.
    expect!(row.a0.map(|fd| fd as i32), Some(-1));
    expect!((row.a1, row.a2, row.a3), (Some(MARK), Some(1), None));
    expect!(row.common.tid, child);
    let row = named("getpgid")?;
    expect!((row.a0, row.a1, row.ret), (Some(0), None, Some(facts.number("pgid"))));
    let nap = rows.one(Kind::Call, |row: &SyscallEvent| {
        row.common.pid == child && row.name.as_deref().is_some_and(|name| name.ends_with("nanosleep"))
    })?;
    let slept = nap.duration.unwrap_or_default();
    if slept < NAP_NS as u64 {
        return Err(format!("row.duration: expected {NAP_NS} ns at least, found {slept}"));
    }
    let last = named("exit_group")?;
    expect!((last.a0, last.ret), (Some(0), None));
    Ok(())
}

fn set(_: &Scratch) -> Result<Value, Stop> {
    let child = sys::fork_ok(|| {
        // SAFETY: no preconditions.
        unsafe { libc::syscall(libc::SYS_getpgid, 0) };
        Ok(())
    })?;
    let exec = sys::fork(|| {
        // SAFETY: no preconditions.
        unsafe { libc::syscall(libc::SYS_getsid, 0) };
        sys::exec_self(0, &["set"]).map(|()| 0)
    })?;
    Ok(json!({ "child": child, "exec": exec.pid }))
}

fn check_set(rows: &Rows, facts: &Facts) -> Checked {
    let child = rows.host_pid(facts.number("child"))?;
    let has = |row: &SyscallEvent, name: &str| row.calls.iter().flatten().any(|call| &**call == name);
    let row = rows.one(Kind::CallSet, |row: &SyscallEvent| row.common.pid == child)?;
    expect!((has(row, "getpgid"), has(row, "exit_group"), has(row, "getsid")), (true, true, false));
    // Two incarnations: what forked, up to its exec, and what it became.
    let exec = rows.host_pid(facts.number("exec"))?;
    let sets = rows.all(Kind::CallSet, |row: &SyscallEvent| row.common.pid == exec);
    let [before, after] = sets[..] else { return Err(format!("{} sets of a process that execs once", sets.len())) };
    expect!((has(before, "getsid"), has(before, "execve"), has(before, "exit_group")), (true, true, false));
    expect!((has(after, "getsid"), has(after, "execve"), has(after, "exit_group")), (false, false, true));
    expect!(rows.process(after.common.exec_id)?.prev_exec_id, before.common.exec_id);
    Ok(())
}
