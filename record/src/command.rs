//! `record -- COMMAND`: a child that waits until it is followed, so that its first exec is recorded.

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;

use crate::error::{Error, Result};

/// A child process held back before its exec.
pub struct Held {
    pid: libc::pid_t,
    name: String,
    gate: Option<File>,
    /// The child's errno if its exec fails; closed by an exec that succeeds.
    failure: File,
    status: Option<Status>,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(i32),
    Signalled(i32),
}

impl Held {
    /// Forks. To be called while this process has one thread.
    pub fn spawn(argv: &[String]) -> Result<Held> {
        let name = argv.join(" ");
        let error = |source| Error::Command { command: name.clone(), source };
        let args: Vec<CString> = argv
            .iter()
            .map(|argument| CString::new(argument.as_str()))
            .collect::<Result<_, _>>()
            .map_err(|e| error(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
        let mut pointers: Vec<*const c_char> = args.iter().map(|argument| argument.as_ptr()).collect();
        pointers.push(ptr::null());
        let (gate_read, gate) = pipe().map_err(error)?;
        let (failure, failure_write) = pipe().map_err(error)?;
        // SAFETY: between fork and exec the child calls only async-signal-safe functions on memory made before.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above; the descriptors and pointers are the parent's copies and valid.
            unsafe { wait_and_exec(&gate_read, &gate, &failure_write, &pointers) }
        }
        if pid < 0 {
            return Err(error(io::Error::last_os_error()));
        }
        Ok(Held { pid, name, gate: Some(file(gate)), failure: file(failure), status: None })
    }

    pub fn pid(&self) -> u32 {
        self.pid.cast_unsigned()
    }

    /// Lets the command run; an error if it could not be executed.
    pub fn release(&mut self) -> Result<()> {
        let error = |source| Error::Command { command: self.name.clone(), source };
        if let Some(mut gate) = self.gate.take() {
            gate.write_all(&[1]).map_err(error)?;
        }
        let mut errno = [0u8; 4];
        match self.failure.read(&mut errno).map_err(error)? {
            4 => Err(error(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
            _ => Ok(()),
        }
    }

    /// How the command ended, once it has.
    pub fn ended(&mut self) -> Option<Status> {
        if self.status.is_none() {
            let mut status = 0;
            // SAFETY: `status` is a valid int; the child is ours and waited for once.
            if unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } == self.pid {
                self.status = Some(if libc::WIFEXITED(status) {
                    Status::Exited(libc::WEXITSTATUS(status))
                } else {
                    Status::Signalled(libc::WTERMSIG(status))
                });
            }
        }
        self.status
    }

    /// Asks the command to end, as Ctrl-C would.
    pub fn interrupt(&mut self) {
        if self.ended().is_none() {
            // SAFETY: the child is ours and not yet waited for, so the pid is still its own.
            unsafe { libc::kill(self.pid, libc::SIGINT) };
        }
    }
}

impl Drop for Held {
    /// A command that was never released sees its gate close and ends.
    fn drop(&mut self) {
        if self.gate.take().is_some() {
            // SAFETY: the child is ours and not yet waited for.
            unsafe { libc::waitpid(self.pid, ptr::null_mut(), 0) };
        }
    }
}

/// # Safety
/// Only in a forked child; `argv` is a NULL-terminated array of C strings.
unsafe fn wait_and_exec(gate: &OwnedFd, own_gate: &OwnedFd, failure: &OwnedFd, argv: &[*const c_char]) -> ! {
    let mut byte = 0u8;
    // SAFETY: plain system calls on valid descriptors and memory; execvp returns only on failure.
    unsafe {
        libc::close(own_gate.as_raw_fd()); // else the read below would never see the parent go
        if libc::read(gate.as_raw_fd(), (&raw mut byte).cast(), 1) == 1 {
            libc::execvp(argv[0], argv.as_ptr());
            let errno = (*libc::__errno_location()).to_ne_bytes();
            libc::write(failure.as_raw_fd(), errno.as_ptr().cast(), errno.len());
        }
        libc::_exit(127)
    }
}

/// `(read end, write end)`, closed on exec.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

fn file(fd: OwnedFd) -> File {
    // SAFETY: the descriptor is owned and handed over.
    unsafe { File::from_raw_fd(fd.into_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn wait(held: &mut Held) -> Status {
        loop {
            if let Some(status) = held.ended() {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_command_runs_only_when_released() {
        let mut held = Held::spawn(&argv(&["sh", "-c", "exit 7"])).unwrap();
        assert_eq!(held.ended(), None);
        held.release().unwrap();
        assert_eq!(wait(&mut held), Status::Exited(7));
    }

    #[test]
    fn a_command_that_is_not_there_is_an_error() {
        let mut held = Held::spawn(&argv(&["/no/such/program"])).unwrap();
        let error = held.release().unwrap_err().to_string();
        assert!(error.contains("/no/such/program") && error.contains("No such file"), "{error}");
    }
}
