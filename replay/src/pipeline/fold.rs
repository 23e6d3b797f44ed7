//! Equal deviations become one with a count: the same container, path and canonical arguments.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use super::apart::{Apart, Log};
use super::ruling::Ruling;
use crate::deviation::{Deviation, DeviationKind, RowRef, Tree};
use crate::engines::Verdict;
use crate::observe::Observation;
use crate::profile::{Departure, Volume};

/// Path segments by which the files of a program the profile does not know are told apart: such a program reads its
/// libraries, writes its output, and each directory says it once.
const DIRECTORIES: usize = 2;

/// A deviation with the rules that hit any of its events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Folded {
    pub deviation: Deviation,
    pub hits: Vec<Verdict>,
}

/// The distinct deviations of one image, in order of their first event.
#[derive(Debug)]
pub struct Folds {
    image: Arc<str>,
    evidence_rows: usize,
    index: HashMap<Key, usize, RandomState>,
    folded: Vec<Folded>,
    /// There is a new one, or a new rule that hit one.
    changed: bool,
    /// Only where another one folds what rules hit, because it knows what containers did together.
    log: Option<Log>,
}

pub(super) type Key = (Arc<str>, Tree, DeviationKind, Vec<Arc<str>>);

impl Folds {
    pub fn new(image: Arc<str>, evidence_rows: usize) -> Self {
        Self { image, evidence_rows, index: HashMap::default(), folded: Vec::new(), changed: false, log: None }
    }

    /// Folds no hits of rules from now on, but keeps them for who does.
    pub fn keep_apart(&mut self) {
        self.log = Some(Log::default());
    }

    /// In a lane that is kept apart: the chunk that what follows is of.
    pub fn at_chunk(&mut self, chunk: u32) {
        if let Some(log) = &mut self.log {
            log.at_chunk(chunk);
        }
    }

    /// What a lane that was kept apart has found.
    pub fn take_apart(&mut self) -> Apart {
        let log = self.log.take().unwrap_or_default();
        log.end(self.take())
    }

    /// A deviation from a lane that was kept apart; nothing further is folded into it.
    pub(super) fn push(&mut self, folded: Folded) {
        self.folded.push(folded);
    }

    /// As [`Folds::add`], and `more` further events of the kind that tell nothing new.
    pub(super) fn add_with(&mut self, observation: &Observation, departure: Departure, ruling: &Ruling, more: u64) {
        let key = key(observation, &departure);
        self.add(observation, departure, ruling);
        if let Some(&i) = self.index.get(&key) {
            self.folded[i].deviation.count += more;
        }
    }

    /// Adds an event that left the profile, with the rules that hit it.
    pub fn add(&mut self, observation: &Observation, departure: Departure, ruling: &Ruling) {
        let key = key(observation, &departure);
        if let Some(log) = &mut self.log {
            if departure.kind == DeviationKind::RuleHit {
                log.note(key, observation, ruling, self.folded.len(), self.evidence_rows);
                return;
            }
            if !self.index.contains_key(&key) {
                log.born();
            }
        }
        if let Some(&i) = self.index.get(&key) {
            let Folded { deviation, hits: known } = &mut self.folded[i];
            for hit in &ruling.verdicts {
                if !known.iter().any(|other| other.judge == hit.judge) {
                    known.push(hit.clone());
                    self.changed = true;
                }
            }
            deviation.count += 1;
            if departure.volume.as_ref().map(Volume::excess) > deviation.volume.as_ref().map(Volume::excess) {
                deviation.volume = departure.volume;
            }
            if let Some(id) = &observation.reached {
                deviation.reached.entry(Arc::clone(id)).or_insert(observation.ts);
            }
            prove(&mut deviation.rows, ruling.rows.iter().chain([&observation.row]), self.evidence_rows);
            return;
        }
        self.changed = true;
        let Departure { kind, at, tier, risk, changes, token_novelty, nearest, volume } = departure;
        let mut path = vec![Arc::clone(&self.image)];
        path.extend(observation.steps.iter().cloned());
        path.extend(observation.args.as_ref().map(|args| Arc::from(args.text())));
        self.index.insert(key, self.folded.len());
        // First the event itself, then those that a correlation joins with it.
        let mut rows = vec![observation.row];
        prove(&mut rows, ruling.rows.iter(), self.evidence_rows);
        let deviation = Deviation {
            ts: observation.ts,
            tree: observation.tree,
            kind,
            image: Arc::clone(&self.image),
            container: Arc::clone(&observation.container),
            exec_id: observation.exec_id,
            pid: observation.pid,
            at: at.min(path.len() - 1),
            path,
            text: observation.text().into(),
            host_path: observation.host_path.clone(),
            reached: observation.reached.iter().map(|id| (Arc::clone(id), observation.ts)).collect(),
            tier,
            risk,
            changes,
            token_novelty,
            nearest,
            volume,
            count: 1,
            rows,
        };
        self.folded.push(Folded { deviation, hits: ruling.verdicts.clone() });
    }

    pub fn is_empty(&self) -> bool {
        self.folded.is_empty() && self.log.as_ref().is_none_or(Log::is_empty)
    }

    /// Those so far.
    pub fn so_far(&self) -> &[Folded] {
        &self.folded
    }

    /// Whether, since the last call, one has come or a rule has hit one that it had not hit before.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub fn take(&mut self) -> Vec<Folded> {
        self.index.clear();
        std::mem::take(&mut self.folded)
    }
}

/// Adds rows that are not there yet, up to `most` in all.
pub(super) fn prove<'a>(rows: &mut Vec<RowRef>, further: impl Iterator<Item = &'a RowRef>, most: usize) {
    for row in further {
        if rows.len() >= most {
            return;
        }
        if !rows.contains(row) {
            rows.push(*row);
        }
    }
}

fn key(observation: &Observation, departure: &Departure) -> Key {
    let steps = &observation.steps;
    let mut path: Vec<Arc<str>> = match observation.tree {
        Tree::Process => {
            let args = observation.args.as_ref().map(|args| Arc::clone(args.key()));
            steps.iter().cloned().chain(args).collect()
        }
        Tree::Network => steps.to_vec(),
        Tree::File => {
            // Up to the first unknown element: what lies below a directory that was never entered is no news.
            let known = if departure.at <= 1 { 1 + DIRECTORIES } else { departure.at };
            let last = steps.len() - 1;
            steps[..known.min(last)].iter().chain([&steps[last]]).cloned().collect()
        }
    };
    if departure.kind == DeviationKind::UnknownImage {
        path.clear();
    }
    (Arc::clone(&observation.container), observation.tree, departure.kind, path)
}
