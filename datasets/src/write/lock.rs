//! One writer at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::{Error, Result};

/// Keeps others from writing to the recording while this one does, also from completing it; the end of the process frees it.
/// `None`: the file system has no locks.
pub(crate) fn lock(dir: &Path) -> Result<Option<File>> {
    let folder = File::open(dir).map_err(Error::write(dir))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy { path: dir.to_owned() }),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
