//! Peers as what they are: a container's image, loopback, the container network, or a prefix.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use datasets::{Address, Common, Container};

use crate::args::address::AddressClass;
use crate::config::Network;
use crate::many;

/// Known containers by address.
#[derive(Debug, Default)]
pub struct Peers {
    /// Containers that held the address, in order in which they got it.
    by_address: BTreeMap<IpAddr, Vec<Holder>>,
    /// Networks that containers are on, at the configured prefix lengths.
    networks: HashSet<(IpAddr, u8)>,
    prefix_v4: u8,
    prefix_v6: u8,
    /// Of several recordings, those of the second and further ones: an address means something on its own host only.
    further: Vec<Peers>,
}

#[derive(Debug)]
struct Holder {
    id: Arc<str>,
    since: i64,
    image: Arc<str>,
    name: Arc<str>,
}

impl Peers {
    /// `addresses`: who held which when; empty in recordings before schema 1.2, where a container has its addresses from its
    /// beginning.
    pub fn new(containers: &[Container], addresses: &[Address], config: &Network) -> Self {
        let mut peers = Self { prefix_v4: config.prefix_v4, prefix_v6: config.prefix_v6, ..Self::default() };
        let mut sorted: Vec<&Container> = containers.iter().collect();
        sorted.sort_by(|a, b| (a.first_seen, &a.id).cmp(&(b.first_seen, &b.id)));
        for container in sorted {
            let image = image_of(container);
            let alias = container.aliases.iter().max_by_key(|alias| (alias.contains('.'), alias.len()));
            let name =
                alias.or(container.name.as_ref()).map_or_else(|| Arc::clone(&image), |name| name.as_str().into());
            for text in &container.addresses {
                let Ok(address) = text.parse::<IpAddr>() else { continue };
                peers.networks.insert(peers.network(address));
                let own = |row: &&Address| row.container == container.id && row.address == *text;
                let since = addresses.iter().filter(own).map(|row| row.since).min();
                let holder = Holder {
                    id: Arc::clone(&container.id),
                    since: since.unwrap_or(container.first_seen),
                    image: Arc::clone(&image),
                    name: Arc::clone(&name),
                };
                peers.by_address.entry(address).or_default().push(holder);
            }
        }
        peers.by_address.values_mut().for_each(|holders| holders.sort_by_key(|holder| holder.since));
        peers
    }

    /// Those of several recordings, in their order.
    pub fn of_many(all: impl IntoIterator<Item = Peers>) -> Self {
        let mut all = all.into_iter();
        let first = all.next().unwrap_or_default();
        Self { further: all.collect(), ..first }
    }

    /// The peers of the recording that an event is of.
    pub fn of(&self, event: &Common) -> &Peers {
        many::of_row(event.seq).checked_sub(2).and_then(|later| self.further.get(later)).unwrap_or(self)
    }

