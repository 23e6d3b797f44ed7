//! How much a program sends to whom: the most within a minute is learned while the network tree learns, and compared once it is
//! locked. A connection counts when it is closed, which is when its bytes are told.
//!
//! Where it learns for days, the hours are learned beside the minutes, and forecast ([`crate::profile::traffic`]).

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Event, NetworkEvent};
use foldhash::quality::RandomState;

use super::{ImageState, Phase, Surroundings};
use crate::config::Config;
use crate::deviation::{DeviationKind, Tree};
use crate::observe::{self, HOST, Observation};
use crate::pipeline::ruling::{self, Ruling};
use crate::profile::traffic::Ahead;
use crate::profile::{Departure, Volume};

/// A minute, ns.
const MINUTE: i64 = 60_000_000_000;
/// Pairs of container and peer that are summed at once; beyond that the slots of time that are over are forgotten.
const PAIRS: usize = 65_536;

/// Bytes of the present slot of time, as a minute.
#[derive(Debug, Default)]
pub struct Sums {
    /// By container, program and peer: the number of the slot, and its bytes so far.
    sums: HashMap<(Arc<str>, observe::Sent), (i64, u64), RandomState>,
}

impl Sums {
    /// What was sent within this slot, with `bytes`.
    fn add(&mut self, container: &Arc<str>, sent: &observe::Sent, slot: i64, bytes: u64) -> u64 {
        if self.sums.len() >= PAIRS {
            self.sums.retain(|_, (at, _)| *at == slot);
        }
        let (at, sum) = self.sums.entry((Arc::clone(container), sent.clone())).or_insert((slot, 0));
        if *at != slot {
            (*at, *sum) = (slot, 0);
        }
        *sum = sum.saturating_add(bytes);
        *sum
    }
}

/// What is sent over time.
#[derive(Debug, Default)]
pub struct Volumes {
    minutes: Sums,
    /// Of the forecast's buckets.
    buckets: Sums,
    /// The first event of the recording that is being learned, and was not yet entered as learned; Unix time, ns.
    learned_from: Option<i64>,
    /// Forecasts that were asked for; None inside: there is none.
    ahead: HashMap<observe::Sent, Option<Ahead>, RandomState>,
}

impl Volumes {
    /// A recording's first event.
    pub fn begin(&mut self, ts: i64) {
        self.learned_from = Some(ts);
    }

    /// The next of several recordings begins.
    pub fn forget(&mut self) {
        (self.minutes, self.buckets) = (Sums::default(), Sums::default());
    }
}

/// By what an event is beyond what was learned.
#[derive(Default)]
pub struct Beyond {
    /// Bytes of its minute beyond what the locked profile allows.
    pub minute: Option<u64>,
    /// To whom, and the sum that is above its forecast.
    forecast: Option<(observe::Sent, Volume)>,
}

impl ImageState {
    /// Learns what a closed connection sent; of a locked tree, by how much it is beyond.
    pub(super) fn volume(&mut self, event: &Event, around: &Surroundings<'_>) -> Beyond {
        let Event::Network(event) = event else { return Beyond::default() };
        self.sent(event, around).unwrap_or_default()
    }

    fn sent(&mut self, event: &NetworkEvent, around: &Surroundings<'_>) -> Option<Beyond> {
        let bytes = event.bytes_sent.filter(|bytes| *bytes > 0)?;
        let sent = self.observer.sent(event, &around.context)?;
        let common = &event.common;
        let container = common.container.clone().unwrap_or_else(|| HOST.into());
        let minute = self.volumes.minutes.add(&container, &sent, common.ts.div_euclid(MINUTE), bytes);
        match self.phases.get(&Tree::Network)? {
            Phase::Learning(_) => {
                if self.taint(common.exec_id, around).is_none() {
                    let config = &around.config.forecast;
                    let slot = common.ts.div_euclid(config.bucket as i64 * 1_000_000_000);
                    let sum = self.volumes.buckets.add(&container, &sent, slot, bytes);
                    self.profile.learn_traffic(&sent, common.ts, sum, config);
                    self.profile.learn_sent(sent, minute);
                }
                None
            }
            Phase::Locked(_) => {
                let network = &around.config.network;
                let allowed = network.volume_allowed(self.profile.most_sent(&sent));
                let minute = minute.checked_sub(allowed).filter(|beyond| *beyond > 0);
                let forecast = self.above(&container, &sent, common.ts, bytes, around.config);
                Some(Beyond { minute, forecast: forecast.map(|volume| (sent, volume)) })
            }
        }
    }

    /// The sum of the present bucket, if it is above its forecast.
    fn above(
        &mut self,
        container: &Arc<str>,
        sent: &observe::Sent,
        ts: i64,
        bytes: u64,
        config: &Config,
    ) -> Option<Volume> {
        let traffic = self.profile.traffic.as_ref().filter(|traffic| traffic.is_enough(&config.forecast))?;
        let bucket = traffic.at(ts);
        let bytes = self.volumes.buckets.add(container, sent, bucket, bytes);
        if bytes <= config.network.volume_unknown {
            return None;
        }
        let forecast = || traffic.forecast(sent, &config.forecast);
        let expected = self.volumes.ahead.entry(sent.clone()).or_insert_with(forecast).as_ref()?.of(bucket)?;
        let (most, usual) = (expected.high.round() as u64, expected.point.round() as u64);
        (bytes > most).then_some(Volume { bytes, most, usual, bucket: traffic.bucket })
    }

    /// Says that a sum is above its forecast.
    pub(super) fn beyond_forecast(&mut self, event: &Event, beyond: Beyond, around: &Surroundings<'_>) {
        let Some((sent, volume)) = beyond.forecast else { return };
        let steps = [sent.program, "send".into(), Arc::clone(&sent.whom)].into();
        let observation = Observation { steps, raw: sent.whom, ..ruling::observation(event, &around.context) };
        let departure = Departure { volume: Some(volume), ..Departure::plain(DeviationKind::NewVolume, 3) };
        self.counts.deviating += 1;
        // What rules say of the event has a deviation of its own.
        self.folds.add(&observation, departure, &Ruling::default());
    }

    /// Traffic was learned up to `ts`, Unix time in ns.
    pub(super) fn traffic_learned(&mut self, ts: i64) {
        if let (Some(from), Some(traffic)) = (self.volumes.learned_from.take(), &mut self.profile.traffic) {
            traffic.cover(from, ts);
        }
    }

    /// Learning is over: keeps what was learned of traffic if it is enough for a forecast.
    pub(super) fn seal_traffic(&mut self, config: &Config) {
        if self.profile.traffic.as_ref().is_some_and(|traffic| !traffic.is_enough(&config.forecast)) {
            self.profile.traffic = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_summed_by_container_and_peer_and_then_begins_anew() {
        let mut minutes = Sums::default();
        let to = |whom: &str| observe::Sent { program: "/bin/a".into(), whom: whom.into() };
        let mut add = |container: &str, whom: &str, second: i64, bytes: u64| {
            minutes.add(&container.into(), &to(whom), (second * 1_000_000_000i64).div_euclid(MINUTE), bytes)
        };
        assert_eq!(add("c", "x:1", 3, 10), 10);
        assert_eq!(add("c", "x:1", 59, 5), 15);
        assert_eq!(add("c", "y:1", 59, 5), 5);
        assert_eq!(add("d", "x:1", 59, 7), 7);
        assert_eq!(add("c", "x:1", 60, 1), 1);
    }
}
