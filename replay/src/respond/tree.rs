//! A process tree of a container: found, made sure of, and killed. What a number meant when the event was recorded it need not mean
//! any more, so a process is taken for the alert's only if the kernel started it when the recording says, in the alert's container.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

use super::log::Killed;
use crate::alert::Alert;

/// The kernel tells starts in clock ticks of 10 ms; the recorder's clock and this one's may differ as well.
const SLACK_NS: i64 = 50_000_000;

/// Processes that are to be killed.
#[derive(Debug)]
pub struct Doomed {
    root: u32,
    container: String,
    /// Held from before it was made sure of: a number that is used again is another file.
    handle: Option<OwnedFd>,
}

/// What `/proc` says of a process.
#[derive(Clone, Debug)]
struct Seen {
    parent: u32,
    comm: String,
    started: u64,
}

impl Doomed {
    /// The process of an alert. `started`: when the recording saw it begin, Unix ns. Where nothing is to be done (`really`), the
    /// process need not be there any more.
    ///
    /// # Errors
    /// Why it is not killed.
    pub fn find(alert: &Alert, started: Option<i64>, really: bool) -> Result<Doomed, String> {
        let (root, container) = (alert.pid, alert.container.to_string());
        if root <= 1 || root == std::process::id() {
            return Err("that is no process of a container".to_owned());
        }
        if !really {
            return Ok(Doomed { root, container, handle: None });
        }
        let handle = open(root).map_err(|_| "the process has ended".to_owned())?;
        let seen = look(root).ok_or("the process has ended")?;
        if !is_in(root, &container) {
            return Err("the process of that number is not in the container: it is another one".to_owned());
        }
        if inner_pid(root) == Some(1) {
            return Err(
                "it is the container's first process: all of the container would end; pause it instead".to_owned()
            );
        }
        let recorded =
            started.ok_or("the recording does not say when the process began, so it could be another one")?;
        let now = unix_of(seen.started).ok_or("the clocks cannot be compared")?;
        if (recorded - now).abs() > SLACK_NS {
            return Err("the process of that number began at another time: it is another one".to_owned());
        }
        Ok(Doomed { root, container, handle: Some(handle) })
    }

    /// Kills the process and all that come from it, stopped first, so that none escapes by forking. The children of a process that
    /// has ended are the container's first process's, and so not found.
    pub fn kill(self) -> Vec<Killed> {
        let Some(handle) = self.handle else { return Vec::new() };
        let mut held: BTreeMap<u32, (OwnedFd, Seen)> = BTreeMap::new();
        if let Some(seen) = look(self.root) {
            send(&handle, libc::SIGSTOP);
            held.insert(self.root, (handle, seen));
        }
        // Until a look finds nobody new: whoever was stopped makes no more children.
        loop {
            let known: BTreeSet<u32> = held.keys().copied().collect();
            let mut grown = false;
            for (pid, seen) in processes() {
                if known.contains(&pid) || !known.contains(&seen.parent) || !is_in(pid, &self.container) {
                    continue;
                }
                // It is still the child: a number can only be used again once the old one was waited for.
                if let Ok(handle) = open(pid)
                    && look(pid).is_some_and(|again| again.started == seen.started && again.parent == seen.parent)
                    && inner_pid(pid) != Some(1)
                {
                    send(&handle, libc::SIGSTOP);
                    held.insert(pid, (handle, seen));
                    grown = true;
                }
            }
            if !grown {
                break;
            }
        }
        let killed = held.into_iter().filter(|(_, (handle, _))| send(handle, libc::SIGKILL));
        killed.map(|(pid, (_, seen))| Killed { pid, comm: seen.comm, started: seen.started }).collect()
    }
}

/// Whether this program, or a recorder, runs in a container.
pub fn is_own(container: &str) -> bool {
    if is_in(std::process::id(), container) {
        return true;
    }
    processes().into_iter().any(|(pid, seen)| seen.comm == "record" && is_in(pid, container))
}

fn processes() -> Vec<(u32, Seen)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, look(pid)?))).collect()
}

fn look(pid: u32) -> Option<Seen> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, brackets too.
    let (head, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // A process that has ended and is not waited for is nobody to be killed.
    (fields.first() != Some(&"Z")).then_some(())?;
    Some(Seen {
        parent: fields.get(1)?.parse().ok()?,
        comm: head.split_once('(')?.1.to_owned(),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Whether the process's cgroup is the container's: its id is part of the path.
fn is_in(pid: u32, container: &str) -> bool {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    container.len() == 64 && cgroup.lines().any(|line| line.contains(container))
}

/// Its number in its own pid namespace.
fn inner_pid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// Unix time, ns, of a moment in clock ticks since the kernel's begin.
fn unix_of(ticks: u64) -> Option<i64> {
    // SAFETY: sysconf() has no preconditions.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|hz| *hz > 0)?;
    let clock = |id| {
        let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `at` is valid for writing.
        (unsafe { libc::clock_gettime(id, &raw mut at) } == 0).then(|| at.tv_sec * 1_000_000_000 + at.tv_nsec)
    };
    let boot = clock(libc::CLOCK_REALTIME)? - clock(libc::CLOCK_BOOTTIME)?;
    let since = u128::from(ticks) * 1_000_000_000 / u128::from(per_second);
    Some(boot + i64::try_from(since).ok()?)
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the call has just opened it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// True: it was there.
fn send(handle: &OwnedFd, signal: libc::c_int) -> bool {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open, and no siginfo is given.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), signal, no_info, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_as_the_kernel_tells_it() {
        let own = look(std::process::id()).unwrap();
        assert!(own.parent > 0 && own.started > 0 && !own.comm.is_empty());
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
        let begun = unix_of(own.started).unwrap();
        assert!(begun <= now && now - begun < 3_600_000_000_000, "{begun} {now}");
        assert!(!is_in(std::process::id(), &"ab".repeat(32)) && !is_in(std::process::id(), ""));
        assert!(look(u32::MAX).is_none() && open(0x7fff_fff0).is_err());
    }
}
