//! Who talks to whom: containers by image, outside peers by domain or network, on which service, how much, how openly, and
//! whether a learned policy allows it.
//!
//! A relation is seen from either end, and from both where both are recorded: the client's connections and bytes count then, and
//! the server's only where the client was not recorded.

pub(crate) mod ports;
mod render;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datasets::{Event, NetworkEvent, Recording};
use record_bpf::{Class, Kind};
use serde::Serialize;

use crate::config::Config;
use crate::error::Result;
use crate::observe::{Context, Far, Observation, Observer, ServicePort};
use crate::pipeline::World;
use crate::profile::Profile;

pub use ports::Channel;
pub use render::{dot, render, to_json};
pub(crate) use render::{end as short_end, said};

/// The classes that say something of it.
const CLASSES: [Class; 3] = [Class::Network, Class::Dns, Class::Tls];
/// Programs named of a relation's end; further ones are not.
const PROGRAMS: usize = 8;
pub(crate) const LOOPBACK: &str = "loopback";
/// A connection that does not wait is under way.
const EINPROGRESS: i32 = -115;

/// Ends and service of a relation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// An image, `domain NAME public`, `public 203.0.113.0/24` and the like.
    pub client: String,
    /// `loopback`: the client's own network namespace.
    pub server: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// None: both ends have an ephemeral port.
    pub port: Option<u16>,
}

/// What was seen from one end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct End {
    connections: u64,
    /// Sockets of it that were closed, with their bytes.
    closed: u64,
    sent: u64,
    received: u64,
    programs: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Gathered {
    client: End,
    server: End,
    refused: u64,
    first: Option<i64>,
    last: Option<i64>,
    tls: u64,
    dns: u64,
    within: u64,
    outside: u64,
}

/// How it is known whether others can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The process was seen to hand data to a TLS library for this socket.
    TlsSeen,
    /// DNS messages were read off it.
    DnsSeen,
    /// What the port stands for.
    Port,
    None,
}

/// A line of the map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relation {
    #[serde(flatten)]
    pub key: Key,
    /// The service's name, where its port is a known one.
    pub service: Option<&'static str>,
    pub channel: Channel,
    pub evidence: Evidence,
    /// A protocol in which passwords are said, in the clear, and not over loopback.
    pub credentials_in_the_clear: bool,
    /// A data store without encryption that was seen, not over loopback.
    pub open_store: bool,
    /// Connections made; of datagrams, peers first heard of.
    pub connections: u64,
    /// Attempts that the peer, or nobody, answered.
    pub refused: u64,
    /// Bytes from the client to the server, of sockets that were closed.
    pub to_server: u64,
    pub from_server: u64,
    /// Unix time, ns.
    pub first: i64,
    pub last: i64,
    pub client_programs: Vec<Arc<str>>,
    pub server_programs: Vec<Arc<str>>,
    /// Connections that the policy knows, and that it does not; null: no policy was given, or it does not know the image.
    pub within_policy: Option<u64>,
    pub outside_policy: Option<u64>,
}

/// Who talks to whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Services {
    pub recordings: Vec<String>,
    pub relations: Vec<Relation>,
    /// What cannot be seen in these recordings.
    pub limits: Vec<String>,
}

/// Reads the recordings, one after the other.
///
/// # Errors
/// Unreadable recordings.
pub fn services(recordings: &[(String, Recording)], policy: Option<&Profile>, config: &Config) -> Result<Services> {
    let mut gathered: BTreeMap<Key, Gathered> = BTreeMap::new();
    let mut limits = BTreeSet::new();
    for (name, recording) in recordings {
        for class in CLASSES {
            if !recording.manifest().classes.iter().any(|recorded| recorded == class.name()) {
                limits.insert(format!("{name}: class {class} was not recorded{}", lost(class)));
            }
        }
        let world = World::load(recording, config)?;
        let mut reader = Reader { world: &world, policy, config, observer: Observer::new(), open: HashMap::new() };
        for event in recording.events_of(&CLASSES) {
            reader.see(&event?, &mut gathered);
        }
    }
    Ok(Services {
        recordings: recordings.iter().map(|(name, _)| name.clone()).collect(),
        relations: gathered.into_iter().map(|(key, gathered)| relation(key, gathered)).collect(),
        limits: limits.into_iter().collect(),
    })
}

fn lost(class: Class) -> &'static str {
    match class {
        Class::Network => ": nothing of it is in the map",
        Class::Dns => ": outside peers are networks and not domains",
        Class::Tls => ": whether a connection is encrypted is told by its port alone",
        _ => "",
    }
}

/// Takes in the events of one recording.
struct Reader<'a> {
    world: &'a World,
    policy: Option<&'a Profile>,
    config: &'a Config,
    observer: Observer,
    /// Open sockets by process and descriptor.
    open: HashMap<(u32, i32), Key>,
}

