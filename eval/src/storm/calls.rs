//! The storm itself: one thing done again and again, as often a second as asked for, counted by who does it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::deed::Deed;

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calls {
    pub calls: u64,
    /// From the first to the last, s.
    pub seconds: f64,
    /// CPU time of the callers, s.
    pub cpu_seconds: f64,
    /// Calls that were to be made and could not be made in time.
    pub behind: u64,
}

/// Calls are made in bursts of this length; between them the time is looked at, which takes no system call (vDSO).
const BURST: Duration = Duration::from_micros(100);

/// Does `deed` on every one of `cpus` for so long. `rate`: times per second of each; 0: as often as it can. `dir`: what
/// [`Deed::prepare`] was given.
///
/// # Errors
/// A CPU that is not there, or the deed failed.
pub fn run(deed: Deed, dir: &Path, cpus: &[usize], length: Duration, rate: u64) -> io::Result<Calls> {
    let begun = Instant::now();
    let caller = |cpu: usize| {
        let dir = dir.to_owned();
        std::thread::spawn(move || one(deed, &dir, cpu, length, rate))
    };
    let threads: Vec<_> = cpus.iter().map(|cpu| caller(*cpu)).collect();
    let mut all = Calls { calls: 0, seconds: 0.0, cpu_seconds: 0.0, behind: 0 };
    for thread in threads {
        let (calls, cpu_seconds) = thread.join().map_err(|_| io::Error::other("a caller panicked"))??;
        all.calls += calls;
        all.cpu_seconds += cpu_seconds;
        all.behind += ((length.as_secs_f64() * rate as f64) as u64).saturating_sub(calls);
    }
    all.seconds = begun.elapsed().as_secs_f64();
    Ok(all)
}

fn one(deed: Deed, dir: &Path, cpu: usize, length: Duration, rate: u64) -> io::Result<(u64, f64)> {
    pin(&[cpu])?;
    let doer = deed.begin(dir)?;
    let burst = if rate == 0 { deed.burst() } else { (rate as f64 * BURST.as_secs_f64()).ceil() as u64 };
    let begun = Instant::now();
    let mut calls = 0;
    loop {
        let elapsed = begun.elapsed();
        if elapsed >= length {
            break;
        }
        if rate > 0 && calls as f64 > elapsed.as_secs_f64() * rate as f64 {
            std::hint::spin_loop();
            continue;
        }
        for _ in 0..burst {
            doer.once()?;
        }
        calls += burst;
    }
    Ok((calls, thread_cpu()))
}

/// Keeps the calling thread, and what it starts, on some CPUs.
///
/// # Errors
/// There is no such CPU.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        if *cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: within the set, as just checked.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: a valid set of the given size.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// CPU time of this thread, s.
fn thread_cpu() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Writes what was called to a file.
///
/// # Errors
/// It cannot be written.
pub fn report(calls: &Calls, file: &std::path::Path) -> io::Result<()> {
    serde_json::to_writer(File::create(file)?, calls).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let run = |deed, cpus: &[usize], length, rate| run(deed, dir.path(), cpus, length, rate);
        let calls = run(Deed::Syscall, &[0], Duration::from_millis(100), 50_000).unwrap();
        assert!(calls.calls <= 5_000 + 5 && calls.calls + calls.behind >= 5_000, "{calls:?}");
        assert!(run(Deed::Syscall, &[1 << 20], Duration::ZERO, 0).is_err());
        for deed in Deed::ALL {
            deed.prepare(dir.path()).unwrap();
            let calls = run(deed, &[0], Duration::from_millis(50), 200).unwrap();
            assert!(calls.calls >= 1 && calls.calls <= 11, "{deed:?}: {calls:?}");
        }
    }
}
