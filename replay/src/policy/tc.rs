//! Shaping for tc(8): to each learned peer as much as a minute of it may have by the profile, to all others together as much as a
//! stranger may have. Nothing is refused: what is beyond it waits in a short queue, and is dropped where that is full.
//!
//! Each class is a bucket of HTB (tc-htb(8)) that holds the bytes of a minute and is filled at that rate, so that what
//! one minute may have can leave at once. Filters are u32 (tc-u32(8)), which the kernel asks in the order of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fmt::Write as _;

use super::account::{Account, plain};
use super::allowed::{Allowed, is_runtime};
use super::bpf;
use super::net::{self, Block, Direction, Port, Who};
use super::net_rules::{self, Dialect, Peer, Ports, To};
use super::nftables::{Addresses, NO_ADDRESS};
use super::{Format, Options, Policy};
use crate::config::Config;

pub const LIMITS: &[&str] = &[
    "nothing is refused: what is beyond a minute's bytes waits, and is dropped once 100 packets wait",
    "what comes in",
    "headers: frames are counted with them, volumes were learned without",
    "programs, files, arguments and system calls",
    "domains: any public or any private address stands for one",
    "which image has an address: --addresses tells those that its containers have",
    "protocols other than tcp, udp and sctp, further fragments, options of IPv4 and extension headers: with the strangers",
];

/// ARP, neighbour discovery, and segments of TCP under 64 bytes that only acknowledge: a minute's bytes of all of them. With 60 bytes for
/// two full segments that come in, 480 MB may come in within a minute.
const CONTROL_BYTES: u64 = 10_000_000;
const CONTROL: u16 = 1;
/// Of what belongs to no class.
pub const OTHERS: u16 = 2;
/// Of the first class of a peer.
const FIRST: u16 = 16;

/// Packets that wait in a class.
const QUEUE: u32 = 100;
/// Bytes of a bucket at most: tc(8) has 32 bits for them.
const BUCKET: u64 = 2_000_000_000;
/// Filters of a family; u32 has room for 4,095.
const MOST: usize = 4_000;

const NO_VOLUME: &str = "a peer of whom no volume was learned: the bytes that any known peer may have";
const TOO_MANY: &str = "a peer beyond the 4,000 filters of a family";

/// Who may be sent how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// A packet belongs to the first that has it.
    pub classes: Vec<Class>,
    /// Bytes of a minute to all others together.
    pub others: u64,
}

/// One peer, as the policy names it, and one port or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub to: To,
    /// The container serves the port.
    pub inwards: bool,
    /// Of several protocols.
    pub ports: BTreeSet<Ports>,
    /// Of a minute.
    pub bytes: u64,
}

/// Direction, peer and ports of a class in the making, and its protocols with the most bytes of a minute.
type Making = BTreeMap<(bool, To, u16, u16), (BTreeSet<Ports>, u64)>;

/// The most bytes of a minute, by direction, peer and port.
type Volumes = BTreeMap<(bool, Who, Port), u64>;

impl Shape {
    pub fn of(allowed: &Allowed<'_>, config: &Config, account: &mut Account) -> Shape {
        let volumes = volumes(allowed);
        let mut found = Making::new();
        for connection in allowed.over_ip() {
            let Some((to, ports)) = net_rules::target(connection, Dialect::Nftables, config, account) else { continue };
            let inwards = connection.direction != Direction::Connect;
            let most = volumes.get(&(inwards, connection.who.clone(), connection.port)).copied();
            if most.is_none() {
                account.widen(NO_VOLUME, connection);
            }
            account.expressed += 1;
            let (all, bytes) = found.entry((inwards, to, ports.from, ports.until)).or_default();
            all.insert(ports);
            *bytes += most.unwrap_or(0);
        }
        let mut classes = Vec::with_capacity(found.len());
        for ((inwards, to, ..), (ports, most)) in found {
            classes.push(Class { to, inwards, ports, bytes: config.network.volume_allowed(Some(most)) });
        }
        classes.sort_by_key(|class| std::cmp::Reverse(narrowness(&class.to)));
        Shape { classes, others: config.network.volume_allowed(None) }
    }

