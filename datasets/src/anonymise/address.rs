//! Pseudonyms of IP addresses that keep prefixes: two addresses that share their first bits still share exactly these (Xu, Fan,
//! Ammar and Moon 2002, Crypto-PAn), and an address stays of the kind it is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::key::Key;

/// A range with a meaning of its own: its first address and the bits that all of it share.
struct Range<T> {
    net: T,
    bits: u32,
    /// Its addresses are the same everywhere, and are kept; else only what is in it stays in it.
    kept: bool,
}

const fn v4(a: u8, b: u8, bits: u32, kept: bool) -> Range<u32> {
    Range { net: u32::from_be_bytes([a, b, 0, 0]), bits, kept }
}

const V4: [Range<u32>; 9] = [
    v4(0, 0, 8, true),
    v4(10, 0, 8, false),
    v4(100, 64, 10, false),
    v4(127, 0, 8, true),
    v4(169, 254, 16, true),
    v4(172, 16, 12, false),
    v4(192, 168, 16, false),
    v4(224, 0, 4, true),
    v4(240, 0, 4, true),
];

const V6: [Range<u128>; 5] = [
    // Unspecified and loopback.
    Range { net: 0, bits: 96, kept: true },
    // IPv4 in IPv6 form, which is mapped as IPv4.
    Range { net: 0xffff << 32, bits: 96, kept: true },
    // Unique local.
    Range { net: 0xfc << 120, bits: 7, kept: false },
    // Link-local.
    Range { net: 0xfe80 << 112, bits: 10, kept: true },
    // Multicast.
    Range { net: 0xff << 120, bits: 8, kept: true },
];

/// Mapped addresses, each made once.
#[derive(Default)]
pub(super) struct Addresses {
    known: HashMap<IpAddr, IpAddr>,
}

impl Addresses {
    pub(super) fn map(&mut self, key: &Key, address: IpAddr) -> IpAddr {
        *self.known.entry(address).or_insert_with(|| match address {
            IpAddr::V4(address) => one_v4(key, address).into(),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(inside) => one_v4(key, inside).to_ipv6_mapped().into(),
                None => one_v6(key, address).into(),
            },
        })
    }
}

fn one_v4(key: &Key, address: Ipv4Addr) -> Ipv4Addr {
    let ranges: Vec<Range<u128>> =
        V4.iter().map(|range| Range { net: u128::from(range.net), bits: range.bits, kept: range.kept }).collect();
    // 32 bits went in.
    Ipv4Addr::from(flip(key, "ip4", address.to_bits().into(), 32, &ranges) as u32)
}

fn one_v6(key: &Key, address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(flip(key, "ip6", address.to_bits(), 128, &V6))
}

/// Flips each bit or not by what the bits before it are. A bit that decides whether the address is in a range stays.
fn flip(key: &Key, domain: &str, address: u128, width: u32, ranges: &[Range<u128>]) -> u128 {
    // The first `bits` of it, as a number.
    let head = |value: u128, bits: u32| if bits == 0 { 0 } else { value >> (width - bits) };
    if ranges.iter().any(|range| range.kept && head(address, range.bits) == head(range.net, range.bits)) {
        return address;
    }
    let mut mapped = address;
    for bit in 0..width {
        let before = head(address, bit);
        if ranges.iter().any(|range| bit < range.bits && head(range.net, bit) == before) {
            continue;
        }
        let mac = key.mac(&[domain.as_bytes(), &bit.to_be_bytes(), &before.to_be_bytes()]);
        mapped ^= u128::from(mac[0] & 1) << (width - 1 - bit);
    }
    mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> IpAddr {
        Addresses::default().map(&Key::from_seed("test"), text.parse().unwrap())
    }

    #[test]
    fn what_is_the_same_everywhere_is_kept() {
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::fb",
        ] {
            assert_eq!(map(text), text.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn an_address_stays_of_its_kind() {
        let private = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        };
        for text in ["10.1.2.3", "172.20.0.9", "192.168.7.7", "fd00:1::9"] {
            assert!(private(&map(text)) && map(text) != text.parse::<IpAddr>().unwrap(), "{text}: {}", map(text));
        }
        for i in 0..=255_u8 {
            for ip in [format!("{i}.77.3.9"), format!("203.{i}.113.7"), format!("172.{i}.1.1"), format!("100.{i}.1.1")]
            {
                let (ip, mapped): (Ipv4Addr, IpAddr) = (ip.parse().unwrap(), map(&ip));
                let IpAddr::V4(mapped) = mapped else { panic!("{ip} became {mapped}") };
                let kind = |ip: Ipv4Addr| {
                    let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
                    (ip.is_private(), ip.is_loopback(), ip.is_multicast(), ip.octets()[0] >= 240, shared)
                };
                assert_eq!(kind(ip), kind(mapped), "{ip} became {mapped}");
            }
        }
        let public = map("2001:db8::1");
        assert!(!private(&public) && !public.is_loopback() && !public.is_multicast(), "{public}");
    }

    #[test]
    fn prefixes_are_kept_exactly_and_no_two_addresses_become_one() {
        let bits = |text: &str| match map(text) {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => panic!("{ip}"),
        };
        let shared = |a: u32, b: u32| (a ^ b).leading_zeros();
        for (a, b, expected) in
            [("203.0.113.7", "203.0.113.6", 31), ("203.0.113.7", "203.0.112.7", 23), ("10.0.0.1", "10.128.0.1", 8)]
        {
            assert_eq!(shared(bits(a), bits(b)), expected, "{a} and {b}");
        }
        let mut all: Vec<u32> = (0..=255_u8).map(|i| bits(&format!("198.51.100.{i}"))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 256);
    }

    #[test]
    fn v4_in_v6_form_is_mapped_as_v4() {
        let (IpAddr::V4(plain), IpAddr::V6(mapped)) = (map("203.0.113.7"), map("::ffff:203.0.113.7")) else {
            panic!("families changed")
        };
        assert_eq!(mapped.to_ipv4_mapped(), Some(plain));
    }
}
