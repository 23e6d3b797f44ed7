//! Who talked to whom: what both ends of a connection counted, and what interfaces saw of it, brought together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::alert::Alert;
use crate::args::address::AddressClass;
use crate::deviation::Tree;
use crate::engines::Severity;
use crate::gather::{Counted, FlowKey, Gathered, Link, LinkKey, Of, Peer, Rtt, Side, span};
use crate::observe::HOST;
use crate::pipeline::World;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A recorded container, by its id; `host` for processes outside containers.
    Container(Arc<str>),
    /// A container to itself.
    Loopback(Arc<str>),
    /// What the profile calls the peer: a domain, or an address' class and prefix.
    Outside(Arc<str>),
}

/// A service, who offers it and who uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeKey {
    pub client: End,
    pub server: End,
    pub protocol: Arc<str>,
    /// None: one that names no service.
    pub port: Option<u16>,
}

/// What is known of it.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// As the client's sockets told, and as the server's. Of both, `sent` is what went to the server.
    client: Option<Link>,
    server: Option<Link>,
    /// Packets each way, by interface and direction.
    packets: BTreeMap<(bool, Arc<str>), u64>,
    /// The raised alert of the highest severity about it.
    pub alert: Option<(Severity, String)>,
    /// A connection of it departed from the profile, whether that was raised or kept.
    pub departs: bool,
}

impl Edge {
    /// What the client's side told; the server's where nobody recorded the client.
    fn told(&self) -> Option<&Link> {
        self.client.as_ref().or(self.server.as_ref())
    }

    pub fn connections(&self) -> u64 {
        self.told().map_or(0, |link| link.connections)
    }

    pub fn failed(&self) -> u64 {
        self.told().map_or(0, |link| link.failed)
    }

    pub fn to_server(&self) -> u64 {
        self.told().map_or(0, |link| link.sent)
    }

    pub fn to_client(&self) -> u64 {
        self.told().map_or(0, |link| link.received)
    }

    pub fn bytes(&self) -> u64 {
        self.to_server() + self.to_client()
    }

    /// Segments sent again, by both ends as far as they were recorded.
    pub fn retransmits(&self) -> u64 {
        [&self.client, &self.server].into_iter().flatten().map(Link::retransmits).sum()
    }

    /// When it was first and last seen at either end, Unix time, ns.
    pub fn seen(&self) -> Option<(i64, i64)> {
        [&self.client, &self.server].into_iter().flatten().fold(None, |seen, link| span(seen, link.seen))
    }

    /// One of its ends was seen to hand data to a TLS library.
    pub fn tls(&self) -> bool {
        [&self.client, &self.server].into_iter().flatten().any(|link| link.tls > 0)
    }

    pub fn rtt(&self) -> Rtt {
        self.told().map_or_else(Rtt::default, |link| link.rtt)
    }

    /// Packets both ways; each way as the interface saw that saw most. None: flows were not recorded.
    pub fn packets(&self) -> Option<u64> {
        let most = |to_server: bool| {
            self.packets.iter().filter(|((way, _), _)| *way == to_server).map(|(_, packets)| *packets).max()
        };
        match (most(true), most(false)) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
        }
    }
}

/// All of them, and what was beyond the bound of what is told apart.
pub struct Edges {
    pub edges: BTreeMap<EdgeKey, Edge>,
    pub rest: Link,
}

