//! Network policies before they are written: who may be reached and who may come in, as each format can say it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::account::Account;
use super::allowed::Allowed;
use super::names;
use super::net::{self, Block, Connection, Direction, Port, Who};
use crate::config::Config;

/// Who a network policy is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    NetworkPolicy,
    Cilium,
    Nftables,
}

/// A peer, as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum To {
    Anyone,
    /// What is not routed on the internet.
    Private,
    /// All that is.
    Public,
    Block(Block),
    Metadata,
    /// The containers of an image.
    Image(Arc<str>),
    /// Any container.
    Pods,
    /// A domain; with `below`, names below it too.
    Name {
        name: Arc<str>,
        below: bool,
    },
}

/// A protocol with ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// tcp, udp, sctp
    pub protocol: &'static str,
    pub from: u16,
    pub until: u16,
}

/// What may be reached, and who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub egress: BTreeMap<To, BTreeSet<Ports>>,
    pub ingress: BTreeMap<To, BTreeSet<Ports>>,
}

/// The other end of a connection that is to be judged.
#[derive(Clone, Debug)]
pub struct Peer<'a> {
    pub address: IpAddr,
    /// What it is without regard to names.
    pub who: Who,
    /// The domain it was asked for under.
    pub domain: Option<&'a str>,
}

const PROTOCOL: &str = "a protocol other than tcp, udp and sctp";
const NO_PORT: &str = "no port";
const NO_PEER: &str = "a peer that is no address, no image and no domain";
const NO_DOMAIN: &str = "a name that is no domain";
const ANY_PUBLIC: &str = "a domain: any public address stands for it";
const ANY_PRIVATE: &str = "a domain or a network of containers: any private address stands for it";
const ANY_POD: &str = "a network of containers: any pod of the cluster stands for it";
const ANYONE: &str = "a UDP port that was served: who sent to it is not learned, anyone may";
const BELOW: &str = "a domain of which only the last labels were learned: all names below it";

pub fn rules(allowed: &Allowed<'_>, dialect: Dialect, config: &Config, account: &mut Account) -> Rules {
    let mut rules = Rules::default();
    for connection in allowed.over_ip() {
        let Some((to, ports)) = target(connection, dialect, config, account) else { continue };
        account.expressed += 1;
        let side = match connection.direction {
            Direction::Connect => &mut rules.egress,
            Direction::Accept | Direction::Bind | Direction::Listen => &mut rules.ingress,
        };
        side.entry(to).or_default().insert(ports);
    }
    rules
}

/// A connection as a dialect says it; what is said wider, or cannot be said, goes into the account.
pub(super) fn target(
    connection: &Connection,
    dialect: Dialect,
    config: &Config,
    account: &mut Account,
) -> Option<(To, Ports)> {
    let protocol = match &*connection.protocol {
        "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => {
            account.leave_out(PROTOCOL, connection);
            return None;
        }
    };
    let (from, until) = match connection.port {
        Port::Number(port) => (port, port),
        Port::Ephemeral => (config.network.ephemeral_from, u16::MAX),
        Port::None => {
            account.leave_out(NO_PORT, connection);
            return None;
        }
    };
    let served = connection.direction == Direction::Bind;
    let to = match (&connection.who, dialect) {
        (Who::Own, _) if served => {
            account.widen(ANYONE, connection);
            To::Anyone
        }
        (Who::Image(image), _) => To::Image(Arc::clone(image)),
        (Who::Block(block), _) => To::Block(*block),
        (Who::Metadata, _) => To::Metadata,
        (Who::Domain { name, .. }, Dialect::Cilium) => {
            if !names::is_domain(name) {
                account.leave_out(NO_DOMAIN, connection);
                return None;
            }
            let below = config.network.domain_labels > 0;
            if below {
                account.widen(BELOW, connection);
            }
            To::Name { name: Arc::clone(name), below }
        }
        (Who::Domain { public: true, .. }, _) => {
            account.widen(ANY_PUBLIC, connection);
            To::Public
        }
        (Who::ContainerNetwork, Dialect::NetworkPolicy | Dialect::Cilium) => {
            account.widen(ANY_POD, connection);
            To::Pods
        }
        (Who::Domain { public: false, .. } | Who::ContainerNetwork, _) => {
            account.widen(ANY_PRIVATE, connection);
            To::Private
        }
        (Who::Own | Who::Loopback | Who::Socket(_) | Who::Unknown(_), _) => {
            account.leave_out(NO_PEER, connection);
            return None;
        }
    };
    Some((to, Ports { protocol, from, until }))
}

