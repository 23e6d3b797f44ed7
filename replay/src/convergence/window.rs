//! What came within the last seconds of event time: how many events, how many new patterns, how many singletons.

use std::collections::{HashMap, VecDeque};

use foldhash::quality::RandomState;

use super::Estimate;
use crate::config::Convergence;
use crate::profile::Learned;

/// Event counts are kept per this many ns: fine enough for windows of seconds, and bounded for windows of hours.
const BUCKET: i64 = 250_000_000;

/// The learning history of one tree.
#[derive(Clone, Debug)]
pub struct Tracker {
    begin: i64,
    learned: u64,
    /// New patterns so far.
    arrived: u64,
    /// (bucket number, events in it), oldest first.
    events: VecDeque<(i64, u64)>,
    /// Time of each new pattern, oldest first.
    new: VecDeque<i64>,
    /// Patterns seen once, with the time of it.
    singles: HashMap<u64, i64, RandomState>,
}

impl Tracker {
    /// `begin`: Unix time of the image's first event, ns.
    pub fn new(begin: i64) -> Self {
        Self {
            begin,
            learned: 0,
            arrived: 0,
            events: VecDeque::new(),
            new: VecDeque::new(),
            singles: HashMap::default(),
        }
    }

    pub fn begin(&self) -> i64 {
        self.begin
    }

    /// Observations learned so far.
    pub fn learned(&self) -> u64 {
        self.learned
    }

    /// New patterns so far.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    pub fn observe(&mut self, ts: i64, learned: Learned) {
        self.learned += 1;
        let bucket = ts.div_euclid(BUCKET);
        match self.events.back_mut() {
            Some((last, count)) if *last >= bucket => *count += 1,
            _ => self.events.push_back((bucket, 1)),
        }
        if learned.new {
            self.arrived += 1;
            self.new.push_back(ts);
            self.singles.insert(learned.species, ts);
        } else {
            self.singles.remove(&learned.species);
        }
    }

    /// The window that ends at `now`. A bucket counts when it ends within the window.
    pub fn estimate(&self, now: i64, config: &Convergence) -> Estimate {
        let begin = now - (config.window * 1e9) as i64;
        let events = self.events.iter().rev().take_while(|(bucket, _)| (bucket + 1) * BUCKET > begin);
        let events = events.map(|(_, count)| count).sum();
        let new = self.new.iter().rev().take_while(|ts| **ts > begin).count() as u64;
        let singletons = self.singles.values().filter(|ts| **ts > begin).count() as u64;
        Estimate::new(events, singletons, new, config.delta)
    }

    /// Forgets what lies before the window that ends at `now`; no later window reaches it.
    pub fn trim(&mut self, now: i64, config: &Convergence) {
        let begin = now - (config.window * 1e9) as i64;
        while self.events.front().is_some_and(|(bucket, _)| (bucket + 1) * BUCKET <= begin) {
            self.events.pop_front();
        }
        while self.new.front().is_some_and(|ts| *ts <= begin) {
            self.new.pop_front();
        }
        self.singles.retain(|_, ts| *ts > begin);
    }
}
