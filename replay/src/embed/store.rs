//! Vectors on disk, so that the same text is embedded once and not once a run.
//!
//! One file for each model and way of running it, named by [`super::fingerprint`]. A text is kept as its SHA-256 alone. The
//! files are ours and readable by nobody else.
//!
//! ```text
//! header   magic (8 bytes), fingerprint (32), numbers of a vector (u32)
//! record   SHA-256 of the text (32), truncated 1 + unknown 2 (u32), vector (f32 …), check (8): all little endian
//! ```
//!
//! The check is the beginning of the record's SHA-256. Any number of processes may use a folder at once: what is there is read
//! without a lock, since records are only appended and files are replaced by renaming; who appends holds the folder's lock.
//! A record that was cut off or damaged is not used, and the text is embedded again. All files together stay below a limit:
//! a file that would pass it loses its older half, and files of other models go first, least recently used first.
//! What goes wrong with the cache is a warning: a run never fails of it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::locate::OURS;
use super::onnx::OnnxEmbedder;
use super::{EmbedError, Embedder, Embedding};

const MAGIC: &[u8; 8] = b"RSVEC\x00\x001";
const HEADER: usize = 8 + 32 + 4;
const KEY: usize = 32;
const CHECK: usize = 8;
/// Longer vectors are nobody's.
const MOST_DIMS: usize = 1 << 16;
/// How long to wait for another process that appends, which takes it milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where vectors are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub folder: PathBuf,
    /// Bytes that all files together may have.
    pub limit: u64,
}

/// The user's cache folder, where there is one.
pub fn default_place() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("retroscope/embeddings"))
}

type Key = [u8; KEY];
type Open = Box<dyn Fn() -> Result<OnnxEmbedder, EmbedError> + Send + Sync>;

/// An embedder that asks the disk first, and opens its model when that does not know a text.
pub(super) struct Stored {
    name: String,
    open: Open,
    model: OnceLock<OnnxEmbedder>,
    opening: Mutex<()>,
    store: Store,
}

impl Stored {
    pub fn open(place: &Place, fingerprint: [u8; 32], name: String, open: Open) -> Stored {
        let store = Store::open(place, fingerprint);
        Stored { name, open, model: OnceLock::new(), opening: Mutex::new(()), store }
    }

    fn model(&self) -> Result<&OnnxEmbedder, EmbedError> {
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        match self.model.get() {
            Some(model) => Ok(model),
            None => {
                let model = (self.open)()?;
                Ok(self.model.get_or_init(|| model))
            }
        }
    }
}

impl Embedder for Stored {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let mut found: Vec<Option<Embedding>> = texts.iter().map(|text| self.store.get(&key(text))).collect();
        let new: Vec<&str> =
            texts.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(text, _)| *text).collect();
        if !new.is_empty() {
            let fresh = self.model()?.embed(&new)?;
            let records: Vec<(Key, &Embedding)> = new.iter().map(|text| key(text)).zip(&fresh).collect();
            self.store.put(&records);
            let holes = found.iter_mut().filter(|found| found.is_none());
            holes.zip(fresh).for_each(|(hole, embedding)| *hole = Some(embedding));
        }
        let missing = || EmbedError::inference("the embedder returned too few vectors");
        found.into_iter().collect::<Option<Vec<_>>>().ok_or_else(missing)
    }
}

fn key(text: &str) -> Key {
    Sha256::digest(text).into()
}

/// The file of one model.
struct Store {
    path: PathBuf,
    place: Place,
    fingerprint: [u8; 32],
    /// The file as it was when we began, and where in it each text's record is.
    bytes: Vec<u8>,
    dims: usize,
    at: HashMap<Key, usize>,
    seen: Mutex<Seen>,
    has_warned: AtomicBool,
    /// Nothing more is written in this run: what was wrong once would cost its time again for every text.
    gave_up: AtomicBool,
}

/// What we know of the file beyond what it was when we began.
#[derive(Default)]
struct Seen {
    /// Length of the file when we last looked.
    length: u64,
    /// Texts that we or others appended.
    keys: HashSet<Key>,
}

