//! Finding a recording by name.

use std::env;
use std::path::{Path, PathBuf};

use crate::read::Recording;
use crate::{Error, Result, manifest_file};

/// Overrides where recordings are looked for by name.
pub const DATASETS_VARIABLE: &str = "RETROSCOPE_DATASETS";

impl Recording {
    /// Opens a recording that ships with the project, by its name (as `xmrig`).
    ///
    /// Looked for in `$RETROSCOPE_DATASETS`, then in `datasets/recordings` of the working directory, of the program's own
    /// directory and of every directory above them, then in the source tree this was built from.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the names there are, and those of [`Recording::open`].
    pub fn shipped(name: &str) -> Result<Recording> {
        let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let found = folders().into_iter().map(|folder| folder.join(name)).find(|dir| plain && is_recording(dir));
        match found {
            Some(dir) => Recording::open(dir),
            None => Err(Error::UnknownName { name: name.to_owned(), known: shipped_names() }),
        }
    }

    /// Opens a recording by path, or by name where there is no such path.
    pub fn find(name_or_path: &str) -> Result<Recording> {
        resolve(name_or_path).and_then(Recording::open)
    }
}

/// The directory that a name or path stands for; not yet opened.
///
/// # Errors
/// [`Error::UnknownName`], for what is neither.
pub fn resolve(name_or_path: &str) -> Result<PathBuf> {
    let path = Path::new(name_or_path);
    if path.exists() || name_or_path.contains('/') {
        return Ok(path.to_owned());
    }
    Recording::shipped(name_or_path).map(|recording| recording.dir().to_owned())
}

/// Names of the recordings that can be opened by name, sorted.
pub fn shipped_names() -> Vec<String> {
    let mut names: Vec<String> = folders()
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .flatten()
        .filter(|entry| is_recording(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn is_recording(dir: &Path) -> bool {
    manifest_file::path(dir).is_file()
}

fn folders() -> Vec<PathBuf> {
    let here = env::current_dir().ok();
    let program = env::current_exe().ok();
    let above = |start: &Option<PathBuf>| {
        let ancestors = start.iter().flat_map(|path| path.ancestors());
        ancestors.map(|dir| dir.join("datasets/recordings")).collect::<Vec<_>>()
    };
    let mut folders: Vec<PathBuf> = env::var_os(DATASETS_VARIABLE).map(PathBuf::from).into_iter().collect();
    folders.extend(above(&here));
    folders.extend(above(&program));
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings"));
    folders
}
