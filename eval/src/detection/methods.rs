//! What is compared: this project's detector, the same with something taken away, and other people's methods.

use replay::config::Config;
use serde::Serialize;

use super::stage::Learning;
use super::{rules, scored, stide};

/// A table of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    Detector,
    /// Engines, one at a time and all but one.
    Engines,
    /// What compares command lines.
    Tiers,
    /// What is learned from, and when learning ends.
    Learning,
    Baselines,
}

impl Group {
    pub const ALL: [Group; 5] = [Group::Detector, Group::Engines, Group::Tiers, Group::Learning, Group::Baselines];

    pub const fn title(self) -> &'static str {
        match self {
            Group::Detector => "this detector",
            Group::Engines => "engines",
            Group::Tiers => "tiers",
            Group::Learning => "learning",
            Group::Baselines => "other methods",
        }
    }
}

/// What a recording is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// What the recordings of train teach that show no attack.
    Lives(Learning),
    /// What the recording itself shows until its trees are locked.
    Itself,
}

/// How departures become a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// Points of the engines.
    Engines,
    /// Distinct departures of a process.
    Count,
    /// Cosine distance of a command line to the nearest that was learned.
    Distance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Replay { origin: Origin, rules: bool, scoring: Scoring },
    RulesAlone,
    Stide,
}

#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// On the command line and in tables.
    pub name: &'static str,
    pub group: Group,
    pub about: &'static str,
    pub how: How,
    /// Configuration values over the user's, as of `--set`.
    pub sets: &'static [&'static str],
}

impl Method {
    /// The step between two scores.
    pub fn resolution(&self) -> f64 {
        match self.how {
            How::Replay { scoring: Scoring::Engines, .. } => scored::POINTS,
            How::Replay { scoring: Scoring::Count, .. } | How::Stide => stide::RESOLUTION,
            How::Replay { scoring: Scoring::Distance, .. } => scored::DISTANCE,
            How::RulesAlone => rules::RESOLUTION,
        }
    }

    /// The cut-off that the method comes with; `None`: it is there to be chosen.
    pub fn own_cut_off(&self, config: &Config) -> Option<f64> {
        match self.how {
            How::Replay { scoring: Scoring::Engines, .. } => {
                Some(scored::to_resolution(config.severity.medium.into(), scored::POINTS))
            }
            How::Replay { scoring: Scoring::Count, .. } => Some(1.0),
            How::Replay { scoring: Scoring::Distance, .. } => Some(0.05 + scored::DISTANCE),
            How::RulesAlone => Some(rules::high()),
            How::Stide => None,
        }
    }
}

const LIVES: Origin = Origin::Lives(Learning::All);
const UNTIL_LOCKED: Origin = Origin::Lives(Learning::UntilLocked);

const fn ours(origin: Origin) -> How {
    How::Replay { origin, rules: true, scoring: Scoring::Engines }
}

const fn plain(scoring: Scoring) -> How {
    How::Replay { origin: LIVES, rules: false, scoring }
}

const fn method(
    name: &'static str,
    group: Group,
    how: How,
    sets: &'static [&'static str],
    about: &'static str,
) -> Method {
    Method { name, group, about, how, sets }
}

/// The name of the detector as it is configured.
pub const OURS: &str = "retroscope";

