//! The policy of one image, as `replay policy export --format bpf` writes it (`replay/POLICY.md`).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Deserializer, de};

use crate::error::{Error, Result};

/// Version of the form that is read.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    version: u32,
    pub image: String,
    /// Trees of the profile that were still learning.
    pub not_locked: Vec<String>,
    /// Programs that are run.
    pub programs: Paths,
    /// Files that are read or listed, and those that are written.
    pub reads: Paths,
    pub writes: Paths,
    pub egress: Vec<Rule>,
    pub ingress: Vec<Rule>,
}

/// Absolute paths, of 254 bytes at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Paths {
    pub exact: BTreeSet<String>,
    /// All that begins so is known.
    pub prefixes: BTreeSet<String>,
}

/// Peers that may be reached, or may come in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rule {
    pub peers: Vec<Block>,
    /// Of them, those that may not.
    pub except: Vec<Block>,
    pub protocol: Protocol,
    /// The service's ports, both included.
    pub from: u16,
    pub until: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    pub address: IpAddr,
    pub bits: u8,
}

impl Policy {
    /// # Errors
    /// It cannot be read, or is no policy of this form.
    pub fn load(path: &Path) -> Result<Policy> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let policy: Policy = serde_json::from_str(&text).map_err(|error| Error::policy(path, error))?;
        if policy.version != VERSION {
            return Err(Error::policy(path, format!("version {} of the form; this reads {VERSION}", policy.version)));
        }
        Ok(policy)
    }

    /// Says on stderr that a tree of the profile was still learning.
    pub fn warn_of(&self, tree: &str, path: &Path) {
        if self.not_locked.iter().any(|other| other == tree) {
            eprintln!(
                "warning: {}: the profile's {tree} tree was still being learned when it was saved",
                path.display()
            );
        }
    }

    /// For people.
    pub fn image_name(&self) -> String {
        self.image.chars().filter(|c| !c.is_control()).collect()
    }
}

impl Protocol {
    /// Of the IP header (IANA).
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl Block {
    pub fn parse(text: &str) -> Option<Block> {
        let (address, bits) = text.split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (bits <= longest).then_some(Block { address, bits })
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Block, D::Error> {
        let text = String::deserialize(deserializer)?;
        Block::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no block of addresses")))
    }
}
