//! Least privilege: once the programs are attached, every thread gives up what the rest of a recording does not need.

use std::ffi::CString;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use caps::Capability;
use nix::unistd::User;

use crate::error::{Error, Result};

/// When a capability is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// The tls class is recorded.
    Tls,
    /// The tls class is recorded, and this kernel refuses uprobes to CAP_PERFMON alone.
    TlsAdmin,
    /// Flows are counted at an interface.
    Flow,
    /// A command is recorded.
    Command,
    /// The output directory belongs to somebody else.
    ForeignOutput,
}

/// What is kept, and why: the table of the docs.
pub const KEPT: &[(Capability, When, &str)] = &[
    (
        Capability::CAP_BPF,
        When::Always,
        "judge new cgroups and read the kernel's counters: bpf(2) on maps, which kernels before 5.19 refuse without it where \
         kernel.unprivileged_bpf_disabled is set",
    ),
    (
        Capability::CAP_SYS_PTRACE,
        When::Always,
        "look at /proc/PID of processes in containers: their network namespace and addresses, their root and maps (tls)",
    ),
    (
        Capability::CAP_DAC_READ_SEARCH,
        When::Always,
        "read what container runtimes keep of other users' containers, and files in containers (tls)",
    ),
    (Capability::CAP_PERFMON, When::Tls, "attach uprobes to TLS code that is found while it records"),
    (
        Capability::CAP_SYS_ADMIN,
        When::TlsAdmin,
        "the same, on kernels that ask for it (found out by trying; so does the 6.18 that this was tested on)",
    ),
    (Capability::CAP_NET_ADMIN, When::Flow, "take the packet counters off the interfaces at the end"),
    (Capability::CAP_KILL, When::Command, "end a command that runs as another user"),
    (Capability::CAP_DAC_OVERRIDE, When::ForeignOutput, "write to a directory of another user"),
];

/// The table in Markdown.
pub fn markdown() -> String {
    let mut text = String::from("| capability | kept | for |\n|---|---|---|\n");
    for (capability, when, why) in KEPT {
        let when = match when {
            When::Always => "always",
            When::Tls => "with the class tls",
            When::TlsAdmin => "with the class tls, where CAP_PERFMON is not enough",
            When::Flow => "with `--interface`",
            When::Command => "with `-- COMMAND`",
            When::ForeignOutput => "if the output directory is not the recorder's",
        };
        let _ = writeln!(text, "| {capability} | {when} | {why} |");
    }
    text
}

/// Capabilities as the kernel's bit mask.
pub fn mask(needs: impl Fn(When) -> bool) -> u64 {
    KEPT.iter().filter(|(_, when, _)| needs(*when)).fold(0, |mask, (capability, _, _)| mask | capability.bitmask())
}

/// Whether this kernel lets a thread that has only CAP_PERFMON attach uprobes: tried on a place that no program executes.
pub fn perfmon_is_enough() -> bool {
    let tried = std::thread::spawn(|| keep_only(Capability::CAP_PERFMON.bitmask()) && opens_uprobe());
    tried.join().unwrap_or(false)
}

fn opens_uprobe() -> bool {
    let kind = std::fs::read_to_string("/sys/bus/event_source/devices/uprobe/type").unwrap_or_default();
    let Ok(kind) = kind.trim().parse::<u32>() else { return false };
    let path = c"/proc/self/exe";
    // struct perf_event_attr of linux/perf_event.h, version 5 (112 bytes): type, size; from byte 40 the flags, of which the
    // first is `disabled`; from 56 `uprobe_path`, from 64 `probe_offset`, here 0: the head of the file, which is no code.
    let mut attr = [0u64; 14];
    attr[0] = u64::from(kind) | (112 << 32);
    attr[5] = 1;
    attr[7] = path.as_ptr() as u64;
    let (every_process, cpu, no_group, flags) = (-1, 0, -1, 8); // PERF_FLAG_FD_CLOEXEC
    // SAFETY: `attr` has the size it says, and the path outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), every_process, cpu, no_group, flags) };
    if fd >= 0 {
        // SAFETY: a descriptor just made, owned by nobody else.
        unsafe { libc::close(fd as i32) };
    }
    fd >= 0
}

/// Whether the directory belongs to another user than this process runs as.
pub fn is_foreign(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: geteuid has no preconditions.
    let own = unsafe { libc::geteuid() };
    std::fs::metadata(dir).is_ok_and(|meta| meta.uid() != own)
}

/// Gives up everything but `keep` in every thread, for ever: no_new_privs is set and the bounding set emptied, so no program
/// that is executed from here on gets any of it back. New files are the owner's alone.
///
/// `user`: to run as from here on; `output`, and what is in it, becomes theirs.
///
/// # Errors
/// A user that does not exist, or anything the kernel refuses: nothing is recorded with more privileges than documented.
pub fn drop_all_but(keep: u64, user: Option<&str>, output: &Path) -> Result<()> {
    let error = |what: &str, source: io::Error| {
        Error::prerequisite(format!("cannot drop privileges: {what}: {source}"), "--keep-privileges records without")
    };
    let user = user.map(find).transpose()?;
    if let Some(user) = &user {
        give(user, output)?;
    }
    // SAFETY: changes a number of this process.
    unsafe { libc::umask(0o077) };
    // The bounding set first: it takes CAP_SETPCAP.
    in_every_thread(Step::Bound, 0).map_err(|source| error("the bounding set", source))?;
    if let Some(user) = &user {
        become_user(user).map_err(|source| error(&format!("run as {}", user.name), source))?;
    }
    in_every_thread(Step::Keep, keep).map_err(|source| error("the capabilities", source))?;
    holds(keep).map_err(|source| error("a thread kept more", source))
}