    /// The tree's step for a peer, and its name for people. An address that two containers held in turn is the one's
    /// that got it last before `ts`, also when it has given it back: what is still on its way to it is meant for it.
    /// `domain`: the name that the address was asked for under; it counts where there is no better word for the peer.
    pub fn step<'a>(&self, address: &str, ts: i64, domain: impl FnOnce() -> Option<&'a Arc<str>>) -> (String, String) {
        let Ok(parsed) = address.parse::<IpAddr>() else {
            return (address.to_owned(), address.to_owned());
        };
        let parsed = parsed.to_canonical();
        match self.holder(parsed, ts) {
            Some(holder) => (format!("image {}", holder.image), holder.name.to_string()),
            None => self.outside(parsed, domain),
        }
    }

    /// The same of an address that no container has.
    pub fn outside<'a>(&self, parsed: IpAddr, domain: impl FnOnce() -> Option<&'a Arc<str>>) -> (String, String) {
        let class = AddressClass::of(parsed);
        if matches!(class, AddressClass::Private | AddressClass::Public)
            && let Some(domain) = domain()
        {
            return (format!("domain {domain} {}", class.name()), format!("{domain} ({parsed})"));
        }
        let step = match class {
            AddressClass::Loopback | AddressClass::Special | AddressClass::Metadata => class.name().to_owned(),
            AddressClass::Private if self.networks.contains(&self.network(parsed)) => "container network".to_owned(),
            AddressClass::Private | AddressClass::Public => {
                let (base, bits) = self.network(parsed);
                format!("{} {base}/{bits}", class.name())
            }
        };
        (step, parsed.to_string())
    }

    /// The texts that the step of a peer is made of, besides its address. `domain`: as of [`step`](Peers::step).
    pub fn texts<'a>(
        &'a self,
        address: &str,
        ts: i64,
        domain: impl FnOnce() -> Option<&'a Arc<str>>,
    ) -> [Option<&'a Arc<str>>; 2] {
        let Ok(parsed) = address.parse::<IpAddr>() else { return [None; 2] };
        let parsed = parsed.to_canonical();
        match self.holder(parsed, ts) {
            Some(holder) => [Some(&holder.image), Some(&holder.name)],
            None if matches!(AddressClass::of(parsed), AddressClass::Private | AddressClass::Public) => {
                [domain(), None]
            }
            None => [None; 2],
        }
    }

    /// The id of the container that has the address at `ts`.
    pub fn container(&self, address: &str, ts: i64) -> Option<&Arc<str>> {
        let parsed: IpAddr = address.parse().ok()?;
        self.holder(parsed.to_canonical(), ts).map(|holder| &holder.id)
    }

    fn holder(&self, address: IpAddr, ts: i64) -> Option<&Holder> {
        let holders = self.by_address.get(&address)?;
        holders.iter().rev().find(|holder| holder.since <= ts).or(holders.first())
    }

    fn network(&self, address: IpAddr) -> (IpAddr, u8) {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_v4)).unwrap_or(0);
                (IpAddr::V4((v4.to_bits() & mask).into()), self.prefix_v4)
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_v6)).unwrap_or(0);
                (IpAddr::V6((v6.to_bits() & mask).into()), self.prefix_v6)
            }
        }
    }
}

/// The image a container's behaviour is learned under; without one, the container stands for itself.
pub fn image_of(container: &Container) -> Arc<str> {
    let image = container.image.as_deref().or(container.image_id.as_deref());
    image.or(container.name.as_deref()).unwrap_or(&container.id).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, image: &str, address: &str, alias: &str, first_seen: i64) -> Container {
        Container {
            id: id.into(),
            name: Some(id.to_owned()),
            image: Some(image.to_owned()),
            addresses: vec![address.to_owned()],
            aliases: vec![alias.to_owned()],
            first_seen,
            ..Container::default()
        }
    }

    #[test]
    fn a_peer_is_what_it_is() {
        let config = crate::config::load(None, &[]).unwrap().network;
        let containers = [
            container("a", "redis:7", "10.89.0.2", "redis", 0),
            container("b", "pool:1", "10.89.0.3", "pool.minexmr.com", 0),
            container("c", "late:1", "10.89.0.2", "late", 100),
        ];
        let got_late =
            Address { address: "10.89.0.2".to_owned(), container: "c".into(), net_ns: None, since: 120, until: None };
        let peers = Peers::new(&containers, &[got_late], &config);
        for (address, ts, step, name) in [
            ("10.89.0.2", 50, "image redis:7", "redis"),
            ("10.89.0.2", 110, "image redis:7", "redis"),
            ("10.89.0.2", 150, "image late:1", "late"),
            ("::ffff:10.89.0.3", 0, "image pool:1", "pool.minexmr.com"),
            ("10.89.0.1", 0, "container network", "10.89.0.1"),
            ("10.1.2.3", 0, "private 10.1.2.0/24", "10.1.2.3"),
            ("203.0.113.77", 0, "public 203.0.113.0/24", "203.0.113.77"),
            ("127.0.0.1", 0, "loopback", "127.0.0.1"),
            ("2606:4700::1234", 0, "public 2606:4700::/64", "2606:4700::1234"),
            ("not an address", 0, "not an address", "not an address"),
        ] {
            assert_eq!(peers.step(address, ts, || None), (step.to_owned(), name.to_owned()), "{address}");
        }
        let name: Arc<str> = "api.example".into();
        for (address, step) in [
            ("203.0.113.77", "domain api.example public"),
            ("10.1.2.3", "domain api.example private"),
            ("10.89.0.3", "image pool:1"),
            ("127.0.0.1", "loopback"),
            ("169.254.169.254", "metadata"),
        ] {
            assert_eq!(peers.step(address, 0, || Some(&name)).0, step, "{address}");
        }
    }
}
