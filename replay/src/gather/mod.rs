//! Summaries that are counted while the stream passes: event rates, security events, traffic, use of resources.
//!
//! All of it is of one container or a plain sum, and of bounded size. So the parts of a stream that was divided by container
//! or image add up to exactly what the whole gives, in any order.

mod bounded;
mod counted;
mod rates;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use datasets::{Common, DnsEvent, Event, FlowEvent, Given, NetworkEvent, ResourceEvent, SecurityEvent, TlsEvent};
use record_bpf::Kind;
use serde::{Deserialize, Serialize};

use crate::observe::HOST;
use crate::pipeline::World;

pub use bounded::{Bounded, Counted, KEYS};
pub use counted::{Flow, FlowKey, Link, LinkKey, Peer, Rtt, Security, Side, Usage, span};
pub use rates::Rates;

/// A connection on its way, and no connection: not an address that can be reached.
const EINPROGRESS: i32 = -115;
const NOT_TRIED: [i32; 4] = [-11, -97, -22, -9];

/// Ports from here on name no service: net.ipv4.ip_local_port_range begins here by default.
const EPHEMERAL: u16 = 32_768;

/// Addresses with a name, and ports that are listened on, kept per container.
const NAMES: usize = 2048;
const LISTENED: usize = 256;
/// Open sockets remembered per container.
const OPEN: usize = 4096;

/// What the stream said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gathered {
    pub rates: Rates,
    /// By id; `host` for what was in none.
    pub containers: BTreeMap<Arc<str>, Of>,
}

/// What one container did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Of {
    /// By operation.
    pub security: BTreeMap<Arc<str>, Security>,
    pub links: Bounded<LinkKey, Link>,
    pub flows: Bounded<FlowKey, Flow>,
    pub usage: Option<Usage>,
    /// The name that an address was first asked for under.
    pub names: BTreeMap<IpAddr, Arc<str>>,
    listened: BTreeSet<u16>,
    /// What open sockets are for, by process and descriptor; while the stream passes.
    #[serde(skip)]
    open: HashMap<(u32, i32), LinkKey>,
}

impl Gathered {
    /// Counts an event.
    pub fn see(&mut self, event: &Event, world: &World) {
        let common = event.common();
        self.rates.see(common.ts, event.class());
        match event {
            Event::Network(event) => self.of(common.container.as_ref()).network(event, world),
            Event::Security(event) => self.of(common.container.as_ref()).security(event, world),
            Event::Dns(event) => self.of(common.container.as_ref()).dns(event),
            Event::Flow(event) => self.of(common.container.as_ref()).flow(event, world),
            Event::Resource(event) => self.of(common.container.as_ref()).usage(event),
            Event::Tls(event) => self.of(common.container.as_ref()).tls(event),
            Event::Process(_) | Event::File(_) | Event::Syscall(_) => {}
        }
    }

    /// The same.
    pub fn see_given(&mut self, event: &Given, world: &World) {
        match event {
            Given::File(_) => self.rates.see(event.ts(), event.class()),
            // A connection is told by its other events.
            Given::Network(_) => {
                self.rates.see(event.ts(), event.class());
                self.of(event.container());
            }
            Given::Event(event) => self.see(event, world),
        }
    }

    fn of(&mut self, container: Option<&Arc<str>>) -> &mut Of {
        let id = container.map_or(HOST, |id| &**id);
        if !self.containers.contains_key(id) {
            self.containers.insert(id.into(), Of::default());
        }
        self.containers.get_mut(id).expect("it was entered")
    }

    /// Adds what another part of the stream had. Exact where no container is in both.
    pub fn merge(&mut self, other: Self) {
        self.rates.merge(other.rates);
        for (id, of) in other.containers {
            self.containers.entry(id).or_default().merge(of);
        }
    }
}

fn peer(address: &Arc<str>, event: &Common, world: &World) -> Peer {
    match world.peers.of(event).container(address, event.ts) {
        Some(id) => Peer::Container(Arc::clone(id)),
        None => Peer::Address(Arc::clone(address)),
    }
}

