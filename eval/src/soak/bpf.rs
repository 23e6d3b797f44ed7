//! How long the recorder's BPF programs run, as the kernel counts it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// `enum bpf_cmd` and `enum bpf_stats_type` of linux/bpf.h.
const BPF_ENABLE_STATS: libc::c_long = 32;
const BPF_STATS_RUN_TIME: u32 = 0;

/// The kernel counts as long as this is open (5.8 and later; `kernel.bpf_stats_enabled` stays as it is). It costs every run of
/// every BPF program of the machine two looks at the clock, which are not in the times themselves.
pub fn count_run_time() -> io::Result<OwnedFd> {
    // union bpf_attr, of which this command reads the first field.
    let attr = [BPF_STATS_RUN_TIME, 0];
    // SAFETY: `attr` is valid for reading the size given.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_ENABLE_STATS, attr.as_ptr(), 4usize) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    debug_assert!(fd.as_raw_fd() >= 0);
    Ok(fd)
}

/// Since a program was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunTime {
    pub seconds: f64,
    pub runs: u64,
}

/// Sum over the BPF programs that a process holds, each once: `run_time_ns` and `run_cnt` of /proc/PID/fdinfo
/// (`bpf_prog_show_fdinfo`, kernel/bpf/syscall.c).
pub fn run_time(fdinfo: &Path) -> RunTime {
    let mut seen = std::collections::BTreeMap::new();
    for entry in fs::read_dir(fdinfo).into_iter().flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        if let Some((id, ns, runs)) = program(&text) {
            seen.insert(id, (ns, runs));
        }
    }
    let (ns, runs) = seen.values().fold((0, 0), |sum: (u64, u64), (ns, runs)| (sum.0 + ns, sum.1 + runs));
    RunTime { seconds: ns as f64 / 1e9, runs }
}

/// Id, run time and runs; a link names the program it attaches, but has no run time.
fn program(text: &str) -> Option<(u64, u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line?.trim().parse::<u64>().ok()
    };
    Some((field("prog_id")?, field("run_time_ns")?, field("run_cnt")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_counted_once_however_often_it_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let program = "pos:\t0\nprog_type:\t26\nprog_id:\t7\nrun_time_ns:\t1500000000\nrun_cnt:\t3\n";
        for (name, text) in [
            ("3", program),
            ("4", program),
            ("5", "link_type:\traw_tracepoint\nprog_id:\t7\n"),
            ("6", "prog_id:\t8\nrun_time_ns:\t500000000\nrun_cnt:\t4\n"),
            ("7", "pos:\t0\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(run_time(dir.path()), RunTime { seconds: 2.0, runs: 7 });
        assert_eq!(run_time(&dir.path().join("gone")), RunTime::default());
    }
}
