//! What can go wrong, with the way out and the exit code of each kind.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("{what}")]
    Prerequisite { what: String, hint: String },
    #[error("{what}: {source}")]
    Bpf { what: &'static str, source: libbpf_rs::Error },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{what}: {source}")]
    System { what: &'static str, source: std::io::Error },
    #[error("cannot run {command}: {source}")]
    Command { command: String, source: std::io::Error },
    #[error(transparent)]
    Recording(#[from] datasets::Error),
    #[error(transparent)]
    Scenario(#[from] scenarios::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn prerequisite(what: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Prerequisite { what: what.into(), hint: hint.into() }
    }

    /// Documented in the README.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Prerequisite { .. } | Error::Bpf { .. } | Error::Read { .. } | Error::System { .. } => 3,
            Error::Command { .. } => 2,
            Error::Recording(error) if error.is_output() => 5,
            Error::Recording(_) => 4,
            Error::Scenario(error) if error.is_output() => 5,
            Error::Scenario(error) if error.is_bad_input() => 4,
            // The host lacks something, or the run failed.
            Error::Scenario(_) => 3,
        }
    }

    /// One line on the way out.
    pub fn hint(&self) -> String {
        match self {
            Error::Prerequisite { hint, .. } => hint.clone(),
            Error::Bpf { .. } => format!(
                "'record check' shows what this kernel offers; {}=1 shows why it refused",
                crate::bpf::DEBUG_VARIABLE
            ),
            Error::Recording(error) => error.hint().to_owned(),
            Error::Scenario(error) => error.hint().to_owned(),
            Error::Usage(_) => "`record --help` has every option, with examples".to_owned(),
            Error::Read { .. } => "`record check` shows what the recorder needs of this machine".to_owned(),
            Error::System { .. } => {
                "check the limits and the free memory of this machine (ulimit -a, free -h)".to_owned()
            }
            Error::Command { .. } => "give a program that is there and may be run, as: record -- make -j2".to_owned(),
        }
    }
}
