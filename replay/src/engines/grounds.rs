//! The numbers a verdict was made of, as they are stored with it, and its formula with these numbers put in.

use serde::{Deserialize, Serialize};

use super::{Verdict, llm, semantics, statistics};

/// What a verdict's score was worked out from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Grounds {
    /// A rule's level is its score ([`super::Level::score`]).
    #[default]
    Level,
    /// The statistics engine's.
    Rarity(statistics::Rarity),
    /// The knn judge's.
    Exemplars(semantics::Vote),
    /// The llm judge's.
    Model(llm::Said),
}

impl Verdict {
    /// The formula in symbols and in numbers, a line each, and what else is worth seeing of it.
    pub fn derivation(&self) -> Vec<String> {
        match &self.grounds {
            Grounds::Level => match self.level {
                Some(level) => vec![format!("score of a rule of level {} = {:.4}", level.name(), self.score)],
                None => vec![format!("score = {:.4}, as the rule gives it", self.score)],
            },
            Grounds::Rarity(rarity) => rarity.derivation(),
            Grounds::Exemplars(vote) => vote.derivation(),
            Grounds::Model(said) => said.derivation(),
        }
    }
}

/// To six decimals: as exact as anybody needs, and short in a file.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
