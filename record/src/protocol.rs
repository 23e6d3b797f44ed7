//! Names of IP protocols.

use std::sync::Arc;

/// As in /etc/protocols for those that matter here, else the number.
pub fn ip(protocol: u8) -> Arc<str> {
    match i32::from(protocol) {
        libc::IPPROTO_TCP => "tcp".into(),
        libc::IPPROTO_UDP => "udp".into(),
        libc::IPPROTO_ICMP => "icmp".into(),
        libc::IPPROTO_ICMPV6 => "icmpv6".into(),
        libc::IPPROTO_SCTP => "sctp".into(),
        libc::IPPROTO_GRE => "gre".into(),
        libc::IPPROTO_ESP => "esp".into(),
        other => other.to_string().into(),
    }
}
