//! Network: program, direction and protocol, peer, port.
//!
//! The peer is what it is: a known container's image, loopback, the metadata service; else the domain that the address was
//! asked for under, with the class of the address; else its prefix.
//!
//! The port is the one that names the service: the peer's for connect, the local one for bind, listen and accept.
//! From `network.ephemeral_from` on it is "ephemeral".

use std::collections::HashMap;
use std::sync::Arc;

use datasets::NetworkEvent;
use foldhash::fast::RandomState;
use record_bpf::Kind;

use super::domains::Domains;
use super::{Context, Observation, Peers, container, row};
use crate::args::path::mask_path;
use crate::deviation::Tree;
use crate::engines::sight::place;

const EAGAIN: i32 = -11;
const EAFNOSUPPORT: i32 = -97;
const EINVAL: i32 = -22;
const EBADF: i32 = -9;

/// What was put in words already: a service talks to few peers. By everything that the words are made of, texts by their place.
#[derive(Default)]
pub struct Words {
    paths: HashMap<PathKey, Path, RandomState>,
    sent: HashMap<SentKey, (Held, Sent), RandomState>,
}

/// Of each kind, words remembered before all are forgotten: some tens of megabytes.
const MOST: usize = 1 << 15;

/// The texts that a key names: while they are held no other text is at their place.
type Held = Vec<Arc<str>>;

#[derive(PartialEq, Eq, Hash)]
struct PathKey {
    kind: Kind,
    program: usize,
    family: usize,
    protocol: usize,
    unix_path: usize,
    address: usize,
    port: Option<u16>,
    peer: [usize; 3],
}

struct Path {
    _held: Held,
    steps: Arc<[Arc<str>]>,
    raw: Arc<str>,
}

#[derive(PartialEq, Eq, Hash)]
struct SentKey {
    program: usize,
    address: usize,
    /// The peer's and one's own; 0: ephemeral.
    ports: [u16; 2],
    peer: [usize; 3],
}

/// What a peer is told by: the recording whose addresses these are, and the texts that its step is made of.
fn places(peers: &Peers, [first, second]: [Option<&Arc<str>>; 2]) -> [usize; 3] {
    [std::ptr::from_ref(peers).addr(), first.map_or(0, place), second.map_or(0, place)]
}

pub fn observe(
    event: &NetworkEvent,
    context: &Context<'_>,
    domains: &Domains,
    words: &mut Words,
) -> Option<Observation> {
    direction(event.common.kind)?;
    // Calls that the kernel refused as meaningless reached nobody. A refused or timed-out connection was an attempt.
    let attempted = event.ret >= 0
        || (event.common.kind == Kind::Connect && !matches!(event.ret, EAGAIN | EAFNOSUPPORT | EINVAL | EBADF));
    if !attempted {
        return None;
    }
    // Sockets to the kernel itself have no peer that a profile could tell apart.
    if !matches!(&*event.family, "inet" | "inet6" | "unix") {
        return None;
    }
    let program = context.processes.exe(event.common.exec_id);
    let (steps, raw) = words.path(event, &program, context, domains);
    let container = container(&event.common);
    let address = event.peer_addr.as_deref().filter(|_| event.common.kind == Kind::Connect);
    let reached = address.and_then(|address| context.peers.of(&event.common).container(address, event.common.ts));
    Some(Observation {
        tree: Tree::Network,
        ts: event.common.ts,
        reached: reached.filter(|id| **id != container).cloned(),
        container,
        exec_id: event.common.exec_id,
        pid: event.common.pid,
        row: row(&event.common),
        steps,
        args: None,
        raw,
        host_path: None,
    })
}

fn direction(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Connect => Some("connect"),
        Kind::Accept => Some("accept"),
        Kind::Listen => Some("listen"),
        Kind::Bind => Some("bind"),
        _ => None,
    }
}

impl Words {
    /// The steps of a socket's path, and what a person calls its peer.
    fn path(
        &mut self,
        event: &NetworkEvent,
        program: &Arc<str>,
        context: &Context<'_>,
        domains: &Domains,
    ) -> (Arc<[Arc<str>]>, Arc<str>) {
        let (address, port) = ends(event);
        let named = |address: &str| domains.name(&container(&event.common), event.common.exec_id, address);
        let peers = context.peers.of(&event.common);
        let peer = match address.filter(|_| !is_own(event)) {
            Some(address) => peers.texts(address, event.common.ts, || named(address)),
            None => [None; 2],
        };
        let key = PathKey {
            kind: event.common.kind,
            program: place(program),
            family: place(&event.family),
            protocol: place(&event.protocol),
            unix_path: event.unix_path.as_ref().map_or(0, place),
            address: address.map_or(0, place),
            port,
            peer: places(peers, peer),
        };
        if let Some(Path { steps, raw, .. }) = self.paths.get(&key) {
            return (Arc::clone(steps), Arc::clone(raw));
        }
        let is_unix = &*event.family == "unix";
        let (peer_step, port_step, raw) = if is_unix { unix(event) } else { inet(event, context, domains) };
        let direction = direction(event.common.kind).unwrap_or_default();
        let steps: Arc<[Arc<str>]> = [
            mask_path(program).into(),
            format!("{direction} {}", if is_unix { "unix" } else { &event.protocol }).into(),
            Arc::from(peer_step),
            Arc::from(port_step),
        ]
        .into();
        let raw: Arc<str> = raw.into();
        let own = [Some(program), Some(&event.family), Some(&event.protocol), event.unix_path.as_ref(), address];
        let held = own.into_iter().chain(peer).flatten().cloned().collect();
        if self.paths.len() >= MOST {
            self.paths.clear();
        }
        self.paths.insert(key, Path { _held: held, steps: Arc::clone(&steps), raw: Arc::clone(&raw) });
        (steps, raw)
    }
}

