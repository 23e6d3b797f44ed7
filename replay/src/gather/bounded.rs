//! A map that takes so many keys; what comes under others is summed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Keys taken; those that come first stay.
pub const KEYS: usize = 1024;

/// What is counted under a key.
pub trait Counted: Default {
    fn add(&mut self, other: Self);
}

/// Counts by key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize, V: Serialize",
    deserialize = "K: Deserialize<'de> + Ord, V: Deserialize<'de>"
))]
pub struct Bounded<K: Ord, V> {
    // Not every format has maps whose keys are structures.
    #[serde(with = "pairs")]
    kept: BTreeMap<K, V>,
    /// Of all other keys; None: there were none.
    rest: Option<V>,
}

impl<K: Ord, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), rest: None }
    }
}

impl<K: Ord, V: Counted> Bounded<K, V> {
    pub fn of(&mut self, key: K) -> &mut V {
        if self.kept.len() < KEYS || self.kept.contains_key(&key) {
            self.kept.entry(key).or_default()
        } else {
            self.rest.get_or_insert_default()
        }
    }

    /// Adds what another part of the stream had.
    pub fn merge(&mut self, other: Self) {
        for (key, counted) in other.kept {
            self.of(key).add(counted);
        }
        if let Some(rest) = other.rest {
            self.rest.get_or_insert_default().add(rest);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter()
    }

    pub fn rest(&self) -> Option<&V> {
        self.rest.as_ref()
    }
}

mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
