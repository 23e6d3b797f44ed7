//! What is counted: links, flows, security events, use of resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bounded::Counted;

/// Programs named of one operation.
const PROGRAMS: usize = 8;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    /// A recorded container, by its id.
    Container(Arc<str>),
    Address(Arc<str>),
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side {
    /// The container to its peer.
    Out,
    /// The peer to the container.
    In,
}

/// One service that a container uses or offers, with one peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkKey {
    pub side: Side,
    pub peer: Peer,
    pub protocol: Arc<str>,
    /// The service's: the peer's where the container connects, its own otherwise.
    pub port: u16,
}

/// As the container's sockets tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Connections made or accepted; of UDP, peers that a socket first sent to or heard from.
    pub connections: u64,
    /// Connections refused or timed out.
    pub failed: u64,
    /// Bytes through descriptors that were closed.
    pub sent: u64,
    pub received: u64,
    /// Segments sent again: events, and what sockets told when they were closed.
    pub retransmit_events: u64,
    pub retransmits_at_close: u64,
    /// Smoothed round-trip times at close.
    pub rtt: Rtt,
    /// Reads and writes that the process made through a TLS library on such a socket.
    pub tls: u64,
    /// When it was first and last seen, Unix time, ns.
    pub seen: Option<(i64, i64)>,
}

impl Link {
    /// Segments sent again. The events where they were recorded, else the sockets' own word when they were closed; the
    /// larger, for a recording may begin after an event and end before a close.
    pub fn retransmits(&self) -> u64 {
        self.retransmit_events.max(self.retransmits_at_close)
    }

    pub fn bytes(&self) -> u64 {
        self.sent + self.received
    }
}

impl Counted for Link {
    fn add(&mut self, other: Self) {
        let Self { connections, failed, sent, received, retransmit_events, retransmits_at_close, rtt, tls, seen } =
            other;
        self.connections += connections;
        self.failed += failed;
        self.sent += sent;
        self.received += received;
        self.retransmit_events += retransmit_events;
        self.retransmits_at_close += retransmits_at_close;
        self.rtt.add(rtt);
        self.tls += tls;
        self.seen = span(self.seen, seen);
    }
}

/// The least and the most of both.
pub fn span<T: Ord>(a: Option<(T, T)>, b: Option<(T, T)>) -> Option<(T, T)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Round-trip times, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rtt {
    pub count: u64,
    pub sum: u64,
    pub least: u32,
    pub most: u32,
}

impl Rtt {
    /// 0 is not measured.
    pub fn see(&mut self, rtt: u32) {
        if rtt > 0 {
            self.add(Rtt { count: 1, sum: rtt.into(), least: rtt, most: rtt });
        }
    }

    pub fn add(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        self.least = if self.count == 0 { other.least } else { self.least.min(other.least) };
        self.most = self.most.max(other.most);
        self.count += other.count;
        self.sum += other.sum;
    }

    /// The mean, µs.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// Packets of one service between two ends, one way, at one interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FlowKey {
    pub client: Peer,
    pub server: Peer,
    pub protocol: Arc<str>,
    pub port: u16,
    pub to_server: bool,
    /// Interface and direction: the same packet passes several.
    pub place: Arc<str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub packets: u64,
    pub bytes: u64,
    pub syn: u64,
    pub rst: u64,
}

impl Counted for Flow {
    fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.syn += other.syn;
        self.rst += other.rst;
    }
}

/// Events of one security operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    pub events: u64,
    /// The kernel said no.
    pub refused: u64,
    /// Unix time, ns.
    pub first: i64,
    pub last: i64,
    /// The first that did it, in order of name.
    pub programs: BTreeSet<Arc<str>>,
    /// There were others.
    pub and_others: bool,
}

impl Security {
    pub fn see(&mut self, ts: i64, refused: bool, program: Arc<str>) {
        let programs = BTreeSet::from([program]);
        self.add(Self { events: 1, refused: refused.into(), first: ts, last: ts, programs, and_others: false });
    }
}

impl Counted for Security {
    fn add(&mut self, other: Self) {
        self.first = if self.events == 0 { other.first } else { self.first.min(other.first) };
        self.last = if self.events == 0 { other.last } else { self.last.max(other.last) };
        self.events += other.events;
        self.refused += other.refused;
        self.and_others |= other.and_others;
        for program in other.programs {
            if self.programs.len() < PROGRAMS || self.programs.contains(&program) {
                self.programs.insert(program);
            } else {
                self.and_others = true;
            }
        }
    }
}

/// What a container used, as its cgroup tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time since the container began, ns: the least and the most told.
    pub cpu: Option<(u64, u64)>,
    /// Most memory, bytes; most processes.
    pub memory: u64,
    pub processes: u32,
}

impl Usage {
    /// CPU time while it was recorded, ns.
    pub fn cpu_spent(&self) -> Option<u64> {
        self.cpu.map(|(least, most)| most - least)
    }
}

impl Counted for Usage {
    fn add(&mut self, other: Self) {
        self.cpu = span(self.cpu, other.cpu);
        self.memory = self.memory.max(other.memory);
        self.processes = self.processes.max(other.processes);
    }
}
