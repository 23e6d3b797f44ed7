//! A part's result as a file: `RSPART` and a version, the SHA-256 of the rest, and that: CBOR, compressed by zstd. CBOR keeps
//! every number as it is, which text need not.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Partial;
use crate::error::{Error, Result};
use crate::output::OutputDir;

/// Its name in the directory of the results.
pub const FILE: &str = "partial.cbor.zst";

const MAGIC: &[u8; 6] = b"RSPART";
/// It grows when an old reader would misread the file.
const VERSION: u16 = 2;
const SUM: usize = 32;
const LEVEL: i32 = 3;
/// Depth of nested values: each directory of a path is three, and a path has at most 2,048.
const DEPTH: usize = 8_192;
/// Stack for as much, of which no more is touched than a tree is deep.
const STACK: usize = 256 << 20;

impl Partial {
    /// # Errors
    /// It does not serialize; nothing a recording holds makes it.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |error: &dyn std::fmt::Display| Error::input(format!("{FILE}: {error}"), "report this as a bug");
        let mut cbor = Vec::new();
        deep(|| ciborium::into_writer(self, &mut cbor))
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        let packed = zstd::bulk::compress(&cbor, LEVEL).map_err(|error| failed(&error))?;
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &Sha256::digest(&packed)].concat();
        Ok([head, packed].concat())
    }

    /// # Errors
    /// Not what a part writes, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|(why, hint)| Error::input(why, hint))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, (String, &'static str)> {
        let rest = bytes.strip_prefix(&MAGIC[..]).ok_or_else(|| {
            (
                "not a part of a replay".to_owned(),
                "`replay RECORDING... --partition K/N -o DIR` writes DIR/partial.cbor.zst",
            )
        })?;
        let cut = || ("damaged: it ends too early".to_owned(), "make that part again");
        let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
        let version = u16::from_le_bytes([version[0], version[1]]);
        if version != VERSION {
            return Err((
                format!("a part in version {version}; this build reads {VERSION}"),
                "make all parts, and merge them, with one version",
            ));
        }
        let (sum, packed) = rest.split_at_checked(SUM).ok_or_else(cut)?;
        if Sha256::digest(packed)[..] != *sum {
            return Err(("damaged: its checksum differs".to_owned(), "make that part again"));
        }
        let broken = |why: &dyn std::fmt::Display| (format!("damaged: {why}"), "make that part again");
        let cbor = zstd::stream::decode_all(packed).map_err(|error| broken(&error))?;
        let read = deep(|| ciborium::de::from_reader_with_recursion_limit(&cbor[..], DEPTH));
        read.map_err(|error| broken(&error))?.map_err(|error| broken(&error))
    }

    /// Writes [`FILE`]; returns its path.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn write(&self, output: &OutputDir) -> Result<PathBuf> {
        output.write(FILE, &self.to_bytes()?)
    }

    /// Reads a file, or the [`FILE`] of a directory.
    ///
    /// # Errors
    /// An unreadable file, and as [`Partial::from_bytes`].
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let bytes = std::fs::read(&path).map_err(|error| {
            Error::input(
                format!("{}: cannot read: {error}", path.display()),
                "give the directories that `replay RECORDING... --partition K/N -o DIR` wrote",
            )
        })?;
        Self::parse(&bytes).map_err(|(why, hint)| Error::input(format!("{}: {why}", path.display()), hint))
    }
}

/// Works on a thread with room for the deepest tree.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
