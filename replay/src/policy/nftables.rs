//! An nftables ruleset for the network namespace of a container: what was learned is let out and in, the rest is refused and
//! counted, and remembered by peer. Containers of an image are a set of addresses, which can be changed while the rules are in use.
//! The file replaces the rules that are there in one transaction, and leaves what had been counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::account::{Account, plain};
use super::allowed::Allowed;
use super::names;
use super::net::{self, Block};
use super::net_rules::{Dialect, Ports, Rules, To, rules};
use super::{Format, Options, Policy};

pub const LIMITS: &[&str] = &[
    "programs, files, arguments and system calls",
    "domains: any public or any private address stands for one",
    "which image has an address: containers of an image are a set, filled by --addresses or by hand (nft add element)",
    "protocols other than tcp, udp and sctp: refused, but for IPv6 neighbour discovery and answers",
];

/// Addresses by image.
pub type Addresses = BTreeMap<Arc<str>, BTreeSet<IpAddr>>;

/// Sets of what was refused: peer, protocol and the service's port, with the packets; by hook and family.
pub const REFUSED: [&str; 4] = ["refused_in4", "refused_in6", "refused_out4", "refused_out6"];

/// Counters of packets that were refused: those that came in, and those that were to go out.
pub const COUNTERS: [&str; 2] = ["refused_in", "refused_out"];

/// How long they remember it from its first packet on, s.
pub const REMEMBERED: u64 = 86_400;

pub(super) const NO_ADDRESS: &str = "an image of which no address is known: its set is empty";

pub fn write(allowed: &Allowed<'_>, options: &Options<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let rules = rules(allowed, Dialect::Nftables, options.config, &mut account);
    let table = table(&allowed.image);
    let Sets { emptied, filled } = sets(&table, &rules, &options.addresses, &mut account);
    // The table is not made anew: its counters, and its memory of who was refused, stay.
    let mut body =
        format!("add table inet {table}\nflush table inet {table}\n{emptied}table inet {table} {{\n{filled}");
    COUNTERS.iter().for_each(|name| body.push_str(&format!("\tcounter {name} {{\n\t}}\n")));
    REFUSED.iter().for_each(|name| body.push_str(&memory(name)));
    body.push_str(&chain("input", "iifname", &rules.ingress, "saddr", "counter name refused_in"));
    let last = "counter name refused_out reject with icmpx admin-prohibited";
    body.push_str(&chain("output", "oifname", &rules.egress, "daddr", last));
    body.push_str("}\n");
    let header = account.header(&allowed.image, Format::Nftables, &allowed.unlocked);
    Policy { text: format!("{header}{body}"), account }
}

/// The name of an image's table, of the family inet.
pub fn table(image: &str) -> String {
    names::identifier(&format!("retroscope_{}", names::short(image)))
}

/// A set that is filled by the packets that are refused.
fn memory(name: &str) -> String {
    let kind = if name.ends_with('4') { "ipv4_addr" } else { "ipv6_addr" };
    format!(
        "\tset {name} {{\n\t\ttype {kind} . inet_proto . inet_service\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\
         \t\ttimeout {REMEMBERED}s\n\t}}\n"
    )
}

/// The name of an image's set of addresses of one family, 4 or 6.
fn set_name(image: &str, family: u8) -> String {
    names::identifier(&format!("v{family}_{}", names::dns(image)))
}

/// Whether a set is one of an image's addresses.
pub fn is_addresses(set: &str) -> bool {
    set.starts_with("v4_") || set.starts_with("v6_")
}

/// Statements that empty the sets of addresses, which are made where they are not there yet, and the sets themselves.
#[derive(Default)]
struct Sets {
    emptied: String,
    filled: String,
}

fn sets(table: &str, rules: &Rules, addresses: &Addresses, account: &mut Account) -> Sets {
    let images = rules.egress.keys().chain(rules.ingress.keys()).filter_map(|to| match to {
        To::Image(image) => Some(image),
        _ => None,
    });
    let mut sets = Sets::default();
    for image in images.collect::<BTreeSet<_>>() {
        let known = addresses.get(image);
        if known.is_none_or(BTreeSet::is_empty) {
            account.leave_out(NO_ADDRESS, image);
        }
        for (family, kind) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
            let own = known.into_iter().flatten().filter(|address| address.is_ipv4() == (family == 4));
            let elements: Vec<String> = own.map(ToString::to_string).collect();
            let name = set_name(image, family);
            sets.emptied
                .push_str(&format!("add set inet {table} {name} {{ type {kind}; }}\nflush set inet {table} {name}\n"));
            let out = &mut sets.filled;
            out.push_str(&format!("\t# image {}\n\tset {name} {{\n\t\ttype {kind}\n", plain(image)));
            if !elements.is_empty() {
                out.push_str(&format!("\t\telements = {{ {} }}\n", elements.join(", ")));
            }
            out.push_str("\t}\n");
        }
    }
    sets
}

/// `side`: saddr or daddr. `last`: what becomes of the rest.
fn chain(hook: &str, interface: &str, rules: &BTreeMap<To, BTreeSet<Ports>>, side: &str, last: &str) -> String {
    let mut out = format!("\tchain {hook} {{\n\t\ttype filter hook {hook} priority 0; policy drop;\n");
    out.push_str(&format!("\t\t{interface} \"lo\" accept\n\t\tct state established,related accept\n"));
    // Without these an address of IPv6 reaches nobody.
    let discovery = "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert";
    out.push_str(&format!("\t\ticmpv6 type {{ {discovery} }} accept\n"));
    for (to, ports) in rules {
        for peer in peers(to, side) {
            for port in ports {
                let range = if port.from == port.until {
                    port.from.to_string()
                } else {
                    format!("{}-{}", port.from, port.until)
                };
                out.push_str(&format!("\t\t{peer}{} dport {range} accept\n", port.protocol));
            }
        }
    }
    for (family, word) in [('4', "ip"), ('6', "ip6")] {
        let name = format!("refused_{}{family}", hook.trim_end_matches("put"));
        out.push_str(&format!(
            "\t\tmeta l4proto {{ tcp, udp, sctp }} add @{name} {{ {word} {side} . meta l4proto . th dport counter }}\n"
        ));
    }
    out.push_str(&format!("\t\t{last}\n\t}}\n"));
    out
}

/// Matches, one for each family, with a space behind.
fn peers(to: &To, side: &str) -> Vec<String> {
    let of = |blocks: &[Block], v4: bool, not: &str| {
        let own = blocks.iter().filter(|block| block.address.is_ipv4() == v4);
        let texts: Vec<String> = own.map(ToString::to_string).collect();
        let word = if v4 { "ip" } else { "ip6" };
        (!texts.is_empty()).then(|| format!("{word} {side} {not}{{ {} }} ", texts.join(", ")))
    };
    let both = |blocks: &[Block], not| [true, false].into_iter().filter_map(|v4| of(blocks, v4, not)).collect();
    match to {
        To::Anyone => vec![String::new()],
        // Any container is known here by its address alone.
        To::Private | To::Pods => both(&net::private(), ""),
        To::Public => both(&net::private(), "!= "),
        To::Block(block) => both(&[*block], ""),
        To::Metadata => both(&net::metadata(), ""),
        To::Image(image) => {
            vec![format!("ip {side} @{} ", set_name(image, 4)), format!("ip6 {side} @{} ", set_name(image, 6))]
        }
        // No rule of this dialect has a name.
        To::Name { .. } => Vec::new(),
    }
}
