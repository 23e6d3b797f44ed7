//! Lanes of a part of the images, kept apart until all parts are joined.
//!
//! Between images one thing alone passes while events stream: correlations over containers. After each chunk the hits of all
//! lanes that take part in one are taken in order, and what is met becomes a deviation of the lane of the last hit, or one more
//! event of a deviation that rules made there. Nothing that is learned or compared depends on it. So a part keeps
//!
//! - its hits for such correlations ([`Abroad`]), with the number of their chunk: a part reads all events, so that chunks are
//!   the same in each;
//! - what rules hit on events that no tree describes ([`Hit`]) in its place between the other deviations, instead of folding
//!   it: whether such a hit begins a deviation or comes to one depends on what was met before.
//!
//! Of the latter, events that could tell nothing new wherever others come between them are only counted: no further rule,
//! no room for a further row. So there are as many as distinct deviations, times rules and rows of evidence.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use serde::{Deserialize, Serialize};

use super::fold::{Folded, Folds, Key, prove};
use super::ruling::Ruling;
use crate::deviation::{DeviationKind, RowRef};
use crate::engines::correlation::Contribution;
use crate::observe::Observation;
use crate::profile::Departure;

/// A hit for a correlation over containers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Abroad {
    pub chunk: u32,
    pub contribution: Contribution,
}

/// What rules hit on an event that no tree describes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hit {
    chunk: u32,
    /// How many other deviations had been found before.
    after: usize,
    observation: Observation,
    ruling: Ruling,
    /// Later events of the same deviation that told nothing new.
    more: u64,
}

/// The deviations of one image, but for what rules made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Apart {
    folded: Vec<Folded>,
    /// The chunk of the first event of each.
    born: Vec<u32>,
    hits: Vec<Hit>,
}

/// Takes down what is not folded.
#[derive(Debug, Default)]
pub struct Log {
    chunk: u32,
    born: Vec<u32>,
    hits: Vec<Hit>,
    told: HashMap<Key, Told>,
}

/// What the hits so far tell of a deviation.
#[derive(Debug)]
struct Told {
    first: usize,
    judges: Vec<String>,
    rows: Vec<RowRef>,
}

impl Log {
    pub fn at_chunk(&mut self, chunk: u32) {
        self.chunk = chunk;
    }

    /// A deviation begins that is none of rules.
    pub fn born(&mut self) {
        self.born.push(self.chunk);
    }

    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    pub(super) fn note(
        &mut self,
        key: Key,
        observation: &Observation,
        ruling: &Ruling,
        after: usize,
        evidence_rows: usize,
    ) {
        let next = self.hits.len();
        let told = self.told.entry(key).or_insert_with(|| Told { first: next, judges: Vec::new(), rows: Vec::new() });
        let new = ruling.verdicts.iter().any(|verdict| !told.judges.contains(&verdict.judge));
        if told.first < next && !new && told.rows.len() >= evidence_rows {
            self.hits[told.first].more += 1;
            return;
        }
        for verdict in &ruling.verdicts {
            if !told.judges.contains(&verdict.judge) {
                told.judges.push(verdict.judge.clone());
            }
        }
        prove(&mut told.rows, ruling.rows.iter().chain([&observation.row]), evidence_rows);
        let (observation, ruling) = (observation.clone(), ruling.clone());
        self.hits.push(Hit { chunk: self.chunk, after, observation, ruling, more: 0 });
    }

    pub fn end(self, folded: Vec<Folded>) -> Apart {
        Apart { folded, born: self.born, hits: self.hits }
    }
}

/// Folds one image's deviations as its lane would have, had it known what the others did.
pub struct Rejoined {
    folds: Folds,
    plain: Peekable<IntoIter<(u32, Folded)>>,
    /// How many of these are folded.
    taken: usize,
    hits: Peekable<IntoIter<Hit>>,
}

impl Rejoined {
    pub fn new(image: Arc<str>, apart: Apart, evidence_rows: usize) -> Self {
        let Apart { folded, born, hits } = apart;
        let plain: Vec<(u32, Folded)> = born.into_iter().zip(folded).collect();
        Self {
            folds: Folds::new(image, evidence_rows),
            plain: plain.into_iter().peekable(),
            taken: 0,
            hits: hits.into_iter().peekable(),
        }
    }

    /// A correlation over containers was met at the end of a chunk, by an event of this image.
    pub fn meet(&mut self, chunk: u32, observation: &Observation, ruling: &Ruling) {
        self.up_to(chunk);
        self.folds.add(observation, departure(observation), ruling);
    }

    /// All deviations, in order of their first event.
    pub fn end(mut self) -> Vec<Folded> {
        self.up_to(u32::MAX);
        self.folds.take()
    }

    /// Takes what the lane found up to the end of a chunk.
    fn up_to(&mut self, chunk: u32) {
        while let Some(hit) = self.hits.next_if(|hit| hit.chunk <= chunk) {
            while self.taken < hit.after
                && let Some((_, folded)) = self.plain.next()
            {
                self.folds.push(folded);
                self.taken += 1;
            }
            self.folds.add_with(&hit.observation, departure(&hit.observation), &hit.ruling, hit.more);
        }
        while let Some((_, folded)) = self.plain.next_if(|(born, _)| *born <= chunk) {
            self.folds.push(folded);
            self.taken += 1;
        }
    }
}

/// What rules alone hit leaves no tree.
pub fn departure(observation: &Observation) -> Departure {
    Departure::plain(DeviationKind::RuleHit, observation.steps.len())
}

#[cfg(test)]
mod tests;