impl Of {
    fn network(&mut self, event: &NetworkEvent, world: &World) {
        if !matches!(&*event.family, "inet" | "inet6") {
            return;
        }
        let kind = event.common.kind;
        if matches!(kind, Kind::Listen | Kind::Accept) && self.listened.len() < LISTENED {
            self.listened.extend(event.local_port.filter(|port| *port != 0 && event.ret >= 0));
        }
        let (Some(address), Some(port)) = (&event.peer_addr, event.peer_port) else { return };
        let side = match kind {
            Kind::Connect => Side::Out,
            Kind::Accept => Side::In,
            Kind::NetClose | Kind::Retransmit | Kind::Peer => self.side(event.local_port, port),
            // What becomes of a connection is told by its other events than changes of its state.
            _ => return,
        };
        if kind == Kind::Connect && NOT_TRIED.contains(&event.ret) {
            return;
        }
        let served = if side == Side::Out { Some(port) } else { event.local_port };
        let peer = peer(address, &event.common, world);
        let key = LinkKey { side, peer, protocol: Arc::clone(&event.protocol), port: served.unwrap_or(0) };
        let came = event.ret >= 0 || event.ret == EINPROGRESS;
        let socket = (event.common.pid, event.fd);
        match kind {
            Kind::NetClose => drop(self.open.remove(&socket)),
            Kind::Connect | Kind::Accept if came && event.fd >= 0 && self.open.len() < OPEN => {
                self.open.insert(socket, key.clone());
            }
            _ => {}
        }
        let link = self.links.of(key);
        link.seen = span(link.seen, Some((event.common.ts, event.common.ts)));
        match kind {
            Kind::Connect | Kind::Accept => *(if came { &mut link.connections } else { &mut link.failed }) += 1,
            Kind::Peer => {
                let begun = if side == Side::Out { "sent" } else { "received" };
                link.connections += u64::from(event.direction.as_deref() == Some(begun));
            }
            Kind::Retransmit => link.retransmit_events += 1,
            _ => {
                link.sent += event.bytes_sent.unwrap_or(0);
                link.received += event.bytes_received.unwrap_or(0);
                link.retransmits_at_close += u64::from(event.retransmits.unwrap_or(0));
                link.rtt.see(event.rtt.unwrap_or(0));
            }
        }
    }

    /// Who began, where the event does not say so: who listens on the port, else whose port is not ephemeral.
    fn side(&self, local: Option<u16>, peer: u16) -> Side {
        let serves = |port: u16| port < EPHEMERAL && port != 0;
        match local {
            Some(local) if self.listened.contains(&local) || (serves(local) && !serves(peer)) => Side::In,
            _ => Side::Out,
        }
    }

    fn tls(&mut self, event: &TlsEvent) {
        let key = event.fd.and_then(|fd| self.open.get(&(event.common.pid, fd)));
        if let Some(key) = key {
            self.links.of(key.clone()).tls += 1;
        }
    }

    fn security(&mut self, event: &SecurityEvent, world: &World) {
        let op = event.common.kind.op();
        if !self.security.contains_key(op) {
            self.security.insert(op.into(), Security::default());
        }
        let counted = self.security.get_mut(op).expect("it was entered");
        counted.see(event.common.ts, event.ret < 0, world.processes.exe(event.common.exec_id));
    }

    fn dns(&mut self, event: &DnsEvent) {
        let (Some(question), Some(answers)) = (&event.question, &event.answers) else { return };
        if &*event.direction != "received" || question.is_empty() {
            return;
        }
        for answer in answers {
            // `name type data`
            let mut words = answer.split(' ').skip(1);
            let (Some("A" | "AAAA"), Some(Ok(address))) = (words.next(), words.next().map(str::parse::<IpAddr>)) else {
                continue;
            };
            if self.names.len() < NAMES {
                self.names.entry(address.to_canonical()).or_insert_with(|| Arc::clone(question));
            }
        }
    }

    fn flow(&mut self, event: &FlowEvent, world: &World) {
        let (Some(protocol), Some(src), Some(dst)) = (&event.protocol, &event.src_addr, &event.dst_addr) else {
            return;
        };
        let (from, to) = (event.src_port.unwrap_or(0), event.dst_port.unwrap_or(0));
        // The service's port is the lower one, as a rule.
        let to_server = from == 0 || (to != 0 && to <= from);
        let (client, server) = if to_server { (src, dst) } else { (dst, src) };
        let key = FlowKey {
            client: peer(client, &event.common, world),
            server: peer(server, &event.common, world),
            protocol: Arc::clone(protocol),
            port: if to_server { to } else { from },
            to_server,
            place: format!("{} {}", event.interface, event.direction).into(),
        };
        let seen = Flow { packets: event.packets, bytes: event.bytes, syn: event.syn, rst: event.rst };
        self.flows.of(key).add(seen);
    }

    fn usage(&mut self, event: &ResourceEvent) {
        let told = Usage {
            cpu: event.cpu_total.map(|cpu| (cpu, cpu)),
            memory: event.memory.unwrap_or(0),
            processes: event.processes.unwrap_or(0),
        };
        self.usage.get_or_insert_default().add(told);
    }

    fn merge(&mut self, other: Self) {
        let Self { security, links, flows, usage, names, listened, open } = other;
        for (op, counted) in security {
            self.security.entry(op).or_default().add(counted);
        }
        self.links.merge(links);
        self.flows.merge(flows);
        if let Some(usage) = usage {
            self.usage.get_or_insert_default().add(usage);
        }
        for (address, name) in names {
            self.names.entry(address).or_insert(name);
        }
        self.listened.extend(listened);
        self.open.extend(open);
    }
}

#[cfg(test)]
mod tests;
