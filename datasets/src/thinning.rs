//! What a recorder left out on purpose, as the manifest tells it: the sampler's levels over time, and the filter of known
//! behaviour.

use serde::{Deserialize, Serialize};

use crate::manifest::Moment;

/// How classes were thinned. An event of a class that one in N was kept of stands for N: multiply what is counted in its
/// rows by N (the Horvitz-Thompson estimator), N being that of the row's `ts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    pub mode: SamplingMode,
    /// In the order they happened; before the first one of a class, everything was kept.
    #[serde(default)]
    pub changes: Vec<SamplingChange>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplingMode {
    /// Nothing is thinned: what finds the ring full is lost, whatever it is.
    #[default]
    Off,
    /// Under load only, as much as it takes.
    Auto,
    /// As asked for, from the begin to the end.
    Fixed,
}

/// From `at` on, one in `to` events of the class is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplingChange {
    pub at: Moment,
    pub class: String,
    /// One in how many was kept before.
    pub from: u32,
    pub to: u32,
}

impl Sampling {
    /// One in how many events of a class was kept at `ts` (Unix time, ns).
    pub fn kept_one_in(&self, class: &str, ts: i64) -> u32 {
        let before = self.changes.iter().take_while(|change| change.at.ns <= ts);
        before.filter(|change| change.class == class).last().map_or(1, |change| change.to)
    }
}

/// The filter of known behaviour that a recording was made with: what it lets through is only what was not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFilter {
    /// Of the file's bytes; hex.
    pub sha256: String,
    /// Behaviours in it, over all images.
    pub entries: u64,
    /// The images it covers.
    pub images: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_a_moment_is_that_of_the_last_change_before_it() {
        let change =
            |ns, class: &str, from, to| SamplingChange { at: Moment::from_ns(ns), class: class.to_owned(), from, to };
        let changes = vec![change(10, "file", 1, 2), change(20, "syscall", 1, 4), change(30, "file", 2, 1)];
        let sampling = Sampling { mode: SamplingMode::Auto, changes };
        let at = |class, ts| sampling.kept_one_in(class, ts);
        assert_eq!([at("file", 9), at("file", 10), at("file", 29), at("file", 30)], [1, 2, 2, 1]);
        assert_eq!([at("syscall", 19), at("syscall", 99), at("network", 99)], [1, 4, 1]);
    }
}
