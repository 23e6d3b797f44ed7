//! Three engines judge each deviation: rules, statistics, semantics. This file alone turns their verdicts into one number.
//!
//! - [`rules`]: Sigma rules on single events, and [`correlation`] of their hits. They also run while a profile is learned, and what a high-confidence rule
//!   hits is never learned.
//! - [`statistics`]: how rare a deviation is among the replicas of its image, and how much happens around it.
//! - [`semantics`]: what a deviation resembles, told by a judge.
//!
//! ```text
//! score    = Σ over engines of  weight(engine) · highest score of the engine over the alert's deviations
//! severity = critical from 80, high from 60, medium from 40, else low (kept, not raised)
//! ```
//!
//! Weights ([`Weights`], rules 40, statistics 20, semantics 40) and cut-offs ([`Thresholds`]) are `engines.weights.*` and
//! `severity.*` of the configuration. An engine that has no answer adds nothing, and its weight is not shared out among the
//! others: there are two kinds, told apart on the alert.
//!
//! - *Nothing to say*: no rule hit. That is an answer, and it is 0.
//! - *No answer* ([`Unanswered`]): the judge could not be asked, or what it said was no verdict. Then the score is a lower
//!   bound, and the alert says so. Sharing the weight out would let silence raise an alert: with semantics silent, a critical
//!   rule alone would give 67 points where it gives 40.
//!
//! Every verdict carries the numbers it was made of ([`Grounds`]), so that `replay explain` prints the formula with what went into
//! it, and nothing is worked out a second time in another way.

mod built_in;
pub mod clusters;
pub mod correlation;
pub mod exemplars;
pub mod grounds;
pub mod llm;
mod logs;
mod reach;
pub mod rules;
pub mod rules_load;
pub mod semantics;
pub mod sight;
pub mod sigma_fields;
pub(crate) mod sigma_values;
pub mod statistics;

use serde::{Deserialize, Serialize};

pub use grounds::Grounds;

/// Who gave a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    Rules,
    Statistics,
    Semantics,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::Rules, Engine::Statistics, Engine::Semantics];

    pub const fn name(self) -> &'static str {
        match self {
            Engine::Rules => "rules",
            Engine::Statistics => "statistics",
            Engine::Semantics => "semantics",
        }
    }
}

/// Sigma's levels. From [`Level::High`] on, a rule is trusted enough that its hits are never learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    pub const fn is_high_confidence(self) -> bool {
        matches!(self, Level::High | Level::Critical)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Level::Informational => "informational",
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }

    /// The rules engine's score for a hit, 0 to 1. With the default weight of 40, a critical rule gives 40 points: alone
    /// it raises an alert at "medium", and any support from the other engines lifts it further.
    pub const fn score(self) -> f32 {
        match self {
            Level::Informational => 0.05,
            Level::Low => 0.2,
            Level::Medium => 0.5,
            Level::High => 0.85,
            Level::Critical => 1.0,
        }
    }
}

/// One engine's opinion of a deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub engine: Engine,
    /// 0: nothing speaks against it, 1: as bad as this engine can say.
    pub score: f32,
    /// Why, in one line.
    pub reason: String,
    /// MITRE ATT&CK id, as T1496 or T1059.004.
    pub technique: Option<String>,
    /// Who spoke: a rule's id, a formula's or a judge's name.
    pub judge: String,
    /// Only from rules.
    pub level: Option<Level>,
    /// The numbers that the score was made of.
    pub grounds: Grounds,
}

/// An engine that should have spoken of a deviation, and why it did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    pub engine: Engine,
    /// As of [`Verdict`].
    pub judge: String,
    pub why: String,
}

/// How many of 100 points each engine has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Weights {
    pub rules: f32,
    pub statistics: f32,
    pub semantics: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Weights { rules: 40.0, statistics: 20.0, semantics: 40.0 }
    }
}

impl Weights {
    pub const fn of(&self, engine: Engine) -> f32 {
        match engine {
            Engine::Rules => self.rules,
            Engine::Statistics => self.statistics,
            Engine::Semantics => self.semantics,
        }
    }

    /// The sum over engines of weight times the engine's highest score; 0 to 100 with the default weights. An engine that
    /// gave no verdict adds nothing.
    pub fn total(&self, verdicts: &[Verdict]) -> f32 {
        self.points(&Peaks::of(verdicts))
    }

