//! The report's summaries: connections, traffic by protocol, peer and port, security events, use of resources, and the map.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::edges::{Edge, EdgeKey, Edges, End, edges};
use super::format::{bytes, millis, percent};
use super::map::{self, Map, Node, Talk};
use crate::alert::Alert;
use crate::convergence::seconds;
use crate::gather::{Gathered, Rtt};
use crate::observe::HOST;
use crate::output::text::{clean, count, shorten, time};
use crate::pipeline::World;
use crate::services::{how, ports, said, weaknesses};

/// Rows shown of a table; the page says how many there are.
const ROWS: usize = 200;
/// More containers than this are drawn by image, and more than so many nodes and edges are not drawn.
const CONTAINERS: usize = 24;
const NODES: usize = 40;
const EDGES: usize = 60;
/// Longest name in the map.
const NAME: usize = 24;

/// All of them, ready to be shown.
#[derive(Debug, Serialize)]
pub struct Traffic {
    pub connections: Vec<Connection>,
    pub connections_in_all: usize,
    /// What was beyond the bound of what is told apart.
    pub rest: Option<String>,
    pub protocols: Vec<Sum>,
    pub peers: Vec<Sum>,
    pub ports: Vec<Sum>,
    pub security: Vec<Operation>,
    pub security_in_all: usize,
    pub usage: Vec<Used>,
    pub has_packets: bool,
    pub map: Option<Map>,
    /// What the map leaves out.
    pub map_note: String,
}

#[derive(Debug, Serialize)]
pub struct Connection {
    pub client: String,
    pub server: String,
    pub service: String,
    /// Encrypted or in the clear, and how that is known.
    pub channel: String,
    /// What is weak in that.
    pub weak: Option<&'static str>,
    pub first: Option<String>,
    pub last: Option<String>,
    pub departs: bool,
    #[serde(flatten)]
    pub numbers: Numbers,
    pub severity: Option<&'static str>,
    pub alert: Option<String>,
}

/// Connections summed over something.
#[derive(Debug, Serialize)]
pub struct Sum {
    pub name: String,
    #[serde(flatten)]
    pub numbers: Numbers,
}

#[derive(Debug, Serialize)]
pub struct Numbers {
    pub connections: String,
    pub failed: String,
    pub to_server: String,
    pub to_client: String,
    pub retransmits: String,
    /// Mean, and the least and most.
    pub rtt: Option<String>,
    pub rtt_range: Option<String>,
    pub packets: Option<String>,
    pub loss: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Operation {
    pub container: String,
    pub image: String,
    pub op: String,
    pub events: String,
    pub refused: String,
    pub first: String,
    pub length: String,
    pub programs: Vec<String>,
    pub and_others: bool,
}

#[derive(Debug, Serialize)]
pub struct Used {
    pub container: String,
    pub image: String,
    /// Over the recording.
    pub cpu: Option<String>,
    pub memory: String,
    pub processes: String,
}

/// Numbers while they are summed.
#[derive(Default)]
struct Tally {
    connections: u64,
    failed: u64,
    to_server: u64,
    to_client: u64,
    retransmits: u64,
    rtt: Rtt,
    packets: Option<u64>,
}

impl Tally {
    fn add(&mut self, edge: &Edge) {
        self.connections += edge.connections();
        self.failed += edge.failed();
        self.to_server += edge.to_server();
        self.to_client += edge.to_client();
        self.retransmits += edge.retransmits();
        self.rtt.add(edge.rtt());
        self.packets = match (self.packets, edge.packets()) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }

    fn weight(&self) -> (u64, u64) {
        (self.to_server + self.to_client, self.connections)
    }

