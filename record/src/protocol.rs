//! Names of IP protocols, the same in every class.

use std::sync::Arc;

/// As in /etc/protocols, those that matter here.
pub const IP: &[(i32, &str)] = &[
    (libc::IPPROTO_IP, "ip"),
    (libc::IPPROTO_ICMP, "icmp"),
    (libc::IPPROTO_TCP, "tcp"),
    (libc::IPPROTO_UDP, "udp"),
    (libc::IPPROTO_GRE, "gre"),
    (libc::IPPROTO_ESP, "esp"),
    (libc::IPPROTO_ICMPV6, "icmpv6"),
    (libc::IPPROTO_SCTP, "sctp"),
    (libc::IPPROTO_UDPLITE, "udplite"),
    (libc::IPPROTO_RAW, "raw"),
    (libc::IPPROTO_MPTCP, "mptcp"),
];

/// The name, or the number where it has none.
pub fn ip(protocol: u8) -> Arc<str> {
    let named = IP.iter().find(|(known, _)| *known == i32::from(protocol));
    named.map_or_else(|| protocol.to_string().into(), |(_, name)| (*name).into())
}
