//! What each argument tier is worth, on labelled pairs: a command line that was learned and one that is run next.

mod curves;
mod pairs;
mod statistics;
mod table;

use crate::args::vectors::Vectors;
use crate::args::{Canonical, Comparison, Tiers};
use crate::config;
use crate::error::Result;
use crate::profile::ArgLeaf;

pub use curves::draw;
pub use pairs::{Label, Pair, read};
pub use statistics::{Interval, Rate, auc, wilson};
pub use table::render;

/// Patterns a leaf may hold here: any number of learned lines.
const MAX_PATTERNS: usize = usize::MAX;

/// The tiers that take part, and on what text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Cosine of the raw texts, blind spots and all: what the literature compares with.
    RawCosine,
    Canonical,
    Grammar,
    Novelty,
    Embedding,
    /// All but the grammar: canonical form, token novelty, embedding.
    WithoutGrammar,
    /// As configured.
    Together,
}

impl Variant {
    pub const ALL: [Variant; 7] = [
        Variant::RawCosine,
        Variant::Canonical,
        Variant::Grammar,
        Variant::Novelty,
        Variant::Embedding,
        Variant::WithoutGrammar,
        Variant::Together,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Variant::RawCosine => "cosine, raw text",
            Variant::Canonical => "canonical form",
            Variant::Grammar => "grammar",
            Variant::Novelty => "token novelty",
            Variant::Embedding => "embedding",
            Variant::WithoutGrammar => "without grammar",
            Variant::Together => "together",
        }
    }

    fn args(self, base: &config::Args) -> config::Args {
        let mut args = base.clone();
        if self == Variant::Together {
            return args;
        }
        args.grammar.enabled = self == Variant::Grammar;
        args.novelty.enabled = matches!(self, Variant::Novelty | Variant::WithoutGrammar);
        args.embedding.enabled = matches!(self, Variant::RawCosine | Variant::Embedding | Variant::WithoutGrammar);
        args.canonical = self != Variant::RawCosine;
        args
    }
}

/// One pair, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// How far from what was learned, 0 to 1; the decision is made at another place of this scale for each variant.
    pub score: f64,
    pub flagged: bool,
    pub comparison: Comparison,
}

/// All pairs under one variant, in their order.
pub struct Outcome {
    pub variant: Variant,
    pub judged: Vec<Judged>,
}

/// Judges all pairs under every variant.
///
/// # Errors
/// The embedding model is needed and missing, or fails.
pub fn run(pairs: &[Pair], config: &config::Args, vectors: &dyn Vectors) -> Result<Vec<Outcome>> {
    let one = |variant: Variant| {
        let args = variant.args(config);
        let judged = pairs.iter().map(|pair| judge(pair, variant, &args, vectors)).collect::<Result<_>>()?;
        Ok(Outcome { variant, judged })
    };
    Variant::ALL.into_iter().map(one).collect()
}

fn judge(pair: &Pair, variant: Variant, args: &config::Args, vectors: &dyn Vectors) -> Result<Judged> {
    let canonical = |argv: &[String]| match args.canonical {
        true => Canonical::new(&argv[0], argv, false),
        false => Canonical::verbatim(argv, false),
    };
    let program = &pair.learned[0];
    let mut leaf = ArgLeaf::default();
    leaf.insert(program, &canonical(&pair.learned), MAX_PATTERNS);
    let new = canonical(&pair.new);
    let tiers = Tiers { config: args, vectors };
    let mut comparison = tiers.compare(program, &new, &leaf)?;
    // Another program is a deviation of the tree, before arguments are looked at.
    comparison.known &= pair.new[0] == *program;
    if variant == Variant::RawCosine {
        // The method as published has no guard against what the model cannot see.
        comparison.known = comparison.nearest.as_ref().is_none_or(|near| near.cosine >= args.embedding.threshold);
    }
    let score = score(variant, &comparison, args);
    Ok(Judged { score, flagged: !comparison.known, comparison })
}

/// One number for the curve. Where a tier accepted or rejected, its own measure; where it passed the question on, a place
/// between its bounds by the tier that answered.
fn score(variant: Variant, found: &Comparison, args: &config::Args) -> f64 {
    let flagged = f64::from(u8::from(!found.known));
    let distance = found.nearest.as_ref().map(|near| f64::from(1.0 - near.cosine).clamp(0.0, 1.0));
    match variant {
        Variant::Canonical => flagged,
        Variant::RawCosine => distance.unwrap_or(0.0),
        // Not wholly seen is as far as can be.
        Variant::Embedding => distance.map_or(0.0, |distance| {
            let near = distance <= f64::from(1.0 - args.embedding.threshold);
            if near && !found.known { 1.0 } else { distance }
        }),
        Variant::Novelty => f64::from(found.token_novelty.unwrap_or(0.0)),
        Variant::WithoutGrammar => {
            let share = f64::from(found.token_novelty.unwrap_or(0.0));
            distance.map_or(share, |distance| (share + distance) / 2.0)
        }
        Variant::Grammar => f64::from(found.risk.unwrap_or(0.0)),
        Variant::Together => {
            let risk = f64::from(found.risk.unwrap_or(0.0));
            let (accept, reject) = (f64::from(args.grammar.accept), f64::from(args.grammar.reject));
            if risk <= accept || risk >= reject { risk } else { accept + (reject - accept) * (0.25 + flagged / 2.0) }
        }
    }
}

#[cfg(test)]
mod tests;
