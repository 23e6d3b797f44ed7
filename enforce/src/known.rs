//! A policy as the entries of a trie of prefixes, where the longest one decides (`struct known_key` in `known.h`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::policy::{Block, Policy, Rule};

/// Different ranges of ports that a policy may have. The exporter writes one, that of ephemeral ports.
pub const RANGES: usize = 4;

// As in known.h.
const SENDS: u8 = 0;
const ANSWERS: u8 = 1;
const RANGE: u8 = 2;
const RANGE_ITSELF: u8 = 4;
/// Bits of a key before the address: what it is about, protocol, port.
const BEFORE: u32 = 32;

pub const KEY: usize = 24;
pub const VALUE: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: [u8; KEY],
    pub value: [u8; VALUE],
}

/// A block, IPv4 as `::ffff:a.b.c.d`. A block of IPv6 holds none of IPv4, whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Net {
    address: u128,
    bits: u8,
    v4: bool,
}

/// The peers of a rule, and those of them that it excepts.
type Nets = (Vec<Net>, Vec<Net>);

/// All of IPv4 as it lies in IPv6.
const MAPPED: Net = Net { address: 0xffff << 32, bits: 96, v4: true };

impl Net {
    fn of(block: &Block) -> Net {
        let (address, bits) = match block.address {
            IpAddr::V4(address) => (address.to_ipv6_mapped().to_bits(), block.bits + MAPPED.bits),
            IpAddr::V6(address) => (address.to_bits(), block.bits),
        };
        let v4 = bits >= MAPPED.bits && masked(address, MAPPED.bits) == MAPPED.address;
        Net { address: masked(address, bits), bits, v4 }
    }

    fn holds(&self, other: &Net) -> bool {
        self.v4 == other.v4 && self.bits <= other.bits && masked(other.address, self.bits) == self.address
    }
}

