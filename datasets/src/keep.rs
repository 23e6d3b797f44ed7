//! How much of a recording is kept.

use std::time::Duration;

use crate::Pruned;
use crate::manifest::Segment;

/// What happens when a recording grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// It grows.
    #[default]
    All,
    /// It is full at this size, bytes.
    Oldest(u64),
    /// The oldest segments are removed: those beyond this size, bytes, and those whose last event is older than this.
    Newest { bytes: Option<u64>, age: Option<Duration> },
}

impl Keep {
    pub(crate) fn is_full(&self, bytes: u64) -> bool {
        matches!(self, Keep::Oldest(most) if bytes >= *most)
    }

    /// Whether the first of these segments is to be removed. `bytes`: of the whole recording.
    pub(crate) fn is_to_go(&self, segments: &[Segment], bytes: u64) -> bool {
        let Keep::Newest { bytes: most, age } = self else { return false };
        // The newest one stays, or there would be nothing.
        let ([first, _, ..], Some(newest)) = (segments, segments.iter().map(|segment| segment.last_ts).max()) else {
            return false;
        };
        // Room for the next one, before it comes.
        let next = segments.iter().map(|segment| segment.bytes).max().unwrap_or(0);
        let oldest = age.and_then(|age| i64::try_from(age.as_nanos()).ok()).map(|age| newest.saturating_sub(age));
        most.is_some_and(|most| bytes + next > most) || oldest.is_some_and(|oldest| first.last_ts < oldest)
    }
}

impl Pruned {
    /// Takes in a segment that goes; the rows by CPU are the caller's.
    pub(crate) fn add(&mut self, segment: &Segment) {
        let first = self.segments == 0;
        self.segments += 1;
        self.rows += segment.rows;
        self.bytes += segment.bytes;
        self.chain = segment.chain.clone();
        self.first_ts = if first { segment.first_ts } else { self.first_ts.min(segment.first_ts) };
        self.last_ts = if first { segment.last_ts } else { self.last_ts.max(segment.last_ts) };
    }
}
