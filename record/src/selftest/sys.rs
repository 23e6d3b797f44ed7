//! System calls for triggers: what `std` has no name for, with errors that say which call failed.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Stop;

/// The result of a libc call, or its errno: `sys::call("open", unsafe { libc::open(..) })?`.
pub fn call<T: TryInto<i64> + Copy>(name: &str, result: T) -> Result<T, Stop> {
    match result.try_into() {
        Ok(-1) => Err(Stop::fail(format!("{name}: {}", std::io::Error::last_os_error()))),
        _ => Ok(result),
    }
}

pub fn c(path: impl AsRef<OsStr>) -> CString {
    CString::new(path.as_ref().as_bytes()).expect("a trigger's path has no NUL")
}

pub fn pid() -> u32 {
    std::process::id()
}

/// How a child ended, and what it used.
pub struct Ended {
    pub pid: u32,
    /// As wait(2).
    pub status: i32,
    pub usage: libc::rusage,
}

/// Forks, runs `body` in the child, and waits for it. The child's exit code is what `body` returns, 99 if it failed.
pub fn fork(body: impl FnOnce() -> Result<i32, Stop>) -> Result<Ended, Stop> {
    // SAFETY: a trigger has one thread, so that the child may do anything.
    let pid = call("fork", unsafe { libc::fork() })?;
    if pid == 0 {
        let code = body().unwrap_or_else(|stop| {
            eprintln!("in a forked child: {stop}");
            99
        });
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(code) }
    }
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    let mut status = 0;
    // SAFETY: `status` and `usage` are valid; the child is ours and waited for once.
    call("wait4", unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) })?;
    Ok(Ended { pid: pid.cast_unsigned(), status, usage })
}

/// As [`fork`], for a child that must end well.
pub fn fork_ok(body: impl FnOnce() -> Result<(), Stop>) -> Result<u32, Stop> {
    let ended = fork(|| body().map(|()| 0))?;
    if ended.status == 0 {
        return Ok(ended.pid);
    }
    Err(Stop::fail(format!("a child ended with wait status {:#x}", ended.status)))
}

/// Replaces the program by this one again, which ends at once with `code`; `words` are only there to be recorded.
pub fn exec_self(code: i32, words: &[&str]) -> Result<(), Stop> {
    let code = code.to_string();
    let argv: Vec<CString> = self_argv(&code).into_iter().chain(words.iter().copied()).map(c).collect();
    let mut pointers: Vec<_> = argv.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a NULL-terminated array of C strings that outlive the call.
    call("execv", unsafe { libc::execv(c"/proc/self/exe".as_ptr(), pointers.as_ptr()) }).map(|_| ())
}

/// What [`exec_self`] puts before the words.
pub fn self_argv(code: &str) -> Vec<&str> {
    vec!["record", "selftest-trigger", "/", "--end", code, "--"]
}

/// Inode and device of a file, the device as the rows have it: major << 20 | minor, of the kernel's own dev_t.
pub fn identity(path: impl AsRef<Path>) -> Result<(u64, u32), Stop> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path)?;
    Ok((meta.ino(), libc::major(meta.dev()) << 20 | libc::minor(meta.dev())))
}

/// Skips the case where loopback has no `::1`. Nothing is bound to find out: that would be an event.
pub fn need_ipv6() -> Result<(), Stop> {
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let loopback = format!("{:032x} ", 1);
    if addresses.lines().any(|line| line.starts_with(&loopback)) {
        Ok(())
    } else {
        Err(Stop::skip("no IPv6 on loopback"))
    }
}
