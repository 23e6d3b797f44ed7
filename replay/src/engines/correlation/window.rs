//! The hits of one group within a correlation's time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rsigma_parser::CorrelationType;
use serde::{Deserialize, Serialize};

use super::WINDOW;
use super::document::Document;
use crate::deviation::RowRef;

/// What of an event is counted or summed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Nothing,
    Text(Arc<str>),
    Number(i64),
}

/// A hit in a window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Unix time, ns.
    pub ts: i64,
    /// Number of the event among those of the lane.
    pub serial: u64,
    /// Which of the document's rules hit.
    pub reference: u16,
    pub value: Value,
    pub row: RowRef,
    pub reason: Arc<str>,
}

#[derive(Clone, Debug, Default)]
pub struct Window {
    entries: VecDeque<Entry>,
    /// How often each value is in the window.
    distinct: HashMap<Arc<str>, u32>,
    sum: i128,
    /// How often each rule is in the window.
    rules: HashMap<u16, u32>,
    /// Begin of the latest sequence of the rules up to each one, in their order; ns. Hits of one event come with the later
    /// rule first, so that they are not one after the other.
    sequences: Vec<Option<i64>>,
    /// When its correlation was last told.
    pub told: Option<i64>,
}

impl Window {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Time of the last hit.
    pub fn last(&self) -> Option<i64> {
        self.entries.back().map(|entry| entry.ts)
    }

    /// Forgets what came before `begin`.
    pub fn evict(&mut self, begin: i64) {
        while self.entries.front().is_some_and(|entry| entry.ts < begin) {
            self.pop();
        }
    }

    pub fn push(&mut self, entry: Entry) {
        match &entry.value {
            Value::Nothing => {}
            Value::Text(text) => *self.distinct.entry(Arc::clone(text)).or_default() += 1,
            Value::Number(number) => self.sum += i128::from(*number),
        }
        *self.rules.entry(entry.reference).or_default() += 1;
        let reference = usize::from(entry.reference);
        if self.sequences.len() <= reference {
            self.sequences.resize(reference + 1, None);
        }
        self.sequences[reference] = match reference.checked_sub(1) {
            None => Some(entry.ts),
            Some(before) => self.sequences[before],
        };
        self.entries.push_back(entry);
        if self.entries.len() > WINDOW {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        match &entry.value {
            Value::Nothing => {}
            Value::Text(text) => less(&mut self.distinct, text),
            Value::Number(number) => self.sum -= i128::from(*number),
        }
        less(&mut self.rules, &entry.reference);
    }

    /// What the document measures at `now`, if that is what it asks for.
    pub fn met(&self, document: &Document, now: i64) -> Option<f64> {
        let value = match document.kind {
            CorrelationType::EventCount => self.entries.len() as f64,
            CorrelationType::ValueCount => self.distinct.len() as f64,
            CorrelationType::ValueSum => self.sum as f64,
            CorrelationType::ValueAvg => self.sum as f64 / self.entries.len().max(1) as f64,
            CorrelationType::Temporal => self.rules.len() as f64,
            CorrelationType::TemporalOrdered => {
                let whole = self.sequences.get(usize::from(document.references) - 1).copied().flatten();
                let within = whole.is_some_and(|begin| now.saturating_sub(begin) <= document.timespan);
                if within { f64::from(document.references) } else { 0.0 }
            }
            // Refused when the document is loaded.
            CorrelationType::ValuePercentile | CorrelationType::ValueMedian => return None,
        };
        document.condition(value).then_some(value)
    }

    /// The hits that the document joins, in their order.
    pub fn joined(&self, document: &Document) -> Vec<&Entry> {
        match document.kind {
            CorrelationType::TemporalOrdered => self.chain(document.references),
            // The last hit of each rule.
            CorrelationType::Temporal => {
                let last = |rule| self.entries.iter().rev().find(|entry| entry.reference == rule);
                let mut joined: Vec<&Entry> = (0..document.references).filter_map(last).collect();
                joined.sort_by_key(|entry| entry.serial);
                joined
            }
            _ => self.entries.iter().collect(),
        }
    }

    /// One hit of each rule, each in a later event than the one before: from the end, always the latest that is left.
    fn chain(&self, references: u16) -> Vec<&Entry> {
        let mut chain = Vec::with_capacity(references.into());
        let mut wanted = references;
        let mut before = u64::MAX;
        for entry in self.entries.iter().rev() {
            if wanted > 0 && entry.reference == wanted - 1 && entry.serial < before {
                chain.push(entry);
                (wanted, before) = (wanted - 1, entry.serial);
            }
        }
        chain.reverse();
        chain
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
