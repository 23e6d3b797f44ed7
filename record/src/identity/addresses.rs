//! Who holds which IP address when: read inside the containers' network namespaces, which is the truth whatever runtime or plugin
//! set them up. A container in the recorder's own network namespace is left out: the host's addresses are not recorded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use datasets::Address;

use crate::clock;

/// A new container is looked at this often until one of its processes is in a namespace of its own.
const FAST: Duration = Duration::from_millis(2);
/// For this long; after that as often as any other.
const EARLY: Duration = Duration::from_millis(500);
/// How often a container's addresses are looked at: what `until` may be late by.
const SLOW: Duration = Duration::from_secs(1);
/// Processes of a container that are tried: those that are still being set up are in the host's namespace.
const MAX_PROCESSES: usize = 16;

/// A container to watch.
struct Request {
    container: Arc<str>,
    /// Its cgroup's directory.
    cgroup: PathBuf,
    first_seen: i64,
}

/// Watches containers on a thread of its own, so that the recorder does not wait for the mount table or a busy namespace.
pub struct Watch {
    requests: Option<Sender<Request>>,
    spans: Receiver<Address>,
    thread: Option<JoinHandle<()>>,
    known: BTreeMap<Key, Address>,
}

/// Address, when it began to be held, and by whom: `until` is the only thing about a span that changes.
type Key = (String, i64, Arc<str>);

impl Watch {
    /// `boot_offset`: Unix time minus CLOCK_BOOTTIME, ns, as for the events.
    pub fn start(boot_offset: i64) -> Watch {
        let (requests, incoming) = mpsc::channel();
        let (found, spans) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("addresses".to_owned())
            .spawn(move || Watched { boot_offset, containers: Vec::new(), found }.run(&incoming));
        Watch { requests: Some(requests), spans, thread: thread.ok(), known: BTreeMap::new() }
    }

    /// From now on the addresses of this container are watched. `cgroup`: its directory; `first_seen`: Unix time, ns.
    pub fn follow(&self, container: Arc<str>, cgroup: PathBuf, first_seen: i64) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(Request { container, cgroup, first_seen }); // without the thread the table stays empty
        }
    }

    /// Spans that began or ended since the last call; one that lasts has no `until`.
    pub fn changes(&mut self) -> Vec<Address> {
        let changes: Vec<Address> = self.spans.try_iter().collect();
        for row in &changes {
            self.known.insert((row.address.clone(), row.since, row.container.clone()), row.clone());
        }
        changes
    }

    /// Who held what when, by address and time.
    pub fn finish(mut self) -> Vec<Address> {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.changes();
        self.known.into_values().collect()
    }
}

/// A namespace's addresses at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    /// Inode number of the namespace.
    net_ns: u32,
    addresses: Vec<IpAddr>,
}

struct Container {
    request: Request,
    begun: Instant,
    next: Instant,
    /// Grows while nothing is found.
    pause: Duration,
    /// Since when each address is held, by (address, namespace).
    held: BTreeMap<(IpAddr, u32), i64>,
}

struct Watched {
    boot_offset: i64,
    containers: Vec<Container>,
    found: Sender<Address>,
}

impl Watched {
    /// Until nobody asks any more; looks once more then.
    fn run(&mut self, incoming: &Receiver<Request>) {
        loop {
            let now = Instant::now();
            let wait = self
                .containers
                .iter()
                .map(|container| container.next)
                .min()
                .map(|next| next.saturating_duration_since(now));
            match incoming.recv_timeout(wait.unwrap_or(SLOW)) {
                Ok(request) => self.containers.push(Container {
                    request,
                    begun: Instant::now(),
                    next: Instant::now(),
                    pause: FAST,
                    held: BTreeMap::new(),
                }),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.look(|_, _| true),
            }
            self.look(|container, now| container.next <= now);
        }
    }

    fn look(&mut self, due: impl Fn(&Container, Instant) -> bool) {
        let (now, offset) = (Instant::now(), self.boot_offset);
        let sender = &self.found;
        // The recorder may have gone.
        let tell = |row| drop(sender.send(row));
        self.containers.retain_mut(|container| {
            if !due(container, now) {
                return true;
            }
            let gone = !container.request.cgroup.exists();
            let found =
                if gone { Look::default() } else { addresses_in(&container.request.cgroup).unwrap_or_default() };
            container.update(&found, clock::boottime_ns() + offset, tell);
            let early = container.begun.elapsed() < EARLY;
            container.pause = match (found.net_ns, early) {
                (0, true) => FAST,
                _ if found.addresses.is_empty() => (container.pause * 2).min(SLOW),
                _ => SLOW,
            };
            container.next = now + container.pause;
            !gone
        });
    }
}

impl Container {
    /// `tell` hears of spans that end, and of those that begin.
    fn update(&mut self, found: &Look, now: i64, mut tell: impl FnMut(Address)) {
        let container = &self.request.container;
        self.held.retain(|key, since| {
            let still = key.1 == found.net_ns && found.addresses.contains(&key.0);
            if !still {
                tell(row(container, *key, *since, Some(now)));
            }
            still
        });
        let since = if self.begun.elapsed() < EARLY { self.request.first_seen } else { now };
        for address in &found.addresses {
            let key = (*address, found.net_ns);
            if let Entry::Vacant(place) = self.held.entry(key) {
                place.insert(since);
                tell(row(container, key, since, None));
            }
        }
    }
}

