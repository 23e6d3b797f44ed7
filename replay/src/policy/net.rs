//! What of the network a profile holds: connections as items, and addresses in blocks.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The direction that a step of the network tree begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Connect,
    Accept,
    Listen,
    Bind,
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    Image(Arc<str>),
    Domain {
        name: Arc<str>,
        public: bool,
    },
    Block(Block),
    /// A private address in the prefix of a known container.
    ContainerNetwork,
    Loopback,
    Metadata,
    /// Of one's own end: any address, or one's own.
    Own,
    /// A unix socket.
    Socket(Arc<str>),
    Unknown(Arc<str>),
}

/// Ports of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    Number(u16),
    /// From `network.ephemeral_from` on.
    Ephemeral,
    None,
}

/// One leaf of the network tree, without the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    pub direction: Direction,
    /// tcp, udp, icmp, unix, ...
    pub protocol: Arc<str>,
    pub who: Who,
    pub port: Port,
}

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    pub address: IpAddr,
    pub bits: u8,
}

impl Connection {
    /// Of the steps below the program: direction and protocol, peer, port.
    pub fn of_steps(steps: &[Arc<str>]) -> Option<Connection> {
        let [how, peer, port] = steps else { return None };
        let (direction, protocol) = how.split_once(' ')?;
        let direction = match direction {
            "connect" => Direction::Connect,
            "accept" => Direction::Accept,
            "listen" => Direction::Listen,
            "bind" => Direction::Bind,
            _ => return None,
        };
        let port = match &**port {
            "ephemeral" => Port::Ephemeral,
            number => number.parse().map_or(Port::None, Port::Number),
        };
        Some(Connection { direction, protocol: protocol.into(), who: Who::of_step(peer), port })
    }
}

impl Who {
    pub fn of_step(step: &str) -> Who {
        let unknown = || Who::Unknown(step.into());
        match step {
            "loopback" => return Who::Loopback,
            "metadata" => return Who::Metadata,
            "container network" => return Who::ContainerNetwork,
            "any" | "own address" => return Who::Own,
            _ => {}
        }
        let Some((kind, rest)) = step.split_once(' ') else { return unknown() };
        match kind {
            "image" => Who::Image(rest.into()),
            "socket" => Who::Socket(rest.into()),
            "domain" => match rest.rsplit_once(' ') {
                Some((name, class @ ("public" | "private"))) => {
                    Who::Domain { name: name.into(), public: class == "public" }
                }
                _ => unknown(),
            },
            "public" | "private" => Block::parse(rest).map_or_else(unknown, Who::Block),
            _ => unknown(),
        }
    }
}

impl Block {
    pub fn parse(text: &str) -> Option<Block> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let left = if address.is_ipv4() { 32_u32 } else { 128 }.checked_sub(bits.into())?;
        // Bits beyond the prefix would make it another block to some readers, and none to others.
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(left).unwrap_or(0)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(left).unwrap_or(0)).into()),
        };
        Some(Block { address, bits })
    }

    /// One address.
    pub fn one(address: IpAddr) -> Block {
        Block { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

fn blocks(texts: &[&str]) -> Vec<Block> {
    texts.iter().filter_map(|text| Block::parse(text)).collect()
}

/// RFC 1918, RFC 6598, link-local, and RFC 4193: what a profile calls private.
pub fn private() -> Vec<Block> {
    blocks(PRIVATE)
}

/// All others that packets to one host are sent to.
pub fn public() -> Vec<Block> {
    blocks(&["0.0.0.0/0", "::/0"])
}

pub const PRIVATE: &[&str] =
    &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"];

/// The cloud's metadata service ([`crate::args::address`]).
pub fn metadata() -> Vec<Block> {
    blocks(&["169.254.169.254/32", "fd00:ec2::254/128"])
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Image(image) => write!(f, "image {image}"),
            Who::Domain { name, .. } => write!(f, "domain {name}"),
            Who::Block(block) => write!(f, "{block}"),
            Who::ContainerNetwork => f.write_str("container network"),
            Who::Loopback => f.write_str("loopback"),
            Who::Metadata => f.write_str("metadata"),
            Who::Own => f.write_str("own address"),
            Who::Socket(path) => write!(f, "socket {path}"),
            Who::Unknown(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.direction {
            Direction::Connect => "connect to",
            Direction::Accept => "accept from",
            Direction::Listen => "listen on",
            Direction::Bind => "bind to",
        };
        write!(f, "{verb} {} {}", self.protocol, self.who)?;
        match self.port {
            Port::Number(port) => write!(f, " port {port}"),
            Port::Ephemeral => f.write_str(" port ephemeral"),
            Port::None => Ok(()),
        }
    }
}

impl Serialize for Connection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_taken_apart_and_a_hostile_one_is_unknown() {
        let steps: Vec<Arc<str>> = ["connect tcp", "domain a b public", "443"].map(Arc::from).into();
        let connection = Connection::of_steps(&steps).unwrap();
        assert_eq!(connection.who, Who::Domain { name: "a b".into(), public: true });
        assert_eq!(connection.to_string(), "connect to tcp domain a b port 443");
        assert_eq!(Who::of_step("private 10.1.2.0/24"), Who::Block(Block::parse("10.1.2.0/24").unwrap()));
        for step in ["public 10.0.0.0/99", "domain x", "nothing", "public x; accept"] {
            assert!(matches!(Who::of_step(step), Who::Unknown(_)), "{step}");
        }
    }

    #[test]
    fn blocks_hold_their_addresses() {
        let block = |text| Block::parse(text).unwrap();
        assert!(block("10.1.2.0/24").contains("10.1.2.9".parse().unwrap()));
        assert!(block("10.1.2.0/24").contains("::ffff:10.1.2.9".parse().unwrap()));
        assert!(!block("10.1.2.0/24").contains("10.1.3.9".parse().unwrap()));
        assert_eq!(block("10.1.2.9/24").to_string(), "10.1.2.0/24");
        assert!(block("0.0.0.0/0").contains("8.8.8.8".parse().unwrap()));
        assert!(!block("0.0.0.0/0").contains("::1".parse().unwrap()) && block("::/0").contains("::1".parse().unwrap()));
    }
}
