//! Where a command makes a recording that is to be on object storage.

use std::path::{Path, PathBuf};

use crate::{Error, Progress, Recording, Result, copy};

/// A recording is made in a directory: the one asked for, or, where that is on object storage, a temporary one ($TMPDIR, 0700) that is
/// copied there when it is complete, and removed.
pub struct Spool {
    out: PathBuf,
    local: Option<tempfile::TempDir>,
}

impl Spool {
    /// # Errors
    /// [`Error::Exists`] where something is there already, [`Error::Store`], [`Error::Write`] when there can be no temporary directory.
    pub fn new(out: &Path) -> Result<Spool> {
        let local = if super::is_remote(out) {
            if !super::list(out)?.is_empty() {
                return Err(Error::Exists { path: out.to_owned() });
            }
            let made = tempfile::Builder::new().prefix("retroscope-").tempdir();
            Some(made.map_err(Error::write(&std::env::temp_dir()))?)
        } else {
            None
        };
        Ok(Spool { out: out.to_owned(), local })
    }

    /// Where to make it.
    pub fn dir(&self) -> &Path {
        self.local.as_ref().map_or(&self.out, |local| local.path())
    }

    /// Brings it to where it is to be.
    ///
    /// # Errors
    /// Those of [`copy`](fn@crate::copy).
    pub fn finish(self, progress: impl FnMut(Progress)) -> Result<()> {
        match &self.local {
            Some(local) => copy(&Recording::open(local.path())?, &self.out, progress).map(|_| ()),
            None => Ok(()),
        }
    }
}
