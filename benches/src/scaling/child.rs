//! A program run to its end, with what it took.

use std::io::Read;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use super::Error;

pub(super) struct Used {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) memory_mib: f64,
}

/// What it prints to stdout is passed over; what it says on stderr is in the error if it fails.
pub(super) fn run(command: &mut Command) -> Result<Used, Error> {
    let program = PathBuf::from(command.get_program());
    let begin = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(Error::io(&program))?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        // Text that is none is as good as nothing said.
        let _ = { stderr }.read_to_string(&mut said);
    }
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    let pid = child.id().cast_signed();
    // SAFETY: the child is ours and nobody has waited for it; both places are valid for the call, which fills them on success.
    if unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } != pid {
        return Err(Error::io(&program)(std::io::Error::last_os_error()));
    }
    let wall_s = begin.elapsed().as_secs_f64();
    // SAFETY: all bytes zero are a value of it, and the call has filled it.
    let usage = unsafe { usage.assume_init() };
    if !ExitStatus::from_raw(status).success() {
        let said = said.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        return Err(Error::Failed { program, said: if said.is_empty() { "it said nothing".to_owned() } else { said } });
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Used {
        wall_s,
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        // KiB on Linux (getrusage(2)).
        memory_mib: usage.ru_maxrss as f64 / 1024.0,
    })
}
