//! Classes of destinations. The class is never masked: it is what tells a cache lookup from an exfiltration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressClass {
    /// This network namespace itself.
    Loopback,
    /// RFC 1918, RFC 4193, RFC 6598, link-local: not routed on the internet.
    Private,
    /// The cloud's metadata service: link-local by its address, the way to credentials by what it answers.
    Metadata,
    /// 0.0.0.0 and ::, multicast, broadcast.
    Special,
    Public,
}

/// Where AWS, Azure, Google Cloud, OpenStack and others serve instance metadata.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The same of AWS over IPv6, fd00:ec2::254.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

impl AddressClass {
    pub const fn name(self) -> &'static str {
        match self {
            AddressClass::Loopback => "loopback",
            AddressClass::Private => "private",
            AddressClass::Metadata => "metadata",
            AddressClass::Special => "any",
            AddressClass::Public => "public",
        }
    }

    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| Self::of_v6(v6), Self::of_v4),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, ..] = address.octets();
        if address == METADATA_V4 {
            AddressClass::Metadata
        } else if address.is_loopback() {
            AddressClass::Loopback
        } else if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
            AddressClass::Special
        } else if address.is_private() || address.is_link_local() || (a == 100 && (64..128).contains(&b)) {
            AddressClass::Private
        } else {
            AddressClass::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address == METADATA_V6 {
            AddressClass::Metadata
        } else if address.is_loopback() {
            AddressClass::Loopback
        } else if address.is_unspecified() || address.is_multicast() {
            AddressClass::Special
        } else if address.is_unique_local() || address.is_unicast_link_local() {
            AddressClass::Private
        } else {
            AddressClass::Public
        }
    }
}

/// `203.0.113.7` → `<ip:public>`; an address may be in brackets and may have a prefix length, which is kept.
pub fn mask_address(text: &str) -> Option<String> {
    let (host, suffix) = match text.rsplit_once('/') {
        Some((host, bits)) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
            (host, &text[host.len()..])
        }
        _ => (text, ""),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let address: IpAddr = bare.parse().ok()?;
    Some(format!("<ip:{}>{suffix}", AddressClass::of(address).name()))
}

/// `host:port` or `[v6]:port`, split; the port must be a number from 1 to 65535.
pub fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    let plain = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
    plain.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_class() {
        for (text, masked) in [
            ("127.0.0.1", "<ip:loopback>"),
            ("::1", "<ip:loopback>"),
            ("[::1]", "<ip:loopback>"),
            ("10.89.0.3", "<ip:private>"),
            ("100.64.1.1", "<ip:private>"),
            ("169.254.1.1", "<ip:private>"),
            ("169.254.169.254", "<ip:metadata>"),
            ("fd00:ec2::254", "<ip:metadata>"),
            ("fd00::5", "<ip:private>"),
            ("192.168.0.0/16", "<ip:private>/16"),
            ("::ffff:8.8.8.8", "<ip:public>"),
            ("203.0.113.7", "<ip:public>"),
            ("2606:4700::1", "<ip:public>"),
            ("0.0.0.0", "<ip:any>"),
            ("224.0.0.1", "<ip:any>"),
        ] {
            assert_eq!(mask_address(text).as_deref(), Some(masked), "{text}");
        }
        for text in ["", "redis", "1.2.3", "10.0.0.256", "/24", "[]"] {
            assert_eq!(mask_address(text), None, "{text}");
        }
    }

    #[test]
    fn ports_split_off_hosts_only() {
        assert_eq!(split_port("redis:6379"), Some(("redis", 6379)));
        assert_eq!(split_port("[::1]:80"), Some(("[::1]", 80)));
        assert_eq!(split_port("fd00::5"), None);
        assert_eq!(split_port("redis:"), None);
        assert_eq!(split_port("redis:99999"), None);
        assert_eq!(split_port(":80"), None);
    }
}
