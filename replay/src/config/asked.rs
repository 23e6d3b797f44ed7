//! What the thresholds of command lines were asked, and within which values of them every answer would have been the same.
//!
//! A threshold decides by one comparison with a measured value. So a whole replay comes out the same for every threshold that
//! lies between the same two measured values, and a sweep over thresholds needs as many replays as there are such intervals met,
//! and not as many as it has values.

use std::sync::{Mutex, PoisonError};

use super::Args;

/// A threshold of [`Args`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A risk at most so high is known.
    GrammarAccept,
    /// A risk at least so high deviates.
    GrammarReject,
    NoveltyAccept,
    NoveltyReject,
    /// A cosine at least so high is known.
    Embedding,
}

impl Bound {
    pub const ALL: [Bound; 5] =
        [Bound::GrammarAccept, Bound::GrammarReject, Bound::NoveltyAccept, Bound::NoveltyReject, Bound::Embedding];

    /// The threshold itself.
    pub const fn of(self, args: &Args) -> f32 {
        match self {
            Bound::GrammarAccept => args.grammar.accept,
            Bound::GrammarReject => args.grammar.reject,
            Bound::NoveltyAccept => args.novelty.accept,
            Bound::NoveltyReject => args.novelty.reject,
            Bound::Embedding => args.embedding.threshold,
        }
    }

    /// Whether a value is on the yes side of a threshold: at most it, or at least it.
    fn says(self, value: f32, threshold: f32) -> bool {
        match self {
            Bound::GrammarAccept | Bound::NoveltyAccept => value <= threshold,
            Bound::GrammarReject | Bound::NoveltyReject | Bound::Embedding => value >= threshold,
        }
    }
}

/// The nearest values on both sides of each threshold.
#[derive(Debug)]
pub struct Asked {
    /// Highest and lowest value that was asked about and answered with yes, or with no; by bound.
    nearest: Mutex<[Nearest; 5]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Nearest {
    yes: Option<f32>,
    no: Option<f32>,
}

impl Default for Asked {
    fn default() -> Self {
        Asked { nearest: Mutex::new([Nearest::default(); 5]) }
    }
}

/// It watches and changes nothing: configurations are equal with it or without.
impl PartialEq for Asked {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Asked {
    fn note(&self, bound: Bound, value: f32, said: bool) {
        // Of the values at most the threshold the highest is nearest to it, of those at least the threshold the lowest.
        let below = matches!(bound, Bound::GrammarAccept | Bound::NoveltyAccept) == said;
        let mut nearest = self.nearest.lock().unwrap_or_else(PoisonError::into_inner);
        let Nearest { yes, no } = &mut nearest[bound as usize];
        let slot = if said { yes } else { no };
        *slot = Some(slot.map_or(value, |old| if below { old.max(value) } else { old.min(value) }));
    }

    /// Whether all that was asked would have been answered in the same way with the thresholds of `args`.
    pub fn holds_for(&self, args: &Args) -> bool {
        let nearest = self.nearest.lock().unwrap_or_else(PoisonError::into_inner);
        Bound::ALL.into_iter().all(|bound| {
            let (Nearest { yes, no }, threshold) = (nearest[bound as usize], bound.of(args));
            yes.is_none_or(|value| bound.says(value, threshold)) && no.is_none_or(|value| !bound.says(value, threshold))
        })
    }
}

impl Args {
    /// Whether the threshold says yes to a measured value: that it is at most, or at least, what [`Bound`] says.
    pub fn says(&self, bound: Bound, value: f32) -> bool {
        let said = bound.says(value, bound.of(self));
        if let Some(asked) = &self.asked {
            asked.note(bound, value, said);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;

    fn args(sets: &[&str]) -> Args {
        config::load(None, &sets.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap().args
    }

    #[test]
    fn answers_hold_up_to_the_nearest_values_and_not_beyond() {
        let asked = Arc::new(Asked::default());
        let watched = Args { asked: Some(Arc::clone(&asked)), ..args(&[]) };
        assert!(watched.says(Bound::GrammarAccept, 0.25) && watched.says(Bound::GrammarAccept, 0.125));
        assert!(!watched.says(Bound::GrammarAccept, 0.75) && !watched.says(Bound::GrammarAccept, 0.625));
        assert!(watched.says(Bound::Embedding, 0.96875) && !watched.says(Bound::Embedding, 0.875));
        let holds = |sets: &[&str]| asked.holds_for(&args(sets));
        assert!(holds(&[]), "for those they were asked of");
        assert!(holds(&["args.grammar.accept=0.25"]) && !holds(&["args.grammar.accept=0.24"]));
        let high = ["args.grammar.reject=0.9", "args.grammar.accept=0.62"];
        assert!(holds(&high) && !holds(&["args.grammar.reject=0.9", "args.grammar.accept=0.625"]));
        assert!(holds(&["args.embedding.threshold=0.96875"]) && !holds(&["args.embedding.threshold=0.97"]));
        assert!(!holds(&["args.embedding.threshold=0.875"]) && holds(&["args.embedding.threshold=0.88"]));
        assert!(holds(&["args.novelty.accept=0.4"]), "nobody asked");
    }
}
