//! Processes that do nothing: the cost of being born, of becoming another program, and of dying.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PROGRAM: &str = "nothing";

/// A whole x86-64 program: ELF header, one loadable segment, and `exit(0)`. See elf(5).
fn program() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code = [0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]; // xor edi, edi; mov eax, 60; syscall
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2u16, 62].iter().flat_map(|n| n.to_le_bytes())); // an executable, x86-64
    elf.extend(1u32.to_le_bytes());
    elf.extend([BASE + HEADERS, 64, 0].iter().flat_map(|n| n.to_le_bytes())); // entry, program headers, sections
    elf.extend(0u32.to_le_bytes());
    elf.extend([64u16, 56, 1, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend([1u32, 5].iter().flat_map(|n| n.to_le_bytes())); // load, readable and executable
    elf.extend([0, BASE, BASE, size, size, 4096].iter().flat_map(|n| n.to_le_bytes()));
    elf.extend(code);
    elf
}

pub fn prepare(dir: &Path) -> io::Result<()> {
    let path = path(dir);
    fs::write(&path, program())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
}

pub fn path(dir: &Path) -> PathBuf {
    dir.join(PROGRAM)
}

pub fn run(dir: &Path, times: u64) -> io::Result<(Duration, u64)> {
    let path = CString::new(path(dir).as_os_str().as_bytes()).map_err(io::Error::other)?;
    let begun = Instant::now();
    for _ in 0..times {
        once(&path)?;
    }
    Ok((begun.elapsed(), times))
}

/// A process that becomes the program, and its end.
pub fn once(path: &CString) -> io::Result<()> {
    let argv = [path.as_ptr(), std::ptr::null()];
    let mut status = 0;
    // SAFETY: the child calls execv and _exit only, which may be called after a fork among threads, with valid C strings.
    let ended = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::execv(path.as_ptr(), argv.as_ptr());
            libc::_exit(127);
        }
        libc::waitpid(pid, &raw mut status, 0)
    };
    if ended < 0 {
        return Err(io::Error::last_os_error());
    }
    if status != 0 {
        return Err(io::Error::other(format!("the program ended with wait status {status:#x}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_one_and_runs() {
        assert_eq!(program().len(), 129);
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        assert!(std::process::Command::new(path(dir.path())).status().unwrap().success());
    }
}
