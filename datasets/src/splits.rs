//! Train, validation and test: which runs are for what, and that none is for two.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;
use crate::{Error, Result};

/// `datasets/splits.toml`
const SHIPPED: &str = include_str!("../splits.toml");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Profiles are learned on it.
    Train,
    /// Thresholds are chosen on it.
    Validation,
    /// Results are reported on it.
    Test,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    pub const fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A file that says which seeds are for what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    train: Seeds,
    validation: Seeds,
    test: Seeds,
    /// Scenarios of which nothing may be learned.
    #[serde(default)]
    unseen: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeds {
    seeds: BTreeSet<u64>,
}

impl Splits {
    /// The ones that come with the project.
    ///
    /// # Errors
    /// [`Error::Splits`]: a seed is in two of them.
    pub fn shipped() -> Result<Splits> {
        Splits::parse(SHIPPED, Path::new("datasets/splits.toml"))
    }

    /// # Errors
    /// [`Error::Read`]; [`Error::Splits`]: not such a file, or a seed is in two of them.
    pub fn read(path: &Path) -> Result<Splits> {
        let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
        Splits::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Splits> {
        let bad = |reason: String| Error::Splits { path: path.to_owned(), reason };
        let splits: Splits = toml::from_str(text).map_err(|error| bad(error.message().replace('\n', " ")))?;
        for (i, split) in Split::ALL.into_iter().enumerate() {
            for other in &Split::ALL[i + 1..] {
                if let Some(seed) = splits.seeds(split).intersection(splits.seeds(*other)).next() {
                    return Err(bad(format!("seed {seed} is in {split} and in {other}")));
                }
            }
        }
        Ok(splits)
    }

    pub fn seeds(&self, split: Split) -> &BTreeSet<u64> {
        match split {
            Split::Train => &self.train.seeds,
            Split::Validation => &self.validation.seeds,
            Split::Test => &self.test.seeds,
        }
    }

    /// The split of a scenario's run. `None`: it is of no split, so that nothing can be said about it.
    pub fn of(&self, scenario: &str, seed: u64) -> Option<Split> {
        let split = Split::ALL.into_iter().find(|split| self.seeds(*split).contains(&seed))?;
        (split == Split::Test || !self.unseen.contains(scenario)).then_some(split)
    }

    /// The split of a recording. `None`: it shows no scenario, or one of no split.
    pub fn of_recording(&self, manifest: &Manifest) -> Option<Split> {
        let scenario = manifest.scenario.as_ref()?;
        self.of(&scenario.name, scenario.seed)
    }

    /// Whether something learned from `learned` may be tried on `tried`: learning is for train alone, and no moment of one
    /// may be in the other. Recordings of no split are free, as far as time goes.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn may_learn(&self, learned: &Manifest, tried: &Manifest) -> std::result::Result<(), String> {
        if let Some(split) = self.of_recording(learned).filter(|split| *split != Split::Train) {
            return Err(format!("it is of the split {split}, and only train is there to learn from"));
        }
        if overlap(learned, tried) && self.of_recording(tried).is_some_and(|split| split != Split::Train) {
            return Err("it shows the same moments as what it is tried on".to_owned());
        }
        Ok(())
    }

    /// Pairs of recordings of different splits that show the same moments, by their places in `manifests`.
    pub fn overlaps(&self, manifests: &[&Manifest]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for (i, one) in manifests.iter().enumerate() {
            for (j, other) in manifests.iter().enumerate().skip(i + 1) {
                let splits = (self.of_recording(one), self.of_recording(other));
                if matches!(splits, (Some(a), Some(b)) if a != b) && overlap(one, other) {
                    found.push((i, j));
                }
            }
        }
        found
    }
}

/// Whether two recordings were made at the same time, if only in part.
fn overlap(one: &Manifest, other: &Manifest) -> bool {
    let span = |manifest: &Manifest| {
        let last = manifest.segments.iter().map(|segment| segment.last_ts).max().unwrap_or(manifest.started.ns);
        (manifest.started.ns, manifest.ended.as_ref().map_or(last, |ended| ended.ns))
    };
    let (a, b) = (span(one), span(other));
    a.0 < b.1 && b.0 < a.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Kernel, Moment, Recorder, Scenario};

    fn manifest(scenario: &str, seed: u64, from: i64, to: i64) -> Manifest {
        let recorder = Recorder { name: "test".into(), version: "0".into() };
        let kernel = Kernel { release: "6.1".into(), machine: "x86_64".into() };
        let mut manifest = Manifest::new(recorder, kernel, from, Vec::new(), &[]);
        manifest.ended = Some(Moment::from_ns(to));
        manifest.scenario = Some(Scenario { name: scenario.into(), seed, ..Scenario::default() });
        manifest
    }

    #[test]
    fn the_shipped_splits_share_no_seed() {
        let splits = Splits::shipped().unwrap();
        assert!(Split::ALL.into_iter().all(|split| splits.seeds(split).len() >= 3), "three seeds each");
        assert_eq!(splits.of("webapp", 1), Some(Split::Train));
        assert_eq!(splits.of("webapp", 4), None);
    }

    #[test]
    fn a_seed_in_two_splits_is_refused() {
        let text = "[train]\nseeds = [1]\n[validation]\nseeds = [2]\n[test]\nseeds = [3, 1]\n";
        let error = Splits::parse(text, Path::new("x")).unwrap_err();
        assert_eq!(error.to_string(), "x: seed 1 is in train and in test");
        assert!(Splits::parse("[train]\nseeds = [1]\n", Path::new("x")).is_err());
    }

    #[test]
    fn nothing_is_learned_from_what_is_for_validation_or_test() {
        let text = "unseen = [\"new\"]\n[train]\nseeds = [1]\n[validation]\nseeds = [2]\n[test]\nseeds = [3]\n";
        let splits = Splits::parse(text, Path::new("x")).unwrap();
        let (train, test) = (manifest("a", 1, 0, 10), manifest("b", 3, 20, 30));
        assert_eq!(splits.may_learn(&train, &test), Ok(()));
        assert_eq!(splits.may_learn(&train, &train), Ok(()));
        assert!(splits.may_learn(&test, &train).unwrap_err().contains("split test"));
        // Of a scenario that is unseen, only the test is there.
        assert_eq!([1, 2, 3].map(|seed| splits.of("new", seed)), [None, None, Some(Split::Test)]);
        let same_time = manifest("b", 3, 5, 15);
        assert!(splits.may_learn(&train, &same_time).unwrap_err().contains("same moments"));
        assert_eq!(splits.overlaps(&[&train, &test, &same_time]), [(0, 2)]);
    }
}
