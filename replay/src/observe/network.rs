//! Network: program, direction and protocol, peer, port.
//!
//! The peer is what it is: a known container's image, loopback, the metadata service; else the domain that the address was
//! asked for under, with the class of the address; else its prefix.
//!
//! The port is the one that names the service: the peer's for connect, the local one for bind, listen and accept.
//! From `network.ephemeral_from` on it is "ephemeral".

use std::sync::Arc;

use datasets::NetworkEvent;
use record_bpf::Kind;

use super::domains::Domains;
use super::{Context, Observation, container, row};
use crate::args::path::mask_path;
use crate::deviation::Tree;

const EAGAIN: i32 = -11;
const EAFNOSUPPORT: i32 = -97;
const EINVAL: i32 = -22;
const EBADF: i32 = -9;

pub fn observe(event: &NetworkEvent, context: &Context<'_>, domains: &Domains) -> Option<Observation> {
    let direction = match event.common.kind {
        Kind::Connect => "connect",
        Kind::Accept => "accept",
        Kind::Listen => "listen",
        Kind::Bind => "bind",
        _ => return None,
    };
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
    let (peer, port, raw) = if &*event.family == "unix" { unix(event) } else { inet(event, context, domains) };
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
        steps: [
            mask_path(&program).into(),
            format!("{direction} {}", if &*event.family == "unix" { "unix" } else { &event.protocol }).into(),
            Arc::from(peer),
            Arc::from(port),
        ]
        .into(),
        args: None,
        raw: raw.into(),
        host_path: None,
    })
}

/// Who sent to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    pub program: Arc<str>,
    /// The peer with its port, or, of a service, with the port that it serves.
    pub whom: Arc<str>,
}

pub fn sent(event: &NetworkEvent, context: &Context<'_>, domains: &Domains) -> Option<Sent> {
    if event.common.kind != Kind::NetClose || !matches!(&*event.family, "inet" | "inet6") {
        return None;
    }
    let Far { peer, port } = far(event, context, domains)?;
    let port = match port {
        ServicePort::Theirs(port) => format!(":{port}"),
        ServicePort::Ours(port) => format!(" on port {port}"),
        ServicePort::Ephemeral => ":ephemeral".to_owned(),
    };
    let program = context.processes.exe(event.common.exec_id);
    Some(Sent { program: mask_path(&program).into(), whom: format!("{peer}{port}").into() })
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
    let (address, port) = match event.common.kind {
        Kind::Connect => (event.peer_addr.as_deref(), event.peer_port),
        Kind::Accept => (event.peer_addr.as_deref(), event.local_port),
        _ => (event.local_addr.as_deref(), event.local_port),
    };
    let own = matches!(event.common.kind, Kind::Bind | Kind::Listen);
    let (peer, name) = match address {
        // One's own address: which one it is says nothing, whether it is more than loopback does.
        Some(address) if own => (own_address(address).to_owned(), address.to_owned()),
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
        _ => direction,
    }
}
