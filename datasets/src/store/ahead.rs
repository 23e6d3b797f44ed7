//! What was fetched before it is read: the ends of the next objects, and whole ones that were hashed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _};

use super::client::Pending;
use super::{Place, is_remote};
use crate::Result;

/// Bytes of the end of an object that are fetched at once: the footer of a segment, and the whole of a small one.
const TAIL: u64 = 128 << 10;

/// So many objects are asked for before they are read.
const AHEAD: usize = 8;

/// So many whole objects are asked for before they are read.
const WHOLE_AHEAD: usize = 4;

/// Objects that were hashed are held for being read, bytes: each byte of a recording up to this size is fetched once.
const HELD: u64 = 256 << 20;

/// The end of an object, from `start` on.
pub(super) struct Tail {
    pub(super) place: Place,
    pub(super) start: u64,
    pub(super) bytes: Bytes,
    /// Of the object.
    pub(super) size: u64,
    pub(super) e_tag: Option<String>,
}

/// ((first byte, bytes of the object, its version), the bytes from there)
type Answer = ((u64, u64, Option<String>), Bytes);

#[derive(Default)]
struct Fetched {
    tails: BTreeMap<PathBuf, (Place, Pending<Answer>)>,
    wholes: BTreeMap<PathBuf, (Place, Pending<Answer>)>,
    held: BTreeMap<PathBuf, (Bytes, Option<String>)>,
    held_bytes: u64,
}

static FETCHED: Mutex<Option<Fetched>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut Fetched) -> T) -> T {
    work(FETCHED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Forgets what was fetched of a recording: it is opened anew.
pub(crate) fn forget(dir: &Path) {
    with(|fetched| {
        let Fetched { tails, wholes, held, held_bytes } = fetched;
        tails.retain(|path, _| !path.starts_with(dir));
        wholes.retain(|path, _| !path.starts_with(dir));
        held.retain(|path, _| !path.starts_with(dir));
        *held_bytes = held.values().map(|(bytes, _)| bytes.len() as u64).sum();
    });
}

fn begin(path: &Path, range: Option<GetRange>) -> Result<(Place, Pending<Answer>)> {
    let place = Place::new(path)?;
    let pending = place.start(|store, key| async move {
        let answer: GetResult = store.get_opts(&key, GetOptions { range, ..Default::default() }).await?;
        let about = (answer.range.start, answer.meta.size, answer.meta.e_tag.clone());
        Ok((about, answer.bytes().await?))
    })?;
    Ok((place, pending))
}

/// Asks for the ends of the next objects; those asked for before are not asked for again. Nothing for local files.
pub(crate) fn ahead<'a>(paths: impl Iterator<Item = &'a Path>) {
    for path in paths.take(AHEAD).take_while(|path| is_remote(path)) {
        with(|fetched| {
            if !fetched.held.contains_key(path) && !fetched.tails.contains_key(path) {
                // What cannot be begun is told when it is read.
                let begun = begin(path, Some(GetRange::Suffix(TAIL)));
                fetched.tails.extend(begun.ok().map(|begun| (path.to_owned(), begun)));
            }
        });
    }
}

/// The end of an object, or all of one that was hashed.
pub(super) fn tail(path: &Path) -> Result<Tail> {
    let place = Place::new(path)?;
    if let Some((bytes, e_tag)) = with(|fetched| fetched.held.get(path).cloned()) {
        return Ok(Tail { place, start: 0, size: bytes.len() as u64, bytes, e_tag });
    }
    let begun = with(|fetched| fetched.tails.remove(path));
    let (place, pending) = begun.map_or_else(|| begin(path, Some(GetRange::Suffix(TAIL))), Ok)?;
    let ((start, size, e_tag), bytes) = pending.wait()?;
    Ok(Tail { place, start, bytes, size, e_tag })
}

/// A whole object, to be hashed, and to be read after that without being fetched again. `next`: those that come after it; some
/// are asked for now.
///
/// # Errors
/// [`Error::MissingFile`](crate::Error::MissingFile), [`Error::Store`](crate::Error::Store).
pub fn whole(path: &Path, next: impl Iterator<Item = PathBuf>) -> Result<Bytes> {
    let begun = with(|fetched| fetched.wholes.remove(path));
    let (_, pending) = begun.map_or_else(|| begin(path, None), Ok)?;
    for next in next.take(WHOLE_AHEAD) {
        with(|fetched| {
            if !fetched.wholes.contains_key(&next) {
                let begun = begin(&next, None);
                fetched.wholes.extend(begun.ok().map(|begun| (next, begun)));
            }
        });
    }
    let ((_, _, e_tag), bytes) = pending.wait()?;
    with(|fetched| {
        if fetched.held_bytes + bytes.len() as u64 <= HELD {
            fetched.held_bytes += bytes.len() as u64;
            if let Some((old, _)) = fetched.held.insert(path.to_owned(), (bytes.clone(), e_tag)) {
                fetched.held_bytes -= old.len() as u64;
            }
        }
    });
    Ok(bytes)
}
