//! The key that pseudonyms are made with.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes a key file has at least.
const LEAST: usize = 16;

/// Bytes of a key file that are read at most.
const MOST: u64 = 1 << 20;

/// SHA-256's block, bytes.
const BLOCK: usize = 64;

/// The same key gives the same value the same pseudonym, in every recording. Whoever has it can find out by trying what a
/// pseudonym stands for; nobody else can.
#[derive(Clone)]
pub struct Key {
    /// The hash after the inner and the outer padded key: two blocks less for each pseudonym.
    inner: Sha256,
    outer: Sha256,
}

impl Key {
    /// Of a file of 16 bytes or more, as `head -c 32 /dev/urandom` makes it.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Key`] for a file that is too short.
    pub fn read(path: &Path) -> Result<Key> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::read(path))?;
        file.take(MOST).read_to_end(&mut bytes).map_err(Error::read(path))?;
        if bytes.len() < LEAST {
            let reason = format!("a key for pseudonyms has {LEAST} bytes or more, this file has {}", bytes.len());
            return Err(Error::Key { path: path.to_owned(), reason });
        }
        let key = Key::new(&Sha256::digest(&bytes).into());
        bytes.fill(0);
        Ok(key)
    }

    /// Of a text. Who can guess it can undo what it was used for.
    pub fn from_seed(seed: &str) -> Key {
        let domain = b"retroscope anonymise seed 1\0";
        Key::new(&Sha256::new().chain_update(domain).chain_update(seed).finalize().into())
    }

    /// One that nobody has, not even who calls: what is made with it cannot be made again.
    ///
    /// # Errors
    /// [`Error::Read`] if there is no `/dev/urandom`.
    pub fn random() -> Result<Key> {
        let source = Path::new("/dev/urandom");
        let mut bytes = [0; 32];
        File::open(source).and_then(|mut file| file.read_exact(&mut bytes)).map_err(Error::read(source))?;
        let key = Key::new(&bytes);
        bytes.fill(0);
        Ok(key)
    }

    /// `key`: as long as a hash, so that it is used as it is.
    fn new(key: &[u8; 32]) -> Key {
        let pad = |with: u8| {
            let mut block = [with; BLOCK];
            block.iter_mut().zip(key).for_each(|(padded, byte)| *padded ^= byte);
            Sha256::new().chain_update(block)
        };
        Key { inner: pad(0x36), outer: pad(0x5c) }
    }

    /// HMAC-SHA-256 (RFC 2104) of the parts, one behind the other.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        parts.iter().for_each(|part| inner.update(part));
        self.outer.clone().chain_update(inner.finalize()).finalize().into()
    }

    /// So many hex digits that stand for `value`. `domain`: the same value in another one has another pseudonym.
    pub(super) fn hex(&self, domain: &str, value: &str, digits: usize) -> String {
        let mut out = String::with_capacity(digits + 64);
        for block in 0_u32.. {
            if out.len() >= digits {
                break;
            }
            let mac = self.mac(&[domain.as_bytes(), &[0], &block.to_be_bytes(), value.as_bytes()]);
            out.push_str(&crate::hash::hex(&mac));
        }
        out.truncate(digits);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1 and 2, whose keys are filled up with zeros as HMAC itself does.
    #[test]
    fn codes_are_hmac_sha256() {
        let key = |bytes: &[u8]| {
            let mut key = [0; 32];
            key[..bytes.len()].copy_from_slice(bytes);
            Key::new(&key)
        };
        let hex = |mac: [u8; 32]| crate::hash::hex(&mac);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex(key(&[0x0b; 20]).mac(&[b"Hi ", b"There"])), expected);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(key(b"Jefe").mac(&[b"what do ya want for nothing?"])), expected);
    }

    #[test]
    fn a_pseudonym_has_the_length_asked_for_and_depends_on_all_that_goes_in() {
        let key = Key::from_seed("a");
        for digits in [0, 1, 12, 64, 65, 200] {
            assert_eq!(key.hex("word", "x", digits).len(), digits);
        }
        let all = [
            key.hex("word", "x", 12),
            key.hex("hex", "x", 12),
            key.hex("word", "y", 12),
            Key::from_seed("b").hex("word", "x", 12),
        ];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])), "{all:?}");
        assert_eq!(key.hex("word", "x", 12), Key::from_seed("a").hex("word", "x", 12));
    }

    #[test]
    fn a_short_key_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Key::read(&path), Err(Error::Key { .. })));
        std::fs::write(&path, "long enough for a key").unwrap();
        assert!(Key::read(&path).is_ok());
        assert!(matches!(Key::read(&dir.path().join("none")), Err(Error::Read { .. })));
    }
}
