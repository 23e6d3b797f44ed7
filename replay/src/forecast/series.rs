//! Bytes per bucket of each container and peer, in one pass over recordings.

use std::collections::BTreeMap;
use std::sync::Arc;

use datasets::{Event, NetworkEvent, Recording};
use record_bpf::{Class, Kind};
use serde::Serialize;

use crate::config::Config;
use crate::error::Result;
use crate::observe::{Context, HOST, Observer};
use crate::output::text::short_id;
use crate::pipeline::World;
use crate::run::progress_bar;
use crate::services::{self, LOOPBACK};

/// What is read: domains of peers are told by DNS.
const CLASSES: [Class; 2] = [Class::Network, Class::Dns];
/// Pairs that are told apart; the bytes of all further ones are one, at the container's name.
const PAIRS: usize = 8_192;
const FURTHER: &str = "(further peers)";
/// Most buckets from the first to the last: 20 years of hours, four months of minutes.
pub const MOST: i64 = 175_200;

/// A container and its peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pair {
    /// Its name, or the begin of its id.
    pub container: Arc<str>,
    pub image: Arc<str>,
    /// As `replay services` calls it: an image, a domain, a network, `loopback`.
    pub peer: String,
    pub protocol: String,
    /// None: both ends have an ephemeral port.
    pub port: Option<u16>,
    /// The container is the client.
    pub client: bool,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From the container to the peer.
    Out,
    In,
}

impl Way {
    pub const BOTH: [Way; 2] = [Way::Out, Way::In];

    pub const fn name(self) -> &'static str {
        match self {
            Way::Out => "out",
            Way::In => "in",
        }
    }
}

/// Sums by bucket. A bucket has the number of its width since 1970, so that it begins at a whole minute, hour or day of UTC.
#[derive(Debug, Default)]
pub struct Buckets {
    /// ns
    pub width: i64,
    /// Out and in; buckets without a byte are not there.
    pub sums: BTreeMap<Pair, BTreeMap<i64, [u64; 2]>>,
    /// Buckets that are recorded from their begin to their end.
    pub whole: Vec<std::ops::Range<i64>>,
}

impl Buckets {
    pub fn new(width: i64) -> Self {
        Self { width, ..Self::default() }
    }

    /// The bucket of a moment, Unix time in ns.
    pub fn of(&self, ts: i64) -> i64 {
        ts.div_euclid(self.width)
    }

    /// A recording lasted from `from` to `to`, Unix time in ns.
    pub fn cover(&mut self, from: i64, to: i64) {
        let (first, end) = (-(-from).div_euclid(self.width), to.div_euclid(self.width));
        if first < end {
            self.whole.push(first..end);
        }
    }

    /// From the first whole bucket to the end of the last; None: there is no whole one.
    pub fn span(&self) -> Option<std::ops::Range<i64>> {
        let first = self.whole.iter().map(|range| range.start).min()?;
        let end = self.whole.iter().map(|range| range.end).max()?;
        Some(first..end)
    }

    pub fn is_whole(&self, bucket: i64) -> bool {
        self.whole.iter().any(|range| range.contains(&bucket))
    }

    /// Bytes of every bucket of the range; None: it was not recorded whole.
    pub fn values(&self, pair: &Pair, way: Way, range: std::ops::Range<i64>) -> Vec<Option<f64>> {
        let sums = self.sums.get(pair);
        let of = |bucket| sums.and_then(|sums| sums.get(&bucket)).map_or(0, |both| both[way as usize]);
        range.map(|bucket| self.is_whole(bucket).then(|| of(bucket) as f64)).collect()
    }