/// Who sent to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    pub program: Arc<str>,
    /// The peer with its port, or, of a service, with the port that it serves.
    pub whom: Arc<str>,
}

pub fn sent(event: &NetworkEvent, context: &Context<'_>, domains: &Domains, words: &mut Words) -> Option<Sent> {
    if event.common.kind != Kind::NetClose || !matches!(&*event.family, "inet" | "inet6") {
        return None;
    }
    let (address, port) = (event.peer_addr.as_ref()?, event.peer_port?);
    let program = context.processes.exe(event.common.exec_id);
    let peers = context.peers.of(&event.common);
    let named = || domains.name(&container(&event.common), event.common.exec_id, address);
    let is_service = |port: &u16| *port < context.config.network.ephemeral_from && *port != 0;
    let texts = peers.texts(address, event.common.ts, named);
    let key = SentKey {
        program: place(&program),
        address: place(address),
        ports: [Some(port), event.local_port].map(|port| port.filter(is_service).unwrap_or(0)),
        peer: places(peers, texts),
    };
    if let Some((_, sent)) = words.sent.get(&key) {
        return Some(sent.clone());
    }
    let Far { peer, port } = far(event, context, domains)?;
    let port = match port {
        ServicePort::Theirs(port) => format!(":{port}"),
        ServicePort::Ours(port) => format!(" on port {port}"),
        ServicePort::Ephemeral => ":ephemeral".to_owned(),
    };
    let sent = Sent { program: mask_path(&program).into(), whom: format!("{peer}{port}").into() };
    let held = [Some(&program), Some(address)].into_iter().chain(texts).flatten().cloned().collect();
    if words.sent.len() >= MOST {
        words.sent.clear();
    }
    words.sent.insert(key, (held, sent.clone()));
    Some(sent)
}

/// The other end of a socket of the internet protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Far {
    /// As the tree's step.
    pub peer: String,
    pub port: ServicePort,
}

/// The port that names the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServicePort {
    /// We are the client.
    Theirs(u16),
    /// We serve.
    Ours(u16),
    /// Neither.
    Ephemeral,
}

/// `None`: nothing says who the other end is.
pub fn far(event: &NetworkEvent, context: &Context<'_>, domains: &Domains) -> Option<Far> {
    let (address, port) = (event.peer_addr.as_deref()?, event.peer_port?);
    let named = || domains.name(&container(&event.common), event.common.exec_id, address);
    let (peer, _) = context.peers.of(&event.common).step(address, event.common.ts, named);
    let service = |port: &u16| *port < context.config.network.ephemeral_from && *port != 0;
    let (theirs, ours) = (Some(port).filter(service), event.local_port.filter(service));
    let port = match event.common.kind {
        Kind::Connect => theirs.map(ServicePort::Theirs),
        Kind::Accept => ours.map(ServicePort::Ours),
        // Nobody says who began; the port that is not ephemeral is the service's.
        _ => theirs.map(ServicePort::Theirs).or(ours.map(ServicePort::Ours)),
    };
    Some(Far { peer, port: port.unwrap_or(ServicePort::Ephemeral) })
}

fn unix(event: &NetworkEvent) -> (String, String, String) {
    let path = event.unix_path.as_deref().unwrap_or("(unnamed)");
    // A step that begins with '/' would be taken for a path segment and generalise.
    (format!("socket {}", mask_path(path)), "-".to_owned(), path.to_owned())
}

fn inet(event: &NetworkEvent, context: &Context<'_>, domains: &Domains) -> (String, String, String) {
    let (address, port) = ends(event);
    let address = address.map(|address| &**address);
    let (peer, name) = match address {
        // One's own address: which one it is says nothing, whether it is more than loopback does.
        Some(address) if is_own(event) => (own_address(address).to_owned(), address.to_owned()),
        Some(address) => {
            let named = || domains.name(&container(&event.common), event.common.exec_id, address);
            context.peers.of(&event.common).step(address, event.common.ts, named)
        }
        None => ("(unknown)".to_owned(), "(unknown)".to_owned()),
    };
    let port_step = match port {
        Some(port) if port < context.config.network.ephemeral_from && port != 0 => port.to_string(),
        Some(_) => "ephemeral".to_owned(),
        None => "(unknown)".to_owned(),
    };
    let raw = match (event.common.kind, port) {
        (Kind::Accept, Some(port)) => format!("{name} on port {port}"),
        (_, Some(port)) => format!("{name}:{port}"),
        (_, None) => name,
    };
    (peer, port_step, raw)
}

/// The address that a socket's path is about, and the port.
fn ends(event: &NetworkEvent) -> (Option<&Arc<str>>, Option<u16>) {
    match event.common.kind {
        Kind::Connect => (event.peer_addr.as_ref(), event.peer_port),
        Kind::Accept => (event.peer_addr.as_ref(), event.local_port),
        _ => (event.local_addr.as_ref(), event.local_port),
    }
}

/// Whether that is its own.
fn is_own(event: &NetworkEvent) -> bool {
    matches!(event.common.kind, Kind::Bind | Kind::Listen)
}

fn own_address(address: &str) -> &'static str {
    use crate::args::address::AddressClass;
    match address.parse().map(AddressClass::of) {
        Ok(AddressClass::Loopback) => "loopback",
        Ok(AddressClass::Special) => "any",
        _ => "own address",
    }
}

/// The direction in a sentence: `<program> <verb> <peer>:<port>`.
pub fn verb(direction: &str) -> &str {
    match direction.split(' ').next().unwrap_or(direction) {
        "connect" => "connects to",
        "accept" => "accepts a connection from",
        "listen" => "listens on",
        "bind" => "binds to",
        "send" => "sends to",
        _ => direction,
    }
}