fn row(container: &Arc<str>, (address, net_ns): (IpAddr, u32), since: i64, until: Option<i64>) -> Address {
    // A span that came and went between two looks still has a moment.
    let until = until.map(|until| until.max(since + 1));
    Address { address: address.to_string(), container: container.clone(), net_ns: Some(net_ns), since, until }
}

/// The addresses of a container, through the first of its processes that is in a namespace other than the recorder's.
fn addresses_in(cgroup: &Path) -> Option<Look> {
    let host = namespace("self")?;
    let mut processes = Vec::new();
    collect(cgroup, &mut processes);
    processes.iter().find_map(|pid| {
        let net_ns = namespace(pid).filter(|found| *found != host)?;
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        let addresses = [v4(&read("fib_trie")), v6(&read("if_inet6"))].concat();
        // It may have ended meanwhile, and its number may be another's.
        (namespace(pid) == Some(net_ns)).then_some(Look { net_ns, addresses })
    })
}

/// Processes of a cgroup and those below it.
fn collect(cgroup: &Path, processes: &mut Vec<String>) {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    processes.extend(text.lines().map(str::to_owned));
    let below = fs::read_dir(cgroup).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if processes.len() >= MAX_PROCESSES {
            return;
        }
        collect(&entry.path(), processes);
    }
}

/// Inode number of a process's network namespace.
fn namespace(pid: &str) -> Option<u32> {
    let link = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Local IPv4 addresses in `/proc/PID/net/fib_trie` (`net/ipv4/fib_trie.c`): a leaf `|-- ADDRESS`, then its routes, of which the
/// address's own is `/32 host LOCAL`.
fn v4(fib_trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if let (Some(address), "/32 host LOCAL") = (leaf, line)
            && !address.is_loopback()
            && !found.contains(&IpAddr::V4(address))
        {
            found.push(IpAddr::V4(address));
        }
    }
    found
}

/// Addresses in `/proc/PID/net/if_inet6` (`net/ipv6/addrconf.c`): 32 hex digits, then index, prefix length, scope, flags, name.
fn v6(if_inet6: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let address = Ipv6Addr::from(u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?);
        let local = address.is_loopback() || address.is_unicast_link_local();
        (!local).then_some(IpAddr::V6(address))
    };
    if_inet6.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const FIB: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.89.0.0\n        /24 link UNICAST\n\
        Local:\n  +-- 10.89.0.0/24 2 0 2\n     |-- 10.89.0.2\n        /32 host LOCAL\n     |-- 10.89.0.255\n        /32 link BROADCAST\n  \
        +-- 127.0.0.0/8 2 0 2\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.89.0.2\n        /32 host LOCAL\n";

    #[test]
    fn a_namespaces_addresses_are_read() {
        assert_eq!(v4(FIB), ["10.89.0.2".parse::<IpAddr>().unwrap()]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000042acfffe110002 05 40 20 80     eth0\n\
                     fd000000000000000000000000000002 05 40 00 80     eth0\nnonsense\n";
        assert_eq!(v6(inet6), ["fd00::2".parse::<IpAddr>().unwrap()]);
        assert_eq!((v4(""), v6("")), (vec![], vec![]));
    }

    fn container() -> Container {
        let request = Request { container: "a".into(), cgroup: "/nonexistent".into(), first_seen: 100 };
        Container { request, begun: Instant::now(), next: Instant::now(), pause: FAST, held: BTreeMap::new() }
    }

    #[test]
    fn a_span_lasts_from_the_first_look_that_has_it_to_the_first_that_has_not() {
        let (mut container, told) = (container(), RefCell::new(Vec::new()));
        let tell = |row| told.borrow_mut().push(row);
        let address: IpAddr = "10.89.0.2".parse().unwrap();
        let look = |addresses: &[IpAddr]| Look { net_ns: 7, addresses: addresses.to_vec() };
        container.update(&look(&[]), 110, tell);
        container.update(&look(&[address]), 120, tell);
        container.update(&look(&[address]), 130, tell);
        container.update(&Look::default(), 140, tell);
        let held = |since, until| Address {
            address: "10.89.0.2".to_owned(),
            container: "a".into(),
            net_ns: Some(7),
            since,
            until,
        };
        let first = [held(100, None), held(100, Some(140))];
        assert_eq!(told.take(), first, "a new container has it from its beginning");
        container.begun = Instant::now().checked_sub(EARLY * 2).unwrap();
        container.update(&look(&[address]), 150, tell);
        container.update(&Look { net_ns: 8, addresses: vec![address] }, 160, tell);
        let anew = Address { net_ns: Some(8), ..held(160, None) };
        assert_eq!(told.take(), [held(150, None), held(150, Some(160)), anew], "in another namespace it is held anew");
    }

    #[test]
    fn the_hosts_own_addresses_are_not_looked_at() {
        // This process is in the recorder's namespace.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.procs"), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(addresses_in(dir.path()), None);
    }
}