impl Peer<'_> {
    /// For people: by its domain, where it was asked for.
    pub fn named(&self) -> String {
        self.domain.map_or_else(|| self.who.to_string(), |domain| format!("domain {domain}"))
    }
}

impl To {
    pub(super) fn holds(&self, peer: &Peer<'_>) -> bool {
        let private = || net::private().iter().any(|block| block.contains(peer.address));
        match self {
            To::Anyone => true,
            To::Private => private(),
            To::Public => !private() && net::public().iter().any(|block| block.contains(peer.address)),
            To::Block(block) => block.contains(peer.address),
            To::Metadata => net::metadata().iter().any(|block| block.contains(peer.address)),
            To::Image(image) => matches!(&peer.who, Who::Image(other) if other == image),
            To::Pods => matches!(peer.who, Who::Image(_) | Who::ContainerNetwork),
            To::Name { name, below } => peer.domain.is_some_and(|domain| {
                domain == &**name || (*below && domain.strip_suffix(&**name).is_some_and(|rest| rest.ends_with('.')))
            }),
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            To::Anyone => f.write_str("anyone"),
            To::Private => f.write_str("private addresses"),
            To::Public => f.write_str("public addresses"),
            To::Block(block) => write!(f, "{block}"),
            To::Metadata => f.write_str("the metadata service"),
            To::Image(image) => write!(f, "image {image}"),
            To::Pods => f.write_str("any pod"),
            To::Name { name, below: false } => f.write_str(name),
            To::Name { name, below: true } => write!(f, "{name} and below"),
        }
    }
}

impl Rules {
    pub fn allows(&self, inwards: bool, peer: &Peer<'_>, protocol: &str, port: u16) -> bool {
        let side = if inwards { &self.ingress } else { &self.egress };
        side.iter().any(|(to, ports)| {
            let of = |ports: &Ports| ports.protocol == protocol && (ports.from..=ports.until).contains(&port);
            ports.iter().any(of) && to.holds(peer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;

    #[test]
    fn each_dialect_says_of_a_domain_what_it_can() {
        let entry = entry(
            &[],
            &[],
            &[
                ["app", "connect tcp", "domain api.example public", "443"],
                ["app", "connect tcp", "domain evil\"; accept public", "443"],
                ["app", "connect tcp", "image redis:7", "6379"],
                ["app", "accept tcp", "container network", "80"],
                ["app", "bind udp", "any", "514"],
                ["app", "connect icmp", "public 203.0.113.0/24", "(unknown)"],
            ],
        );
        let image: Arc<str> = "web".into();
        let allowed = Allowed::new(&image, &entry);
        let config = crate::config::load(None, &[]).unwrap();
        let peer = |address: &str, who, domain| Peer { address: address.parse().unwrap(), who, domain };
        let public = |domain| peer("198.51.100.7", Who::of_step("public 198.51.100.0/24"), domain);

        let mut account = Account::default();
        let cilium = rules(&allowed, Dialect::Cilium, &config, &mut account);
        assert!(cilium.allows(false, &public(Some("api.example")), "tcp", 443));
        assert!(!cilium.allows(false, &public(Some("evil.example")), "tcp", 443));
        assert!(!cilium.allows(false, &public(None), "tcp", 443));
        assert_eq!((account.left_out[NO_DOMAIN].count, account.left_out[PROTOCOL].count), (1, 1));

        let mut account = Account::default();
        let nft = rules(&allowed, Dialect::Nftables, &config, &mut account);
        assert!(nft.allows(false, &public(None), "tcp", 443) && !nft.allows(false, &public(None), "tcp", 80));
        let inside = |who| peer("10.89.0.7", who, None);
        assert!(!nft.allows(false, &inside(Who::ContainerNetwork), "tcp", 443));
        assert!(nft.allows(false, &inside(Who::Image("redis:7".into())), "tcp", 6379));
        assert!(!nft.allows(false, &inside(Who::Image("redis:8".into())), "tcp", 6379));
        assert!(nft.allows(true, &inside(Who::ContainerNetwork), "tcp", 80));
        assert!(nft.allows(true, &public(None), "udp", 514) && !nft.allows(true, &public(None), "tcp", 80));
        assert_eq!(account.widened_items(), 4);
    }
}
