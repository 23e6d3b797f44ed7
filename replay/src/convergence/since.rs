//! Whether a lock held: what came after it, against what the stopping rule had promised.
//!
//! Had at most ε of the mass been unseen, each later event were of a new pattern with at most that probability, whatever came
//! before, since the unseen mass only shrinks. Then E[exp(s·K − (eˢ − 1)·ε·n)] ≤ 1 for K new patterns in n events, and by Markov's
//! inequality at s = ln(K/(ε·n)) so many come with a probability of at most exp(−(K·ln(K/(ε·n)) − K + ε·n)): Chernoff's
//! bound of the Poisson distribution. Below δ, the lock did not hold: it came too early, or something else is going on.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::config::Convergence;
use crate::observe::Observation;

/// Distinct new patterns told apart; a tree with more did not hold by any measure.
const MOST: usize = 65_536;

/// What a locked tree saw.
#[derive(Clone, Debug, Default)]
pub struct Since {
    observations: u64,
    new: HashSet<u64>,
}

/// The verdict on a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockTest {
    /// Observations since.
    pub observations: u64,
    /// Distinct patterns among them that departed, without what rules of high confidence hit.
    pub new_patterns: u64,
    /// Whether that is compatible with an unseen mass of ε, at confidence 1 − δ.
    pub holds: bool,
}

impl Since {
    pub fn see(&mut self) {
        self.observations += 1;
    }

    pub fn departed(&mut self, observation: &Observation) {
        if self.new.len() < MOST {
            let mut hasher = DefaultHasher::new();
            (&observation.steps, observation.args.as_ref().map(|args| args.key())).hash(&mut hasher);
            self.new.insert(hasher.finish());
        }
    }

    pub fn test(&self, config: &Convergence) -> LockTest {
        let new_patterns = self.new.len() as u64;
        let holds = holds(self.observations as f64, new_patterns as f64, config);
        LockTest { observations: self.observations, new_patterns, holds }
    }
}

fn holds(observations: f64, new: f64, config: &Convergence) -> bool {
    let expected = config.epsilon * observations;
    new <= expected || new * (new / expected).ln() - new + expected < (1.0 / config.delta).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_until_too_much_is_new() {
        let config = crate::config::load(None, &[]).unwrap().convergence;
        // By hand, ε = 0.002: in 1,000 events 2 are expected; 5·ln(5/2) − 5 + 2 = 1.58 and 7·ln(7/2) − 7 + 2 = 3.77,
        // against ln 20 = 3.00.
        assert!(holds(0.0, 0.0, &config) && holds(1000.0, 2.0, &config) && holds(1000.0, 5.0, &config));
        assert!(!holds(1000.0, 7.0, &config));
        assert!(!holds(10.0, 2.0, &config), "two new ones in ten");
        assert!(holds(100.0, 1.0, &config), "one says nothing");
    }
}