    /// The class of what is sent to a peer; None: it is one of the others. `inwards`: from a port that the container serves.
    pub fn class_of(&self, inwards: bool, peer: &Peer<'_>, protocol: &str, port: u16) -> Option<usize> {
        self.classes.iter().position(|class| {
            let of = |ports: &Ports| ports.protocol == protocol && (ports.from..=ports.until).contains(&port);
            class.inwards == inwards && class.ports.iter().any(of) && class.to.holds(peer)
        })
    }

    /// Bytes of a minute.
    pub fn bytes(&self, class: Option<usize>) -> u64 {
        class.and_then(|class| self.classes.get(class)).map_or(self.others, |class| class.bytes)
    }

    /// The class of a minor number of tc's; None: all others, and what is no peer's.
    pub fn class_at(&self, minor: u16) -> Option<usize> {
        minor.checked_sub(FIRST).map(usize::from).filter(|class| *class < self.classes.len())
    }

    /// Who belongs to a class, as in "to anyone, tcp 80".
    pub fn name(&self, class: Option<usize>) -> String {
        class.and_then(|class| self.classes.get(class)).map_or_else(|| "to all others".to_owned(), ToString::to_string)
    }
}

fn volumes(allowed: &Allowed<'_>) -> Volumes {
    let mut found = Volumes::new();
    for (_, peers) in allowed.sent.iter().filter(|(program, _)| !is_runtime(program)) {
        for (whom, bytes) in peers {
            if let Some(key) = whom_of(whom) {
                *found.entry(key).or_default() += bytes;
            }
        }
    }
    found
}

/// Of the text that a profile has ([`crate::observe::Sent::whom`]).
fn whom_of(text: &str) -> Option<(bool, Who, Port)> {
    if let Some((peer, port)) = text.rsplit_once(" on port ") {
        return Some((true, Who::of_step(peer), Port::Number(port.parse().ok()?)));
    }
    let (peer, port) = text.rsplit_once(':')?;
    let port = if port == "ephemeral" { Port::Ephemeral } else { Port::Number(port.parse().ok()?) };
    Some((false, Who::of_step(peer), port))
}

/// Bits that the addresses of a peer have in common, those of IPv4 as mapped to IPv6. Anyone is more than what is public.
fn narrowness(to: &To) -> u8 {
    match to {
        To::Image(_) | To::Metadata => 128,
        To::Block(block) if block.address.is_ipv4() => 96 + block.bits,
        To::Block(block) => block.bits,
        // fc00::/7
        To::Private | To::Pods => 7,
        To::Anyone => 1,
        To::Public | To::Name { .. } => 0,
    }
}

pub fn write(allowed: &Allowed<'_>, options: &Options<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let shape = Shape::of(allowed, options.config, &mut account);
    let mut classes = format!("qdisc add dev {0} root handle 1: htb default {OTHERS:x}\n", options.interface);
    let mut filters = Filters::new(&options.interface);
    class(&mut classes, &options.interface, CONTROL, CONTROL_BYTES, "ARP, neighbour discovery, acknowledgements");
    class(&mut classes, &options.interface, OTHERS, shape.others, &shape.name(None));
    for (minor, each) in (FIRST..).zip(&shape.classes) {
        class(&mut classes, &options.interface, minor, each.bytes, &each.to_string());
        filters.add(each, minor, &options.addresses, &mut account);
    }
    let header = account.header(&allowed.image, Format::Tc, &allowed.unlocked);
    Policy { text: format!("{header}{classes}{}", filters.text), account }
}

fn class(out: &mut String, interface: &str, minor: u16, bytes: u64, who: &str) {
    let (rate, bucket) = ((bytes / 60).max(1), bytes.min(BUCKET));
    let _ = writeln!(out, "# {}: {bytes} bytes of a minute", plain(who));
    // A quantum of its own, or the kernel makes one of the rate and warns of it.
    let _ = writeln!(
        out,
        "class add dev {interface} parent 1: classid 1:{minor:x} htb rate {rate}bps burst {bucket} cburst {bucket} quantum 1514"
    );
    let _ =
        writeln!(out, "qdisc add dev {interface} parent 1:{minor:x} handle {:x}: pfifo limit {QUEUE}", 0x1000 + minor);
}

/// Filters of both families, in the order in which they are asked.
struct Filters<'a> {
    interface: &'a str,
    text: String,
    /// Of IPv4, of IPv6.
    made: [usize; 2],
}

