//! Comparing a command line with the learned ones, cheapest test first.
//!
//! 1. exact match of the canonical form,
//! 2. risk of what the line adds to the leaf's grammar: at most `accept` is known, at least `reject` deviates,
//! 3. share of words never seen at that leaf: at most `accept` is known, at least `reject` deviates,
//! 4. cosine of the sentence embedding to the nearest stored pattern, known from `threshold` on. An input that the
//!    model did not see whole (truncated, or with an unknown word) never matches here, nor one that differs from the
//!    learned words in the case of letters alone: embeddings are blind to both.
//!
//! A tier that is switched off neither accepts nor rejects. What no tier that is on accepts, deviates.

use std::sync::Arc;

use crate::config::{Args, Bound};
use crate::deviation::{Nearest, Tier};
use crate::error::Result;
use crate::profile::ArgLeaf;

use super::Canonical;
use super::canonical::basename;
use super::grammar::Novelty;
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
    /// Of the grammar tier, 0 to 1, with what the line adds, the riskiest first.
    pub risk: Option<f32>,
    pub changes: Vec<Arc<str>>,
    pub token_novelty: Option<f32>,
    pub nearest: Option<Nearest>,
}

/// Changes named on a deviation.
const NAMED: usize = 5;

/// Whether a tier that needs no model accepts the line.
pub fn accepted_without_model(program: &str, canonical: &Canonical, leaf: &ArgLeaf, config: &Args) -> bool {
    if leaf.contains(canonical) {
        return true;
    }
    if config.grammar.enabled {
        let risk = leaf.grammar(program).compare(program, canonical).risk;
        let accepted = config.says(Bound::GrammarAccept, risk);
        if accepted || config.says(Bound::GrammarReject, risk) {
            return accepted;
        }
    }
    config.novelty.enabled && config.says(Bound::NoveltyAccept, leaf.novelty(canonical))
}

impl Tiers<'_> {
    /// Compares `canonical`, as run by `program`, with what `leaf` holds.
    ///
    /// # Errors
    /// The embedding model is needed and missing, or fails.
    pub fn compare(&self, program: &str, canonical: &Canonical, leaf: &ArgLeaf) -> Result<Comparison> {
        let tier = Tier::Canonical;
        let mut comparison =
            Comparison { known: false, tier, risk: None, changes: Vec::new(), token_novelty: None, nearest: None };
        if leaf.contains(canonical) {
            comparison.known = true;
            return Ok(comparison);
        }
        // Told on the deviation whichever tier decides.
        let share = self.config.novelty.enabled.then(|| leaf.novelty(canonical));
        comparison.token_novelty = share;
        let grammar = &self.config.grammar;
        if grammar.enabled && !leaf.is_empty() {
            let Novelty { risk, changes } = leaf.grammar(program).compare(program, canonical);
            comparison.tier = Tier::Grammar;
            comparison.risk = Some(risk);
            comparison.changes = changes.into_iter().take(NAMED).map(|change| change.what.into()).collect();
            comparison.known = self.config.says(Bound::GrammarAccept, risk);
            if comparison.known || self.config.says(Bound::GrammarReject, risk) {
                return Ok(comparison);
            }
        }
        if let Some(share) = share {
            comparison.tier = Tier::TokenNovelty;
            comparison.known = self.config.says(Bound::NoveltyAccept, share);
            if comparison.known || self.config.says(Bound::NoveltyReject, share) {
                return Ok(comparison);
            }
        }
        if self.config.embedding.enabled && !leaf.is_empty() {
            comparison.tier = Tier::Embedding;
            let (nearest, whole) = self.nearest(program, canonical, leaf)?;
            comparison.known = whole && self.config.says(Bound::Embedding, nearest.cosine);
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
        let whole = own.is_whole() && stored[best.0].is_whole() && !leaf.hides_case(canonical);
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

    /// The tiers below the grammar, which at the defaults leaves them no question.
    fn without_grammar() -> Args {
        config::load(None, &["args.grammar.enabled=false".to_owned()]).unwrap().args
    }

    fn leaf() -> ArgLeaf {
        let mut leaf = ArgLeaf::default();
        leaf.insert("/usr/bin/app", &line("same old --n 4 --mode fast"), 10);
        leaf
    }

    fn compare(args: &str, config: &Args, vectors: &dyn Vectors) -> Comparison {
        Tiers { config, vectors }.compare("/usr/bin/app", &line(args), &leaf()).unwrap()
    }

    #[test]
    fn cheap_tiers_decide_without_the_model() {
        let config = without_grammar();
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
        let config = without_grammar();
        let near = compare("same old --mode slow", &config, &Ruled);
        assert!(near.known && near.tier == Tier::Embedding);
        let far = compare("old --n 4 --mode slow", &config, &Ruled);
        assert!(!far.known && far.tier == Tier::Embedding);
        assert_eq!(far.nearest.unwrap().cosine, 0.0);
    }

    #[test]
    fn what_the_model_did_not_see_whole_never_matches() {
        let config = without_grammar();
        let cut = compare("same old --n 4 long", &config, &Ruled);
        assert_eq!(cut.nearest.as_ref().unwrap().cosine, 1.0);
        assert!(!cut.known);
    }

    #[test]
    fn tiers_switch_off() {
        let mut config = without_grammar();
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

    #[test]
    fn letter_case_never_matches_by_embedding() {
        let config = without_grammar();
        let folded = compare("same Old --n 4", &config, &Ruled);
        assert_eq!((folded.tier, folded.nearest.as_ref().unwrap().cosine), (Tier::Embedding, 1.0));
        assert!(!folded.known, "the model lower-cases, so it sees no difference");
    }

    #[test]
    fn the_grammar_decides_first_and_says_why() {
        let config = config::load(None, &[]).unwrap().args;
        let benign = compare("--mode fast same old --n 9 --colour", &config, &Forbidden);
        assert!(benign.known && benign.tier == Tier::Grammar && benign.risk.unwrap() > 0.0);
        let risky = compare("same old --n 4 --mode fast --exec /tmp/x", &config, &Forbidden);
        assert!(!risky.known && risky.tier == Tier::Grammar && risky.token_novelty.is_some());
        assert!(risky.changes.iter().any(|change| change.contains("/tmp/x")), "{:?}", risky.changes);
    }

    #[test]
    fn between_its_bounds_the_grammar_leaves_the_question_open() {
        let set = ["args.grammar.accept=0.0".to_owned(), "args.grammar.reject=1.0".to_owned()];
        let config = config::load(None, &set).unwrap().args;
        let open = compare("same old --mode slow", &config, &Ruled);
        assert!(open.known && open.tier == Tier::Embedding && open.risk.is_some());
    }
}
