//! A Parquet file that is local or an object.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::buf::Reader;
use bytes::{Buf as _, Bytes};
use object_store::{GetOptions, GetRange, ObjectStore as _, coalesce_ranges};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::{Place, ahead, is_remote};
use crate::{Error, Result};

/// Two ranges with less between them are one request: it takes a store about as long to begin an answer as to send this much.
const GAP: u64 = 128 << 10;

/// Row groups of which the bytes are held: while one is read, a batch may begin in the one before.
const HELD: usize = 2;

/// A file to read Parquet from.
pub(crate) enum Input {
    File(File),
    Object(Box<Object>),
}

/// An object, of which only what is asked for is fetched.
pub(crate) struct Object {
    place: Place,
    bytes: u64,
    /// So that all bytes are of one version.
    e_tag: Option<String>,
    tail: Piece,
    plan: Mutex<Plan>,
    fault: Slot,
}

/// The first error of a store that reading met.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Error>>>);

impl Slot {
    /// What reading failed on: the store, or else the file.
    pub(crate) fn error(&self, path: &Path, reason: String) -> Error {
        let fault = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        fault.unwrap_or_else(|| Error::Parquet { path: path.to_owned(), reason })
    }
}

/// Some bytes of an object, from a position on.
#[derive(Clone)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

/// What will be read.
#[derive(Default)]
struct Plan {
    /// The wanted columns' bytes, by row group.
    groups: Vec<Vec<Range<u64>>>,
    /// Row groups that were fetched, the last one last.
    held: Vec<(usize, Vec<Piece>)>,
}

impl Piece {
    /// From `start` on; `None`: it does not hold `length` bytes from there.
    fn from(&self, start: u64, length: u64) -> Option<Bytes> {
        let skip = start.checked_sub(self.start)?;
        let held = self.bytes.len() as u64;
        (skip.checked_add(length)? <= held).then(|| self.bytes.slice(usize::try_from(skip).unwrap_or(0)..))
    }
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Input> {
        if is_remote(path) {
            return Object::open(path).map(|object| Input::Object(Box::new(object)));
        }
        File::open(path).map(Input::File).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::MissingFile { path: path.to_owned() },
            _ => Error::Read { path: path.to_owned(), source },
        })
    }

    /// Says which columns, by their place among the schema's leaves, will be read: of an object these are fetched, a row group at a
    /// time. A local file is read as it is asked for.
    pub(crate) fn plan(&self, metadata: &ParquetMetaData, wanted: impl Fn(usize) -> bool) {
        let Input::Object(object) = self else { return };
        let range = |(start, length): (u64, u64)| start..start.saturating_add(length).min(object.bytes);
        let group = |group: &parquet::file::metadata::RowGroupMetaData| {
            let columns = group.columns().iter().enumerate().filter(|(leaf, _)| wanted(*leaf));
            columns.map(|(_, column)| range(column.byte_range())).filter(|range| range.start < range.end).collect()
        };
        object.plan.lock().unwrap_or_else(PoisonError::into_inner).groups =
            metadata.row_groups().iter().map(group).collect();
    }

    /// Where the store's error will be found, if reading fails on that: the decoder makes a text of it.
    pub(crate) fn fault(&self) -> Slot {
        match self {
            Input::File(_) => Slot::default(),
            Input::Object(object) => object.fault.clone(),
        }
    }
}

impl Object {
    fn open(path: &Path) -> Result<Object> {
        let ahead::Tail { place, start, bytes, size, e_tag } = ahead::tail(path)?;
        let tail = Piece { start, bytes };
        Ok(Object { place, bytes: size, e_tag, tail, plan: Mutex::default(), fault: Slot::default() })
    }

    /// At least `length` bytes from `start` on, and what is held behind them.
    fn bytes(&self, start: u64, length: u64) -> Result<Bytes> {
        if let Some(bytes) = self.tail.from(start, length) {
            return Ok(bytes);
        }
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |plan: &Plan| plan.held.iter().flat_map(|(_, pieces)| pieces).find_map(|p| p.from(start, length));
        if let Some(bytes) = held(&plan) {
            return Ok(bytes);
        }
        let inside = |range: &Range<u64>| range.start <= start && start.saturating_add(length) <= range.end;
        let Some(group) = plan.groups.iter().position(|ranges| ranges.iter().any(inside)) else {
            // A footer that is larger than the tail.
            let one = start..start.saturating_add(length).min(self.bytes);
            return Ok(self.fetch(vec![one])?.swap_remove(0).bytes);
        };
        let lacking = |range: &&Range<u64>| self.tail.from(range.start, range.end - range.start).is_none();
        let pieces = self.fetch(plan.groups[group].iter().filter(lacking).cloned().collect())?;
        if plan.held.len() == HELD {
            plan.held.remove(0);
        }
        plan.held.push((group, pieces));
        held(&plan).ok_or_else(|| Error::Parquet {
            path: self.place.path().to_owned(),
            reason: "the object ends before its columns do".to_owned(),
        })
    }

    fn failed(&self, error: Error) -> ParquetError {
        let text = ParquetError::General(error.to_string());
        self.fault.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        text
    }

    fn fetch(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Piece>> {
        let starts: Vec<u64> = ranges.iter().map(|range| range.start).collect();
        let e_tag = self.e_tag.clone();
        let fetched = self.place.wait(|store, key| async move {
            let get = |range: Range<u64>| {
                let options =
                    GetOptions { range: Some(GetRange::Bounded(range)), if_match: e_tag.clone(), ..Default::default() };
                let (store, key) = (store.clone(), key.clone());
                async move { store.get_opts(&key, options).await?.bytes().await }
            };
            coalesce_ranges(&ranges, get, GAP).await
        })?;
        Ok(starts.into_iter().zip(fetched).map(|(start, bytes)| Piece { start, bytes }).collect())
    }
}

/// A reader of either.
pub(crate) enum Chunk {
    File(BufReader<File>),
    Object(Reader<Bytes>),
}

impl Read for Chunk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Chunk::File(file) => file.read(buffer),
            Chunk::Object(bytes) => bytes.read(buffer),
        }
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        match self {
            Input::File(file) => file.len(),
            Input::Object(object) => object.bytes,
        }
    }
}

impl ChunkReader for Input {
    type T = Chunk;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Chunk> {
        match self {
            Input::File(file) => file.get_read(start).map(Chunk::File),
            // A page's header, which is the only thing read like this, has a byte at least.
            Input::Object(object) => {
                object.bytes(start, 1).map(|bytes| Chunk::Object(bytes.reader())).map_err(|error| object.failed(error))
            }
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Input::File(file) => file.get_bytes(start, length),
            Input::Object(object) => {
                let mut bytes = object.bytes(start, length as u64).map_err(|error| object.failed(error))?;
                if bytes.len() < length {
                    return Err(ParquetError::EOF(format!("{length} bytes at {start} are not there")));
                }
                bytes.truncate(length);
                Ok(bytes)
            }
        }
    }
}
