//! Copying a recording from one place to another, each a directory or on object storage.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::manifest::{Manifest, State};
use crate::manifest_file::{make_dir, make_empty_dir, put, sync_dir};
use crate::read::inside;
use crate::store::{self, Fault, Upload};
use crate::{Error, Progress, Recording, Result, hash, manifest_file};

/// Uploads that are under way at once.
const UPLOADS: usize = 8;

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// With the manifest.
    pub files: u64,
    pub bytes: u64,
}

/// Copies a finished recording to `to`: a directory or `s3://BUCKET/PREFIX`, which must not exist or be empty.
///
/// The manifest must be as it was sealed, its chain without a break, and every file's SHA-256 the manifest's: what differs is not
/// copied. The manifest goes last, so that a copy that was stopped is no recording. A file at a time is in memory, of
/// uploads eight. `progress` counts the bytes.
///
/// # Errors
/// [`Error::Unfinished`], [`Error::Exists`], [`Error::Store`] ([`Fault::Differs`] for what is not as it was written), and those of reading
/// and writing. What was copied until then stays.
pub fn copy(from: &Recording, to: &Path, mut progress: impl FnMut(Progress)) -> Result<Copied> {
    let dir = from.dir();
    let (manifest, text) = manifest_file::load_text(dir)?;
    if manifest.state == State::Recording {
        return Err(Error::Unfinished { path: dir.to_owned() });
    }
    if !manifest_file::seal_holds(&manifest, &text) {
        return Err(
            Fault::Differs.at(&manifest_file::path(dir), "its digest differs: it was changed after it was written")
        );
    }
    chain(dir, &manifest)?;
    let segments = manifest.segments.iter().map(|segment| (&segment.file, &segment.sha256));
    let files: Vec<_> = segments.chain(manifest.tables.iter().map(|table| (&table.file, &table.sha256))).collect();
    let tables = manifest.tables.iter().map(|table| table.bytes);
    let total = tables.fold(manifest.bytes(), u64::saturating_add).saturating_add(text.len() as u64);

    let mut target = Target::new(to)?;
    let mut done = 0;
    for (at, (file, sha256)) in files.iter().enumerate() {
        let path = dir.join(inside(dir, file)?);
        let next = files[at + 1..].iter().map(|(file, _)| dir.join(file));
        let bytes = if store::is_remote(dir) { store::whole(&path, next)? } else { store::read(&path)? };
        if hash::hex(&hash::of_bytes(&bytes)) != **sha256 {
            return Err(Fault::Differs.at(&path, "its SHA-256 differs from the manifest's: not copied"));
        }
        done += bytes.len() as u64;
        target.put(file, bytes)?;
        progress(Progress { done, total });
    }
    store::forget(dir);
    target.settle()?;
    done += text.len() as u64;
    target.put(manifest_file::MANIFEST, Bytes::from(text))?;
    target.settle()?;
    progress(Progress { done, total });
    Ok(Copied { files: files.len() as u64 + 1, bytes: done })
}

/// Every link follows the one before it.
fn chain(dir: &Path, manifest: &Manifest) -> Result<()> {
    let mut previous = manifest.chain_start();
    for segment in &manifest.segments {
        let (link, sha256) = (hash::from_hex(&segment.chain), hash::from_hex(&segment.sha256));
        if link.is_none() || link != previous.zip(sha256).map(|(previous, own)| hash::chain(&previous, &own)) {
            let reason = "it does not follow the segment listed before it: one was replaced or removed";
            return Err(Fault::Differs.at(&dir.join(&segment.file), reason));
        }
        previous = link;
    }
    Ok(())
}

/// Where files go.
struct Target {
    dir: PathBuf,
    uploads: VecDeque<Upload>,
}

impl Target {
    fn new(dir: &Path) -> Result<Target> {
        match store::is_remote(dir) {
            true if !store::list(dir)?.is_empty() => return Err(Error::Exists { path: dir.to_owned() }),
            true => {}
            false => make_empty_dir(dir)?,
        }
        Ok(Target { dir: dir.to_owned(), uploads: VecDeque::new() })
    }

    fn put(&mut self, file: &str, bytes: Bytes) -> Result<()> {
        let path = self.dir.join(file);
        if store::is_remote(&path) {
            if self.uploads.len() == UPLOADS
                && let Some(upload) = self.uploads.pop_front()
            {
                upload.wait()?;
            }
            self.uploads.push_back(store::upload(&path, bytes)?);
            return Ok(());
        }
        path.parent().map_or(Ok(()), make_dir)?;
        match file == manifest_file::MANIFEST {
            true => {
                let temporary = self.dir.join(".manifest.json.tmp");
                put(&temporary, &bytes)?;
                std::fs::rename(&temporary, &path).map_err(Error::write(&path))
            }
            false => put(&path, &bytes),
        }
    }

    /// Until all that was put is there.
    fn settle(&mut self) -> Result<()> {
        self.uploads.drain(..).try_for_each(Upload::wait)?;
        match store::is_remote(&self.dir) {
            true => Ok(()),
            false => sync_dir(&self.dir).map_err(Error::write(&self.dir)),
        }
    }
}
