//! What the callers of a storm do, again and again, and which rows it must leave.

use std::ffi::CString;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt16Type;
use record_bpf::{Class, Kind};
use serde::{Deserialize, Serialize};

use crate::named::word;
use crate::workload::forkexec;

/// A thing that is done and counted by who does it. Each is of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// getppid(), a system call that does nothing
    Syscall,
    /// Open and close a small file
    File,
    /// connect() of a UDP socket to loopback, which sends nothing
    Network,
    /// Fork and exec a program of 129 bytes
    Process,
}

impl Deed {
    pub const ALL: [Deed; 4] = [Deed::Syscall, Deed::File, Deed::Network, Deed::Process];

    pub const fn class(self) -> Class {
        match self {
            Deed::Syscall => Class::Syscall,
            Deed::File => Class::File,
            Deed::Network => Class::Network,
            Deed::Process => Class::Process,
        }
    }

    pub const fn name(self) -> &'static str {
        self.class().name()
    }

    /// Rows of the class that each leaves: an open and a close; a fork, an exec and an exit.
    pub const fn rows(self) -> u64 {
        match self {
            Deed::Syscall | Deed::Network => 1,
            Deed::File => 2,
            Deed::Process => 3,
        }
    }

    /// How many are done between two looks at the clock where no pace is kept: together some 100 µs or one.
    pub(super) const fn burst(self) -> u64 {
        match self {
            Deed::Syscall => 1000,
            Deed::File | Deed::Network => 100,
            Deed::Process => 1,
        }
    }

    /// Paces for a curve, a second and CPU; the last, 0, is without one.
    pub const fn rates(self) -> &'static [u64] {
        match self {
            Deed::Syscall => &[50_000, 200_000, 500_000, 1_000_000, 0],
            Deed::File | Deed::Network => &[10_000, 50_000, 100_000, 200_000, 0],
            Deed::Process => &[100, 500, 1_000, 0],
        }
    }

    fn file(self, dir: &Path) -> PathBuf {
        match self {
            Deed::Process => forkexec::path(dir),
            _ => dir.join("storm-file"),
        }
    }

    /// Makes what the callers need in `dir`.
    ///
    /// # Errors
    /// `dir` cannot be written to.
    pub fn prepare(self, dir: &Path) -> io::Result<()> {
        match self {
            Deed::Process => forkexec::prepare(dir),
            Deed::File => fs::write(self.file(dir), "hello"),
            Deed::Syscall | Deed::Network => Ok(()),
        }
    }

    /// The columns by which [`Deed::is_row`] knows the rows that it counts.
    pub(super) const fn columns(self) -> &'static [&'static str] {
        match self {
            Deed::Syscall => &["nr"],
            Deed::File => &["op", "path"],
            Deed::Network => &["op"],
            Deed::Process => &["op", "exe"],
        }
    }

    /// How many rows of a batch of [`Deed::columns`] are of deeds that were done in `dir`: one each.
    pub(super) fn count(self, batch: &RecordBatch, dir: &Path) -> u64 {
        let file = self.file(dir);
        let file = file.to_string_lossy();
        let rows = 0..batch.num_rows();
        let is = |column: usize, row: usize, text: &str| word(batch.column(column), row) == Some(text);
        let counted = match self {
            Deed::Syscall => {
                let numbers = batch.column(0).as_primitive::<UInt16Type>();
                numbers.iter().flatten().filter(|number| i64::from(*number) == libc::SYS_getppid).count()
            }
            Deed::File => rows.filter(|row| is(0, *row, Kind::Open.op()) && is(1, *row, &file)).count(),
            Deed::Network => rows.filter(|row| is(0, *row, Kind::Connect.op())).count(),
            Deed::Process => rows.filter(|row| is(0, *row, Kind::Exec.op()) && is(1, *row, &file)).count(),
        };
        counted as u64
    }

    /// What a caller's thread keeps.
    pub(super) fn begin(self, dir: &Path) -> io::Result<Doer> {
        let path = || CString::new(self.file(dir).as_os_str().as_bytes()).map_err(io::Error::other);
        Ok(match self {
            Deed::Syscall => Doer::Syscall,
            Deed::File => Doer::File(path()?),
            Deed::Process => Doer::Process(path()?),
            Deed::Network => Doer::Network(UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?),
        })
    }
}

/// A deed with what it is done to.
pub(super) enum Doer {
    Syscall,
    File(CString),
    /// Who connects, and to whom.
    Network(UdpSocket, UdpSocket),
    Process(CString),
}

impl Doer {
    pub(super) fn once(&self) -> io::Result<()> {
        match self {
            Doer::Syscall => {
                // SAFETY: getppid() has no preconditions. By its number: libc might remember the answer.
                unsafe { libc::syscall(libc::SYS_getppid) };
                Ok(())
            }
            Doer::File(path) => {
                // SAFETY: the path is a C string, and the descriptor is this function's own.
                let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
                // SAFETY: as above; -1 is refused.
                if fd >= 0 && unsafe { libc::close(fd) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
            }
            Doer::Network(from, to) => connect(from.as_raw_fd(), to.local_addr()?.port()),
            Doer::Process(path) => forkexec::once(path),
        }
    }
}

/// To a port on loopback. The standard library would look the address up first.
fn connect(socket: libc::c_int, port: u16) -> io::Result<()> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: a valid address of the given length.
    match unsafe { libc::connect(socket, (&raw const address).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
