//! What can go wrong with a recording, each with the file it concerns and a way out.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::Fault;

/// An unreadable, foreign, damaged or unwritable recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path does not exist, or is not a directory.
    #[error("{}: no recording there ({reason})", path.display())]
    NotFound { path: PathBuf, reason: &'static str },
    /// A directory without `manifest.json`.
    #[error("{}: not a recording: it has no manifest.json", path.display())]
    NoManifest { path: PathBuf },
    /// `manifest.json` is not JSON, or not a recording's.
    #[error("{}: not a recording's manifest: {reason}", path.display())]
    ForeignManifest { path: PathBuf, reason: String },
    /// Not a filter of known behaviour, or of a version that this build does not know.
    #[error("{}: not a filter of known behaviour: {reason}", path.display())]
    ForeignFilter { path: PathBuf, reason: String },
    /// Written by a version of the format that this build does not know.
    #[error("{}: {what} version {found}; this build reads {known}", path.display())]
    UnknownVersion { path: PathBuf, what: &'static str, found: String, known: String },
    /// The manifest lists a file that is not there.
    #[error("{}: missing, though the manifest lists it", path.display())]
    MissingFile { path: PathBuf },
    /// Not Parquet, cut off, or damaged beyond reading.
    #[error("{}: not a readable Parquet file: {reason}", path.display())]
    Parquet { path: PathBuf, reason: String },
    /// A column is not there, or not of the type the schema gives it.
    #[error("{}: column {column}: expected {expected}, found {found}", path.display())]
    Column { path: PathBuf, column: String, expected: String, found: String },
    /// A value that the schema does not allow.
    #[error("{}: column {column}: {reason}", path.display())]
    Value { path: PathBuf, column: String, reason: String },
    /// Rows out of (ts, cpu, seq) order, or before the segment's first_ts in the manifest.
    #[error("{}: row {row} is out of order", path.display())]
    Order { path: PathBuf, row: u64 },
    /// Object storage does not give or take what was asked of it.
    #[error("{}: {reason}", path.display())]
    Store { path: PathBuf, fault: Fault, reason: String },
    #[error("{}: cannot read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: cannot write: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// A frame of the journal is whole, and not what this build writes.
    #[error("{}: not a journal this build can read: {reason}", path.display())]
    Journal { path: PathBuf, reason: String },
    /// It is being recorded without one, or by a recorder that does not say what is in it.
    #[error("{}: it cannot be followed: its recorder keeps no journal that says what is on disk", path.display())]
    NoJournal { path: PathBuf },
    /// Somebody is writing to it.
    #[error("{}: it is still being recorded", path.display())]
    Busy { path: PathBuf },
    /// A recording never overwrites what is there.
    #[error("{}: exists and is not an empty directory", path.display())]
    Exists { path: PathBuf },
    /// A key file that is none, or that others can read.
    #[error("{}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
    /// Not a file of splits, or one in which they overlap.
    #[error("{}: {reason}", path.display())]
    Splits { path: PathBuf, reason: String },
    /// What was asked for is not in the recording.
    #[error("{reason}")]
    Selection { reason: String },
    /// Not a query of its tables, or one that cannot be answered.
    #[error("{reason}")]
    Query { reason: String },
    /// It cannot be made into another one: its recorder did not finish, so that it has no account.
    #[error("{}: it is unfinished: there is no account of its events to carry on", path.display())]
    Unfinished { path: PathBuf },
    /// It was copied while it was made, and its recorder is gone without having completed it.
    #[error("{}: its recorder has gone without completing it: the copy is unfinished", path.display())]
    Killed { path: PathBuf },
    /// Recordings that cannot be made into one.
    #[error("cannot merge: {reason}")]
    Merge { reason: String },
    /// Not a log that can be imported.
    #[error("{}: cannot import: {reason}", path.display())]
    Import { path: PathBuf, reason: String },
    /// The same: it is not there, or cannot be read to its end.
    #[error("{}: cannot read the log: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    /// Neither a path nor the name of a shipped recording.
    #[error("no recording called {name:?}; {}", instead(meant.as_deref(), known))]
    UnknownName { name: String, meant: Option<String>, known: Vec<String> },
}

/// The name that was meant, or else those there are.
pub fn instead(meant: Option<&str>, known: &[String]) -> String {
    match (meant, known) {
        (Some(meant), _) => format!("did you mean {meant}?"),
        (None, []) => "known: none".to_owned(),
        (None, known) => format!("known: {}", known.join(", ")),
    }
}

impl Error {
    /// The output could not be written, as opposed to an input that could not be read.
    pub fn is_output(&self) -> bool {
        matches!(self, Error::Write { .. } | Error::Exists { .. })
    }

    /// What was asked for makes no sense, as opposed to a recording that cannot be read.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Selection { .. } | Error::Query { .. } | Error::Merge { .. })
    }

    /// The disk has no room left, or the user no quota.
    pub(crate) fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Error::Write { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// One line on the way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::NotFound { .. } => "give the directory of a recording, or make one with `record`",
            Error::UnknownName { .. } => {
                "give the directory of a recording, or the name of one in datasets/recordings; `record` makes new ones"
            }
            Error::NoManifest { .. } | Error::ForeignManifest { .. } => {
                "a recording is the directory that `record -o DIR` wrote, with manifest.json in it"
            }
            Error::Splits { .. } => "each seed belongs to one of train, validation and test: see datasets/splits.toml",
            Error::ForeignFilter { .. } => "`replay profile export` makes one",
            Error::UnknownVersion { .. } => "read it with the version of retroscope that wrote it, or a newer one",
            Error::MissingFile { .. } | Error::Parquet { .. } | Error::Value { .. } | Error::Order { .. } => {
                "`datasets verify DIR` names everything that is damaged"
            }
            Error::Key { .. } => "'datasets keygen FILE' makes a key pair; a recording is verified with FILE.pub",
            Error::Selection { .. } => "`datasets info` and `datasets tree` print what a recording holds",
            Error::Query { .. } => {
                "`datasets schema` prints the columns of every table; `datasets sql --help` has examples"
            }
            Error::Unfinished { .. } => "complete it first: `datasets recover DIR`, or end the recorder",
            Error::Killed { .. } => {
                "`datasets recover DIR` completes it; then copy it to another place, or remove the unfinished copy"
            }
            Error::Merge { .. } => "`datasets info` tells the recordings apart",
            Error::Import { .. } => "`datasets import --help` has the formats; `--from` says which it is",
            Error::Log { .. } => {
                "check the path and the permissions; `-` reads stdin, and what begins as gzip is unpacked"
            }
            Error::Column { .. } => "`datasets schema` prints the columns each table must have",
            Error::Journal { .. } => "recover it with the version of retroscope that recorded it",
            Error::NoJournal { .. } => "record without `--journal off`, and with a recorder of this version",
            Error::Busy { .. } => "end the recorder first: Ctrl-C or SIGTERM completes a recording",
            Error::Exists { .. } => "choose another directory, or remove this one",
            Error::Write { .. } => {
                "check the space and the permissions there; of a recording, what came before is kept: `datasets verify DIR`, and `datasets recover DIR` if it is unfinished"
            }
            Error::Store { fault, .. } => fault.hint(),
            Error::Read { .. } => "check the permissions; recordings are readable by their owner only",
        }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        |source| Error::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        |source| Error::Write { path: path.to_owned(), source }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