fn masked(address: u128, bits: u8) -> u128 {
    address & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// # Errors
/// What of the policy cannot be said.
pub fn entries(policy: &Policy) -> Result<Vec<Entry>, String> {
    let all = || policy.egress.iter().chain(&policy.ingress);
    if let Some(rule) = all().find(|rule| rule.from > rule.until) {
        return Err(format!("ports {} to {} are none", rule.from, rule.until));
    }
    let ranges: BTreeSet<(u16, u16)> =
        all().filter(|rule| rule.from < rule.until).map(|rule| (rule.from, rule.until)).collect();
    if ranges.len() > RANGES {
        return Err(format!("{} different ranges of ports; {RANGES} can be told apart", ranges.len()));
    }
    let mut groups: BTreeMap<(u8, u8, u16), Vec<Nets>> = BTreeMap::new();
    for (about, rules) in [(SENDS, &policy.egress), (ANSWERS, &policy.ingress)] {
        for rule in rules {
            let range = (0_u16..).zip(&ranges).find(|(_, range)| **range == (rule.from, rule.until));
            let (about, port) = range.map_or((about, rule.from), |(number, _)| (about | RANGE, number));
            groups.entry((about, rule.protocol.number(), port)).or_default().push(nets(rule));
        }
    }
    let mut entries: Vec<Entry> = (0_u16..)
        .zip(&ranges)
        .map(|(number, range)| Entry { key: key(RANGE_ITSELF, 0, number, None), value: value(*range, false) })
        .collect();
    for ((about, protocol, port), rules) in groups {
        let nets: BTreeSet<Net> =
            rules.iter().flat_map(|(peers, except)| peers.iter().chain(except)).copied().chain([MAPPED]).collect();
        for net in nets {
            // No block of the group has its border within this one, but for those that have an entry of their own: so a rule
            // is about all of what is left of it, or nothing.
            let allowed = rules.iter().any(|(peers, except)| {
                peers.iter().any(|peer| peer.holds(&net)) && !except.iter().any(|but| but.holds(&net))
            });
            entries.push(Entry { key: key(about, protocol, port, Some(net)), value: value((0, 0), allowed) });
        }
    }
    Ok(entries)
}

fn nets(rule: &Rule) -> Nets {
    let of = |blocks: &[Block]| blocks.iter().map(Net::of).collect();
    (of(&rule.peers), of(&rule.except))
}

/// `net`: None for what is about no address, all of whose bits count.
fn key(about: u8, protocol: u8, port: u16, net: Option<Net>) -> [u8; KEY] {
    let (address, bits) = net.map_or((0, 128), |net| (net.address, net.bits));
    let mut key = [0; KEY];
    key[..4].copy_from_slice(&(BEFORE + u32::from(bits)).to_ne_bytes());
    key[4] = about;
    key[5] = protocol;
    key[6..8].copy_from_slice(&port.to_ne_bytes());
    key[8..].copy_from_slice(&address.to_be_bytes());
    key
}

fn value((from, until): (u16, u16), allowed: bool) -> [u8; VALUE] {
    let mut value = [0; VALUE];
    value[..2].copy_from_slice(&from.to_ne_bytes());
    value[2..4].copy_from_slice(&until.to_ne_bytes());
    value[4] = allowed.into();
    value
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(egress: &Value, ingress: &Value) -> Policy {
        let none = json!({ "exact": [], "prefixes": [] });
        let policy = json!({ "version": 1, "image": "app:1", "not_locked": [], "programs": none, "reads": none,
            "writes": none, "egress": egress, "ingress": ingress });
        serde_json::from_value(policy).unwrap()
    }

    fn rule(peers: &[&str], except: &[&str], from: u16, until: u16) -> Value {
        json!({ "peers": peers, "except": except, "protocol": "tcp", "from": from, "until": until })
    }

    /// As the kernel looks it up.
    fn allowed(entries: &[Entry], about: u8, port: u16, peer: &str) -> bool {
        let peer = Net::of(&Block::parse(&format!("{peer}/{}", if peer.contains(':') { 128 } else { 32 })).unwrap());
        let longest = |about, port: u16| {
            let of = |entry: &&Entry| {
                let bits = u32::from_ne_bytes(entry.key[..4].try_into().unwrap()) - BEFORE;
                let own = u128::from_be_bytes(entry.key[8..].try_into().unwrap());
                let before = key(about, 6, port, None);
                entry.key[4..8] == before[4..8] && masked(peer.address, bits as u8) == own
            };
            let found =
                entries.iter().filter(of).max_by_key(|entry| u32::from_ne_bytes(entry.key[..4].try_into().unwrap()));
            found.is_some_and(|entry| entry.value[4] == 1)
        };
        let ranges = entries.iter().filter(|entry| entry.key[4] == RANGE_ITSELF);
        let mut ranges = ranges.map(|entry| {
            let number = |bytes: &[u8]| u16::from_ne_bytes(bytes.try_into().unwrap());
            (number(&entry.key[6..8]), number(&entry.value[..2])..=number(&entry.value[2..4]))
        });
        longest(about, port) || ranges.any(|(number, range)| range.contains(&port) && longest(about | RANGE, number))
    }

    #[test]
    fn the_longest_block_says_what_the_rules_say() {
        let rules = json!([
            rule(&["0.0.0.0/0", "::/0"], &["10.0.0.0/8", "fc00::/7"], 443, 443),
            rule(&["10.9.0.0/16"], &[], 443, 443),
            rule(&["192.168.0.0/16"], &[], 32768, 65535),
            rule(&["::/0"], &[], 53, 53),
            rule(&["10.0.0.7/8"], &[], 80, 80),
        ]);
        let entries = entries(&policy(&rules, &json!([rule(&["172.16.0.1/32"], &[], 8080, 8080)]))).unwrap();
        for (port, peer, want) in [
            (443, "93.184.216.34", true),
            (443, "10.1.2.3", false),
            (443, "10.9.2.3", true),
            (443, "2001:db8::1", true),
            (443, "fd00::1", false),
            (40000, "192.168.1.1", true),
            (32767, "192.168.1.1", false),
            (40000, "10.9.0.1", false),
            (53, "2001:db8::1", true),
            (53, "93.184.216.34", false),
            (80, "10.255.0.1", true),
            (22, "10.9.0.1", false),
        ] {
            assert_eq!(allowed(&entries, SENDS, port, peer), want, "{peer} {port}");
        }
        assert!(allowed(&entries, ANSWERS, 8080, "172.16.0.1") && !allowed(&entries, ANSWERS, 8080, "172.16.0.2"));
        assert!(!allowed(&entries, SENDS, 8080, "172.16.0.1"));
    }

    #[test]
    fn what_one_rule_excepts_another_may_allow() {
        let rules = json!([
            rule(&["0.0.0.0/0"], &["10.0.0.0/8"], 443, 443),
            rule(&["8.0.0.0/6"], &["10.1.0.0/16"], 443, 443),
            rule(&["10.1.2.0/24"], &[], 1, 65535),
        ]);
        let entries = entries(&policy(&rules, &json!([]))).unwrap();
        assert!(allowed(&entries, SENDS, 443, "10.2.0.1"));
        assert!(!allowed(&entries, SENDS, 443, "10.1.0.1"));
        assert!(allowed(&entries, SENDS, 443, "10.1.2.1"));
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        let many: Vec<Value> = (0..5).map(|n| rule(&["10.0.0.0/8"], &[], n, 65535)).collect();
        assert_eq!(
            entries(&policy(&json!(many), &json!([]))).unwrap_err(),
            "5 different ranges of ports; 4 can be told apart"
        );
        let none = json!([rule(&["10.0.0.0/8"], &[], 9, 8)]);
        assert_eq!(entries(&policy(&json!([]), &none)).unwrap_err(), "ports 9 to 8 are none");
        assert!(entries(&policy(&json!([]), &json!([]))).unwrap().is_empty());
    }
}
