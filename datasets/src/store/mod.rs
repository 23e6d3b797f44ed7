//! Recordings on object storage: `s3://BUCKET/PREFIX` where a directory is meant.
//!
//! A recording's files are read through [`Input`], which is a local file or an object. A path that begins with `s3://` names an object; all
//! others are the file system's, and nothing changes for them. The settings are AWS's environment variables, as `object_store` reads them.

mod ahead;
mod client;
mod fault;
mod input;
mod spool;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

pub use ahead::whole;
pub(crate) use ahead::{ahead, forget};
pub(crate) use client::Place;
pub use fault::Fault;
pub(crate) use input::{Input, Slot};
pub use spool::Spool;

use crate::{Error, Result};

/// What a path on object storage begins with.
pub const SCHEME: &str = "s3://";

/// Whether a path names a recording or a file on object storage.
pub fn is_remote(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(SCHEME.as_bytes())
}

/// A path that means the same from every working directory; one on object storage does already.
pub fn absolute(path: &Path) -> PathBuf {
    if is_remote(path) { path.to_owned() } else { std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
}

/// For what is done in place, by rename and fsync.
///
/// # Errors
/// [`Error::Store`] with [`Fault::LocalOnly`], for a path on object storage.
pub fn local_only(path: &Path, what: &str) -> Result<()> {
    match is_remote(path) {
        true => Err(Fault::LocalOnly.at(path, format!("{what} needs a local directory"))),
        false => Ok(()),
    }
}

/// A whole file.
///
/// # Errors
/// [`Error::MissingFile`], [`Error::Read`], [`Error::Store`].
pub fn read(path: &Path) -> Result<Bytes> {
    if !is_remote(path) {
        return std::fs::read(path).map(Bytes::from).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::MissingFile { path: path.to_owned() },
            _ => Error::Read { path: path.to_owned(), source },
        });
    }
    let place = Place::new(path)?;
    place.wait(|store, key| async move { store.get(&key).await?.bytes().await })
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match is_remote(path) {
        true => Place::new(path)?.wait(|store, key| async move { store.delete(&key).await }),
        false => std::fs::remove_file(path).map_err(Error::write(path)),
    }
}

/// Names of the files in a directory on object storage and in the folders in it, with their bytes.
pub(crate) fn list(dir: &Path) -> Result<BTreeMap<String, u64>> {
    let place = Place::new(dir)?;
    let prefix = format!("{}/", place.key());
    let top = place.wait(|store, key| async move { store.list_with_delimiter(Some(&key)).await })?;
    let mut objects = top.objects;
    let folder = |folder| place.start(move |store, _| async move { store.list_with_delimiter(Some(&folder)).await });
    let folders: Vec<_> = top.common_prefixes.into_iter().map(folder).collect::<Result<_>>()?;
    for folder in folders {
        objects.extend(folder.wait()?.objects);
    }
    let name = |location: &object_store::path::Path| location.as_ref().strip_prefix(&prefix).map(str::to_owned);
    Ok(objects.iter().filter_map(|object| Some((name(&object.location)?, object.size))).collect())
}

/// An object that is being written.
pub(crate) struct Upload(client::Pending<()>);

impl Upload {
    /// Until the store has it.
    pub(crate) fn wait(self) -> Result<()> {
        self.0.wait()
    }
}

/// Begins to write an object. The server checks the SHA-256 that is signed with the request.
pub(crate) fn upload(path: &Path, bytes: Bytes) -> Result<Upload> {
    Place::new(path)?.start(|store, key| async move { store.put(&key, bytes.into()).await.map(|_| ()) }).map(Upload)
}