    fn add(&mut self, pair: Pair, ts: i64, bytes: [u64; 2]) {
        let pair = if self.sums.len() < PAIRS || self.sums.contains_key(&pair) {
            pair
        } else {
            Pair { peer: FURTHER.to_owned(), protocol: "any".to_owned(), port: None, client: true, ..pair }
        };
        let bucket = self.of(ts);
        let sums = self.sums.entry(pair).or_default().entry(bucket).or_default();
        sums.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum = sum.saturating_add(bytes));
    }

    /// Takes in a recording.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, recording: &Recording, config: &Config) -> Result<()> {
        let world = World::load(recording, config)?;
        let context = Context { processes: &world.processes, peers: &world.peers, config };
        let (mut observer, mut observed) = (Observer::new(), Vec::new());
        let manifest = recording.manifest();
        let last = manifest.segments.iter().map(|segment| segment.last_ts).max().unwrap_or(manifest.started.ns);
        self.cover(manifest.started.ns, manifest.ended.as_ref().map_or(last, |ended| ended.ns));
        let rows = CLASSES.iter().flat_map(|class| manifest.class_segments(*class)).map(|segment| segment.rows).sum();
        let bar = progress_bar(rows, "reading traffic");
        for (read, event) in (0u64..).zip(recording.events_of(&CLASSES)) {
            let event = event?;
            if read.is_multiple_of(4096) {
                bar.set_position(read);
            }
            match &event {
                Event::Dns(_) => {
                    observer.observe(&event, &context, &mut observed);
                    observed.clear();
                }
                Event::Network(event) if event.common.kind == Kind::NetClose => {
                    self.close(event, &observer, &context, &world);
                }
                _ => {}
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn close(&mut self, event: &NetworkEvent, observer: &Observer, context: &Context<'_>, world: &World) {
        let bytes = [event.bytes_sent, event.bytes_received].map(|bytes| bytes.unwrap_or(0));
        if bytes == [0, 0] {
            return;
        }
        let Some(far) = observer.far(event, context) else { return };
        let id = event.common.container.as_ref();
        let image = world.image(id);
        let (key, is_client) = services::ends(&image, &far, event);
        let client = is_client || key.server == LOOPBACK;
        let name = match id.and_then(|id| world.containers.get(id)).and_then(|container| container.name.as_deref()) {
            Some(name) => name,
            None => id.map_or(HOST, |id| short_id(id)),
        };
        let services::Key { client: asks, server: serves, protocol, port } = key;
        let peer = if client { serves } else { asks };
        self.add(Pair { container: name.into(), image, peer, protocol, port, client }, event.common.ts, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(peer: &str) -> Pair {
        let (protocol, container) = ("tcp".to_owned(), "shop".into());
        Pair { container, image: "web".into(), peer: peer.to_owned(), protocol, port: Some(80), client: true }
    }

    #[test]
    fn only_what_was_recorded_whole_is_a_bucket() {
        let mut buckets = Buckets::new(60);
        assert_eq!(buckets.span(), None);
        buckets.cover(70, 110);
        assert_eq!(buckets.span(), None, "within one bucket");
        buckets.cover(90, 300);
        buckets.cover(360, 420);
        assert_eq!(buckets.span(), Some(2..7));
        for (ts, bytes) in [(95, 1), (120, 10), (179, 20), (180, 5), (419, 7), (420, 3)] {
            buckets.add(pair("a"), ts, [bytes, 0]);
        }
        let values = buckets.values(&pair("a"), Way::Out, 2..7);
        assert_eq!(values, [Some(30.0), Some(5.0), Some(0.0), None, Some(7.0)]);
        assert_eq!(buckets.values(&pair("b"), Way::In, 2..4), [Some(0.0); 2]);
        // Before 1970 too.
        let mut early = Buckets::new(60);
        early.cover(-130, -50);
        assert_eq!(early.span(), Some(-2..-1));
    }

    #[test]
    fn pairs_beyond_the_bound_are_one() {
        let mut buckets = Buckets::new(60);
        (0..PAIRS + 5).for_each(|peer| buckets.add(pair(&peer.to_string()), 0, [1, 2]));
        assert_eq!(buckets.sums.len(), PAIRS + 1);
        let further = buckets.sums.keys().find(|pair| pair.peer == FURTHER).unwrap();
        assert_eq!(buckets.sums[further][&0], [5, 10]);
    }
}
