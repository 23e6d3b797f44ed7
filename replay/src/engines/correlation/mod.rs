//! Sigma correlations: several hits of rules, within a time and a group, that together mean more.
//!
//! The documents are parsed by rsigma and evaluated here: `event_count`, `value_count`, `value_sum`, `value_avg`,
//! `temporal` and `temporal_ordered`, over a sliding `timespan`, grouped by any fields, chained (a correlation may count
//! what another one finds). rsigma's own engine is not used, because a replay must be the same each time, of any length,
//! and say what it saw: when that engine is full it forgets groups in the order of a hash table, it counts the whole
//! window anew for every hit, it groups events without the field together, and it does not tell which hits it joined. The
//! tests compare the two where they must agree.
//!
//! - **Time** is the event's, in ns; the order is the recording's.
//! - **Group**: an event that lacks one of the fields takes no part.
//! - **Scope**: a correlation that is grouped by container, process or process tree is evaluated by the image's own lane of
//!   the replay; any other one sees the events of all containers, in their order, after each chunk.
//! - **Again**: one that was met is not told again for the same group until its `timespan` has passed.
//! - **Bounds**: [`WINDOW`] hits a group, the last ones, and [`HITS`] in all; beyond that what was silent longest is
//!   forgotten first. A condition that asks for more than a window holds is refused when it is loaded.

mod document;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use document::{Correlations, Document, Feed, Roles, Scope};
pub(super) use document::{Names, Refused, Source};

use super::Level;
use super::rules::RuleHit;
use super::sigma_fields::{EventView, SigmaEvent};
use crate::deviation::RowRef;
use crate::observe::Observation;
use window::{Entry, Window};

/// Hits kept of one group.
pub const WINDOW: usize = 2_048;
/// Hits kept of all groups of a lane: some 10 MB.
pub const HITS: usize = 1 << 16;
/// A correlation of correlations of … ends here.
const CHAIN: usize = 8;
/// Rows named as evidence, and hits quoted in a reason.
const ROWS: usize = 8;
const QUOTED: usize = 4;

/// A correlation that was met.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    pub hit: RuleHit,
    /// Rows of the hits it joins, in their order; of many the first and the last.
    pub rows: Vec<RowRef>,
    /// It joins what left the profile.
    pub of_deviations: bool,
}

/// A hit as a correlation takes it in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contribution {
    document: usize,
    group: Box<str>,
    entry: Entry,
    /// Whom the verdict is about; only where containers are correlated with each other.
    pub observation: Option<Box<Observation>>,
}

impl Contribution {
    /// The recording's order; of one event the later rule of a sequence first.
    pub fn order(&self) -> (i64, Option<usize>, u16, u64, usize, std::cmp::Reverse<u16>) {
        let row @ RowRef { cpu, seq, .. } = self.entry.row;
        (self.entry.ts, row.recording(), cpu, seq, self.document, std::cmp::Reverse(self.entry.reference))
    }
}

/// The windows of one lane.
#[derive(Clone, Debug, Default)]
pub struct Correlator {
    windows: HashMap<(usize, Box<str>), Window>,
    hits: usize,
    /// Events seen: hits of one event are not one after the other.
    serial: u64,
    /// Of the documents that the windows are of.
    edition: u64,
}

