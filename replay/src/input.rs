//! What goes into a replay: recordings, by path or name, with their hashes checked; saved profiles.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use datasets::{Recording, store};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::profile::Profile;

/// A file of the input, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputFile {
    /// Relative to the recording.
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
}

/// What `--learn` was given.
pub enum Baseline {
    Recording(Box<Recording>),
    Profile(Profile, InputFile),
}

impl From<datasets::Error> for Error {
    fn from(error: datasets::Error) -> Self {
        if let datasets::Error::Write { path, source } = error {
            return Error::Output { path, source };
        }
        Error::input(error.to_string(), error.hint())
    }
}

/// Opens a recording by path, or by the name of one that ships.
///
/// # Errors
/// Nothing there, foreign, or incomplete.
pub fn recording(name_or_path: &str) -> Result<Recording> {
    let recording = Recording::find(name_or_path)?;
    if let Some(advice) = recording.advice() {
        eprintln!("warning: {advice}");
    }
    Ok(recording)
}

/// Opens the recording of a scenario that ships.
///
/// # Errors
/// An unknown scenario; the message names the known ones.
pub fn scenario(name: &str) -> Result<Recording> {
    Recording::shipped(name).map_err(|error| match error {
        datasets::Error::UnknownName { meant, known, .. } => {
            let instead = datasets::instead(meant.as_deref(), &known);
            Error::input(
                format!("no recording of a scenario called {name:?}; {instead}"),
                format!("`record --scenario {name}` makes one where the scenario exists"),
            )
        }
        other => other.into(),
    })
}

/// Opens a baseline: a saved profile (a file, or a directory with `profile.json`), else a recording.
///
/// # Errors
/// As [`recording`] and [`Profile::load`].
pub fn baseline(name_or_path: &str) -> Result<Baseline> {
    let path = Path::new(name_or_path);
    let inside = path.join("profile.json");
    let file = if path.is_file() { path } else { &inside };
    if file.is_file() {
        let profile = Profile::load(file)?;
        let (sha256, bytes) = digest(file, [])?;
        let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return Ok(Baseline::Profile(profile, InputFile { file: name, sha256, bytes }));
    }
    recording(name_or_path).map(|recording| Baseline::Recording(Box::new(recording)))
}

/// Hashes every file of the recording and compares it with the manifest.
///
/// # Errors
/// A file that cannot be read, or differs from what the manifest says.
pub fn verify(recording: &Recording) -> Result<Vec<InputFile>> {
    let manifest = recording.manifest();
    let segments = manifest.segments.iter().map(|segment| (&segment.file, &segment.sha256));
    let tables = manifest.tables.iter().map(|table| (&table.file, &table.sha256));
    let mut files = Vec::new();
    let listed: Vec<_> = segments.chain(tables).collect();
    for (at, (file, expected)) in listed.iter().enumerate() {
        let path = recording.dir().join(file);
        let next = listed[at + 1..].iter().map(|(file, _)| recording.dir().join(file));
        let (sha256, bytes) = digest(&path, next)?;
        if sha256 != **expected {
            return Err(Error::input(
                format!("{}: its content is not what the manifest says (SHA-256 differs)", path.display()),
                "`datasets verify DIR` tells tampering from truncation",
            ));
        }
        files.push(InputFile { file: (*file).clone(), sha256, bytes });
    }
    Ok(files)
}

/// SHA-256 in hex, and the length in bytes, of a file of a recording. `next`: what is wanted after it, which of an object store is
/// asked for ahead.
///
/// # Errors
/// A file that cannot be read; a store that fails.
pub fn digest(path: &Path, next: impl IntoIterator<Item = PathBuf>) -> Result<(String, u64)> {
    if store::is_remote(path) {
        let bytes = store::whole(path, next.into_iter())?;
        return Ok((hex(&Sha256::digest(&bytes)), bytes.len() as u64));
    }
    hash(path)
        .map_err(|error| Error::input(format!("{}: cannot read: {error}", path.display()), "check the permissions"))
}

/// SHA-256 in hex, and the length in bytes.
pub fn hash(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((hex(&hasher.finalize()), bytes));
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
