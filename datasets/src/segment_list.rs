//! The segments of a manifest, and how a recorder keeps those of a long recording.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::blocks::Blocks;
use crate::hash;
use crate::manifest::Segment;

/// Segments in the order they were written: a `Vec`, but for a manifest that is being written. A recorder closes some 500
/// segments an hour, whose entries have 700 bytes each in memory, mostly hexadecimal digits; so the writer
/// [packs](Self::pack) the older ones. Then the `Vec` is what came last, and [`len`](Self::len) and the text count all.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    /// Come before `rest`.
    packed: Packed,
    rest: Vec<Segment>,
}

#[derive(Clone, Debug, Default)]
struct Packed {
    bytes: Vec<u8>,
    count: usize,
    /// Sums over the segments.
    totals: Totals,
}

/// Sums over segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    /// Of their files.
    pub(crate) bytes: u64,
    /// Hex digits of the digests of their parts.
    pub(crate) digests: u64,
}

impl Totals {
    fn add(self, segment: &Segment) -> Totals {
        let digests = segment.blocks.as_ref().map_or(0, |blocks| blocks.digests.len() as u64);
        Totals {
            rows: self.rows.saturating_add(segment.rows),
            bytes: self.bytes.saturating_add(segment.bytes),
            digests: self.digests.saturating_add(digests),
        }
    }
}

/// So many are packed at once, and at least as many are left as they are.
const TURN: usize = 32;

impl Segments {
    /// How many there are, packed or not.
    pub fn len(&self) -> usize {
        self.packed.count + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn totals(&self) -> Totals {
        self.rest.iter().fold(self.packed.totals, Totals::add)
    }

    /// Packs the older ones, when there are enough of them.
    pub(crate) fn pack(&mut self) {
        if self.rest.len() < 2 * TURN {
            return;
        }
        let mut bytes = Vec::new();
        // What does not come back as it was stays as it is, with all that follow.
        let fit = |segment: &&Segment| {
            let start = bytes.len();
            put(segment, &mut bytes).is_some() && take(&mut &bytes[start..]).as_ref() == Some(*segment)
        };
        let turn = self.rest.iter().take(TURN).take_while(fit).count();
        if turn < TURN {
            return;
        }
        self.packed.bytes.reserve_exact(bytes.len());
        self.packed.bytes.extend_from_slice(&bytes);
        self.packed.count += turn;
        self.packed.totals = self.rest.drain(..turn).fold(self.packed.totals, |totals, segment| totals.add(&segment));
    }

    /// Makes it a plain `Vec` again.
    pub(crate) fn unpack(&mut self) {
        let older = std::mem::take(&mut self.packed);
        if older.count > 0 {
            let mut all: Vec<_> = older.segments().collect();
            all.append(&mut self.rest);
            self.rest = all;
        }
    }
}

impl Packed {
    fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let mut bytes = self.bytes.as_slice();
        std::iter::from_fn(move || take(&mut bytes))
    }
}

impl Deref for Segments {
    type Target = Vec<Segment>;

    fn deref(&self) -> &Vec<Segment> {
        &self.rest
    }
}

impl DerefMut for Segments {
    fn deref_mut(&mut self) -> &mut Vec<Segment> {
        &mut self.rest
    }
}

impl PartialEq for Segments {
    fn eq(&self, other: &Segments) -> bool {
        let all = |list: &Segments| list.packed.segments().chain(list.rest.iter().cloned()).collect::<Vec<_>>();
        self.len() == other.len() && all(self) == all(other)
    }
}

impl From<Vec<Segment>> for Segments {
    fn from(rest: Vec<Segment>) -> Segments {
        Segments { packed: Packed::default(), rest }
    }
}

impl IntoIterator for Segments {
    type Item = Segment;
    type IntoIter = std::vec::IntoIter<Segment>;

    fn into_iter(mut self) -> Self::IntoIter {
        self.unpack();
        self.rest.into_iter()
    }
}

impl<'a> IntoIterator for &'a Segments {
    type Item = &'a Segment;
    type IntoIter = std::slice::Iter<'a, Segment>;

    fn into_iter(self) -> Self::IntoIter {
        self.rest.iter()
    }
}

impl Serialize for Segments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let packed = self.packed.segments().map(Cow::Owned);
        serializer.collect_seq(packed.chain(self.rest.iter().map(Cow::Borrowed)))
    }
}

impl<'de> Deserialize<'de> for Segments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Segments, D::Error> {
        Vec::deserialize(deserializer).map(Segments::from)
    }
}

