//! Remembers what was embedded. A replay meets the same canonical command line many times.

use std::collections::HashMap;
use std::sync::Mutex;

use super::{EmbedError, Embedder, Embedding};

/// Texts remembered at most; with 384 dimensions about 110 MB. Past it, texts are embedded anew each time: slower, with
/// the same result.
const CAPACITY: usize = 65_536;

/// An embedder that embeds each distinct text once, in memory.
pub struct Cached {
    inner: Box<dyn Embedder>,
    known: Mutex<HashMap<Box<str>, Embedding>>,
    capacity: usize,
}

impl Cached {
    pub fn new(inner: Box<dyn Embedder>) -> Cached {
        Cached { inner, known: Mutex::new(HashMap::new()), capacity: CAPACITY }
    }
}

impl Embedder for Cached {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let lock = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut new: Vec<&str> = {
            let known = lock();
            texts.iter().copied().filter(|text| !known.contains_key(*text)).collect()
        };
        new.sort_unstable();
        new.dedup();
        // Not under the lock: embedding is slow. Two threads may embed the same text, with the same result.
        let fresh: HashMap<&str, Embedding> = new.iter().copied().zip(self.inner.embed(&new)?).collect();
        let mut known = lock();
        let found = texts.iter().map(|text| fresh.get(text).or_else(|| known.get(*text)).cloned()).collect();
        for (text, embedding) in fresh {
            if known.len() < self.capacity {
                known.insert(text.into(), embedding);
            }
        }
        // Every text was either new, and is in `fresh`, or known, and nothing is ever removed.
        Option::<Vec<Embedding>>::ok_or(
            found,
            EmbedError::Inference { reason: "the embedder returned too few vectors".to_owned() },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Notes what it was asked.
    struct Noting(Arc<Mutex<Vec<String>>>);

    impl Embedder for Noting {
        fn name(&self) -> &str {
            "noting"
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
            self.0.lock().unwrap().extend(texts.iter().map(|text| (*text).to_owned()));
            Ok(texts
                .iter()
                .map(|text| Embedding { vector: vec![text.len() as f32], truncated: false, unknown: false })
                .collect())
        }
    }

    #[test]
    fn each_text_is_embedded_once_and_order_is_kept() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut cached = Cached::new(Box::new(Noting(asked.clone())));
        cached.capacity = 2;
        let lengths = |embeddings: Vec<Embedding>| embeddings.iter().map(|e| e.vector[0]).collect::<Vec<_>>();
        assert_eq!(lengths(cached.embed(&["bb", "a", "bb"]).unwrap()), [2.0, 1.0, 2.0]);
        assert_eq!(lengths(cached.embed(&["a", "bb", "ccc"]).unwrap()), [1.0, 2.0, 3.0]);
        assert_eq!(*asked.lock().unwrap(), ["a", "bb", "ccc"]);
        // The cache is full: the third text is embedded again, with the same result.
        assert_eq!(lengths(cached.embed(&["ccc"]).unwrap()), [3.0]);
        assert_eq!(asked.lock().unwrap().len(), 4);
    }
}
