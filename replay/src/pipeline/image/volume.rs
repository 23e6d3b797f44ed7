//! How much a program sends to whom: the most within a minute is learned while the network tree learns, and compared once it is
//! locked. A connection counts when it is closed, which is when its bytes are told.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::Event;
use foldhash::quality::RandomState;

use super::{ImageState, Phase, Surroundings};
use crate::deviation::Tree;
use crate::observe::{self, HOST};

/// A minute, ns.
const MINUTE: i64 = 60_000_000_000;
/// Pairs of container and peer that are summed at once; beyond that the minutes that are over are forgotten.
const PAIRS: usize = 65_536;

/// Bytes of the present minute.
#[derive(Debug, Default)]
pub struct Minutes {
    /// By container, program and peer: the number of the minute, and its bytes so far.
    sums: HashMap<(Arc<str>, observe::Sent), (i64, u64), RandomState>,
}

impl Minutes {
    /// What was sent within this minute, with `bytes`.
    fn add(&mut self, container: Arc<str>, sent: &observe::Sent, ts: i64, bytes: u64) -> u64 {
        let minute = ts.div_euclid(MINUTE);
        if self.sums.len() >= PAIRS {
            self.sums.retain(|_, (at, _)| *at == minute);
        }
        let (at, sum) = self.sums.entry((container, sent.clone())).or_insert((minute, 0));
        if *at != minute {
            (*at, *sum) = (minute, 0);
        }
        *sum = sum.saturating_add(bytes);
        *sum
    }
}

impl ImageState {
    /// Learns what a closed connection sent; of a locked tree, by how many bytes its minute is beyond what the profile allows.
    pub(super) fn volume(&mut self, event: &Event, around: &Surroundings<'_>) -> Option<u64> {
        let Event::Network(event) = event else { return None };
        let bytes = event.bytes_sent.filter(|bytes| *bytes > 0)?;
        let sent = self.observer.sent(event, &around.context)?;
        let common = &event.common;
        let container = common.container.clone().unwrap_or_else(|| HOST.into());
        let sum = self.minutes.add(container, &sent, common.ts, bytes);
        match self.phases.get(&Tree::Network)? {
            Phase::Learning(_) => {
                if self.taint(common.exec_id, around).is_none() {
                    self.profile.learn_sent(sent, sum);
                }
                None
            }
            Phase::Locked(_) => {
                let network = &around.config.network;
                let allowed = match self.profile.most_sent(&sent) {
                    Some(most) => ((most as f64 * network.volume_factor) as u64).max(network.volume_known),
                    None => network.volume_unknown,
                };
                sum.checked_sub(allowed).filter(|beyond| *beyond > 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_summed_by_container_and_peer_and_then_begins_anew() {
        let mut minutes = Minutes::default();
        let to = |whom: &str| observe::Sent { program: "/bin/a".into(), whom: whom.into() };
        let mut add = |container: &str, whom: &str, second: i64, bytes: u64| {
            minutes.add(container.into(), &to(whom), second * 1_000_000_000, bytes)
        };
        assert_eq!(add("c", "x:1", 3, 10), 10);
        assert_eq!(add("c", "x:1", 59, 5), 15);
        assert_eq!(add("c", "y:1", 59, 5), 5);
        assert_eq!(add("d", "x:1", 59, 7), 7);
        assert_eq!(add("c", "x:1", 60, 1), 1);
    }
}
