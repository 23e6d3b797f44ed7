//! Nothing but system calls: open, read and close.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE: &str = "storm";

pub fn prepare(dir: &Path) -> io::Result<()> {
    fs::write(path(dir), "hello")
}

pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

pub fn run(dir: &Path, rounds: u64) -> io::Result<(Duration, u64)> {
    let path = CString::new(path(dir).as_os_str().as_bytes()).map_err(io::Error::other)?;
    let begun = Instant::now();
    for _ in 0..rounds {
        round(&path)?;
    }
    Ok((begun.elapsed(), rounds))
}

/// Three system calls and nothing else: `std` would ask for more.
fn round(path: &CString) -> io::Result<()> {
    let mut buffer = [0u8; 64];
    // SAFETY: the path is a C string, the buffer is valid for its length, and the descriptor is this function's own.
    let read = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let read = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(fd);
        read
    };
    if read == 5 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