/// Brings together what was gathered.
pub fn edges(gathered: &Gathered, world: &World, alerts: &[Alert]) -> Edges {
    let mut edges: BTreeMap<EdgeKey, Edge> = BTreeMap::new();
    let mut rest = Link::default();
    for (id, of) in &gathered.containers {
        let own = End::Container(Arc::clone(id));
        let of_network = |alert: &&Alert| alert.deviations.iter().any(|found| found.tree == Tree::Network);
        let alerts: Vec<&Alert> = alerts.iter().filter(|alert| *alert.container == **id).filter(of_network).collect();
        for (key, link) in of.links.iter() {
            let peer = end(&key.peer, id, of, world);
            let (client, server) = match (key.side, peer) {
                // Both ends of it are the container's.
                (_, End::Loopback(id)) => (own.clone(), End::Loopback(id)),
                (Side::Out, peer) => (own.clone(), peer),
                (Side::In, peer) => (peer, own.clone()),
            };
            let edge =
                edges.entry(EdgeKey { client, server, protocol: Arc::clone(&key.protocol), port: service(key.port) });
            let edge = edge.or_default();
            match key.side {
                Side::Out => edge.client.get_or_insert_default().add(link.clone()),
                Side::In => edge.server.get_or_insert_default().add(turned(link)),
            }
            let (alert, departs) = about(key, of, world, &alerts);
            edge.alert = edge.alert.take().max(alert);
            edge.departs |= departs;
        }
        if let Some(link) = of.links.rest() {
            rest.add(link.clone());
        }
        for (key, flow) in of.flows.iter() {
            let FlowKey { client, server, protocol, port, to_server, place } = key;
            let ends = (end(client, id, of, world), end(server, id, of, world));
            let (client, server) = match ends {
                (End::Loopback(_), _) | (_, End::Loopback(_)) => continue,
                ends => ends,
            };
            let key = EdgeKey { client, server, protocol: Arc::clone(protocol), port: service(*port) };
            *edges.entry(key).or_default().packets.entry((*to_server, Arc::clone(place))).or_default() += flow.packets;
        }
    }
    Edges { edges, rest }
}

fn turned(link: &Link) -> Link {
    Link { sent: link.received, received: link.sent, ..link.clone() }
}

fn service(port: u16) -> Option<u16> {
    (1..32_768).contains(&port).then_some(port)
}

fn end(peer: &Peer, own: &Arc<str>, of: &Of, world: &World) -> End {
    match peer {
        Peer::Container(id) => End::Container(Arc::clone(id)),
        Peer::Address(address) => {
            let parsed: Option<IpAddr> = address.parse().ok();
            if parsed.map(AddressClass::of) == Some(AddressClass::Loopback) {
                return End::Loopback(Arc::clone(own));
            }
            End::Outside(step(address, of, world).into())
        }
    }
}

/// What the profile calls an address outside.
fn step(address: &str, of: &Of, world: &World) -> String {
    let Ok(parsed) = address.parse::<IpAddr>().map(|address| address.to_canonical()) else {
        return address.to_owned();
    };
    world.peers.outside(parsed, || of.names.get(&parsed)).0
}

/// Of a container's alerts the highest raised one in which the connection itself is a deviation, and whether there is any,
/// kept or allowed ones too.
fn about(key: &LinkKey, of: &Of, world: &World, alerts: &[&Alert]) -> (Option<(Severity, String)>, bool) {
    let peer = match &key.peer {
        Peer::Container(peer) => format!("image {}", world.image(Some(peer).filter(|peer| ***peer != *HOST))),
        Peer::Address(address) => step(address, of, world),
    };
    let begins = if key.side == Side::Out { "connect " } else { "accept " };
    let port = service(key.port).map_or_else(|| "ephemeral".to_owned(), |port| port.to_string());
    let is_about = |alert: &&Alert| {
        alert.deviations.iter().filter(|found| found.tree == Tree::Network).any(|found| {
            let reached = matches!(&key.peer, Peer::Container(peer) if found.reached.contains_key(peer));
            let [_, _, direction, whom, at, ..] = &found.path[..] else { return false };
            direction.starts_with(begins) && **at == *port && (reached || **whom == *peer)
        })
    };
    let found: Vec<&Alert> = alerts.iter().copied().filter(is_about).collect();
    let raised = found.iter().filter(|alert| alert.is_raised());
    // Of equal ones the first.
    let highest = raised.max_by_key(|alert| (alert.severity, std::cmp::Reverse(alert.ts)));
    (highest.map(|alert| (alert.severity, alert.id.clone())), !found.is_empty())
}
