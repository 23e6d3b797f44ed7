//! Files and terminal output of a run.

pub mod incidents;
pub mod palette;
pub mod parquet;
pub mod report;
pub mod run_json;
pub mod table;
pub mod text;
mod verdicts;

use std::fs;
use std::path::{Path, PathBuf};

use datasets::store;

use crate::error::{Error, Result};

/// The directory that results are written to.
pub struct OutputDir {
    path: PathBuf,
}

impl OutputDir {
    /// Creates it, with what lies above it, and makes sure that files can be written there: better to learn it before
    /// the work than after.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn create(path: &Path) -> Result<Self> {
        store::local_only(path, "what a replay writes")?;
        fs::create_dir_all(path).map_err(|error| Error::output(path, error))?;
        let probe = path.join(format!(".write-test-{}", std::process::id()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(|error| Error::output(path, error))?;
        Ok(Self { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file under another name first, so that a reader sees the old one or the new one and never a part.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(name);
        let part = self.path.join(format!(".{name}.part"));
        let written = fs::write(&part, content).and_then(|()| fs::rename(&part, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&part);
            Error::output(&path, error)
        })?;
        Ok(path)
    }
}
