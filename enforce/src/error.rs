//! What can go wrong, with the way out and the exit code of each kind.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}")]
    Usage { what: String, hint: &'static str },
    /// The machine, or the kernel, lacks something.
    #[error("{what}")]
    Prerequisite { what: String, hint: String },
    #[error("{what}: {source}")]
    Bpf { what: &'static str, source: libbpf_rs::Error },
    #[error("cannot take over the signals: {source}")]
    Signals { source: io::Error },
    #[error("{}: {reason}", path.display())]
    Policy { path: PathBuf, reason: String },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("stdout: {0}")]
    Output(io::Error),
    /// Man pages.
    #[error(transparent)]
    Pages(#[from] datasets::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn prerequisite(what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Prerequisite { what: what.into(), hint: hint.into() }
    }

    pub fn policy(path: impl Into<PathBuf>, reason: impl ToString) -> Error {
        Error::Policy { path: path.into(), reason: reason.to_string() }
    }

    /// Documented in the README.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage { .. } => 2,
            Error::Prerequisite { .. } | Error::Bpf { .. } | Error::Signals { .. } => 3,
            Error::Policy { .. } | Error::Read { .. } => 4,
            Error::Output(_) | Error::Pages(_) => 5,
        }
    }

    /// One line on the way out.
    pub fn hint(&self) -> &str {
        match self {
            Error::Usage { hint, .. } => hint,
            Error::Prerequisite { hint, .. } => hint,
            Error::Bpf { .. } => "this needs root (CAP_BPF, CAP_NET_ADMIN) and Linux 5.10 or newer",
            Error::Signals { .. } => "run it as a process of its own",
            Error::Policy { .. } => "`replay policy export PROFILE --format bpf -o FILE` writes one",
            Error::Read { .. } => "check the path and the permissions",
            Error::Pages(error) => error.hint(),
            Error::Output(_) => "check the disk, or whoever reads the pipe",
        }
    }
}
