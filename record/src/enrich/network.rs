//! Rows of the network class.

use std::net::{Ipv4Addr, Ipv6Addr};

use datasets::{Common, NetworkEvent};
use record_bpf::Kind;
use record_bpf::abi;

use super::strings::Interner;
use crate::decode;

pub fn event(common: Common, wire: &abi::Network, strings: &mut Interner) -> NetworkEvent {
    let has = |flag: u32| wire.flags & flag != 0;
    let family = i32::from(wire.family);
    let is_close = common.kind == Kind::NetClose;
    let is_listen = common.kind == Kind::Listen;
    let address = |bytes: &[u8; 16]| match family {
        libc::AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).to_string()),
        // An IPv4 peer of a dual-stack socket is the same peer.
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical().to_string()),
        _ => None,
    };
    let is_inet = family != libc::AF_UNIX;
    // A listening or unconnected socket has no peer: port 0 cannot be one.
    let has_peer = is_inet && (wire.peer_port != 0 || wire.peer_addr != [0; 16]);
    let unix_path = (wire.unix_len > 0).then(|| {
        let bytes = &wire.unix_path[..usize::from(wire.unix_len).min(abi::UNIX_PATH_MAX)];
        match bytes.split_first() {
            Some((0, name)) => format!("@{}", decode::text(name)),
            _ => decode::text(decode::until_nul(bytes)),
        }
    });
    NetworkEvent {
        family: strings.get(match family {
            libc::AF_INET => "inet",
            libc::AF_INET6 => "inet6",
            _ => "unix",
        }),
        protocol: strings.get(&protocol(is_inet, wire.protocol.into(), wire.sock_type.into())),
        local_addr: address(&wire.local_addr).map(|a| strings.get(&a)),
        local_port: is_inet.then_some(wire.local_port),
        peer_addr: has_peer.then(|| address(&wire.peer_addr)).flatten().map(|a| strings.get(&a)),
        peer_port: has_peer.then_some(wire.peer_port),
        unix_path: unix_path.map(|path| strings.get(&path)),
        ret: wire.ret,
        fd: wire.fd,
        backlog: is_listen.then_some(wire.backlog),
        inode: (wire.inode != 0).then_some(wire.inode),
        bytes_received: is_close.then_some(wire.bytes_received),
        bytes_sent: is_close.then_some(wire.bytes_sent),
        peer_from_user: has(abi::NET_ADDR_USER),
        implicit: has(abi::NET_IMPLICIT_CLOSE),
        common,
    }
}

fn protocol(is_inet: bool, protocol: i32, sock_type: i32) -> String {
    let name = match (is_inet, protocol, sock_type) {
        (true, libc::IPPROTO_TCP, _) => "tcp",
        (true, libc::IPPROTO_UDP, _) => "udp",
        (true, libc::IPPROTO_ICMP, _) => "icmp",
        (true, libc::IPPROTO_ICMPV6, _) => "icmpv6",
        (true, other, _) => return other.to_string(),
        (false, _, libc::SOCK_STREAM) => "stream",
        (false, _, libc::SOCK_DGRAM) => "dgram",
        (false, _, libc::SOCK_SEQPACKET) => "seqpacket",
        (false, _, other) => return other.to_string(),
    };
    name.to_owned()
}
