//! Slow tuning: how a profile that locked too early heals.
//!
//! What departs from a locked tree deviates, and is besides put on probation. It is taken in when it was seen on
//! `tuning.occasions` occasions, each at least `tuning.apart` after the one before, on `tuning.siblings` replicas (or all that
//! are alive, if those are fewer). An occasion is void where a rule of high confidence hit the process, one below it, or one
//! above it that departs as well, or anything in its container within `tuning.quarantine`.
//! So a job that runs once a week is learned with its third run, and what an intruder does on one day is not.
//!
//! Not put on probation: what a rule of medium level or above hits, and what is [grave](super::grave). Probation is kept in the saved profile, so
//! that occasions add up over the recordings of many days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Tuning;
use crate::deviation::Tree;
use crate::observe::Observation;

/// Behaviours on probation at once, per image. Beyond, new ones are not looked at until others were taken in or forgotten:
/// a flood stops the healing, and lets nothing in.
const MOST: usize = 65_536;

/// Processes remembered of one occasion, to withdraw it if a rule hits one of them later.
const PROCESSES: usize = 16;

/// A behaviour: a path below the image and, for the process tree, the canonical arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    pub tree: Tree,
    pub path: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Arc<str>>,
}

impl Behaviour {
    /// `with_args`: these arguments, and not the program whatever its arguments.
    pub fn of(observation: &Observation, with_args: bool) -> Self {
        let args = observation.args.as_ref().filter(|_| with_args);
        Self { tree: observation.tree, path: observation.steps.to_vec(), args: args.map(|args| Arc::clone(args.key())) }
    }
}

/// One time that it was seen; what follows within `tuning.apart` is the same time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Occasion {
    /// Unix time of the first event, ns.
    pub at: i64,
    /// Containers that showed it.
    pub containers: BTreeSet<Arc<str>>,
    /// Incarnations that did it; they mean nothing beyond their recording.
    #[serde(skip)]
    processes: BTreeSet<u64>,
}

impl Occasion {
    /// Whether it speaks for nothing: a process of it was struck, or a rule hit its container within `quarantine` seconds.
    pub fn is_void(&self, struck: &dyn Fn(u64) -> bool, hits: &BTreeMap<Arc<str>, Vec<i64>>, quarantine: f64) -> bool {
        let near = |container: &Arc<str>| {
            let Some(hits) = hits.get(container) else { return false };
            let from = hits.partition_point(|hit| *hit < self.at.saturating_sub(ns(quarantine)));
            hits.get(from).is_some_and(|hit| *hit <= self.at.saturating_add(ns(quarantine)))
        };
        self.processes.iter().any(|id| struck(*id)) || self.containers.iter().any(near)
    }
}

/// A behaviour that is not taken in yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub behaviour: Behaviour,
    pub occasions: Vec<Occasion>,
    /// Unix time it was last seen, ns.
    pub last: i64,
}

/// A behaviour that was taken in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    pub behaviour: Behaviour,
    /// Unix time, ns.
    pub at: i64,
    /// Unix times of the occasions that spoke for it, ns.
    pub occasions: Vec<i64>,
    pub containers: BTreeSet<Arc<str>>,
}

/// Everything of one image that is on probation.
#[derive(Clone, Debug, Default)]
pub struct Probation {
    candidates: BTreeMap<Behaviour, (Vec<Occasion>, i64)>,
    /// When each replica was last heard of.
    alive: BTreeMap<Arc<str>, i64>,
    /// When the first one was; Unix time, ns.
    first: Option<i64>,
    /// How many the recording has.
    expected: usize,
}

