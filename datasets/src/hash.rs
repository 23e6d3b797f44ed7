//! SHA-256 of files as they are written, and the chain over segments.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

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

/// The hash and the length in bytes of a file; `progress` is told of every block read.
pub(crate) fn of_file(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<(Hash, u64)> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 18];
    let (mut hasher, mut total) = (Sha256::new(), 0);
    loop {
        let n = file.read(&mut block)?;
        if n == 0 {
            return Ok((hasher.finalize().into(), total));
        }
        hasher.update(&block[..n]);
        total += n as u64;
        progress(n as u64);
    }
}

pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
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

/// Hashes and counts what passes through to the file.
pub(crate) struct HashingWriter {
    file: io::BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl HashingWriter {
    pub(crate) fn new(file: File) -> HashingWriter {
        HashingWriter { file: io::BufWriter::with_capacity(1 << 17, file), hasher: Sha256::new(), bytes: 0 }
    }

    /// Brings everything to the disk; returns the hash and the length in bytes.
    pub(crate) fn sync(self) -> io::Result<(Hash, u64)> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok((self.hasher.finalize().into(), self.bytes))
    }
}

impl Write for HashingWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
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
