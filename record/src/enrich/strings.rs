//! One allocation per distinct string.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Shares equal strings.
#[derive(Default)]
pub struct Interner {
    /// Hashed with a random key: the strings are an attacker's to choose.
    known: HashSet<Arc<str>, RandomState>,
}

/// Distinct strings kept before the set is emptied: it only saves memory, and must not grow without bound.
const INTERNED_MAX: usize = 200_000;

impl Interner {
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= INTERNED_MAX {
            self.known.clear();
        }
        let fresh: Arc<str> = text.into();
        self.known.insert(fresh.clone());
        fresh
    }
}