const fn ns(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

impl Probation {
    pub fn load(saved: &[Candidate]) -> Self {
        let candidate = |candidate: &Candidate| {
            let Candidate { behaviour, occasions, last } = candidate.clone();
            (behaviour, (occasions, last))
        };
        Self { candidates: saved.iter().map(candidate).collect(), ..Self::default() }
    }

    /// What is still on probation.
    pub fn save(&self) -> Vec<Candidate> {
        let candidate = |(behaviour, (occasions, last)): (&Behaviour, &(Vec<Occasion>, i64))| Candidate {
            behaviour: behaviour.clone(),
            occasions: occasions.clone(),
            last: *last,
        };
        self.candidates.iter().map(candidate).collect()
    }

    /// Strikes out the occasions that are void.
    pub fn withdraw(&mut self, void: &dyn Fn(&Occasion) -> bool) {
        self.candidates.retain(|_, (occasions, _)| {
            occasions.retain(|occasion| !void(occasion));
            !occasions.is_empty()
        });
    }

    /// How many replicas the recording has: all count until it has run for `tuning.apart`, for not all were heard of yet.
    pub fn expect_replicas(&mut self, replicas: usize) {
        self.expected = replicas;
    }

    /// A replica lives.
    pub fn heard(&mut self, container: &Arc<str>, ts: i64) {
        self.first.get_or_insert(ts);
        match self.alive.get_mut(container) {
            Some(last) => *last = ts,
            None => {
                self.alive.insert(Arc::clone(container), ts);
            }
        }
    }

    /// Takes down that a behaviour was seen; what is to be learned of it, if its time has come. `void`: whether an earlier
    /// occasion speaks for nothing.
    pub fn see(
        &mut self,
        observation: &Observation,
        behaviour: Behaviour,
        void: &dyn Fn(&Occasion) -> bool,
        config: &Tuning,
    ) -> Option<Tuned> {
        let ts = observation.ts;
        if !self.candidates.contains_key(&behaviour) && self.candidates.len() >= MOST {
            let forget = ns(config.forget);
            self.candidates.retain(|_, (_, last)| ts.saturating_sub(*last) <= forget);
            if self.candidates.len() >= MOST {
                return None;
            }
        }
        let (occasions, last) = self.candidates.entry(behaviour.clone()).or_insert_with(|| (Vec::new(), ts));
        if ts.saturating_sub(*last) > ns(config.forget) {
            occasions.clear();
        }
        *last = ts;
        occasions.retain(|occasion| !void(occasion));
        let apart = |occasion: &Occasion| ts.saturating_sub(occasion.at) >= ns(config.apart);
        if occasions.last().is_none_or(apart) {
            occasions.push(Occasion { at: ts, containers: BTreeSet::new(), processes: BTreeSet::new() });
        }
        if let Some(occasion) = occasions.last_mut() {
            occasion.containers.insert(Arc::clone(&observation.container));
            if occasion.processes.len() < PROCESSES {
                occasion.processes.extend(observation.exec_id);
            }
        }
        if occasions.pop_if(|occasion| void(occasion)).is_some() {
            return None;
        }
        if occasions.len() < config.occasions {
            return None;
        }
        let containers: BTreeSet<_> = occasions.iter().flat_map(|occasion| occasion.containers.clone()).collect();
        let alive = self.alive.values().filter(|last| ts.saturating_sub(**last) <= ns(config.apart)).count();
        let early = self.first.is_none_or(|first| ts.saturating_sub(first) < ns(config.apart));
        let alive = if early { alive.max(self.expected) } else { alive };
        if containers.len() < config.siblings.min(alive) {
            return None;
        }
        let occasions = occasions.iter().map(|occasion| occasion.at).collect();
        self.candidates.remove(&behaviour);
        Some(Tuned { behaviour, at: ts, occasions, containers })
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Adds what another profile has on probation. Occasions closer than `apart` are one.
    pub fn merge(saved: Vec<Candidate>, other: Vec<Candidate>, config: &Tuning) -> Vec<Candidate> {
        let mut all: BTreeMap<Behaviour, (Vec<Occasion>, i64)> = BTreeMap::new();
        for Candidate { behaviour, occasions, last } in saved.into_iter().chain(other) {
            let (own, own_last) = all.entry(behaviour).or_insert_with(|| (Vec::new(), last));
            *own_last = last.max(*own_last);
            own.extend(occasions);
        }
        let candidate = |(behaviour, (mut occasions, last)): (Behaviour, (Vec<Occasion>, i64))| {
            occasions.sort_by_key(|occasion| occasion.at);
            let mut kept: Vec<Occasion> = Vec::new();
            for occasion in occasions {
                match kept.last_mut().filter(|before| occasion.at.saturating_sub(before.at) < ns(config.apart)) {
                    Some(before) => before.containers.extend(occasion.containers),
                    None => kept.push(occasion),
                }
            }
            Candidate { behaviour, occasions: kept, last }
        };
        all.into_iter().map(candidate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deviation::RowRef;
    use record_bpf::Class;

    const DAY: i64 = 86_400_000_000_000;

    fn config() -> Tuning {
        crate::config::load(None, &[]).unwrap().tuning
    }

    fn seen(day: f64, container: &str, exec_id: u64) -> Observation {
        Observation {
            tree: Tree::File,
            ts: (day * DAY as f64) as i64,
            container: container.into(),
            exec_id: Some(exec_id),
            pid: 1,
            row: RowRef { class: Class::File, cpu: 0, seq: 0 },
            steps: ["/srv/job", "/srv", "/week.csv", "read"].map(Arc::from).into(),
            args: None,
            raw: "/srv/week.csv".into(),
            host_path: None,
            reached: None,
        }
    }

    fn never(_: &Occasion) -> bool {
        false
    }

    fn see(probation: &mut Probation, observation: &Observation) -> Option<Tuned> {
        probation.see(observation, Behaviour::of(observation, true), &never, &config())
    }

    #[test]
    fn three_days_make_a_habit_and_three_times_in_a_day_do_not() {
        let mut probation = Probation::default();
        for hour in 0..20 {
            assert_eq!(see(&mut probation, &seen(f64::from(hour) / 24.0, "a", 1)), None);
        }
        assert_eq!(see(&mut probation, &seen(7.0, "a", 2)), None);
        let tuned = see(&mut probation, &seen(14.0, "a", 3)).expect("the third occasion");
        assert_eq!(tuned.occasions, [0, 7 * DAY, 14 * DAY]);
        assert!(probation.is_empty());
    }

    #[test]
    fn what_a_rule_hits_or_was_near_one_speaks_for_nothing() {
        let mut probation = Probation::default();
        see(&mut probation, &seen(0.0, "a", 1));
        see(&mut probation, &seen(1.0, "a", 2));
        let hits = BTreeMap::from([(Arc::from("a"), vec![2 * DAY + DAY / 48]), (Arc::from("b"), vec![3 * DAY])]);
        let void = |occasion: &Occasion| occasion.is_void(&|id| id == 2, &hits, 3600.0);
        let mut later = |day| {
            let seen = seen(day, "a", 3);
            probation.see(&seen, Behaviour::of(&seen, true), &void, &config()).is_some()
        };
        assert!(!later(2.0), "the second was of a process that was hit, this is half an hour before a hit");
        assert!(!later(3.0), "what hit another container does not count");
        assert!(later(4.0));
        let mut probation = Probation::default();
        see(&mut probation, &seen(1.0, "a", 2));
        probation.withdraw(&void);
        assert!(probation.is_empty());
    }

    #[test]
    fn one_replica_of_many_does_not_speak_for_all() {
        let mut probation = Probation::default();
        for day in 0..10 {
            for replica in ["a", "b", "c"] {
                probation.heard(&Arc::from(replica), DAY * day);
            }
            assert_eq!(see(&mut probation, &seen(day as f64, "a", 1)), None);
        }
        assert!(see(&mut probation, &seen(10.0, "b", 1)).is_some());
        // Those that died long ago have no say.
        let mut probation = Probation::default();
        for replica in ["a", "b"] {
            probation.heard(&Arc::from(replica), 0);
        }
        let mut taken = None;
        for day in 5..8 {
            probation.heard(&Arc::from("c"), DAY * day);
            taken = see(&mut probation, &seen(day as f64, "c", 1));
        }
        assert!(taken.is_some());
    }

    #[test]
    fn replicas_not_heard_of_yet_count_at_the_beginning_of_a_recording() {
        let saved = {
            let mut probation = Probation::default();
            see(&mut probation, &seen(0.0, "a", 1));
            see(&mut probation, &seen(1.0, "a", 1));
            probation.save()
        };
        for (expected, taken) in [(3, false), (1, true)] {
            let mut probation = Probation::load(&saved);
            probation.expect_replicas(expected);
            probation.heard(&Arc::from("a"), 2 * DAY);
            assert_eq!(see(&mut probation, &seen(2.0, "a", 1)).is_some(), taken, "{expected}");
        }
    }

    #[test]
    fn what_does_not_come_back_is_forgotten() {
        let mut probation = Probation::default();
        see(&mut probation, &seen(0.0, "a", 1));
        see(&mut probation, &seen(7.0, "a", 1));
        assert_eq!(see(&mut probation, &seen(50.0, "a", 1)), None, "43 days later it begins anew");
    }

    #[test]
    fn it_is_saved_and_merged() {
        let mut probation = Probation::default();
        see(&mut probation, &seen(0.0, "a", 1));
        let saved = probation.save();
        let text = serde_json::to_string(&saved).unwrap();
        let back: Vec<Candidate> = serde_json::from_str(&text).unwrap();
        let mut other = Probation::default();
        see(&mut other, &seen(0.2, "b", 1));
        see(&mut other, &seen(7.0, "b", 1));
        let merged = Probation::merge(back, other.save(), &config());
        let occasions = &merged[0].occasions;
        assert_eq!(occasions.iter().map(|occasion| occasion.at).collect::<Vec<_>>(), [0, 7 * DAY]);
        assert_eq!(occasions[0].containers.len(), 2);
        assert!(see(&mut Probation::load(&merged), &seen(14.0, "a", 1)).is_some());
    }
}
