//! What can go wrong, each with where and the way out.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unknown scenario '{name}'; known: {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },

    #[error("no scenarios found")]
    NoCatalog,

    /// A scenario file that cannot be read as one; `place` is "line:column" or the name of the entry.
    #[error("{}:{place}: {message}", path.display())]
    Definition { path: PathBuf, place: String, message: String },

    #[error("'{name}' is no name for a scenario")]
    BadName { name: String },

    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },

    #[error("running a scenario needs root")]
    NotRoot,

    #[error("{what} is missing")]
    Missing { what: String, hint: &'static str },

    #[error("scenario '{scenario}' is already running on this host")]
    Busy { scenario: String },

    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },

    #[error("building image '{image}' failed: {message}")]
    Build { image: String, message: String },

    #[error("{command} failed: {message}")]
    Podman { command: String, message: String },

    #[error("service '{service}' was not ready after {seconds} s: {message}")]
    NotReady { service: String, seconds: u64, message: String },

    #[error("attack step '{step}' failed, so the run is not what the scenario describes: {message}")]
    Step { step: String, message: String },

    #[error("the recording cannot be labelled: {0}")]
    Recording(#[from] datasets::Error),

    /// A root matcher that matched nothing: labels would be missing.
    #[error("step '{step}' left no trace in the recording: nothing matches its {matcher}")]
    NoTrace { step: String, matcher: String },
}

impl Error {
    /// One line on the way out, where there is one.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::NoCatalog => "set RETROSCOPE_SCENARIOS to the folder that holds webapp/scenario.toml",
            Error::BadName { .. } => "use lower-case letters, digits and '-'",
            Error::NotRoot => "run it with sudo",
            Error::Missing { hint, .. } => hint,
            Error::Busy { .. } => "wait for it, or end the process that runs it",
            Error::Build { .. } => {
                "images are built from the packages of the host's own apt sources: does `apt-get update` work?"
            }
            Error::NotReady { .. } => "the machine may be too busy: try again",
            Error::NoTrace { .. } => "the recording must cover the whole run and the containers of its services",
            Error::Recording(error) => return error.hint(),
            Error::Unknown { .. }
            | Error::Definition { .. }
            | Error::Exists { .. }
            | Error::Io { .. }
            | Error::Podman { .. }
            | Error::Step { .. } => return None,
        })
    }

    /// Something the host lacks, as opposed to something wrong with the scenario or the run.
    pub fn is_missing_prerequisite(&self) -> bool {
        matches!(self, Error::NotRoot | Error::Missing { .. })
    }

    /// Something wrong with what was given: a name, a folder, a definition, a recording.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Error::Unknown { .. }
                | Error::NoCatalog
                | Error::Definition { .. }
                | Error::BadName { .. }
                | Error::Exists { .. }
                | Error::Recording(_)
                | Error::NoTrace { .. }
        )
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        |source| Error::Io { path, source }
    }
}
