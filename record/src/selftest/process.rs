//! Processes: fork, exec, exit.

use std::time::Duration;

use datasets::{Origin, ProcessEvent};
use record_bpf::Kind;
use serde_json::{Value, json};

use super::exec::{check_own_namespaces, effective_capabilities, own_namespaces};
use super::{Case, Checked, Facts, Rows, Scratch, Stop, sys};
use crate::expect;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("fork", &[Kind::Fork], fork, check_fork),
        Case::new("exec", &[Kind::Exec], exec, check_exec),
        Case::new("exit-code", &[Kind::Exit], exit_code, check_exit_code),
        Case::new("exit-signal", &[Kind::Exit], exit_signal, check_exit_signal),
    ]
}

fn fork(_: &Scratch) -> Result<Value, Stop> {
    let child = sys::fork_ok(|| Ok(()))?;
    Ok(json!({ "parent": sys::pid(), "child": child }))
}

fn check_fork(rows: &Rows, facts: &Facts) -> Checked {
    let (parent, child) = (rows.host_pid(facts.number("parent"))?, rows.host_pid(facts.number("child"))?);
    let row = rows.one(Kind::Fork, |row: &ProcessEvent| row.child_pid == Some(child))?;
    expect!(row.common.pid, parent);
    expect!(row.common.tid, parent);
    let process = rows.process(row.child_exec_id)?;
    expect!(process.origin, Origin::Fork);
    expect!(process.pid, child);
    expect!(process.ns_pid, Some(facts.number::<u32>("child")));
    expect!(process.parent_exec_id, row.common.exec_id);
    Ok(())
}

const WORDS: [&str; 4] = ["one", "", "two words", "caf\u{e9}"];
const GID: u32 = 4321;

fn exec(scratch: &Scratch) -> Result<Value, Stop> {
    let exe = std::fs::read_link("/proc/self/exe")?;
    let (inode, dev) = sys::identity("/proc/self/exe")?;
    let ended = sys::fork(|| {
        std::env::set_current_dir(scratch.dir())?;
        // SAFETY: setgid has no preconditions.
        sys::call("setgid", unsafe { libc::setgid(GID) })?;
        sys::exec_self(0, &WORDS).map(|()| 0)
    })?;
    // SAFETY: geteuid has no preconditions.
    let uid = unsafe { libc::geteuid() };
    Ok(json!({
        "parent": sys::pid(), "child": ended.pid, "status": ended.status, "exe": exe, "inode": inode, "dev": dev,
        "cwd": scratch.dir(), "uid": uid, "ns": own_namespaces()?, "caps": effective_capabilities()?,
    }))
}

fn check_exec(rows: &Rows, facts: &Facts) -> Checked {
    expect!(facts.number::<i32>("status"), 0);
    let child = rows.host_pid(facts.number("child"))?;
    let row = rows.one(Kind::Exec, |row: &ProcessEvent| row.common.pid == child)?;
    expect!(row.exe.as_deref(), Some(facts.text("exe")));
    expect!(row.exe_inode, Some(facts.number::<u64>("inode")));
    expect!(row.exe_dev, Some(facts.number::<u32>("dev")));
    let argv: Vec<&str> = row.argv.iter().flatten().map(|word| &**word).collect();
    expect!(argv, [&sys::self_argv("0")[..], &WORDS[..]].concat());
    expect!(row.cwd.as_deref(), Some(facts.text("cwd")));
    expect!(row.uid, Some(facts.number::<u32>("uid")));
    expect!(row.gid, Some(GID));
    check_own_namespaces(row, facts)?;
    expect!(row.caps_effective, Some(facts.number::<u64>("caps")));
    expect!((row.script.as_deref(), row.interpreter.as_deref()), (None, None));
    expect!((row.exe_memfd, row.exe_deleted, row.argv_truncated), (Some(false), Some(false), Some(false)));
    expect!(rows.process(row.parent_exec_id)?.pid, rows.host_pid(facts.number("parent"))?);
    let process = rows.process(row.common.exec_id)?;
    expect!((process.origin, process.exit_code), (Origin::Exec, Some(0)));
    expect!(rows.process(process.prev_exec_id)?.origin, Origin::Fork);
    Ok(())
}

/// Runs a child that uses some memory and CPU time, and ends by code or signal.
fn end(how: fn() -> i32) -> Result<Value, Stop> {
    let ended = sys::fork(|| {
        let memory = vec![1u8; 8 << 20];
        std::hint::black_box(&memory);
        while cpu_time()? < Duration::from_millis(100) {}
        Ok(how())
    })?;
    let time = |t: libc::timeval| t.tv_sec * 1_000_000_000 + t.tv_usec * 1000;
    Ok(json!({
        "child": ended.pid, "cpu_ns": time(ended.usage.ru_utime) + time(ended.usage.ru_stime),
        "rss_bytes": ended.usage.ru_maxrss << 10,
    }))
}

fn cpu_time() -> Result<Duration, Stop> {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).map_err(std::io::Error::from)?;
    Ok(Duration::from(time))
}

fn exit_code(_: &Scratch) -> Result<Value, Stop> {
    end(|| 7)
}

fn exit_signal(_: &Scratch) -> Result<Value, Stop> {
    // SAFETY: kill has no preconditions; the process is this one.
    end(|| unsafe { libc::kill(libc::getpid(), libc::SIGKILL) })
}

fn check_exit(rows: &Rows, facts: &Facts, code: Option<i32>, signal: Option<i32>) -> Checked {
    let child = rows.host_pid(facts.number("child"))?;
    let row = rows.one(Kind::Exit, |row: &ProcessEvent| row.common.pid == child)?;
    expect!((row.exit_code, row.exit_signal), (code, signal));
    // The kernel adds up CPU time per thread by ticks, of 4 ms at most, and scales user and system to the sum it measured.
    let (found, expected) = (row.cpu_user.unwrap_or(0) + row.cpu_system.unwrap_or(0), facts.number::<u64>("cpu_ns"));
    if found.abs_diff(expected) > 20_000_000 + expected / 5 {
        return Err(format!("row.cpu_user + row.cpu_system: expected about {expected} ns, found {found}"));
    }
    // Kernels from 6.2 on count pages per CPU, in batches.
    let (found, expected) = (row.max_rss.unwrap_or(0), facts.number::<u64>("rss_bytes"));
    if found.abs_diff(expected) > 1 << 20 {
        return Err(format!("row.max_rss: expected about {expected} bytes, found {found}"));
    }
    expect!(rows.process(row.common.exec_id)?.exit_code, code);
    expect!(rows.process(row.common.exec_id)?.exit_signal, signal);
    Ok(())
}

fn check_exit_code(rows: &Rows, facts: &Facts) -> Checked {
    check_exit(rows, facts, Some(7), None)
}

fn check_exit_signal(rows: &Rows, facts: &Facts) -> Checked {
    check_exit(rows, facts, None, Some(libc::SIGKILL))
}
