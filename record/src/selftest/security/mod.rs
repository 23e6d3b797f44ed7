//! Privileges, namespaces, mounts, tracing, signals, kernel code, executable memory.
//!
//! A call that this machine refuses is recorded too: the checks compare with what the call returned, whatever that was.

use std::fs::File;
use std::io::Write;

use datasets::SecurityEvent;
use record_bpf::Kind;
use serde_json::Value;

use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};

mod code;
mod mounts;
mod privileges;
mod processes;
mod signals;

pub fn cases() -> Vec<Case> {
    [privileges::cases(), processes::cases(), signals::cases(), mounts::cases(), code::cases()].concat()
}

/// Any system call: its result, or -errno.
fn call<const N: usize>(nr: libc::c_long, args: [u64; N]) -> i64 {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: each trigger passes what its call takes; pointers are to memory that outlives it.
    let ret = unsafe { libc::syscall(nr, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    match ret {
        -1 => -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        ret => ret,
    }
}

/// A pointer as an argument.
fn at<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<()>() as u64
}

/// A number such as -1 or AT_FDCWD as an argument.
fn int(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Runs `body` in a child of its own, as what it does to itself must not last, and returns its facts.
fn in_child(scratch: &Scratch, body: impl FnOnce() -> Result<Value, Stop>) -> Result<Value, Stop> {
    let path = scratch.path("child.json");
    // Opened before: the body may give up the right to.
    let mut file = File::create(&path)?;
    sys::fork_ok(|| {
        let mut facts = body()?;
        facts["pid"] = sys::pid().into();
        Ok(file.write_all(facts.to_string().as_bytes())?)
    })?;
    serde_json::from_str(&std::fs::read_to_string(&path)?).map_err(|error| Stop::fail(error.to_string()))
}

/// The only row of a kind that matches.
fn one(rows: &Rows, kind: Kind, matches: impl Fn(&SecurityEvent) -> bool) -> Result<&SecurityEvent, String> {
    rows.one(kind, matches)
}

/// Return value and process of a row. `ret` names the fact that has the call's return value.
fn check_call(rows: &Rows, facts: &Facts, row: &SecurityEvent, ret: &str) -> Checked {
    crate::expect!(row.ret, facts.number::<i32>(ret));
    crate::expect!(row.common.pid, rows.host_pid(facts.number("pid"))?);
    crate::expect!(rows.process(row.common.exec_id)?.pid, row.common.pid);
    Ok(())
}
