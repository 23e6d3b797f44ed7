//! Short digests of the parts of a file. That a file was altered, its SHA-256 tells; where, these do.

use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of the smallest part.
const LEAF: usize = 4096;

/// Parts of a file at most: a manifest has these digests of each of its files.
const MOST: usize = 64;

/// A quarter of a SHA-256: enough to tell parts apart, and it proves nothing by itself.
type Leaf = [u8; 8];

/// The digests of a file's parts, as the manifest has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// Bytes of a part: 4096 times a power of two, so that there are at most 64 of them. The last one may be shorter.
    pub size: u64,
    /// 16 hex digits for each part: the first 8 bytes of its SHA-256, or, of a part of several times 4096 bytes, of the SHA-256
    /// over theirs.
    pub digests: String,
}

impl Blocks {
    pub(crate) fn new(leaves: &Leaves) -> Blocks {
        let mut each = 1;
        while leaves.0.len().div_ceil(each) > MOST {
            each *= 2;
        }
        let mut digests = String::with_capacity(leaves.0.len().div_ceil(each) * 16);
        for part in leaves.0.chunks(each) {
            for byte in combined(part) {
                // Writing to a String cannot fail.
                let _ = write!(digests, "{byte:02x}");
            }
        }
        Blocks { size: (LEAF * each) as u64, digests }
    }

    /// The bytes of a file that are not as they were written; neighbouring parts are one. `bytes`: its length as written,
    /// `found`: as it is. Of the part where a file is cut off nothing can be said. `None`: these are no such digests.
    pub(crate) fn altered(&self, leaves: &Leaves, bytes: u64, found: u64) -> Option<Vec<Range<u64>>> {
        let each = usize::try_from(self.size).ok().filter(|size| *size >= LEAF && size % LEAF == 0)? / LEAF;
        let parts = bytes.div_ceil(self.size);
        if !self.digests.is_ascii() || self.digests.len() as u64 != parts.checked_mul(16)? {
            return None;
        }
        let mut altered: Vec<Range<u64>> = Vec::new();
        for (i, part) in (0..parts).zip(leaves.0.chunks(each)) {
            let range = i * self.size..((i + 1) * self.size).min(bytes);
            if range.end > found {
                break;
            }
            let said = &self.digests[i as usize * 16..][..16];
            let same = combined(part).iter().enumerate().all(|(at, byte)| said[at * 2..][..2] == format!("{byte:02x}"));
            match altered.last_mut() {
                _ if same => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => altered.push(range),
            }
        }
        Some(altered)
    }
}

fn combined(part: &[Leaf]) -> Leaf {
    match part {
        [leaf] => *leaf,
        leaves => first(&Sha256::digest(leaves.concat())),
    }
}

fn first(digest: &[u8]) -> Leaf {
    let mut leaf = Leaf::default();
    leaf.copy_from_slice(&digest[..8]);
    leaf
}

/// The digests of a file's smallest parts, in their order.
pub(crate) struct Leaves(Vec<Leaf>);

/// Makes [`Leaves`] of what passes by.
#[derive(Default)]
pub(crate) struct BlockHasher {
    leaves: Vec<Leaf>,
    hasher: Sha256,
    /// Bytes in `hasher`.
    filled: usize,
}

impl BlockHasher {
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(LEAF - self.filled));
            self.hasher.update(now);
            self.filled += now.len();
            bytes = rest;
            if self.filled == LEAF {
                self.next();
            }
        }
    }

    fn next(&mut self) {
        self.leaves.push(first(&self.hasher.finalize_reset()));
        self.filled = 0;
    }

    pub(crate) fn finish(mut self) -> Leaves {
        if self.filled > 0 {
            self.next();
        }
        Leaves(self.leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(bytes: &[u8], step: usize) -> Leaves {
        let mut hasher = BlockHasher::default();
        bytes.chunks(step).for_each(|part| hasher.update(part));
        hasher.finish()
    }

    #[test]
    fn there_are_at_most_64_parts_and_the_altered_ones_are_named_whatever_the_length() {
        for len in [0usize, 1, 4095, 4096, 4097, 64 * 4096, 64 * 4096 + 1, 1_000_003] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 / 13) as u8).collect();
            let n = len as u64;
            let blocks = Blocks::new(&leaves(&bytes, 1000));
            assert!(blocks.digests.len() <= 64 * 16 && blocks.digests.len() as u64 == n.div_ceil(blocks.size) * 16);
            assert_eq!(blocks, Blocks::new(&leaves(&bytes, 4096)), "however it is written");
            assert_eq!(blocks.altered(&leaves(&bytes, 77), n, n), Some(vec![]));
            for at in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|at| *at < len) {
                let mut other = bytes.clone();
                other[at] ^= 1;
                let found = blocks.altered(&leaves(&other, 5000), n, n).unwrap();
                let [range] = &found[..] else { panic!("{found:?}") };
                assert!(range.contains(&(at as u64)) && range.end - range.start <= blocks.size, "{at} in {range:?}");
                // Cut off there, what is left is as it was.
                assert_eq!(blocks.altered(&leaves(&bytes[..at], 999), n, at as u64), Some(vec![]));
            }
        }
    }

    #[test]
    fn neighbours_are_one_range_and_nonsense_is_none() {
        let bytes = vec![7; 5 * 4096];
        let blocks = Blocks::new(&leaves(&bytes, 4096));
        let mut other = bytes.clone();
        [0, 2 * 4096, 3 * 4096 + 9].iter().for_each(|at| other[*at] = 0);
        let n = bytes.len() as u64;
        assert_eq!(blocks.altered(&leaves(&other, 4096), n, n), Some(vec![0..4096, 2 * 4096..4 * 4096]));
        for (size, digests) in [(0, ""), (100, "00"), (4096, "0"), (4096, "é"), (u64::MAX, "")] {
            let nonsense = Blocks { size, digests: digests.to_owned() };
            assert_eq!(nonsense.altered(&leaves(&bytes, 4096), n, n), None, "{size} {digests}");
        }
    }
}