/// A user by name.
///
/// # Errors
/// There is none.
pub fn find(name: &str) -> Result<User> {
    let user = User::from_name(name).ok().flatten();
    user.ok_or_else(|| Error::Usage(format!("there is no user {name}")))
}

fn give(user: &User, output: &Path) -> Result<()> {
    let give = |path: &Path| {
        std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|source| Error::prerequisite(format!("{}: {source}", path.display()), "it is to belong to --user"))
    };
    let mut todo = vec![output.to_owned()];
    while let Some(path) = todo.pop() {
        give(&path)?;
        if path.is_dir() && !path.is_symlink() {
            todo.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

/// The C library's functions change the ids of all threads (nptl(7)).
fn become_user(user: &User) -> io::Result<()> {
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let name = CString::new(user.name.as_str())?;
    // SAFETY: a C string and plain ids.
    let results = unsafe {
        [libc::initgroups(name.as_ptr(), gid), libc::setresgid(gid, gid, gid), libc::setresuid(uid, uid, uid)]
    };
    if results == [0; 3] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[derive(Clone, Copy)]
enum Step {
    /// Empty the bounding set, and keep capabilities over a change of the user.
    Bound,
    /// Keep only some capabilities, and set no_new_privs.
    Keep,
}

// What the signal handler is to do, and what came of it.
static STEP: AtomicI32 = AtomicI32::new(0);
static KEEP: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicI32 = AtomicI32::new(0);

/// Capabilities are a thread's own: each is asked by a signal to do it for itself, as libpsx does.
fn in_every_thread(step: Step, keep: u64) -> io::Result<()> {
    let signal = libc::SIGRTMIN() + 5;
    STEP.store(step as i32, Ordering::SeqCst);
    KEEP.store(keep, Ordering::SeqCst);
    FAILED.store(0, Ordering::SeqCst);
    // SAFETY: a zeroed sigaction is valid; the handler makes only system calls and touches only atomics.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let mut asked = Vec::new();
    // A thread that is made by one that was not asked yet may be missed by a look: look until there is no new one.
    loop {
        let fresh: Vec<libc::pid_t> = threads()?.into_iter().filter(|thread| !asked.contains(thread)).collect();
        if fresh.is_empty() {
            break;
        }
        for thread in fresh {
            let before = DONE.load(Ordering::SeqCst);
            // SAFETY: signals a thread of this process; one that has ended gives ESRCH.
            let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
            let begun = Instant::now();
            while sent == 0 && DONE.load(Ordering::SeqCst) == before && threads()?.contains(&thread) {
                if begun.elapsed() > Duration::from_secs(5) {
                    return Err(io::Error::other("a thread does not answer"));
                }
                std::thread::sleep(Duration::from_micros(50));
            }
            asked.push(thread);
        }
    }
    match FAILED.load(Ordering::SeqCst) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn threads() -> io::Result<Vec<libc::pid_t>> {
    let entries = std::fs::read_dir("/proc/self/task")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

extern "C" fn on_signal(_: libc::c_int) {
    // SAFETY: the thread's own errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; what was interrupted must not see another error than its own.
    let saved = unsafe { *errno };
    let ok = if STEP.load(Ordering::SeqCst) == Step::Bound as i32 {
        bound()
    } else {
        keep_only(KEEP.load(Ordering::SeqCst))
    };
    if !ok {
        // SAFETY: as above.
        FAILED.store(unsafe { *errno }, Ordering::SeqCst);
    }
    // SAFETY: as above.
    unsafe { *errno = saved };
    DONE.fetch_add(1, Ordering::SeqCst);
}

/// Async-signal-safe.
fn bound() -> bool {
    for capability in 0..64 {
        // SAFETY: plain integers. EINVAL: the kernel has no further ones.
        if unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) } < 0 {
            break;
        }
        // SAFETY: as above.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            return false;
        }
    }
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 }
}

/// Async-signal-safe.
fn keep_only(keep: u64) -> bool {
    // linux/capability.h: version 3 has two words of 32 bits each.
    let header = [0x2008_0522_u32, 0];
    let (low, high) = (keep as u32, (keep >> 32) as u32);
    // Effective, permitted, inheritable; nothing is inherited.
    let data = [low, low, 0, high, high, 0];
    // SAFETY: both arrays have the layout that capset(2) reads, and outlive the call; the rest are plain integers.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) == 0
    }
}

/// Whether it is so, by what the kernel says of every thread.
fn holds(keep: u64) -> io::Result<()> {
    for thread in threads()? {
        let Ok(status) = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")) else { continue };
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
        let caps = |name: &str| u64::from_str_radix(field(name), 16).unwrap_or(u64::MAX);
        if caps("CapEff:") != keep || caps("CapPrm:") != keep || caps("CapBnd:") != 0 || field("NoNewPrivs:") != "1" {
            return Err(io::Error::other(format!("thread {thread}: {status}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_what_is_needed_and_no_more() {
        let bit = |capability: Capability| capability.bitmask();
        let always = bit(Capability::CAP_BPF) | bit(Capability::CAP_SYS_PTRACE) | bit(Capability::CAP_DAC_READ_SEARCH);
        assert_eq!(mask(|when| when == When::Always), always);
        assert_eq!(mask(|when| matches!(when, When::Always | When::Tls)), always | bit(Capability::CAP_PERFMON));
        let all = mask(|_| true);
        for never in
            [Capability::CAP_SYS_RAWIO, Capability::CAP_SYS_MODULE, Capability::CAP_SETUID, Capability::CAP_CHOWN]
        {
            assert_eq!(all & bit(never), 0, "{never}");
        }
    }
}
