//! Rows of the network class.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use datasets::{Common, NetworkEvent};
use record_bpf::Kind;
use record_bpf::abi;

use super::strings::Interner;
use crate::decode::{self, NetworkRecord};

/// None: the family has no IP addresses.
pub fn address(family: i32, bytes: &[u8; 16]) -> Option<String> {
    match family {
        libc::AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).to_string()),
        // An IPv4 peer of a dual-stack socket is the same peer.
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical().to_string()),
        _ => None,
    }
}

pub fn event(common: Common, record: &NetworkRecord, strings: &mut Interner) -> NetworkEvent {
    let wire = &record.wire;
    let has = |flag: u32| wire.flags & flag != 0;
    let kind = common.kind;
    let family = i32::from(wire.family);
    let is_close = kind == Kind::NetClose;
    let is_tcp_event = matches!(kind, Kind::TcpState | Kind::Retransmit);
    let is_inet = matches!(family, libc::AF_INET | libc::AF_INET6);
    // The kernel keeps the protocol of a raw socket where others have their port.
    let has_ports = is_inet && i32::from(wire.sock_type) != libc::SOCK_RAW;
    // A listening or unconnected socket has no peer: port 0 cannot be one.
    let has_peer = is_inet && (wire.peer_port != 0 || wire.peer_addr != [0; 16]);
    // A new socket has no address yet.
    let has_local = is_inet && kind != Kind::Socket;
    let tcp = has(abi::NET_TCP) && (is_close || is_tcp_event);
    let mut shared = |text: Option<String>| text.map(|text| strings.get(&text));
    let local = shared(record.names.as_ref().and_then(|names| unix_name(&names.local, wire.unix_len)));
    let peer = shared(record.names.as_ref().and_then(|names| unix_name(&names.peer, wire.unix_peer_len)));
    // Which socket it is about: who connects has seldom a name of its own.
    let unix_path = if kind == Kind::Connect { peer.clone() } else { local.clone().or_else(|| peer.clone()) };
    NetworkEvent {
        local_addr: shared(address(family, &wire.local_addr).filter(|_| has_local)),
        local_port: (has_local && has_ports).then_some(wire.local_port),
        peer_addr: shared(address(family, &wire.peer_addr).filter(|_| has_peer)),
        peer_port: (has_peer && has_ports).then_some(wire.peer_port),
        unix_path,
        ret: wire.ret,
        fd: wire.fd,
        backlog: (kind == Kind::Listen).then_some(wire.backlog),
        inode: (wire.inode != 0).then_some(wire.inode),
        bytes_received: is_close.then_some(wire.bytes_received),
        bytes_sent: is_close.then_some(wire.bytes_sent),
        peer_from_user: has(abi::NET_ADDR_USER),
        implicit: has(abi::NET_IMPLICIT_CLOSE),
        socket_type: Some(named(strings, SOCKET_TYPES, wire.sock_type)),
        direction: (kind == Kind::Peer).then(|| strings.get(if has(abi::NET_SENT) { "sent" } else { "received" })),
        old_state: (kind == Kind::TcpState).then(|| named(strings, TCP_STATES, wire.old_state.into())),
        state: is_tcp_event.then(|| named(strings, TCP_STATES, wire.new_state.into())),
        tcp_bytes_received: tcp.then_some(wire.tcp_received),
        tcp_bytes_sent: tcp.then_some(wire.tcp_sent),
        tcp_bytes_acked: tcp.then_some(wire.tcp_acked),
        retransmits: tcp.then_some(wire.retransmits),
        rtt: tcp.then_some(wire.rtt),
        unix_local: local,
        unix_peer: peer,
        peer_pid: (wire.peer_pid != 0).then_some(wire.peer_pid),
        family: named(strings, FAMILIES, wire.family),
        protocol: protocol(strings, wire),
        common,
    }
}

fn unix_name(bytes: &[u8], len: u16) -> Option<String> {
    let bytes = &bytes[..usize::from(len).min(bytes.len())];
    match bytes.split_first() {
        None => None,
        Some((0, name)) => Some(format!("@{}", decode::text(name))),
        Some(_) => Some(decode::text(decode::until_nul(bytes))),
    }
}

type Names = &'static [(i32, &'static str)];

/// The name, or the number.
fn named(strings: &mut Interner, names: Names, id: u16) -> Arc<str> {
    match names.iter().find(|(known, _)| *known == i32::from(id)) {
        Some((_, name)) => strings.get(name),
        None => strings.get(&id.to_string()),
    }
}

const FAMILIES: Names = &[
    (libc::AF_INET, "inet"),
    (libc::AF_INET6, "inet6"),
    (libc::AF_UNIX, "unix"),
    (libc::AF_NETLINK, "netlink"),
    (libc::AF_PACKET, "packet"),
];

const SOCKET_TYPES: Names = &[
    (libc::SOCK_STREAM, "stream"),
    (libc::SOCK_DGRAM, "dgram"),
    (libc::SOCK_RAW, "raw"),
    (libc::SOCK_RDM, "rdm"),
    (libc::SOCK_SEQPACKET, "seqpacket"),
];

const NETLINK_PROTOCOLS: Names = &[
    (libc::NETLINK_ROUTE, "route"),
    (libc::NETLINK_USERSOCK, "usersock"),
    (libc::NETLINK_SOCK_DIAG, "sock_diag"),
    (libc::NETLINK_NFLOG, "nflog"),
    (libc::NETLINK_XFRM, "xfrm"),
    (libc::NETLINK_SELINUX, "selinux"),
    (libc::NETLINK_AUDIT, "audit"),
    (libc::NETLINK_CONNECTOR, "connector"),
    (libc::NETLINK_NETFILTER, "netfilter"),
    (libc::NETLINK_KOBJECT_UEVENT, "kobject_uevent"),
    (libc::NETLINK_GENERIC, "generic"),
    (libc::NETLINK_RDMA, "rdma"),
    (libc::NETLINK_CRYPTO, "crypto"),
];

const ETHERTYPES: Names =
    &[(libc::ETH_P_ALL, "all"), (libc::ETH_P_IP, "ip"), (libc::ETH_P_ARP, "arp"), (libc::ETH_P_IPV6, "ipv6")];

/// include/net/tcp_states.h
const TCP_STATES: Names = &[
    (1, "ESTABLISHED"),
    (2, "SYN_SENT"),
    (3, "SYN_RECV"),
    (4, "FIN_WAIT1"),
    (5, "FIN_WAIT2"),
    (6, "TIME_WAIT"),
    (7, "CLOSE"),
    (8, "CLOSE_WAIT"),
    (9, "LAST_ACK"),
    (10, "LISTEN"),
    (11, "CLOSING"),
    (12, "NEW_SYN_RECV"),
];

fn protocol(strings: &mut Interner, wire: &abi::Network) -> Arc<str> {
    match i32::from(wire.family) {
        libc::AF_INET | libc::AF_INET6 => named(strings, crate::protocol::IP, wire.protocol),
        libc::AF_UNIX => named(strings, SOCKET_TYPES, wire.sock_type),
        libc::AF_NETLINK => named(strings, NETLINK_PROTOCOLS, wire.protocol),
        libc::AF_PACKET => named(strings, ETHERTYPES, wire.protocol),
        _ => strings.get(&wire.protocol.to_string()),
    }
}
