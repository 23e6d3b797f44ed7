//! What can go wrong in a replay, the way out, and the exit code.

use std::path::{Path, PathBuf};

/// Exit codes of the binary; 0 is success.
pub mod exit {
    /// `--fail-on` was reached.
    pub const CHECK_FAILED: u8 = 1;
    /// Bad usage or configuration.
    pub const USAGE: u8 = 2;
    /// Something the machine should have is missing (model, ONNX Runtime).
    pub const PREREQUISITE: u8 = 3;
    /// The recording or profile cannot be read.
    pub const INPUT: u8 = 4;
    /// The output cannot be written.
    pub const OUTPUT: u8 = 5;
}

/// An error of the replay, one kind per exit code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{message}")]
    Config { message: String, hint: String },
    #[error("{message}")]
    Prerequisite { message: String, hint: String },
    #[error("{message}")]
    Input { message: String, hint: String },
    #[error("cannot write {}: {source}", path.display())]
    Output { path: PathBuf, source: std::io::Error },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Config { message: message.into(), hint: hint.into() }
    }

    pub fn prerequisite(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Prerequisite { message: message.into(), hint: hint.into() }
    }

    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Input { message: message.into(), hint: hint.into() }
    }

    pub fn output(path: &Path, source: impl Into<std::io::Error>) -> Self {
        Error::Output { path: path.to_owned(), source: source.into() }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config { .. } => exit::USAGE,
            Error::Prerequisite { .. } => exit::PREREQUISITE,
            Error::Input { .. } => exit::INPUT,
            Error::Output { .. } => exit::OUTPUT,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        match self {
            Error::Config { hint, .. } | Error::Prerequisite { hint, .. } | Error::Input { hint, .. } => hint,
            Error::Output { .. } => "choose a writable directory with -o DIR",
        }
    }
}
