//! Copying a recording from one place to another, each a directory or on object storage.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::follow::is_locked;
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
pub fn copy(from: &Recording, to: &Path, progress: impl FnMut(Progress)) -> Result<Copied> {
    copy_complete(from.dir(), Target::new(to)?, progress)
}

/// Copies a recording while it is made: each segment when the manifest lists it, then the manifest as it stands, and all that is still to be
/// copied once the recorder has ended. Looks every `every`.
///
/// The copy has the manifest's state: unfinished until the end. What the recorder removes to make room (`--keep`) is removed from the
/// copy when the recording has ended. `progress` counts the bytes of what there is so far.
///
/// # Errors
/// As [`copy`]; [`Error::Killed`] where the recorder has gone without completing it. What was copied until then stays.
pub fn copy_growing(from: &Path, to: &Path, every: Duration, mut progress: impl FnMut(Progress)) -> Result<Copied> {
    store::local_only(from, "copying a recording while it is made")?;
    let mut manifest = manifest_file::load_text(from)?;
    let mut target = Target::new(to)?;
    let mut gone_for = 0;
    while manifest.0.state == State::Recording {
        // Twice in a row: it may have been completed since the manifest was read.
        gone_for = if is_locked(from) == Some(false) { gone_for + 1 } else { 0 };
        if target.put_listed(from, &manifest.0, &mut progress)? {
            target.settle()?;
            target.put(manifest_file::MANIFEST, Bytes::from(manifest.1))?;
            target.settle()?;
        }
        if gone_for > GONE {
            return Err(Error::Killed { path: from.to_owned() });
        }
        thread::sleep(every);
        manifest = manifest_file::load_text(from)?;
    }
    copy_complete(from, target, progress)
}

/// Looks at a directory that nobody has locked, after which its recorder is gone: it takes the lock before it writes the first manifest
/// and keeps it until the last.
const GONE: u32 = 1;

fn copy_complete(dir: &Path, mut target: Target, mut progress: impl FnMut(Progress)) -> Result<Copied> {
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
    target.put_listed(dir, &manifest, &mut progress)?;
    store::forget(dir);
    target.settle()?;
    target.remove_all_but(&manifest)?;
    let bytes = total(&manifest).saturating_add(text.len() as u64);
    target.put(manifest_file::MANIFEST, Bytes::from(text))?;
    target.settle()?;
    progress(Progress { done: bytes, total: bytes });
    Ok(Copied { files: listed(&manifest).count() as u64 + 1, bytes })
}

/// Names and SHA-256 of what a manifest lists.
fn listed(manifest: &Manifest) -> impl Iterator<Item = (String, String)> {
    let segments = manifest.segments.iter().map(|segment| (segment.file.clone(), segment.sha256.clone()));
    segments.chain(manifest.tables.iter().map(|table| (table.file.clone(), table.sha256.clone())))
}

/// Bytes of what a manifest lists.
fn total(manifest: &Manifest) -> u64 {
    manifest.tables.iter().map(|table| table.bytes).fold(manifest.bytes(), u64::saturating_add)
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
    /// What is there, or on its way there, with its SHA-256 and bytes.
    sent: BTreeMap<String, (String, u64)>,
}

impl Target {
    fn new(dir: &Path) -> Result<Target> {
        match store::is_remote(dir) {
            true if !store::list(dir)?.is_empty() => return Err(Error::Exists { path: dir.to_owned() }),
            true => {}
            false => make_empty_dir(dir)?,
        }
        Ok(Target { dir: dir.to_owned(), uploads: VecDeque::new(), sent: BTreeMap::new() })
    }

    /// Puts what the manifest lists and is not there yet; whether there was any.
    fn put_listed(&mut self, from: &Path, manifest: &Manifest, mut progress: impl FnMut(Progress)) -> Result<bool> {
        let is_new = |(file, sha256): &(String, String)| self.sent.get(file).is_none_or(|(sent, _)| sent != sha256);
        let new: Vec<_> = listed(manifest).filter(is_new).collect();
        let mut done = self.sent.values().map(|(_, bytes)| bytes).sum();
        for (at, (file, sha256)) in new.iter().enumerate() {
            let path = from.join(inside(from, file)?);
            let next = new[at + 1..].iter().map(|(file, _)| from.join(file));
            let bytes = match if store::is_remote(from) { store::whole(&path, next) } else { store::read(&path) } {
                // Removed to make room; a complete recording has all that it lists.
                Err(Error::MissingFile { .. }) if manifest.state == State::Recording => continue,
                bytes => bytes?,
            };
            if hash::hex(&hash::of_bytes(&bytes)) != *sha256 {
                return Err(Fault::Differs.at(&path, "its SHA-256 differs from the manifest's: not copied"));
            }
            done += bytes.len() as u64;
            self.sent.insert(file.clone(), (sha256.clone(), bytes.len() as u64));
            self.put(file, bytes)?;
            progress(Progress { done, total: total(manifest).max(done) });
        }
        Ok(!new.is_empty())
    }

    /// Removes what was put, and is not in the manifest any more.
    fn remove_all_but(&mut self, manifest: &Manifest) -> Result<()> {
        let kept: BTreeSet<String> = listed(manifest).map(|(file, _)| file).collect();
        for file in self.sent.keys().filter(|file| !kept.contains(*file)) {
            store::remove(&self.dir.join(file))?;
        }
        Ok(())
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
