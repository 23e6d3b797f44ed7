//! A run under a policy beside what was told from the recording of a run without one.

use std::collections::BTreeMap;

use replay::policy::simulate::Trial;
use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::run::{Health, Ran};
use super::{Kind, Step};

/// The first refusal of something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct First {
    /// From the step's first labelled event of the same run, ms.
    pub after_ms: f64,
    /// Calls, packets or events that were refused.
    pub count: u64,
    pub what: String,
    /// The policy's rule.
    pub line: String,
}

/// What a policy did about a step of an attack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// In the run under the policy; None: it refused nothing of it.
    pub refused: Option<First>,
    /// From the recording of the run without one.
    pub told: Option<First>,
    /// Labelled events that were left of it.
    pub events: u64,
    /// Why its command failed.
    pub failed: Option<String>,
    /// It was not reached: nothing of it was there to be refused.
    pub unreached: bool,
}

impl Found {
    /// Whether the run and the recording say the same.
    pub fn agrees(&self) -> bool {
        self.refused.is_some() == self.told.is_some()
    }
}

/// What a policy did to ordinary life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Under {
    pub health: Health,
    /// Calls or packets.
    pub refused: u64,
    pub broken: Vec<Broken>,
    /// Events that would have been refused, of those that the policy has a say in; and what.
    pub told: u64,
    pub decided: u64,
    pub told_broken: Vec<Broken>,
}

/// Equal things that were refused to ordinary life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Service of the run; image of what was told.
    pub place: String,
    pub what: String,
    pub line: String,
    pub count: u64,
}

/// Why a step's command failed.
pub fn failed(ran: &Ran, act: &str, step: &str) -> Option<String> {
    let of = ran.seen.iter().find(|seen| seen.step.as_ref().is_some_and(|(a, s)| a == act && s == step));
    of.and_then(|seen| seen.failed.clone())
}

/// What became of a step.
pub fn found(kind: Kind, step: &Step, ran: &Ran, refused: &[Refused], trial: &Trial) -> Found {
    let key = (step.act.clone(), step.step.clone());
    let left = ran.events.get(&key).copied();
    let own = || refused.iter().filter(|each| each.step.as_ref() == Some(&key));
    let began = ran.timeline.iter().flat_map(|timeline| &timeline.steps);
    let began = began.filter(|run| run.act == step.act && run.step == step.step).map(|run| run.start_ns).next();
    let first = own().min_by_key(|each| each.at).map(|first| First {
        after_ms: ms(first.at - left.map(|(_, at)| at).or(began).unwrap_or(first.at)),
        count: own().map(|each| each.count).sum(),
        what: format!("{}: {}", first.service, first.what),
        line: first.line.clone(),
    });
    let told = trial.steps.iter().find(|told| *told.act == *step.act && *told.step == *step.step);
    let told = told.and_then(|told| told.blocked.get(kind.told_as())).map(|block| First {
        after_ms: ms(block.after_ns),
        count: block.refused,
        what: block.what.clone(),
        line: block.rule.clone(),
    });
    let events = left.map_or(0, |(count, _)| count);
    Found {
        failed: failed(ran, &step.act, &step.step),
        unreached: events == 0 && step.events > 0 && first.is_none(),
        refused: first,
        told,
        events,
    }
}

/// What became of ordinary life, in a run of it or beside an attack.
pub fn under(kind: Kind, ran: &Ran, refused: &[Refused], trial: &Trial) -> Under {
    let mut groups: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for each in refused.iter().filter(|each| each.step.is_none()) {
        *groups.entry((&each.service, &each.what, &each.line)).or_default() += each.count;
    }
    let broken = groups.into_iter().map(|((place, what, line), count)| Broken {
        place: place.to_owned(),
        what: what.to_owned(),
        line: line.to_owned(),
        count,
    });
    let mut broken: Vec<Broken> = broken.collect();
    broken.sort_by_key(|each| std::cmp::Reverse(each.count));
    let told = trial.benign.get(kind.told_as()).cloned().unwrap_or_default();
    let told_broken = told.broken.iter().map(|each| Broken {
        place: each.image.to_string(),
        what: each.what.clone(),
        line: each.rule.clone(),
        count: each.count,
    });
    Under {
        health: ran.health.clone(),
        refused: broken.iter().map(|each| each.count).sum(),
        broken,
        told: told.refused,
        decided: told.decided,
        told_broken: told_broken.collect(),
    }
}

fn ms(ns: i64) -> f64 {
    // To a microsecond.
    (ns / 1_000) as f64 / 1e3
}