impl<'a> Filters<'a> {
    fn new(interface: &'a str) -> Filters<'a> {
        let mut filters = Filters { interface, text: String::new(), made: [0; 2] };
        let control = [
            // No options of IPv4, under 64 bytes, of the flags ACK alone.
            (0, "ip protocol 6 0xff match u8 0x05 0x0f at 0 match u16 0 0xffc0 at 2 match u8 0x10 0xff at 33"),
            (1, "ip6 protocol 6 0xff match u16 0 0xffc0 at 4 match u8 0x10 0xff at 53"),
            // Solicitations, advertisements and redirects, sent with the hop limit 255.
            (1, "ip6 protocol 58 0xff match u8 0xff 0xff at 7 match u8 0x84 0xfc at 40"),
            (1, "ip6 protocol 58 0xff match u8 0xff 0xff at 7 match u8 0x88 0xfe at 40"),
        ];
        control.into_iter().for_each(|(family, what)| filters.line(family, what, CONTROL));
        let _ = writeln!(
            filters.text,
            "filter add dev {interface} parent 1: prio 3 protocol arp u32 match u32 0 0 flowid 1:{CONTROL:x}"
        );
        filters
    }

    fn line(&mut self, family: usize, what: &str, minor: u16) {
        let (prio, protocol) = [(1, "ip"), (2, "ipv6")][family];
        let _ = writeln!(
            self.text,
            "filter add dev {} parent 1: prio {prio} protocol {protocol} u32 match {what} flowid 1:{minor:x}",
            self.interface
        );
        self.made[family] += 1;
    }

    fn add(&mut self, class: &Class, minor: u16, addresses: &Addresses, account: &mut Account) {
        let (own, except) = match &class.to {
            // Narrower than what is public, so that no exception of that comes first.
            To::Anyone => ([net::private(), net::public()].concat(), Vec::new()),
            to => bpf::blocks(to, addresses),
        };
        if own.is_empty() {
            account.leave_out(NO_ADDRESS, class);
            return;
        }
        let lines = |blocks: &[Block]| -> Vec<(usize, String)> {
            let of =
                |block: &Block| class.ports.iter().flat_map(|ports| matches(*block, ports, class.inwards)).collect();
            blocks.iter().flat_map(|block| -> Vec<_> { of(block) }).collect()
        };
        let (own, except) = (lines(&own), lines(&except));
        let of = |family| own.iter().chain(&except).filter(|(other, _)| *other == family).count();
        if (0..2).any(|family| self.made[family] + of(family) > MOST) {
            account.leave_out(TOO_MANY, class);
            return;
        }
        except.iter().for_each(|(family, what)| self.line(*family, what, OTHERS));
        own.iter().for_each(|(family, what)| self.line(*family, what, minor));
    }
}

/// What u32 compares, of what is sent to a block: family, text.
fn matches(block: Block, ports: &Ports, inwards: bool) -> Vec<(usize, String)> {
    let protocol = match ports.protocol {
        "tcp" => 6,
        "udp" => 17,
        _ => 132,
    };
    let side = if inwards { "sport" } else { "dport" };
    let one = |(value, mask): (u16, u16)| {
        let port = format!("{side} {value} {mask:#06x}");
        match block.address.is_ipv4() {
            // Ports are where they are looked for: no options, no further fragment.
            true => (
                0,
                format!(
                    "u8 0x05 0x0f at 0 match u16 0 0x1fff at 6 match ip dst {block} match ip protocol {protocol} 0xff match ip {port}"
                ),
            ),
            false => (1, format!("ip6 dst {block} match ip6 protocol {protocol} 0xff match ip6 {port}")),
        }
    };
    masks(ports.from, ports.until).into_iter().map(one).collect()
}

/// A range as values under masks, as few as there can be.
fn masks(from: u16, until: u16) -> Vec<(u16, u16)> {
    let mut found = Vec::new();
    let (mut at, end) = (u32::from(from), u32::from(until) + 1);
    while at < end {
        // The largest aligned block that begins here and does not reach beyond.
        let aligned = if at == 0 { 1 << 16 } else { at & at.wrapping_neg() };
        let mut size: u32 = aligned;
        while size > end - at {
            size /= 2;
        }
        found.push((at as u16, (0x1_0000 - size) as u16));
        at += size;
    }
    found
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to {}", self.to)?;
        for Ports { protocol, from, until } in &self.ports {
            let side = if self.inwards { "from " } else { "" };
            write!(f, ", {side}{protocol} {from}")?;
            if from != until {
                write!(f, "-{until}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::allowed::tests::entry;

    #[test]
    fn ranges_become_masks() {
        assert_eq!(masks(443, 443), [(443, 0xffff)]);
        assert_eq!(masks(0, u16::MAX), [(0, 0)]);
        assert_eq!(masks(0x8000, u16::MAX), [(0x8000, 0x8000)]);
        let (from, until) = (1_000, 50_001);
        let masks = masks(from, until);
        for port in 0..=u16::MAX {
            let times = masks.iter().filter(|(value, mask)| port & mask == *value).count();
            assert_eq!(times, usize::from((from..=until).contains(&port)), "{port}");
        }
    }

    #[test]
    fn a_class_has_what_the_profile_says_and_the_narrowest_comes_first() {
        let mut entry = entry(
            &[],
            &[],
            &[
                ["app", "connect tcp", "domain api.example public", "443"],
                ["app", "connect tcp", "image db:7", "5432"],
                ["job", "connect tcp", "image db:7", "5432"],
                ["app", "connect udp", "container network", "53"],
                ["app", "connect tcp", "container network", "53"],
                ["app", "accept tcp", "public 198.51.100.0/24", "443"],
            ],
        );
        let mut sent = |program: &str, whom: &str, bytes| {
            entry.trees.sent.entry(program.into()).or_default().insert(whom.into(), bytes);
        };
        sent("app", "image db:7:5432", 400_000);
        sent("job", "image db:7:5432", 600_000);
        sent("app", "domain api.example public:443", 5);
        sent("app", "public 198.51.100.0/24 on port 443", 2_000_000);
        sent("/runc", "container network:53", 1 << 40);
        let image: Arc<str> = "web".into();
        let config = crate::config::load(None, &["network.volume_factor=4".to_owned()]).unwrap();
        let mut account = Account::default();
        let shape = Shape::of(&Allowed::new(&image, &entry), &config, &mut account);
        let said: Vec<_> = shape.classes.iter().map(|class| (class.to_string(), class.bytes)).collect();
        let want = [
            ("to image db:7, tcp 5432", 4_000_000),
            ("to 198.51.100.0/24, from tcp 443", 8_000_000),
            ("to private addresses, tcp 53, udp 53", 1_000_000),
            ("to public addresses, tcp 443", 1_000_000),
        ];
        assert_eq!(said, want.map(|(who, bytes)| (who.to_owned(), bytes)));
        assert_eq!((shape.others, account.expressed), (20_000, 5));
        assert_eq!(account.widened[NO_VOLUME].count, 2);

        let peer = |address: &str, who| Peer { address: address.parse().unwrap(), who, domain: None };
        let known = peer("198.51.100.7", Who::of_step("public 198.51.100.0/24"));
        assert_eq!(shape.class_of(true, &known, "tcp", 443), Some(1));
        assert_eq!(shape.class_of(false, &known, "tcp", 443), Some(3));
        assert_eq!(shape.class_of(false, &known, "tcp", 80), None);
        let db = |image: &str| peer("10.1.2.3", Who::Image(image.into()));
        assert_eq!(
            (shape.class_of(false, &db("db:7"), "tcp", 5432), shape.class_of(false, &db("db:8"), "tcp", 5432)),
            (Some(0), None)
        );
        assert_eq!((shape.class_at(FIRST), shape.class_at(FIRST + 4), shape.class_at(OTHERS)), (Some(0), None, None));

        let addresses = [("db:7".into(), ["10.1.2.3".parse().unwrap()].into())].into();
        let options =
            Options { config: &config, label: String::new(), enforce: true, addresses, interface: "eth0".into() };
        let policy = write(&Allowed::new(&image, &entry), &options);
        let line = |part: &str| {
            policy.text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {}", policy.text))
        };
        assert!(line("dst 10.1.2.3/32").ends_with("match ip dport 5432 0xffff flowid 1:10"));
        assert!(line("classid 1:10").contains("rate 66666bps burst 4000000 cburst 4000000"));
        // What is private is not what is public: the exceptions come first.
        let at = |part: &str| policy.text.find(part).unwrap();
        assert!(
            at("dst 10.0.0.0/8 match ip protocol 6 0xff match ip dport 443 0xffff flowid 1:2") < at("dst 0.0.0.0/0")
        );
        assert_eq!(policy.account.left_out_items(), 0);
    }
}