    /// The same of scores that are known already.
    pub fn points(&self, peaks: &Peaks) -> f32 {
        Engine::ALL.iter().zip(peaks.0).map(|(engine, score)| self.of(*engine) * score).sum()
    }
}

/// The highest score of each engine, in the order of [`Engine::ALL`]; 0 where it gave no verdict. All that weights and
/// thresholds look at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peaks(pub [f32; 3]);

impl Peaks {
    pub fn of(verdicts: &[Verdict]) -> Self {
        Peaks(Engine::ALL.map(|engine| strongest(verdicts, engine).map_or(0.0, |verdict| verdict.score)))
    }

    /// Those of both.
    pub fn join(self, other: Peaks) -> Peaks {
        let mut both = self;
        for (own, other) in both.0.iter_mut().zip(other.0) {
            *own = if other > *own { other } else { *own };
        }
        both
    }
}

/// What an alert's deviations add up to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    /// Points, to two decimals.
    pub score: f32,
    pub severity: Severity,
    /// When the deviations, in order of time, had added up to that severity; Unix time, ns.
    pub raised_at: i64,
}

impl Rating {
    /// `deviations`: of one alert, in order of time, each with its time.
    pub fn of(deviations: &[(i64, Peaks)], weights: Weights, bounds: Thresholds) -> Self {
        let points = |peaks: &Peaks| crate::alert::round(weights.points(peaks), 2);
        let score = points(&deviations.iter().fold(Peaks::default(), |all, (_, peaks)| all.join(*peaks)));
        let severity = bounds.severity(score);
        let mut so_far = Peaks::default();
        let raised = deviations.iter().find(|(_, peaks)| {
            so_far = so_far.join(*peaks);
            bounds.severity(points(&so_far)) >= severity
        });
        let raised_at = raised.or(deviations.last()).map_or(0, |(ts, _)| *ts);
        Rating { score, severity, raised_at }
    }
}

/// The verdict of an engine that counts: its highest score, the first of equal ones.
pub fn strongest(verdicts: &[Verdict], engine: Engine) -> Option<&Verdict> {
    let of_engine = verdicts.iter().filter(|verdict| verdict.engine == engine);
    of_engine.reduce(|best, verdict| if verdict.score > best.score { verdict } else { best })
}

/// What an alert's total means. Below medium it is kept but not raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    pub const fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    pub fn from_name(name: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// Whether it is raised, rather than only kept.
    pub const fn is_raised(self) -> bool {
        !matches!(self, Severity::Low)
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The lowest total of each severity, in points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    pub critical: f32,
    pub high: f32,
    pub medium: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { critical: 80.0, high: 60.0, medium: 40.0 }
    }
}

impl Thresholds {
    pub fn severity(&self, total: f32) -> Severity {
        if total >= self.critical {
            Severity::Critical
        } else if total >= self.high {
            Severity::High
        } else if total >= self.medium {
            Severity::Medium
        } else {
            Severity::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(engine: Engine, score: f32) -> Verdict {
        Verdict {
            engine,
            score,
            reason: String::new(),
            technique: None,
            judge: String::new(),
            level: None,
            grounds: Grounds::default(),
        }
    }

    #[test]
    fn the_total_takes_each_engines_strongest_verdict() {
        let verdicts = [
            verdict(Engine::Rules, 0.5),
            verdict(Engine::Rules, 1.0),
            verdict(Engine::Semantics, 0.25),
            verdict(Engine::Statistics, 0.5),
        ];
        assert_eq!(Weights::default().total(&verdicts), 40.0 + 10.0 + 10.0);
        assert_eq!(Weights::default().total(&[]), 0.0);
        let all: Vec<_> = Engine::ALL.iter().map(|engine| verdict(*engine, 1.0)).collect();
        assert_eq!(Weights::default().total(&all), 100.0);
        assert!(strongest(&verdicts[..2], Engine::Semantics).is_none());
    }

    #[test]
    fn severities_begin_at_their_thresholds() {
        let severity = |total| Thresholds::default().severity(total);
        assert_eq!(severity(80.0), Severity::Critical);
        assert_eq!(severity(79.9), Severity::High);
        assert_eq!(severity(60.0), Severity::High);
        assert_eq!(severity(40.0), Severity::Medium);
        assert_eq!(severity(39.9), Severity::Low);
        assert!(Severity::Critical > Severity::Low && !Severity::Low.is_raised());
        assert_eq!(Severity::from_name("high"), Some(Severity::High));
        assert_eq!(Severity::from_name("High!"), None);
    }
}
