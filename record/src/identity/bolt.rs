//! Reads bbolt databases (`meta.db` of containerd, `bolt_state.db` of podman) while their owner has them open.
//!
//! bbolt (go.etcd.io/bbolt, `page.go`, `node.go`, `bucket.go`) is a copy-on-write B+ tree: a transaction writes new pages, then one
//! of two meta pages in turn. The pages of the newest transaction are not written to before the next one is complete; so what
//! was read is one consistent state if the newest transaction's number is the same before and after.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
/// Element flag: the value is a bucket.
const BUCKET: u32 = 0x01;
const BUCKET_HEADER: usize = 16;
/// Pages of trees that runtimes make are few levels deep; a damaged file may have a cycle.
const MAX_DEPTH: u32 = 32;
/// A page with its overflow; larger is damage.
const MAX_PAGE: u64 = 64 << 20;
/// Tries until a whole reading falls between two transactions.
const TRIES: u32 = 5;

/// One state of a database.
pub struct Snapshot {
    file: File,
    page_size: u64,
    root: u64,
}

/// A bucket: a tree of pages, or one small page inside its parent's value.
pub enum Bucket {
    Pages(u64),
    Inline(Vec<u8>),
}

struct Meta {
    page_size: u64,
    root: u64,
    txid: u64,
}

/// What `ask` finds in the database; None if it finds nothing, or the file is unreadable or damaged.
pub fn read<T>(path: &Path, ask: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
    for _ in 0..TRIES {
        let file = File::open(path).ok()?;
        let before = newest(&file)?;
        let snapshot = Snapshot { file, page_size: before.page_size, root: before.root };
        let found = ask(&snapshot);
        if newest(&snapshot.file)?.txid == before.txid {
            return found;
        }
    }
    None
}

fn newest(file: &File) -> Option<Meta> {
    // The second meta page is at the page size, which the first tells; where the first is torn, at one of the usual ones.
    let first = meta(file, 0);
    let sizes = first.as_ref().map_or(vec![4096, 16_384, 65_536], |meta| vec![meta.page_size]);
    let second = sizes.into_iter().find_map(|size| meta(file, size));
    [first, second].into_iter().flatten().max_by_key(|meta| meta.txid)
}

fn meta(file: &File, at: u64) -> Option<Meta> {
    let mut page = [0; PAGE_HEADER + 64];
    file.read_exact_at(&mut page, at).ok()?;
    let body = &page[PAGE_HEADER..];
    let sound = u32_at(body, 0)? == MAGIC && u32_at(body, 4)? == VERSION && u64_at(body, 56)? == fnv1a(&body[..56]);
    let page_size = u64::from(u32_at(body, 8)?);
    let sound = sound && (512..=1 << 20).contains(&page_size);
    sound.then_some(Meta { page_size, root: u64_at(body, 16)?, txid: u64_at(body, 48)? })
}

impl Snapshot {
    /// The bucket at a path of bucket names.
    pub fn bucket(&self, path: &[&[u8]]) -> Option<Bucket> {
        path.iter().try_fold(Bucket::Pages(self.root), |bucket, name| {
            let (flags, value) = self.find(&bucket, name)?;
            (flags & BUCKET != 0).then_some(())?;
            let root = u64_at(&value, 0)?;
            Some(if root == 0 { Bucket::Inline(value.get(BUCKET_HEADER..)?.to_vec()) } else { Bucket::Pages(root) })
        })
    }

    /// The value of a key in a bucket.
    pub fn get(&self, bucket: &Bucket, key: &[u8]) -> Option<Vec<u8>> {
        self.find(bucket, key).filter(|(flags, _)| flags & BUCKET == 0).map(|(_, value)| value)
    }

    /// Every key of a bucket with its value; of a bucket within, an internal value.
    pub fn entries(&self, bucket: &Bucket) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        match bucket {
            Bucket::Pages(root) => self.collect(*root, MAX_DEPTH, &mut found),
            Bucket::Inline(page) => leaves(page, &mut found),
        }
        found
    }

    fn collect(&self, id: u64, depth: u32, found: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let Some(page) = self.page(id) else { return };
        if flags(&page) == Some(LEAF) {
            leaves(&page, found);
        } else if depth > 0 {
            let children = (0..count(&page)).filter_map(|at| u64_at(&page, PAGE_HEADER + at * ELEMENT + 8));
            children.for_each(|child| self.collect(child, depth - 1, found));
        }
    }

    fn find(&self, bucket: &Bucket, key: &[u8]) -> Option<(u32, Vec<u8>)> {
        let mut page = match bucket {
            Bucket::Pages(root) => self.page(*root)?,
            Bucket::Inline(page) => page.clone(),
        };
        for _ in 0..MAX_DEPTH {
            if flags(&page)? != BRANCH {
                return leaf(&page, key);
            }
            // The last child whose first key is not greater.
            let after = partition(count(&page), |at| branch_key(&page, at).is_some_and(|first| first <= key));
            page = self.page(u64_at(&page, PAGE_HEADER + after.saturating_sub(1) * ELEMENT + 8)?)?;
        }
        None
    }

    fn page(&self, id: u64) -> Option<Vec<u8>> {
        let at = id.checked_mul(self.page_size)?;
        let mut head = [0; PAGE_HEADER];
        self.file.read_exact_at(&mut head, at).ok()?;
        let size = (u64::from(u32_at(&head, 12)?) + 1).checked_mul(self.page_size)?;
        if size > MAX_PAGE {
            return None;
        }
        let mut page = vec![0; usize::try_from(size).ok()?];
        self.file.read_exact_at(&mut page, at).ok()?;
        matches!(flags(&page), Some(BRANCH | LEAF)).then_some(page)
    }
}

