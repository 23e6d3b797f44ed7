//! One allocation per distinct string.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Shares equal strings.
#[derive(Default)]
pub struct Interner {
    /// Hashed with a random key: the strings are an attacker's to choose.
    known: HashSet<Arc<str>, RandomState>,
    /// Memory of the strings, about.
    bytes: usize,
}

/// Bytes of strings kept before the set is emptied: it only saves memory, and must not grow without bound. A path may have
/// 4 KiB, so their number is no bound.
const INTERNED_MAX: usize = 1 << 18;

/// Of a string beside its text: the counts of its `Arc`, the allocation's own, and its place in the set.
const OVERHEAD: usize = 56;

impl Interner {
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        self.bytes += text.len() + OVERHEAD;
        if self.bytes > INTERNED_MAX {
            self.known.clear();
            self.bytes = 0;
        }
        let fresh: Arc<str> = text.into();
        self.known.insert(fresh.clone());
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_shared_and_ever_new_ones_do_not_pile_up() {
        let mut strings = Interner::default();
        assert!(Arc::ptr_eq(&strings.get("one"), &strings.get("one")));
        for i in 0..10_000 {
            strings.get(&format!("{i:04096}"));
        }
        assert!(strings.known.len() < INTERNED_MAX / 4096);
    }
}
