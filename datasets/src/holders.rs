//! Whose address it was: containers by address and time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Address, Container};
use crate::{Recording, Result};

/// Who held which address when.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    containers: Vec<Container>,
    /// By address, in the order of `since`.
    spans: BTreeMap<IpAddr, Vec<Span>>,
}

#[derive(Clone, Debug)]
struct Span {
    since: i64,
    until: Option<i64>,
    /// Index into `containers`.
    container: usize,
}

impl Holders {
    /// `addresses` may be empty, as in a recording before schema 1.2: then a container holds its addresses from its first
    /// event on, until another container has them. Rows that name no known container or no IP address are left out.
    pub fn new(containers: Vec<Container>, addresses: &[Address]) -> Holders {
        let index: HashMap<Arc<str>, usize> =
            containers.iter().enumerate().map(|(at, container)| (container.id.clone(), at)).collect();
        let mut spans: BTreeMap<IpAddr, Vec<Span>> = BTreeMap::new();
        let mut add = |text: &str, since, until, container| {
            if let Ok(address) = text.parse::<IpAddr>() {
                spans.entry(address.to_canonical()).or_default().push(Span { since, until, container });
            }
        };
        for row in addresses {
            if let Some(container) = index.get(&row.container) {
                add(&row.address, row.since, row.until, *container);
            }
        }
        for (at, container) in containers.iter().enumerate().filter(|_| addresses.is_empty()) {
            container.addresses.iter().for_each(|text| add(text, container.first_seen, None, at));
        }
        for held in spans.values_mut() {
            held.sort_by(|a, b| (a.since, &containers[a.container].id).cmp(&(b.since, &containers[b.container].id)));
        }
        Holders { containers, spans }
    }

    /// The container that held the address at `ts` (Unix time, ns); IPv4 in IPv6 form is IPv4. Where two overlap, because
    /// the end of the earlier one was seen late, the one that got it last. Of a pod, whose containers share their
    /// addresses, the one that was there first: their pod is the same.
    pub fn at(&self, address: &str, ts: i64) -> Option<&Container> {
        let held = self.spans.get(&address.parse::<IpAddr>().ok()?.to_canonical())?;
        let holds = |span: &&Span| span.since <= ts && span.until.is_none_or(|until| ts < until);
        let last = held.iter().rev().find(holds)?;
        let pod = |span: &Span| self.containers[span.container].pod_uid.as_deref();
        let first_of_pod = || held.iter().filter(holds).find(|span| pod(span) == pod(last));
        let span = if pod(last).is_some() { first_of_pod().unwrap_or(last) } else { last };
        self.containers.get(span.container)
    }
}

impl Recording {
    /// Who held which address when: reads two small tables.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub fn holders(&self) -> Result<Holders> {
        Ok(Holders::new(self.containers()?, &self.addresses()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, pod: Option<&str>, addresses: &[&str], first_seen: i64) -> Container {
        Container {
            id: id.into(),
            runtime: None,
            name: None,
            image: None,
            image_id: None,
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            aliases: Vec::new(),
            labels: None,
            cgroup: String::new(),
            first_seen,
            image_digest: None,
            pod: pod.map(str::to_owned),
            namespace: None,
            pod_uid: pod.map(str::to_owned),
            identity: None,
        }
    }

    fn held(address: &str, id: &str, since: i64, until: Option<i64>) -> Address {
        Address { address: address.to_owned(), container: id.into(), net_ns: Some(7), since, until }
    }

    #[test]
    fn an_address_is_its_holders_for_the_time_it_held_it() {
        let containers = vec![container("a", None, &[], 0), container("b", None, &[], 0)];
        let rows = [
            held("10.0.0.2", "a", 100, Some(250)),
            held("10.0.0.2", "b", 200, None),
            held("fd00::2", "a", 100, Some(250)),
            held("nonsense", "a", 0, None),
            held("10.0.0.9", "unknown", 0, None),
        ];
        let holders = Holders::new(containers, &rows);
        let at = |address, ts| holders.at(address, ts).map(|container| &*container.id);
        for (address, ts, id) in [
            ("10.0.0.2", 99, None),
            ("10.0.0.2", 100, Some("a")),
            ("10.0.0.2", 199, Some("a")),
            ("10.0.0.2", 200, Some("b")),
            ("::ffff:10.0.0.2", 1_000, Some("b")),
            ("fd00::2", 249, Some("a")),
            ("fd00::2", 250, None),
            ("10.0.0.3", 100, None),
            ("10.0.0.9", 100, None),
            ("nonsense", 100, None),
        ] {
            assert_eq!(at(address, ts), id, "{address} at {ts}");
        }
    }

    #[test]
    fn the_containers_of_a_pod_share_its_address() {
        let containers = vec![container("pause", Some("p"), &[], 0), container("app", Some("p"), &[], 0)];
        let holders =
            Holders::new(containers, &[held("10.0.0.2", "app", 20, None), held("10.0.0.2", "pause", 10, None)]);
        assert_eq!(holders.at("10.0.0.2", 30).map(|container| &*container.id), Some("pause"));
    }

    #[test]
    fn an_older_recording_knows_only_who_came_when() {
        let containers = vec![container("a", None, &["10.0.0.2"], 100), container("b", None, &["10.0.0.2"], 200)];
        let holders = Holders::new(containers, &[]);
        assert_eq!(holders.at("10.0.0.2", 150).map(|container| &*container.id), Some("a"));
        assert_eq!(holders.at("10.0.0.2", 300).map(|container| &*container.id), Some("b"));
    }
}