fn flags(page: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(page.get(8..10)?.try_into().ok()?))
}

fn count(page: &[u8]) -> usize {
    page.get(10..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u16::from_le_bytes(bytes).into())
}

/// (flags, key, value) of an element of a leaf: flags, position from the element, size of the key, size of the value.
fn leaf_element(page: &[u8], at: usize) -> Option<(u32, &[u8], &[u8])> {
    let element = PAGE_HEADER + at * ELEMENT;
    let field = |n: usize| u32_at(page, element + 4 * n).and_then(|value| usize::try_from(value).ok());
    let key = element.checked_add(field(1)?)?;
    let value = key.checked_add(field(2)?)?;
    Some((u32_at(page, element)?, page.get(key..value)?, page.get(value..value.checked_add(field(3)?)?)?))
}

/// The first key below an element of a branch: position from the element, size of the key, page.
fn branch_key(page: &[u8], at: usize) -> Option<&[u8]> {
    let element = PAGE_HEADER + at * ELEMENT;
    let field = |n: usize| u32_at(page, element + 4 * n).and_then(|value| usize::try_from(value).ok());
    let key = element.checked_add(field(0)?)?;
    page.get(key..key.checked_add(field(1)?)?)
}

fn leaf(page: &[u8], key: &[u8]) -> Option<(u32, Vec<u8>)> {
    let at = partition(count(page), |at| leaf_element(page, at).is_some_and(|(_, found, _)| found < key));
    let (flags, found, value) = leaf_element(page, at).filter(|_| at < count(page))?;
    (found == key).then(|| (flags, value.to_vec()))
}

fn leaves(page: &[u8], found: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let elements = (0..count(page)).filter_map(|at| leaf_element(page, at));
    found.extend(elements.map(|(_, key, value)| (key.to_vec(), value.to_vec())));
}

/// The first of `count` positions for which `before` does not hold; it holds for all before that.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = usize::midpoint(low, high);
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo), as bbolt's meta checksum.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
pub mod fixture {
    //! Writes small databases as bbolt does.

    use super::*;

    const SIZE: usize = 4096;

    /// A bucket's content: values and buckets by key.
    pub enum Item<'a> {
        Value(&'a [u8]),
        Bucket(Vec<(&'a str, Item<'a>)>),
    }

    fn leaf_page(id: u64, size: usize, items: &[(Vec<u8>, u32, Vec<u8>)]) -> Vec<u8> {
        let mut page = vec![0; PAGE_HEADER + items.len() * ELEMENT];
        for (at, (key, flags, value)) in items.iter().enumerate() {
            let element = PAGE_HEADER + at * ELEMENT;
            let position = u32::try_from(page.len() - element).unwrap();
            let sizes = [*flags, position, key.len() as u32, value.len() as u32];
            for (n, field) in sizes.into_iter().enumerate() {
                page[element + 4 * n..][..4].copy_from_slice(&field.to_le_bytes());
            }
            page.extend_from_slice(key);
            page.extend_from_slice(value);
        }
        header(&mut page, id, LEAF, items.len());
        page.resize(page.len().next_multiple_of(size), 0);
        let overflow = (page.len() / size - 1) as u32;
        page[12..16].copy_from_slice(&overflow.to_le_bytes());
        page
    }

    fn header(page: &mut [u8], id: u64, flags: u16, count: usize) {
        page[..8].copy_from_slice(&id.to_le_bytes());
        page[8..10].copy_from_slice(&flags.to_le_bytes());
        page[10..12].copy_from_slice(&(count as u16).to_le_bytes());
    }

