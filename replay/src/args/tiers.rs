//! Comparing a command line with the learned ones, cheapest test first.
//!
//! 1. exact match of the canonical form,
//! 2. share of words never seen at that leaf: at most `accept` is known, at least `reject` deviates,
//! 3. cosine of the sentence embedding to the nearest stored pattern, known from `threshold` on. An input that the
//!    model did not see whole (truncated, or with an unknown word) never matches here: embeddings are blind to it.
//!
//! A tier that is switched off neither accepts nor rejects. What no tier that is on accepts, deviates.

use crate::config::Args;
use crate::deviation::{Nearest, Tier};
use crate::error::Result;
use crate::profile::ArgLeaf;

use super::Canonical;
use super::canonical::basename;
use super::vectors::Vectors;

/// The tiers with their thresholds.
pub struct Tiers<'a> {
    pub config: &'a Args,
    pub vectors: &'a dyn Vectors,
}

/// How a command line compares with a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub known: bool,
    /// The tier that decided.
    pub tier: Tier,
    pub token_novelty: Option<f32>,
    pub nearest: Option<Nearest>,
}

impl Tiers<'_> {
    /// Compares `canonical`, as run by `program`, with what `leaf` holds.
    ///
    /// # Errors
    /// The embedding model is needed and missing, or fails.
    pub fn compare(&self, program: &str, canonical: &Canonical, leaf: &ArgLeaf) -> Result<Comparison> {
        let mut comparison = Comparison { known: false, tier: Tier::Canonical, token_novelty: None, nearest: None };
        if leaf.contains(canonical) {
            comparison.known = true;
            return Ok(comparison);
        }
        let novelty = &self.config.novelty;
        if novelty.enabled {
            let share = leaf.novelty(canonical);
            comparison.tier = Tier::TokenNovelty;
            comparison.token_novelty = Some(share);
            if share <= novelty.accept {
                comparison.known = true;
                return Ok(comparison);
            }
            if share >= novelty.reject {
                return Ok(comparison);
            }
        }
        if self.config.embedding.enabled && !leaf.is_empty() {
            comparison.tier = Tier::Embedding;
            let (nearest, whole) = self.nearest(program, canonical, leaf)?;
            comparison.known = whole && nearest.cosine >= self.config.embedding.threshold;
            comparison.nearest = Some(nearest);
        }
        Ok(comparison)
    }

    /// The stored pattern with the largest cosine (the first in text order on a tie), and whether both texts were seen
    /// whole by the model.
    fn nearest(&self, program: &str, canonical: &Canonical, leaf: &ArgLeaf) -> Result<(Nearest, bool)> {
        let name = basename(program);
        let sentence = |pattern: &Canonical| format!("{name} {}", pattern.text());
        let patterns: Vec<Canonical> = leaf.patterns().map(|(pattern, _)| pattern).collect();
        let sentences: Vec<String> = std::iter::once(canonical).chain(&patterns).map(sentence).collect();
        let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let embeddings = self.vectors.embed(&texts)?;
        let (own, stored) = embeddings.split_first().expect("one embedding for each of at least two texts");
        let mut best = (0, f32::NEG_INFINITY);
        for (i, embedding) in stored.iter().enumerate() {
            let cosine = own.cosine(embedding);
            if cosine > best.1 {
                best = (i, cosine);
            }
        }
        let whole = own.is_whole() && stored[best.0].is_whole();
        Ok((Nearest { pattern: sentences[best.0 + 1].as_str().into(), cosine: best.1 }, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::embed::Embedding;

    /// Vectors by rule: texts that share their first word and `same` point the same way.
    struct Ruled;

    impl Vectors for Ruled {
        fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
            let vector = |text: &&str| Embedding {
                vector: if text.contains("same") { vec![1.0, 0.0] } else { vec![0.0, 1.0] },
                truncated: text.contains("long"),
                unknown: false,
            };
            Ok(texts.iter().map(vector).collect())
        }
    }

    /// A model that must not be asked.
    struct Forbidden;

    impl Vectors for Forbidden {
        fn embed(&self, _: &[&str]) -> Result<Vec<Embedding>> {
            panic!("the model was asked though a cheaper tier decides");
        }
    }

    fn line(args: &str) -> Canonical {
        let argv: Vec<_> = std::iter::once("app").chain(args.split_whitespace()).collect();
        Canonical::new("/usr/bin/app", &argv, false)
    }

    fn leaf() -> ArgLeaf {
        let mut leaf = ArgLeaf::default();
        leaf.insert(&line("same old --n 4 --mode fast"), 10);
        leaf
    }

    fn compare(args: &str, config: &Args, vectors: &dyn Vectors) -> Comparison {
        Tiers { config, vectors }.compare("/usr/bin/app", &line(args), &leaf()).unwrap()
    }

    #[test]
    fn cheap_tiers_decide_without_the_model() {
        let config = config::load(None, &[]).unwrap().args;
        let exact = compare("same old --n 9 --mode fast", &config, &Forbidden);
        assert!(exact.known && exact.tier == Tier::Canonical);
        let reordered = compare("--mode fast same", &config, &Forbidden);
        assert!(reordered.known && reordered.tier == Tier::TokenNovelty);
        let novel = compare("-o pool:3333 -u wallet", &config, &Forbidden);
        assert!(!novel.known && novel.tier == Tier::TokenNovelty);
        assert_eq!(novel.token_novelty, Some(1.0));
    }

    #[test]
    fn between_them_the_embedding_decides() {
        let config = config::load(None, &[]).unwrap().args;
        let near = compare("same old --mode slow", &config, &Ruled);
        assert!(near.known && near.tier == Tier::Embedding);
        let far = compare("old --n 4 --mode slow", &config, &Ruled);
        assert!(!far.known && far.tier == Tier::Embedding);
        assert_eq!(far.nearest.unwrap().cosine, 0.0);
    }

    #[test]
    fn what_the_model_did_not_see_whole_never_matches() {
        let config = config::load(None, &[]).unwrap().args;
        let cut = compare("same old --n 4 long", &config, &Ruled);
        assert_eq!(cut.nearest.as_ref().unwrap().cosine, 1.0);
        assert!(!cut.known);
    }

    #[test]
    fn tiers_switch_off() {
        let mut config = config::load(None, &[]).unwrap().args;
        config.novelty.enabled = false;
        let near = compare("same but new words everywhere", &config, &Ruled);
        assert!(near.known && near.token_novelty.is_none());
        config.embedding.enabled = false;
        let off = compare("same old --mode slow", &config, &Forbidden);
        assert!(!off.known && off.tier == Tier::Canonical);
        config.novelty.enabled = true;
        let between = compare("same old --mode slow", &config, &Forbidden);
        assert!(!between.known && between.tier == Tier::TokenNovelty);
    }
}
