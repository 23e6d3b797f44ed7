//! The end of a process path: the set of argument patterns one program was run with under one parent.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::args::{Canonical, Grammar};

/// Argument patterns with their counts, and the words they are made of.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct ArgLeaf {
    patterns: BTreeMap<Arc<str>, u64>,
    tokens: HashSet<Arc<str>>,
    /// Runs whose pattern was not kept because the leaf was full; their words are.
    beyond: u64,
    /// What the kept patterns are made of, from the first comparison on.
    grammar: OnceLock<Grammar>,
}

impl PartialEq for ArgLeaf {
    fn eq(&self, other: &Self) -> bool {
        let ArgLeaf { patterns, tokens, beyond, grammar: _ } = self;
        *patterns == other.patterns && *tokens == other.tokens && *beyond == other.beyond
    }
}

/// The saved form; words of kept patterns are derived again, so only those beyond are written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    patterns: BTreeMap<Arc<str>, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    words: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    beyond: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<Stored> for ArgLeaf {
    fn from(stored: Stored) -> Self {
        let Stored { patterns, words, beyond } = stored;
        let mut tokens: HashSet<Arc<str>> = words.into_iter().collect();
        for key in patterns.keys() {
            tokens.extend(Canonical::from_key(Arc::clone(key)).tokens().map(Arc::from));
        }
        ArgLeaf { patterns, tokens, beyond, grammar: OnceLock::new() }
    }
}

impl From<ArgLeaf> for Stored {
    fn from(leaf: ArgLeaf) -> Self {
        let ArgLeaf { patterns, tokens, beyond, grammar: _ } = leaf;
        let mut words: Vec<Arc<str>> = Vec::new();
        if beyond > 0 {
            words = tokens.into_iter().collect();
            words.sort();
        }
        Stored { patterns, words, beyond }
    }
}

impl ArgLeaf {
    /// Adds one run of `program`; true if its pattern was not there yet.
    pub fn insert(&mut self, program: &str, canonical: &Canonical, max_patterns: usize) -> bool {
        if let Some(count) = self.patterns.get_mut(canonical.key()) {
            *count += 1;
            return false;
        }
        let before = self.tokens.len();
        self.tokens.extend(canonical.tokens().map(Arc::from));
        if self.patterns.len() >= max_patterns {
            self.beyond += 1;
            return self.tokens.len() > before;
        }
        self.patterns.insert(Arc::clone(canonical.key()), 1);
        if let Some(grammar) = self.grammar.get_mut() {
            grammar.learn(program, canonical);
        }
        true
    }

    pub fn contains(&self, canonical: &Canonical) -> bool {
        self.patterns.contains_key(canonical.key())
    }

    /// Share of the command line's words that no learned pattern has, 0 to 1.
    pub fn novelty(&self, canonical: &Canonical) -> f32 {
        let (mut all, mut new) = (0u32, 0u32);
        for token in canonical.tokens() {
            all += 1;
            new += u32::from(!self.tokens.contains(token));
        }
        if all == 0 { 0.0 } else { new as f32 / all as f32 }
    }

    /// Whether some word of the line is new, and is known in other letter case.
    pub fn hides_case(&self, canonical: &Canonical) -> bool {
        let new = canonical.tokens().filter(|token| !self.tokens.contains(*token));
        let mut new = new.map(str::to_lowercase).peekable();
        if new.peek().is_none() {
            return false;
        }
        let known: HashSet<String> = self.tokens.iter().map(|token| token.to_lowercase()).collect();
        new.any(|token| known.contains(&token))
    }

    /// What the kept patterns, runs of `program`, are made of.
    pub fn grammar(&self, program: &str) -> &Grammar {
        self.grammar.get_or_init(|| {
            let mut grammar = Grammar::default();
            self.patterns().for_each(|(pattern, _)| grammar.learn(program, &pattern));
            grammar
        })
    }

    /// Learned patterns in order of their text, with counts.
    pub fn patterns(&self) -> impl Iterator<Item = (Canonical, u64)> {
        self.patterns.iter().map(|(key, count)| (Canonical::from_key(Arc::clone(key)), *count))
    }

    /// Drops a pattern; its words stay known.
    pub fn forget(&mut self, key: &str) {
        self.patterns.remove(key);
        self.grammar = OnceLock::new();
    }

    /// Runs learned, of patterns kept or not.
    pub fn runs(&self) -> u64 {
        self.patterns.values().sum::<u64>() + self.beyond
    }

    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn merge(&mut self, other: ArgLeaf, max_patterns: usize) {
        let ArgLeaf { patterns, tokens, beyond, grammar: _ } = other;
        self.grammar = OnceLock::new();
        self.beyond += beyond;
        self.tokens.extend(tokens);
        for (key, count) in patterns {
            if let Some(own) = self.patterns.get_mut(&key) {
                *own += count;
            } else if self.patterns.len() < max_patterns {
                self.patterns.insert(key, count);
            } else {
                self.beyond += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &str) -> Canonical {
        let argv: Vec<_> = std::iter::once("app").chain(args.split_whitespace()).collect();
        Canonical::new("/usr/bin/app", &argv, false)
    }

    #[test]
    fn novelty_is_the_share_of_new_words() {
        let mut leaf = ArgLeaf::default();
        assert!(leaf.insert("/usr/bin/app", &line("--mode fast --n 4"), 10));
        assert!(!leaf.insert("/usr/bin/app", &line("--mode fast --n 9"), 10), "numbers are masked");
        assert_eq!(leaf.novelty(&line("--n 7 --mode fast")), 0.0);
        assert_eq!(leaf.novelty(&line("--mode slow")), 0.5);
        assert_eq!(leaf.novelty(&line("-o pool:3333")), 1.0);
    }

    #[test]
    fn a_full_leaf_keeps_words_and_survives_saving() {
        let mut leaf = ArgLeaf::default();
        leaf.insert("/usr/bin/app", &line("a"), 1);
        assert!(leaf.insert("/usr/bin/app", &line("b"), 1));
        assert!(!leaf.contains(&line("b")));
        assert_eq!(leaf.novelty(&line("b")), 0.0);
        let saved = serde_json::to_string(&leaf).unwrap();
        assert_eq!(serde_json::from_str::<ArgLeaf>(&saved).unwrap(), leaf);
    }
}