    fn encode(items: &[(&str, Item<'_>)]) -> Vec<(Vec<u8>, u32, Vec<u8>)> {
        let mut encoded: Vec<_> = items
            .iter()
            .map(|(key, item)| match item {
                Item::Value(value) => (key.as_bytes().to_vec(), 0, value.to_vec()),
                Item::Bucket(inner) => {
                    let mut value = vec![0; BUCKET_HEADER];
                    value.extend(leaf_page(0, 1, &encode(inner)));
                    (key.as_bytes().to_vec(), BUCKET, value)
                }
            })
            .collect();
        encoded.sort();
        encoded
    }

    pub fn meta_page(txid: u64, root: u64) -> Vec<u8> {
        let mut page = vec![0; SIZE];
        header(&mut page, txid % 2, 0x04, 0);
        let body = &mut page[PAGE_HEADER..];
        body[..4].copy_from_slice(&MAGIC.to_le_bytes());
        body[4..8].copy_from_slice(&VERSION.to_le_bytes());
        body[8..12].copy_from_slice(&(SIZE as u32).to_le_bytes());
        body[16..24].copy_from_slice(&root.to_le_bytes());
        body[48..56].copy_from_slice(&txid.to_le_bytes());
        let sum = fnv1a(&body[..56]);
        body[56..64].copy_from_slice(&sum.to_le_bytes());
        page
    }

    /// A root bucket of one page with everything else inline.
    pub fn database(items: &[(&str, Item<'_>)]) -> Vec<u8> {
        [meta_page(8, 2), meta_page(7, 99), leaf_page(2, SIZE, &encode(items))].concat()
    }

    /// A root bucket as a branch over `leaves` pages of keys `kNNNN` with themselves as values.
    pub fn tall(leaves: u64) -> Vec<u8> {
        let key = |leaf: u64, at: u64| format!("k{:04}", leaf * 10 + at);
        let mut branch = vec![0; PAGE_HEADER + leaves as usize * ELEMENT];
        let mut pages = Vec::new();
        for leaf in 0..leaves {
            let element = PAGE_HEADER + leaf as usize * ELEMENT;
            let first = key(leaf, 0);
            let position = u32::try_from(branch.len() - element).unwrap();
            branch[element..element + 4].copy_from_slice(&position.to_le_bytes());
            branch[element + 4..element + 8].copy_from_slice(&(first.len() as u32).to_le_bytes());
            branch[element + 8..element + 16].copy_from_slice(&(3 + leaf).to_le_bytes());
            branch.extend_from_slice(first.as_bytes());
            let items: Vec<_> = (0..10).map(|at| (key(leaf, at).into_bytes(), 0, key(leaf, at).into_bytes())).collect();
            pages.extend(leaf_page(3 + leaf, SIZE, &items));
        }
        header(&mut branch, 2, BRANCH, leaves as usize);
        branch.resize(SIZE, 0);
        [meta_page(8, 2), meta_page(9, 2), branch, pages].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{Item, database, tall};
    use super::*;

    fn ask<T>(bytes: &[u8], ask: impl Fn(&Snapshot) -> Option<T>) -> Option<T> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path(), ask)
    }

    fn sample() -> Vec<u8> {
        let labels = Item::Bucket(vec![("app", Item::Value(b"shop")), ("tier", Item::Value(b"web"))]);
        database(&[("v1", Item::Bucket(vec![("labels", labels), ("image", Item::Value(b"web:1"))]))])
    }

    #[test]
    fn values_and_buckets_are_found_by_their_path() {
        let image = |db: &Snapshot| db.get(&db.bucket(&[b"v1"])?, b"image");
        assert_eq!(ask(&sample(), image).as_deref(), Some(&b"web:1"[..]));
        let labels = ask(&sample(), |db| Some(db.entries(&db.bucket(&[b"v1", b"labels"])?))).unwrap();
        assert_eq!(labels, [(b"app".to_vec(), b"shop".to_vec()), (b"tier".to_vec(), b"web".to_vec())]);
        assert!(ask(&sample(), |db| db.bucket(&[b"v2"])).is_none());
        assert!(ask(&sample(), |db| db.get(&db.bucket(&[b"v1"])?, b"imag")).is_none());
        assert!(ask(&sample(), |db| db.get(&db.bucket(&[b"v1"])?, b"labels")).is_none(), "a bucket is no value");
    }

    #[test]
    fn branches_lead_to_every_leaf() {
        let bytes = tall(20);
        for n in [0, 1, 9, 10, 101, 199] {
            let key = format!("k{n:04}");
            let found = ask(&bytes, |db| db.get(&db.bucket(&[])?, key.as_bytes()));
            assert_eq!(found.as_deref(), Some(key.as_bytes()), "{key}");
        }
        assert!(ask(&bytes, |db| db.get(&db.bucket(&[])?, b"k0200")).is_none());
        assert_eq!(ask(&bytes, |db| Some(db.entries(&db.bucket(&[])?).len())), Some(200));
    }

    #[test]
    fn damage_finds_nothing_and_never_panics() {
        let image = |db: &Snapshot| db.get(&db.bucket(&[b"v1"])?, b"image");
        let sound = sample();
        for keep in [0, 40, 4096, sound.len() - 4096] {
            assert_eq!(ask(&sound[..keep], image), None);
        }
        // The parts of each page that hold something.
        for at in (0..sound.len()).filter(|at| at % 4096 < 400).step_by(3) {
            let mut bytes = sound.clone();
            bytes[at] ^= 0xff;
            let _ = ask(&bytes, image);
            let _ = ask(&bytes, |db| Some(db.entries(&db.bucket(&[])?)));
        }
    }
}