impl Correlator {
    /// Takes the rules that hit an event; what is met by it, and what must be correlated over containers.
    pub fn see(
        &mut self,
        correlations: &Correlations,
        hits: &[RuleHit],
        view: &EventView<'_>,
    ) -> (Vec<Met>, Vec<Contribution>) {
        let (mut met, mut abroad) = (Vec::new(), Vec::new());
        let event = SigmaEvent::new(view);
        let mut pending: Vec<(Feed, Arc<str>)> =
            hits.iter().flat_map(|hit| hit.feeds.iter().map(|feed| (*feed, Arc::clone(&hit.reason)))).collect();
        if pending.is_empty() {
            return (met, abroad);
        }
        self.serial += 1;
        for _ in 0..CHAIN {
            let mut next = Vec::new();
            // The later rule of a sequence first: hits of one event are not one after the other.
            pending.sort_by_key(|(feed, _)| (feed.document, std::cmp::Reverse(feed.reference)));
            for (feed, reason) in pending {
                let document = correlations.document(feed.document);
                let Some(group) = document.group(&event, feed.reference) else { continue };
                let Some(value) = document.value(&event) else { continue };
                let common = view.event.common();
                let row = RowRef { class: common.kind.class(), cpu: common.cpu, seq: common.seq };
                let entry = Entry { ts: common.ts, serial: 0, reference: feed.reference, value, row, reason };
                let contribution = Contribution { document: feed.document, group, entry, observation: None };
                if document.scope == Scope::Everywhere {
                    abroad.push(contribution);
                } else if let Some(found) = self.push(correlations, contribution) {
                    next.extend(found.hit.feeds.iter().map(|feed| (*feed, Arc::clone(&found.hit.reason))));
                    met.push(found);
                }
            }
            pending = next;
            if pending.is_empty() {
                break;
            }
        }
        met.retain(|found: &Met| !found.hit.silent);
        (met, abroad)
    }

    /// Takes a hit of whatever container; those of one event one after the other.
    pub fn join(&mut self, correlations: &Correlations, contribution: Contribution) -> Option<Met> {
        self.serial += 1;
        self.push(correlations, contribution)
    }

    fn push(&mut self, correlations: &Correlations, contribution: Contribution) -> Option<Met> {
        let Contribution { document: index, group, mut entry, .. } = contribution;
        if self.edition != correlations.edition {
            // The rules were read again.
            (self.windows, self.hits, self.edition) = (HashMap::new(), 0, correlations.edition);
        }
        entry.serial = self.serial;
        let document = correlations.document(index);
        let now = entry.ts;
        if self.hits >= HITS {
            self.forget(correlations, now);
        }
        let window = self.windows.entry((index, group)).or_default();
        let before = window.len();
        window.evict(now.saturating_sub(document.timespan));
        window.push(entry);
        self.hits = self.hits + window.len() - before;
        if window.told.is_some_and(|told| now - told < document.timespan) {
            return None;
        }
        let value = window.met(document, now)?;
        window.told = Some(now);
        let joined = window.joined(document);
        let mut quoted: Vec<&str> = Vec::new();
        for entry in &joined {
            if quoted.len() < QUOTED && !quoted.contains(&&*entry.reason) {
                quoted.push(&entry.reason);
            }
        }
        let reason = format!("{}: {}: {}", document.title, document.measured(value, &joined), quoted.join("; "));
        let skip = joined.len().saturating_sub(ROWS);
        let mut rows: Vec<RowRef> = joined
            .iter()
            .enumerate()
            .filter(|(i, _)| *i < ROWS / 2 || *i >= ROWS / 2 + skip)
            .map(|(_, entry)| entry.row)
            .collect();
        rows.dedup();
        Some(Met {
            hit: RuleHit { reason: reason.into(), ..document.hit.clone() },
            rows,
            of_deviations: document.of_deviations,
        })
    }

    /// Makes room: windows that are over, then, if that is not enough, those that were silent longest.
    fn forget(&mut self, correlations: &Correlations, now: i64) {
        self.windows.retain(|(document, _), window| {
            let timespan = correlations.document(*document).timespan;
            window.last().is_some_and(|last| now - last <= timespan)
        });
        self.hits = self.windows.values().map(Window::len).sum();
        if self.hits * 4 < HITS * 3 {
            return;
        }
        // Names decide between equals, so that the order of the table does not matter.
        let mut by_age: Vec<_> = self.windows.iter().map(|(key, window)| (window.last(), key.clone())).collect();
        by_age.sort();
        for (_, key) in by_age {
            if self.hits * 2 < HITS {
                break;
            }
            self.hits -= self.windows.remove(&key).map_or(0, |window| window.len());
        }
    }
}

/// What a document says of itself, as a hit without a reason yet.
fn hit(id: &str, title: &str, level: Level, technique: Option<String>) -> RuleHit {
    RuleHit {
        id: id.into(),
        title: title.into(),
        level,
        technique: technique.map(Into::into),
        reason: title.into(),
        silent: false,
        feeds: Arc::default(),
    }
}

#[cfg(test)]
mod tests;