impl Reader<'_> {
    fn see(&mut self, event: &Event, gathered: &mut BTreeMap<Key, Gathered>) {
        let context = Context { processes: &self.world.processes, peers: &self.world.peers, config: self.config };
        let mut observed = Vec::new();
        self.observer.observe(event, &context, &mut observed);
        match event {
            Event::Network(event) => {
                let Some(far) = self.observer.far(event, &context) else { return };
                self.network(event, far, observed.first(), gathered);
            }
            Event::Tls(event) => {
                let key = event.fd.and_then(|fd| self.open.get(&(event.common.pid, fd)));
                if let Some(gathered) = key.and_then(|key| gathered.get_mut(key)) {
                    gathered.tls += 1;
                }
            }
            Event::Dns(event) => {
                let key = self.open.get(&(event.common.pid, event.fd));
                if let Some(gathered) = key.and_then(|key| gathered.get_mut(key)) {
                    gathered.dns += 1;
                }
            }
            _ => {}
        }
    }

    fn network(
        &mut self,
        event: &NetworkEvent,
        far: Far,
        observed: Option<&Observation>,
        gathered: &mut BTreeMap<Key, Gathered>,
    ) {
        let kind = event.common.kind;
        let begins = match kind {
            // Attempts that reached nobody for a reason of the caller's own are not observed.
            Kind::Connect | Kind::Accept => observed.is_some(),
            Kind::Peer => true,
            Kind::NetClose => false,
            _ => return,
        };
        if !begins && kind != Kind::NetClose {
            return;
        }
        let own = self.world.image(event.common.container.as_ref());
        let (key, is_client) = ends(&own, &far, event);
        let relation = match gathered.get_mut(&key) {
            Some(relation) => relation,
            // Its beginning was not recorded, and neither were bytes.
            None if !begins && event.bytes_sent.unwrap_or(0) + event.bytes_received.unwrap_or(0) == 0 => return,
            None => gathered.entry(key.clone()).or_default(),
        };
        relation.first.get_or_insert(event.common.ts);
        relation.last = Some(relation.last.map_or(event.common.ts, |last| last.max(event.common.ts)));
        let end = if is_client { &mut relation.client } else { &mut relation.server };
        if end.programs.len() < PROGRAMS {
            end.programs.insert(self.world.processes.exe(event.common.exec_id));
        }
        if !begins {
            end.closed += 1;
            end.sent += event.bytes_sent.unwrap_or(0);
            end.received += event.bytes_received.unwrap_or(0);
            self.open.remove(&(event.common.pid, event.fd));
            return;
        }
        if event.ret < 0 && event.ret != EINPROGRESS {
            relation.refused += 1;
        } else {
            end.connections += 1;
            if event.fd >= 0 {
                self.open.insert((event.common.pid, event.fd), key);
            }
        }
        let entry = self.policy.and_then(|policy| policy.images.get(&own));
        if let (Some(entry), Some(observed)) = (entry, observed) {
            let known = entry.trees.network.matched(&observed.steps).known;
            *(if known { &mut relation.within } else { &mut relation.outside }) += 1;
        }
    }
}

/// The relation that a socket belongs to, and whether it is the client's.
pub(crate) fn ends(own: &Arc<str>, far: &Far, event: &NetworkEvent) -> (Key, bool) {
    let peer = far.peer.strip_prefix("image ").unwrap_or(&far.peer).to_owned();
    let (is_client, port) = match far.port {
        ServicePort::Theirs(port) => (true, Some(port)),
        ServicePort::Ours(port) => (false, Some(port)),
        ServicePort::Ephemeral => (event.common.kind != Kind::Accept, None),
    };
    // Within one network namespace both ends are one's own.
    let (client, server) =
        if is_client || peer == LOOPBACK { (own.to_string(), peer) } else { (peer, own.to_string()) };
    (Key { client, server, protocol: event.protocol.to_string(), port }, is_client)
}

/// Whether others can read it, and how that is known.
pub(crate) fn how(known: Option<&ports::Service>, tls: bool, dns: bool) -> (Channel, Evidence) {
    match known {
        _ if tls => (Channel::Encrypted, Evidence::TlsSeen),
        _ if dns => (Channel::Cleartext, Evidence::DnsSeen),
        Some(service) => (service.channel, Evidence::Port),
        None => (Channel::Unknown, Evidence::None),
    }
}

/// Of what is not over loopback: whether passwords are said in the clear, and whether it is a data store without encryption
/// that was seen.
pub(crate) fn weaknesses(channel: Channel, known: &ports::Service) -> (bool, bool) {
    let open = matches!(channel, Channel::Cleartext | Channel::Either);
    (channel == Channel::Cleartext && known.credentials, open && known.store)
}

fn relation(key: Key, gathered: Gathered) -> Relation {
    let Gathered { client, server, refused, first, last, tls, dns, within, outside } = gathered;
    let known = key.port.and_then(ports::service);
    let (channel, evidence) = how(known, tls > 0, dns > 0);
    let (credentials_in_the_clear, open_store) = match known {
        Some(known) if key.server != LOOPBACK => weaknesses(channel, known),
        _ => (false, false),
    };
    let (to_server, from_server) =
        if client.closed > 0 { (client.sent, client.received) } else { (server.received, server.sent) };
    let judged = within + outside > 0;
    Relation {
        service: known.map(|service| service.name),
        channel,
        evidence,
        credentials_in_the_clear,
        open_store,
        connections: if client.connections > 0 { client.connections } else { server.connections },
        refused,
        to_server,
        from_server,
        first: first.unwrap_or_default(),
        last: last.unwrap_or_default(),
        client_programs: client.programs.into_iter().collect(),
        server_programs: server.programs.into_iter().collect(),
        within_policy: judged.then_some(within),
        outside_policy: judged.then_some(outside),
        key,
    }
}

#[cfg(test)]
mod tests;
