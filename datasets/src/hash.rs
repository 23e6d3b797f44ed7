//! SHA-256 of files as they are written, and the chain over segments.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::blocks::{BlockHasher, Leaves};

/// A SHA-256.
pub(crate) type Hash = [u8; 32];

/// The chain value before the first segment.
pub(crate) const CHAIN_START: Hash = [0; 32];

/// `sha256(previous chain || sha256 of the segment)`, so that no segment can be replaced, removed or reordered alone.
pub(crate) fn chain(previous: &Hash, segment: &Hash) -> Hash {
    Sha256::new().chain_update(previous).chain_update(segment).finalize().into()
}

pub(crate) fn of_bytes(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// What a file's bytes come to.
pub(crate) struct Summed {
    pub(crate) sha256: Hash,
    pub(crate) bytes: u64,
    /// Of the bytes up to the length asked for.
    pub(crate) leaves: Leaves,
}

/// Reads a file, `most` bytes of it for the digests of its parts; `progress` is told of every block read.
pub(crate) fn of_file(path: &Path, most: u64, progress: impl FnMut(u64)) -> io::Result<Summed> {
    of_reader(File::open(path)?, most, progress)
}

/// As [`of_file`], of anything.
pub(crate) fn of_reader(mut file: impl Read, most: u64, mut progress: impl FnMut(u64)) -> io::Result<Summed> {
    let mut block = vec![0; 1 << 18];
    let (mut hasher, mut parts, mut total) = (Sha256::new(), BlockHasher::default(), 0u64);
    loop {
        let n = file.read(&mut block)?;
        if n == 0 {
            return Ok(Summed { sha256: hasher.finalize().into(), bytes: total, leaves: parts.finish() });
        }
        hasher.update(&block[..n]);
        let wanted = usize::try_from(most.saturating_sub(total)).unwrap_or(usize::MAX);
        parts.update(&block[..n.min(wanted)]);
        total += n as u64;
        progress(n as u64);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn from_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(hash)
}

/// Hashes what is written, and keeps nothing of it.
pub(crate) struct HashOnly(Sha256);

impl HashOnly {
    pub(crate) fn new() -> HashOnly {
        HashOnly(Sha256::new())
    }

    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

impl Write for HashOnly {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes and counts what passes through to the file.
pub(crate) struct HashingWriter {
    file: io::BufWriter<File>,
    hasher: Sha256,
    parts: BlockHasher,
    bytes: u64,
}

impl HashingWriter {
    pub(crate) fn new(file: File) -> HashingWriter {
        let file = io::BufWriter::with_capacity(1 << 17, file);
        HashingWriter { file, hasher: Sha256::new(), parts: BlockHasher::default(), bytes: 0 }
    }

    /// Brings everything to the disk.
    pub(crate) fn sync(self) -> io::Result<Summed> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(Summed { sha256: self.hasher.finalize().into(), bytes: self.bytes, leaves: self.parts.finish() })
    }
}

impl Write for HashingWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.parts.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_a_hash() {
        let hash = of_bytes(b"abc");
        // FIPS 180-4's example.
        assert_eq!(hex(&hash), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(from_hex(&hex(&hash)), Some(hash));
        assert_eq!(from_hex("ba"), None);
        assert_eq!(from_hex(&"é".repeat(32)), None);
    }
}