    fn numbers(&self) -> Numbers {
        let loss = self.packets.filter(|packets| *packets > 0).map(|packets| self.retransmits as f64 / packets as f64);
        Numbers {
            connections: count(self.connections),
            failed: count(self.failed),
            to_server: bytes(self.to_server),
            to_client: bytes(self.to_client),
            retransmits: count(self.retransmits),
            rtt: self.rtt.mean().map(millis),
            rtt_range: (self.rtt.count > 0)
                .then(|| format!("{} to {}", millis(self.rtt.least.into()), millis(self.rtt.most.into()))),
            packets: self.packets.map(count),
            loss: loss.map(percent),
        }
    }
}

/// Makes them.
pub fn traffic(gathered: &Gathered, world: &World, alerts: &[Alert]) -> Traffic {
    let Edges { edges, rest } = edges(gathered, world, alerts);
    let mut sorted: Vec<(&EdgeKey, &Edge)> = edges.iter().collect();
    // What an alert is about first, then by bytes.
    let rank = |edge: &Edge| (edge.alert.as_ref().map(|(severity, _)| *severity), edge.bytes(), edge.connections());
    sorted.sort_by(|(a_key, a), (b_key, b)| rank(b).cmp(&rank(a)).then_with(|| a_key.cmp(b_key)));
    let mut security = security(gathered, world);
    let security_in_all = security.len();
    security.truncate(ROWS);
    let (map, map_note) = map(&sorted, world);
    Traffic {
        connections: sorted.iter().take(ROWS).map(|(key, edge)| connection(key, edge, world)).collect(),
        connections_in_all: sorted.len(),
        rest: (rest.connections + rest.failed + rest.bytes() > 0).then(|| {
            format!(
                "{} connections, {} failed ones and {}",
                count(rest.connections),
                count(rest.failed),
                bytes(rest.bytes())
            )
        }),
        protocols: sums(&edges, |key| key.protocol.to_string()),
        peers: sums(&edges, |key| name(&key.server, world)),
        ports: sums(&edges, service),
        security,
        security_in_all,
        usage: usage(gathered, world),
        has_packets: edges.values().any(|edge| edge.packets().is_some()),
        map,
        map_note,
    }
}

fn connection(key: &EdgeKey, edge: &Edge, world: &World) -> Connection {
    let mut tally = Tally::default();
    tally.add(edge);
    Connection {
        client: name(&key.client, world),
        server: name(&key.server, world),
        service: named(key),
        channel: channel(key, edge),
        weak: weak(key, edge),
        first: edge.seen().map(|(first, _)| time(first)),
        last: edge.seen().map(|(_, last)| time(last)),
        departs: edge.departs,
        numbers: tally.numbers(),
        severity: edge.alert.as_ref().map(|(severity, _)| severity.name()),
        alert: edge.alert.as_ref().map(|(_, id)| id.clone()),
    }
}

fn sums(edges: &BTreeMap<EdgeKey, Edge>, by: impl Fn(&EdgeKey) -> String) -> Vec<Sum> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for (key, edge) in edges {
        tallies.entry(by(key)).or_default().add(edge);
    }
    let mut tallies: Vec<(String, Tally)> = tallies.into_iter().collect();
    // Stable: of equal ones in order of name.
    tallies.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.weight()));
    tallies.iter().take(ROWS).map(|(name, tally)| Sum { name: name.clone(), numbers: tally.numbers() }).collect()
}

fn service(key: &EdgeKey) -> String {
    match key.port {
        Some(port) => format!("{}/{port}", key.protocol),
        None => key.protocol.to_string(),
    }
}

fn known(key: &EdgeKey) -> Option<&'static ports::Service> {
    key.port.and_then(ports::service)
}

/// The service with the name that its port stands for.
fn named(key: &EdgeKey) -> String {
    known(key).map_or_else(|| service(key), |known| format!("{} {}", service(key), known.name))
}

fn channel(key: &EdgeKey, edge: &Edge) -> String {
    let (channel, evidence) = how(known(key), edge.tls(), false);
    said(channel, evidence)
}

/// As `replay services` marks it.
fn weak(key: &EdgeKey, edge: &Edge) -> Option<&'static str> {
    let (channel, _) = how(known(key), edge.tls(), false);
    if matches!(key.server, End::Loopback(_)) {
        return None;
    }
    let (credentials, store) = weaknesses(channel, known(key)?);
    if credentials { Some("passwords can be read") } else { store.then_some("data store, no encryption seen") }
}

fn name(end: &End, world: &World) -> String {
    match end {
        End::Container(id) => container(id, world),
        End::Loopback(_) => "itself (loopback)".to_owned(),
        End::Outside(step) => clean(step),
    }
}

fn container(id: &str, world: &World) -> String {
    if id == HOST { HOST.to_owned() } else { clean(&world.container_name(id)) }
}

fn image(id: &Arc<str>, world: &World) -> String {
    clean(&world.image(Some(id).filter(|id| ***id != *HOST)))
}

