//! The filter of known behaviour for the kernel: hashes of what each image is known for (bpf/known.h).

use std::collections::BTreeMap;
use std::path::Path;

use datasets::known::{KnownBehaviour, KnownImage};
use datasets::{Container, KnownFilter};

use crate::error::{Error, Result};

/// A filter, with the key of this recording.
pub struct Known {
    key: [u64; 2],
    /// In the order of their numbers, which begin at 1.
    images: Vec<(String, KnownImage)>,
    entry: KnownFilter,
}

/// Images by name: number, ids. What a container is asked for when it is judged.
#[derive(Debug, Default)]
pub struct Profiles(BTreeMap<String, (u16, std::collections::BTreeSet<String>)>);

impl Known {
    /// # Errors
    /// An unreadable or foreign file; more images than there are numbers.
    pub fn load(path: &Path) -> Result<Known> {
        let (known, sha256) = KnownBehaviour::load(path)?;
        let entries = known.entries() as u64;
        let images: Vec<_> = known.images.into_iter().collect();
        if images.len() > usize::from(u16::MAX) {
            return Err(Error::Usage(format!("{}: {} images; at most 65535", path.display(), images.len())));
        }
        let names = images.iter().map(|(name, _)| name.clone()).collect();
        Ok(Known { key: random_key()?, images, entry: KnownFilter { sha256, entries, images: names } })
    }

    /// For the manifest.
    pub fn entry(&self) -> KnownFilter {
        self.entry.clone()
    }

    /// `known_key`
    pub fn key(&self) -> [u64; 2] {
        self.key
    }

    /// The keys of the kernel's table, each once.
    pub fn hashes(&self) -> Vec<u64> {
        let mut hashes = Vec::new();
        for (number, (_, image)) in (1u64..).zip(&self.images) {
            for (program, ops) in &image.file {
                let program = hash(self.key, 0, 0, program);
                for (op, paths) in ops {
                    hashes.extend(paths.iter().map(|path| hash(self.key, program, number << 8 | op.wire(), path)));
                }
            }
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    pub fn profiles(&self) -> Profiles {
        let numbered = (1u16..).zip(&self.images);
        Profiles(numbered.map(|(number, (name, image))| (name.clone(), (number, image.image_ids.clone()))).collect())
    }
}

impl Profiles {
    /// The number of a container's profile; 0: it has none.
    pub fn of(&self, container: Option<&Container>) -> u16 {
        container.map_or(0, |container| self.number(container.image.as_deref(), container.image_id.as_deref()))
    }

    /// The image must be the very one that was learned, not only of its name.
    fn number(&self, image: Option<&str>, id: Option<&str>) -> u16 {
        let Some((number, ids)) = image.and_then(|image| self.0.get(image)) else { return 0 };
        let same = id.map_or(ids.is_empty(), |id| ids.contains(id));
        if same { *number } else { 0 }
    }
}

fn random_key() -> Result<[u64; 2]> {
    let mut bytes = [0u8; 16];
    // SAFETY: writes at most the given length. 16 bytes come whole, or not at all (getrandom(2)).
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if n != 16 {
        return Err(Error::System {
            what: "the kernel gives no random numbers",
            source: std::io::Error::last_os_error(),
        });
    }
    let (first, second) = bytes.split_at(8);
    let word = |half: &[u8]| u64::from_ne_bytes(half.try_into().expect("eight bytes"));
    Ok([word(first), word(second)])
}

/// `known_hash` of two words and a path, whose names the kernel has leaf first, each with its NUL.
fn hash(key: [u64; 2], first: u64, second: u64, path: &str) -> u64 {
    let mut message = [first.to_le_bytes(), second.to_le_bytes()].concat();
    for name in path.split('/').rev().filter(|name| !name.is_empty()) {
        message.extend_from_slice(name.as_bytes());
        message.push(0);
    }
    sip(key, &message)
}

/// SipHash-1-3 (Aumasson, Bernstein, 2012).
fn sip(key: [u64; 2], message: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut words = message.chunks_exact(8);
    let take = |v: &mut [u64; 4], word: u64| {
        v[3] ^= word;
        round(v);
        v[0] ^= word;
    };
    for word in words.by_ref() {
        take(&mut v, u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = message.len() as u8;
    take(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn round(v: &mut [u64; 4]) {
    let [a, b, c, d] = v;
    *a = a.wrapping_add(*b);
    *c = c.wrapping_add(*d);
    *b = b.rotate_left(13) ^ *a;
    *d = d.rotate_left(16) ^ *c;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*b);
    *a = a.wrapping_add(*d);
    *b = b.rotate_left(17) ^ *c;
    *d = d.rotate_left(21) ^ *a;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    /// The standard library's hasher is SipHash-1-3 with the key 0.
    #[test]
    fn the_hash_is_siphash_1_3() {
        for len in 0..40 {
            let message: Vec<u8> = (0..len).map(|i: u8| i.wrapping_mul(7)).collect();
            let mut reference = std::hash::DefaultHasher::new();
            reference.write(&message);
            assert_eq!(sip([0, 0], &message), reference.finish(), "{len} bytes");
        }
        assert_ne!(sip([0, 1], b"x"), sip([0, 0], b"x"));
    }

    #[test]
    fn a_container_has_the_profile_of_its_very_image() {
        let ids = ["aa".to_owned()].into();
        let profiles = Profiles([("web:1".to_owned(), (3, ids))].into());
        assert_eq!(profiles.number(Some("web:1"), Some("aa")), 3);
        assert_eq!(profiles.number(Some("web:1"), Some("bb")), 0, "the name is used again for another image");
        assert_eq!(profiles.number(Some("web:1"), None), 0);
        assert_eq!(profiles.number(Some("web:2"), Some("aa")), 0);
        assert_eq!(profiles.number(None, Some("aa")), 0);
    }
}
