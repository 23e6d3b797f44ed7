//! What can go wrong, each with where and the way out.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unknown scenario '{name}'; {}", datasets::instead(meant(name, known), known))]
    Unknown { name: String, known: Vec<String> },

    #[error("{}: no scenarios there", path.display())]
    NoCatalog { path: PathBuf },

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

    #[error("{}: cannot read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    #[error("{}: cannot write: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },

    #[error("building image '{image}' failed: {message}")]
    Build { image: String, message: String },

    #[error("{command} failed: {message}")]
    Podman { command: String, message: String },

    #[error("service '{service}' was not ready after {seconds} s: {message}")]
    NotReady { service: String, seconds: u64, message: String },

    #[error("attack step '{step}' failed, so the run is not what the scenario describes: {message}")]
    Step { step: String, message: String },

    #[error("{}: not a timeline: {reason}", path.display())]
    Timeline { path: PathBuf, reason: String },

    #[error("the recording cannot be labelled: {0}")]
    Recording(#[from] datasets::Error),

    /// A root matcher that matched nothing: labels would be missing.
    #[error("step '{step}' left no trace in the recording: nothing matches its {matcher}")]
    NoTrace { step: String, matcher: String },
}

fn meant<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    datasets::near::nearest(name, known.iter().map(String::as_str))
}

impl Error {
    /// One line on the way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::NoCatalog { .. } => {
                "give the folder that holds webapp/scenario.toml with --from, or in RETROSCOPE_SCENARIOS"
            }
            Error::BadName { .. } => "use lower-case letters, digits and '-'",
            Error::NotRoot => "run it with sudo",
            Error::Missing { hint, .. } => hint,
            Error::Busy { .. } => "wait for it, or end the process that runs it",
            Error::Build { .. } => {
                "images are built from the packages of the host's own apt sources: does `apt-get update` work?"
            }
            Error::NotReady { .. } => "the machine may be too busy: try again",
            Error::NoTrace { .. } => "the recording must cover the whole run and the containers of its services",
            Error::Timeline { .. } => "give what `scenarios run NAME > FILE` printed",
            Error::Recording(error) => error.hint(),
            Error::Unknown { .. } => "`scenarios list` prints them; --from FOLDER takes those of another folder",
            Error::Definition { .. } => {
                "scenarios/README.md has every key; `scenarios lint FOLDER` finds all that is wrong"
            }
            Error::Exists { .. } => "give the new scenario another name, or remove this folder",
            Error::Read { .. } => "check that it is there and may be read",
            Error::Write { .. } => "check the space and the permissions there",
            Error::Podman { .. } => {
                "`podman info` and `podman ps --all` tell what podman thinks; try again once that is right"
            }
            Error::Step { .. } => {
                "`podman logs` of the containers tells more: `scenarios run NAME` runs it without a recorder"
            }
        }
    }

    /// Something wrong with what was given: a name, a folder, a definition, a recording.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Error::Unknown { .. }
                | Error::NoCatalog { .. }
                | Error::Definition { .. }
                | Error::BadName { .. }
                | Error::Exists { .. }
                | Error::Read { .. }
                | Error::Timeline { .. }
                | Error::Recording(_)
                | Error::NoTrace { .. }
        ) && !self.is_output()
    }

    /// The output could not be written, as opposed to an input that could not be read.
    pub fn is_output(&self) -> bool {
        match self {
            Error::Write { .. } => true,
            Error::Recording(error) => error.is_output(),
            _ => false,
        }
    }

    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        |source| Error::Read { path, source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        |source| Error::Write { path, source }
    }
}