pub const ALL: &[Method] = &[
    method(OURS, Group::Detector, ours(LIVES), &[], "as configured, with a baseline learned from the lives of train"),
    method(
        "by-itself",
        Group::Detector,
        ours(Origin::Itself),
        &[],
        "the same without a baseline: each recording teaches itself until its trees are locked",
    ),
    method(
        "rules-only",
        Group::Engines,
        ours(LIVES),
        &["engines.weights.statistics=0", "engines.weights.semantics=0"],
        "points of the rules engine alone, which also sees what departs from the baseline",
    ),
    method(
        "statistics-only",
        Group::Engines,
        ours(LIVES),
        &["engines.weights.rules=0", "engines.weights.semantics=0"],
        "points of the statistics engine alone",
    ),
    method(
        "semantics-only",
        Group::Engines,
        ours(LIVES),
        &["engines.weights.rules=0", "engines.weights.statistics=0"],
        "points of the semantics engine alone",
    ),
    method(
        "no-rules",
        Group::Engines,
        How::Replay { origin: LIVES, rules: false, scoring: Scoring::Engines },
        &[],
        "no rule hits anything, not while learning either",
    ),
    method(
        "no-statistics",
        Group::Engines,
        ours(LIVES),
        &["engines.weights.statistics=0"],
        "without the points of the statistics engine",
    ),
    method(
        "no-semantics",
        Group::Engines,
        ours(LIVES),
        &["engines.weights.semantics=0"],
        "without the points of the semantics engine",
    ),
    method(
        "no-embedding",
        Group::Engines,
        ours(LIVES),
        &["args.embedding.enabled=false", "engines.weights.semantics=0"],
        "no vector anywhere: neither the embedding tier nor the semantics engine",
    ),
    method(
        "raw-exact",
        Group::Tiers,
        ours(LIVES),
        &[
            "args.canonical=false",
            "args.grammar.enabled=false",
            "args.novelty.enabled=false",
            "args.embedding.enabled=false",
        ],
        "exact match of raw command lines",
    ),
    method(
        "raw-embedding",
        Group::Tiers,
        ours(LIVES),
        &["args.canonical=false", "args.grammar.enabled=false", "args.novelty.enabled=false"],
        "cosine of raw command lines, 0.95",
    ),
    method(
        "canonical",
        Group::Tiers,
        ours(LIVES),
        &["args.grammar.enabled=false", "args.novelty.enabled=false", "args.embedding.enabled=false"],
        "exact match of the canonical form",
    ),
    method(
        "canonical+grammar",
        Group::Tiers,
        ours(LIVES),
        &["args.novelty.enabled=false", "args.embedding.enabled=false"],
        "and the grammar",
    ),
    method(
        "canonical+novelty",
        Group::Tiers,
        ours(LIVES),
        &["args.grammar.enabled=false", "args.embedding.enabled=false"],
        "instead of it token novelty",
    ),
    method(
        "canonical+embedding",
        Group::Tiers,
        ours(LIVES),
        &["args.grammar.enabled=false", "args.novelty.enabled=false"],
        "instead of it the cosine of the canonical form, 0.95",
    ),
    method(
        "no-grammar",
        Group::Tiers,
        ours(LIVES),
        &["args.grammar.enabled=false"],
        "canonical form, token novelty and embedding",
    ),
    method(
        "until-unseen-mass",
        Group::Learning,
        ours(UNTIL_LOCKED),
        &["convergence.rule=unseen-mass"],
        "lives of train one after the other, until the unseen mass says that enough was learned",
    ),
    method(
        "until-timer-60",
        Group::Learning,
        ours(UNTIL_LOCKED),
        &["convergence.rule=timer", "convergence.timer=60"],
        "the same until a timer of 60 s of each image's life",
    ),
    method(
        "until-timer-120",
        Group::Learning,
        ours(UNTIL_LOCKED),
        &["convergence.rule=timer", "convergence.timer=120"],
        "the same until a timer of 120 s",
    ),
    method(
        "by-itself-timer-30",
        Group::Learning,
        ours(Origin::Itself),
        &["convergence.rule=timer", "convergence.timer=30"],
        "without a baseline, until a timer of 30 s of the recording itself",
    ),
    method(
        "rules-alone",
        Group::Baselines,
        How::RulesAlone,
        &[],
        "the same rules on events, without a profile; by the highest level that hits a process",
    ),
    method(
        "exact-profile",
        Group::Baselines,
        plain(Scoring::Count),
        &[
            "args.canonical=false",
            "args.grammar.enabled=false",
            "args.novelty.enabled=false",
            "args.embedding.enabled=false",
        ],
        "an allow-list of what was seen, raw command lines compared as they are; by distinct departures of a process",
    ),
    method(
        "cosine-0.95",
        Group::Baselines,
        plain(Scoring::Distance),
        &[
            "args.canonical=false",
            "args.grammar.enabled=false",
            "args.novelty.enabled=false",
            "args.embedding.threshold=1.0",
        ],
        "command lines alone: raw text, cosine of the embedding to the nearest that was learned; its own cut-off is 0.95",
    ),
    method(
        "stide",
        Group::Baselines,
        How::Stide,
        &[],
        "sequences of six calls that a program never made, most of them in a locality frame of twenty",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_settings_are_keys() {
        for (at, method) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.name != method.name), "{}", method.name);
            let sets: Vec<String> = method.sets.iter().map(|set| (*set).to_owned()).collect();
            let config = replay::config::load(None, &sets).unwrap_or_else(|error| panic!("{}: {error}", method.name));
            assert!(method.own_cut_off(&config).is_none_or(|cut_off| cut_off >= method.resolution()));
        }
    }
}