/// Appends a segment: its two names with their lengths, five numbers, two hashes, and the digests of its parts with their
/// number. `None`: it has a name or hashes that are none.
fn put(segment: &Segment, out: &mut Vec<u8>) -> Option<()> {
    let Segment { file, class, rows, first_ts, last_ts, bytes, sha256, chain, blocks } = segment;
    for name in [file, class] {
        out.push(u8::try_from(name.len()).ok()?);
        out.extend_from_slice(name.as_bytes());
    }
    for number in [*rows, first_ts.cast_unsigned(), last_ts.cast_unsigned(), *bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&hash::from_hex(sha256)?);
    out.extend_from_slice(&hash::from_hex(chain)?);
    // No part has the size 0.
    let (size, digests) = blocks.as_ref().map_or((0, ""), |blocks| (blocks.size, &blocks.digests));
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&u16::try_from(digests.len() / 2).ok()?.to_le_bytes());
    for at in (0..digests.len()).step_by(2) {
        out.push(u8::from_str_radix(digests.get(at..at + 2)?, 16).ok()?);
    }
    Some(())
}

/// Takes the next one off. `None`: there is none.
fn take(from: &mut &[u8]) -> Option<Segment> {
    fn some<'a>(from: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
        from.split_off(..n)
    }
    fn number(from: &mut &[u8]) -> Option<u64> {
        some(from, 8)?.try_into().ok().map(u64::from_le_bytes)
    }
    fn name(from: &mut &[u8]) -> Option<String> {
        let n = *from.split_off_first()?;
        std::str::from_utf8(some(from, n.into())?).ok().map(str::to_owned)
    }
    fn hash_of(from: &mut &[u8]) -> Option<String> {
        some(from, 32)?.try_into().ok().map(|hash: [u8; 32]| hash::hex(&hash))
    }
    Some(Segment {
        file: name(from)?,
        class: name(from)?,
        rows: number(from)?,
        first_ts: number(from)?.cast_signed(),
        last_ts: number(from)?.cast_signed(),
        bytes: number(from)?,
        sha256: hash_of(from)?,
        chain: hash_of(from)?,
        blocks: {
            let size = number(from)?;
            let n = u16::from_le_bytes(some(from, 2)?.try_into().ok()?);
            let digests = some(from, n.into())?;
            (size > 0).then(|| Blocks { size, digests: hash::hex(digests) })
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(i: u64) -> Segment {
        let hash = |salt: u64| hash::hex(&hash::of_bytes(&(i * 2 + salt).to_le_bytes()));
        Segment {
            file: format!("file/{i:05}.parquet"),
            class: "file".to_owned(),
            rows: i,
            first_ts: -(i as i64),
            last_ts: i64::MAX - i as i64,
            bytes: u64::MAX / 1000 - i,
            sha256: hash(0),
            chain: hash(1),
            blocks: (!i.is_multiple_of(3))
                .then(|| Blocks { size: 4096, digests: hash(0)[..(i as usize % 5) * 16].to_owned() }),
        }
    }

    fn packed(list: &[Segment]) -> Segments {
        let mut segments = Segments::default();
        for segment in list {
            segments.push(segment.clone());
            segments.pack();
        }
        segments
    }

    #[test]
    fn packed_segments_are_the_same_text_sums_and_list_in_less_memory() {
        let list: Vec<_> = (0..500).map(segment).collect();
        let plain = Segments::from(list.clone());
        let packed = packed(&list);
        assert!(packed.rest.len() < 2 * TURN && packed.packed.bytes.len() < 500 * 200);
        assert_eq!((packed.len(), packed.totals()), (500, plain.totals()));
        assert_eq!(packed, plain);
        let text = |segments: &Segments| serde_json::to_string_pretty(segments).unwrap();
        assert_eq!(text(&packed), text(&plain));
        assert_eq!(serde_json::from_str::<Segments>(&text(&packed)).unwrap().rest, list);
        assert_eq!(packed.into_iter().collect::<Vec<_>>(), list);
    }

    #[test]
    fn what_would_not_come_back_stays_as_it_is() {
        for spoil in [
            |segment: &mut Segment| segment.sha256 = "none".to_owned(),
            |segment: &mut Segment| segment.chain.make_ascii_uppercase(),
            |segment: &mut Segment| segment.file = "x".repeat(300),
            |segment: &mut Segment| segment.blocks = Some(Blocks { size: 0, digests: String::new() }),
            |segment: &mut Segment| segment.blocks = Some(Blocks { size: 4096, digests: "abc".to_owned() }),
            |segment: &mut Segment| segment.blocks = Some(Blocks { size: 4096, digests: "äöü".to_owned() }),
        ] {
            let mut list: Vec<_> = (0..200).map(segment).collect();
            spoil(&mut list[70]);
            let packed = packed(&list);
            assert_eq!(packed.packed.count, 64);
            assert_eq!(packed.into_iter().collect::<Vec<_>>(), list);
        }
    }
}