impl Store {
    fn open(place: &Place, fingerprint: [u8; 32]) -> Store {
        let name: String = fingerprint[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = place.folder.join(format!("{name}.vec"));
        let mut store = Store {
            path,
            place: place.clone(),
            fingerprint,
            bytes: Vec::new(),
            dims: 0,
            at: HashMap::new(),
            seen: Mutex::default(),
            has_warned: AtomicBool::new(false),
            gave_up: AtomicBool::new(false),
        };
        store.load().unwrap_or_else(|reason| store.warn(&reason));
        store
    }

    fn load(&mut self) -> Result<(), String> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|error| error.to_string())?,
        };
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if fs::metadata(OURS).is_ok_and(|us| us.uid() != metadata.uid()) {
            return Err("it belongs to another user and is not read".to_owned());
        }
        let mut bytes = Vec::new();
        // A file within the limit fits in memory; of a larger one the beginning is read.
        Read::by_ref(&mut file).take(self.place.limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        self.seen.get_mut().unwrap_or_else(PoisonError::into_inner).length = bytes.len() as u64;
        if bytes.is_empty() {
            return Ok(());
        }
        let dims = header(&bytes, &self.fingerprint).ok_or("it is damaged and will be written anew")?;
        for (index, record) in bytes[HEADER..].chunks_exact(record(dims)).enumerate() {
            let (key, _) = record.split_first_chunk().expect("a record begins with its key");
            self.at.insert(*key, HEADER + index * record.len());
        }
        (self.bytes, self.dims) = (bytes, dims);
        // Says that it is used: files are removed least recently used first.
        let _ = file.set_modified(SystemTime::now());
        Ok(())
    }

    fn get(&self, key: &Key) -> Option<Embedding> {
        let at = *self.at.get(key)?;
        let embedding = decode(&self.bytes[at..at + record(self.dims)]);
        if embedding.is_none() {
            self.warn("a record in it is damaged; its text is embedded again");
        }
        embedding
    }

    fn put(&self, records: &[(Key, &Embedding)]) {
        if self.gave_up.load(Ordering::Relaxed) {
            return;
        }
        if let Err(reason) = self.append(records) {
            self.gave_up.store(true, Ordering::Relaxed);
            self.warn(&reason);
        }
    }

    fn append(&self, records: &[(Key, &Embedding)]) -> Result<(), String> {
        let text = |error: std::io::Error| format!("cannot write it: {error}");
        let Some(dims) = records.first().map(|(_, embedding)| embedding.vector.len()) else {
            return Ok(());
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.place.folder).map_err(text)?;
        let _lock = self.lock()?;
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path).map_err(text)?;
        let metadata = file.metadata().map_err(text)?;
        if fs::metadata(OURS).is_ok_and(|us| us.uid() != metadata.uid()) {
            return Err("it belongs to another user and is not written".to_owned());
        }
        let mut begin = Vec::new();
        Read::by_ref(&mut file).take(HEADER as u64).read_to_end(&mut begin).map_err(text)?;
        let mut length = metadata.len();
        if header(&begin, &self.fingerprint) != Some(dims) {
            let header = [&MAGIC[..], &self.fingerprint[..], &(dims as u32).to_le_bytes()[..]].concat();
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&header)).map_err(text)?;
            length = HEADER as u64;
        }
        let size = record(dims) as u64;
        // A process that was killed may have left a part of a record.
        length -= (length - HEADER as u64) % size;
        file.set_len(length).map_err(text)?;
        let others = added_by_others(&mut file, seen.length, length, size).map_err(text)?;
        seen.keys.extend(others);
        let new: Vec<u8> = records
            .iter()
            .filter(|(key, _)| seen.keys.insert(*key))
            .flat_map(|(key, embedding)| encode(key, embedding))
            .collect();
        if HEADER as u64 + new.len() as u64 > self.place.limit {
            return Err(format!(
                "{} bytes are too few for what one call embeds; raise model.cache_mb",
                self.place.limit
            ));
        }
        self.make_room(length + new.len() as u64);
        if length + new.len() as u64 > self.place.limit {
            seen.length = self.halve(&mut file, length, new, size).map_err(text)?;
            return Ok(());
        }
        file.seek(SeekFrom::Start(length)).and_then(|_| file.write_all(&new)).map_err(text)?;
        seen.length = length + new.len() as u64;
        Ok(())
    }

    /// Replaces the file by its newest records, at most half the limit of them, with the new ones. Returns its length.
    fn halve(&self, file: &mut File, length: u64, new: Vec<u8>, size: u64) -> std::io::Result<u64> {
        let half = (self.place.limit / 2).saturating_sub((HEADER + new.len()) as u64);
        let keep = (half / size * size).min(length - HEADER as u64);
        let mut bytes = vec![0; HEADER];
        file.rewind()?;
        file.read_exact(&mut bytes)?;
        file.seek(SeekFrom::Start(length - keep))?;
        file.take(keep).read_to_end(&mut bytes)?;
        bytes.extend(new);
        let part = self.path.with_extension("part");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&part)?.write_all(&bytes)?;
        fs::rename(&part, &self.path)?;
        Ok(bytes.len() as u64)
    }

    /// Removes files of other models, least recently used first, until ours has room.
    fn make_room(&self, ours: u64) {
        let entries = fs::read_dir(&self.place.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let others = entries.filter(|path| *path != self.path && path.extension().is_some_and(|end| end == "vec"));
        let mut others: Vec<(SystemTime, u64, PathBuf)> = others
            .filter_map(|path| {
                let metadata = fs::metadata(&path).ok()?;
                Some((metadata.modified().ok()?, metadata.len(), path))
            })
            .collect();
        others.sort();
        let mut all = ours + others.iter().map(|(_, length, _)| length).sum::<u64>();
        for (_, length, path) in others {
            if all <= self.place.limit {
                break;
            }
            if fs::remove_file(path).is_ok() {
                all -= length;
            }
        }
    }

    fn lock(&self) -> Result<File, String> {
        let path = self.place.folder.join("lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let begin = std::time::Instant::now();
        while file.try_lock().is_err() {
            if begin.elapsed() > PATIENCE {
                return Err("another process keeps its folder locked".to_owned());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(file)
    }

    /// Once a run: what is wrong with a cache is seldom wrong once.
    fn warn(&self, reason: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            eprintln!("warning: embedding cache {}: {reason}", self.path.display());
        }
    }
}

/// Texts that other processes appended since we last looked: they need not be kept twice.
fn added_by_others(file: &mut File, seen: u64, length: u64, size: u64) -> std::io::Result<Vec<Key>> {
    let from = seen.max(HEADER as u64);
    // After a replacement the places are others; then texts may be kept twice, which does no harm.
    if from >= length || !(from - HEADER as u64).is_multiple_of(size) {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(length - from).read_to_end(&mut bytes)?;
    let whole = bytes.chunks_exact(size as usize).filter(|record| decode(record).is_some());
    Ok(whole.filter_map(|record| record.first_chunk().copied()).collect())
}

/// Bytes of a record.
const fn record(dims: usize) -> usize {
    KEY + 4 + dims * 4 + CHECK
}

/// The vectors' length, if this is the header of our file.
fn header(bytes: &[u8], fingerprint: &[u8; 32]) -> Option<usize> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (model, rest) = rest.split_first_chunk::<32>()?;
    let dims = u32::from_le_bytes(*rest.first_chunk()?) as usize;
    (magic == MAGIC && model == fingerprint && (1..=MOST_DIMS).contains(&dims)).then_some(dims)
}

fn encode(key: &Key, embedding: &Embedding) -> Vec<u8> {
    let flags = u32::from(embedding.truncated) + 2 * u32::from(embedding.unknown);
    let mut bytes = [&key[..], &flags.to_le_bytes()[..]].concat();
    embedding.vector.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    let check = Sha256::digest(&bytes);
    bytes.extend(&check[..CHECK]);
    bytes
}

/// The embedding of a record; none if it is damaged.
fn decode(record: &[u8]) -> Option<Embedding> {
    let (content, check) = record.split_at_checked(record.len().checked_sub(CHECK)?)?;
    if Sha256::digest(content)[..CHECK] != *check {
        return None;
    }
    let (flags, vector) = content.get(KEY..)?.split_first_chunk()?;
    let flags = u32::from_le_bytes(*flags);
    let vector = vector.chunks_exact(4).filter_map(|number| Some(f32::from_le_bytes(*number.first_chunk()?))).collect();
    Some(Embedding { vector, truncated: flags & 1 != 0, unknown: flags & 2 != 0 })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