fn security(gathered: &Gathered, world: &World) -> Vec<Operation> {
    let mut rows: Vec<(u64, Operation)> = Vec::new();
    for (id, of) in &gathered.containers {
        for (op, seen) in &of.security {
            let row = Operation {
                container: container(id, world),
                image: image(id, world),
                op: op.to_string(),
                events: count(seen.events),
                refused: count(seen.refused),
                first: time(seen.first),
                length: format!("{:.1}", seconds(seen.last - seen.first)),
                programs: seen.programs.iter().map(|program| shorten(&clean(program), 120)).collect(),
                and_others: seen.and_others,
            };
            rows.push((seen.events, row));
        }
    }
    // Rare operations are the telling ones.
    rows.sort_by(|(a, a_row), (b, b_row)| (a, &a_row.op, &a_row.container).cmp(&(b, &b_row.op, &b_row.container)));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn usage(gathered: &Gathered, world: &World) -> Vec<Used> {
    let mut rows: Vec<(u64, Used)> = Vec::new();
    for (id, usage) in gathered.containers.iter().filter_map(|(id, of)| Some((id, of.usage?))) {
        let spent = usage.cpu_spent();
        let row = Used {
            container: container(id, world),
            image: image(id, world),
            cpu: spent.map(|ns| format!("{:.2} s", ns as f64 / 1e9)),
            memory: bytes(usage.memory),
            processes: count(usage.processes.into()),
        };
        rows.push((spent.unwrap_or(0), row));
    }
    rows.sort_by(|(a, a_row), (b, b_row)| b.cmp(a).then_with(|| a_row.container.cmp(&b_row.container)));
    rows.into_iter().take(ROWS).map(|(_, row)| row).collect()
}

/// The map, and what it leaves out; None where nobody talked to anybody.
fn map(sorted: &[(&EdgeKey, &Edge)], world: &World) -> (Option<Map>, String) {
    let containers = sorted.iter().flat_map(|(key, _)| [&key.client, &key.server]);
    let mut ids: Vec<&Arc<str>> =
        containers.filter_map(|end| if let End::Container(id) = end { Some(id) } else { None }).collect();
    ids.sort();
    ids.dedup();
    let by_image = ids.len() > CONTAINERS;
    let mut nodes: Vec<Node> = Vec::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut pairs: BTreeMap<(usize, usize), Vec<(&EdgeKey, &Edge)>> = BTreeMap::new();
    let mut left_out = 0;
    for (key, edge) in sorted {
        let mut ends = [0; 2];
        let known = numbers.len();
        for (i, (slot, end)) in ends.iter_mut().zip([&key.client, &key.server]).enumerate() {
            let (identity, node) = match end {
                End::Container(id) if by_image => {
                    let image = image(id, world);
                    (
                        format!("c {image}"),
                        Node { name: shorten(&image, NAME), detail: "image".to_owned(), outside: false },
                    )
                }
                End::Container(id) => {
                    let detail = if **id == *HOST {
                        "outside containers".to_owned()
                    } else {
                        shorten(&image(id, world), NAME + 4)
                    };
                    (format!("c {id}"), Node { name: shorten(&container(id, world), NAME), detail, outside: false })
                }
                End::Loopback(id) => {
                    (format!("c {id}"), Node { name: String::new(), detail: String::new(), outside: false })
                }
                End::Outside(step) => {
                    let node =
                        Node { name: shorten(&clean(step), NAME), detail: "not recorded".to_owned(), outside: true };
                    // Who comes from outside stands left, what is used there right.
                    (format!("o {i} {step}"), node)
                }
            };
            if matches!(end, End::Loopback(_)) {
                *slot = usize::MAX;
                continue;
            }
            *slot = *numbers.entry(identity).or_insert_with(|| {
                nodes.push(node);
                nodes.len() - 1
            });
        }
        let [from, to] = ends;
        if from == to || to == usize::MAX {
            // What only talks to itself is no part of it.
            while numbers.len() > known {
                nodes.pop();
                numbers.retain(|_, number| *number < nodes.len());
            }
            continue;
        }
        if nodes.len() > NODES || (pairs.len() >= EDGES && !pairs.contains_key(&(from, to))) {
            while nodes.len() > known {
                nodes.pop();
            }
            numbers.retain(|_, number| *number < nodes.len());
            left_out += 1;
            continue;
        }
        pairs.entry((from, to)).or_default().push((key, edge));
    }
    let talks: Vec<Talk> = pairs.into_iter().map(|((from, to), edges)| talk(from, to, &edges, &nodes)).collect();
    let mut note = String::new();
    if by_image {
        note.push_str("Containers are drawn by image, for there are many. ");
    }
    if left_out > 0 {
        note.push_str(&format!("{left_out} more are in the table alone. "));
    }
    let map = (!talks.is_empty()).then(|| map::draw(nodes, talks));
    (map, note)
}

fn talk(from: usize, to: usize, edges: &[(&EdgeKey, &Edge)], nodes: &[Node]) -> Talk {
    let weight: u64 = edges.iter().map(|(_, edge)| edge.bytes()).sum();
    // They are sorted: what an alert is about, or what moved most.
    let (first, most) = edges[0];
    let more = if edges.len() > 1 { format!(" +{}", edges.len() - 1) } else { String::new() };
    let connections: u64 = edges.iter().map(|(_, edge)| edge.connections() + edge.failed()).sum();
    // Nothing was closed, or nothing moved.
    let moved = if weight > 0 { bytes(weight) } else { format!("{}×", count(connections)) };
    let described: Vec<String> = edges
        .iter()
        .take(12)
        .map(|(key, edge)| {
            let failed = if edge.failed() > 0 { format!(", {} failed", count(edge.failed())) } else { String::new() };
            format!(
                "{}, {}: {} connections{failed}, {} there, {} back",
                named(key),
                channel(key, edge),
                count(edge.connections()),
                bytes(edge.to_server()),
                bytes(edge.to_client())
            )
        })
        .collect();
    let alert = most.alert.as_ref().map(|(severity, id)| (severity.name(), id.clone()));
    let marked = alert.as_ref().map_or_else(String::new, |(severity, id)| format!(" (alert {id}, {severity})"));
    Talk {
        from,
        to,
        weight,
        label: format!("{}{more}, {moved}", service(first)),
        title: format!("{} to {}{marked}: {}", nodes[from].name, nodes[to].name, described.join("; ")),
        alert,
    }
}
