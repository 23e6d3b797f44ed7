//! What a replica's containers are called, and their addresses. The first replica's are the source's.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use datasets::{Container, Recording};
use sha2::{Digest, Sha256};

use super::{Plan, Result};

/// Private networks that the replicas' addresses are taken from; recorded ones in them are passed over.
const NET4: u32 = u32::from_be_bytes([10, 128, 0, 0]);
const NET6: u128 = 0xfd00_7374_7265_7463 << 64;

/// Ids of containers and pods are not shorter.
const ID: usize = 32;

pub(super) struct Names {
    replica: u16,
    seed: u64,
    /// Of the source's containers, to this replica's.
    addresses: HashMap<IpAddr, IpAddr>,
}

impl Names {
    pub(super) fn new(recording: &Recording, replica: u16, seed: u64) -> Result<Names> {
        let mut held: BTreeSet<IpAddr> = BTreeSet::new();
        let parsed = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        held.extend(recording.addresses()?.iter().filter_map(|row| parsed(&row.address)));
        for container in recording.containers()? {
            held.extend(container.addresses.iter().filter_map(|text| parsed(text)));
        }
        // Those that a reader takes for inside stay inside.
        let private = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.is_private(),
            IpAddr::V6(address) => address.is_unique_local(),
        };
        let mut addresses = HashMap::new();
        let before = u64::from(replica.saturating_sub(1)) * held.len() as u64;
        let mut next = 1 + before;
        for address in held.iter().filter(|address| replica > 0 && private(address)) {
            let own = loop {
                let own = match address {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(NET4 + next as u32)),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(NET6 + u128::from(next))),
                };
                next += 1;
                if !held.contains(&own) {
                    break own;
                }
            };
            addresses.insert(*address, own);
        }
        Ok(Names { replica, seed, addresses })
    }

    pub(super) fn is_source(&self) -> bool {
        self.replica == 0
    }

    /// An id of the same form: each hexadecimal digit is another. What is short, or has other letters, is a name.
    pub(super) fn id(&self, old: &str) -> String {
        if self.is_source() {
            return old.to_owned();
        }
        if old.len() < ID || !old.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return self.name(old);
        }
        let mut digits = String::new();
        for block in 0..=old.len() / 64 {
            let hash = Sha256::digest(format!("{}/{}/{block}/{old}", self.seed, self.replica));
            digits.extend(hash.iter().map(|byte| format!("{byte:02x}")));
        }
        let mut digits = digits.chars();
        old.chars().map(|c| if c == '-' { c } else { digits.next().unwrap_or('0') }).collect()
    }

    pub(super) fn name(&self, old: &str) -> String {
        if self.is_source() { old.to_owned() } else { format!("{old}-r{}", self.replica) }
    }

    /// Anything that is no container's address stays as it is.
    pub(super) fn address(&self, old: &str) -> String {
        let own = || self.addresses.get(&old.parse::<IpAddr>().ok()?.to_canonical());
        if self.addresses.is_empty() { None } else { own() }.map_or_else(|| old.to_owned(), IpAddr::to_string)
    }

    /// Words with addresses among them.
    pub(super) fn addresses_in(&self, text: &str) -> String {
        text.split(' ').map(|word| self.address(word)).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn container(&self, old: &Container) -> Container {
        let id = self.id(&old.id);
        Container {
            cgroup: if old.cgroup.contains(&*old.id) {
                old.cgroup.replace(&*old.id, &id)
            } else {
                self.name(&old.cgroup)
            },
            id: Arc::from(id),
            name: old.name.as_deref().map(|name| self.name(name)),
            pod: old.pod.as_deref().map(|pod| self.name(pod)),
            pod_uid: old.pod_uid.as_deref().map(|uid| self.id(uid)),
            addresses: old.addresses.iter().map(|address| self.address(address)).collect(),
            ..old.clone()
        }
    }
}

/// When each replica begins, ns after the first: anywhere within a copy.
pub(super) fn begins(plan: Plan, period: i64) -> Vec<i64> {
    let mut random = crate::Random(plan.seed);
    (0..plan.replicas).map(|replica| if replica == 0 { 0 } else { random.below(period.max(1) as u64) as i64 }).collect()
}
