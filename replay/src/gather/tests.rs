//! Counts on events made up one by one; parts of a stream against the whole of it.

use datasets::{Common, Container};

use super::*;
use crate::config;
use crate::observe::{Peers, ProcessTable};

const S: i64 = 1_000_000_000;

fn world() -> World {
    let container = |id: &str, address: &str| Container {
        id: id.into(),
        name: Some(id.to_owned()),
        image: Some(format!("{id}:1")),
        addresses: vec![address.to_owned()],
        ..Container::default()
    };
    let containers = [container("app", "10.0.0.2"), container("cache", "10.0.0.3")];
    World {
        processes: ProcessTable::new([]),
        peers: Peers::new(&containers, &[], &config::load(None, &[]).unwrap().network),
        containers: containers.into_iter().map(|container| (Arc::clone(&container.id), container)).collect(),
    }
}

fn common(container: &str, second: i64, kind: Kind) -> Common {
    Common { ts: second * S, cpu: 0, seq: 0, kind, container: Some(container.into()), pid: 1, tid: 1, exec_id: None }
}

fn network(container: &str, second: i64, kind: Kind, local: u16, peer: (&str, u16)) -> NetworkEvent {
    NetworkEvent {
        local_port: Some(local),
        peer_addr: Some(peer.0.into()),
        peer_port: Some(peer.1),
        ..NetworkEvent::new(common(container, second, kind), "inet", "tcp")
    }
}

/// A connection from the app to the cache as both tell it, one that fails, and a call of the kernel.
fn events() -> Vec<Event> {
    let closed = |event: NetworkEvent, sent, received| {
        Event::Network(NetworkEvent {
            bytes_sent: Some(sent),
            bytes_received: Some(received),
            retransmits: Some(2),
            rtt: Some(300),
            ..event
        })
    };
    let refused = NetworkEvent { ret: -111, ..network("app", 4, Kind::Connect, 40_001, ("203.0.113.9", 443)) };
    let again = NetworkEvent { ret: -11, ..network("app", 4, Kind::Connect, 40_002, ("203.0.113.9", 443)) };
    vec![
        Event::Network(NetworkEvent {
            ret: EINPROGRESS,
            ..network("app", 1, Kind::Connect, 40_000, ("10.0.0.3", 6379))
        }),
        Event::Network(network("cache", 1, Kind::Accept, 6379, ("10.0.0.2", 40_000))),
        closed(network("app", 2, Kind::NetClose, 40_000, ("10.0.0.3", 6379)), 10, 500),
        closed(network("cache", 2, Kind::NetClose, 6379, ("10.0.0.2", 40_000)), 500, 10),
        Event::Network(refused),
        Event::Network(again),
        Event::Security(SecurityEvent::new(common("app", 5, Kind::Ptrace), -1)),
        Event::Security(SecurityEvent::new(common("app", 9, Kind::Ptrace), 0)),
    ]
}

fn gathered(events: &[Event], world: &World) -> Gathered {
    let mut gathered = Gathered::default();
    events.iter().for_each(|event| gathered.see(event, world));
    gathered
}

#[test]
fn both_ends_of_a_connection_say_the_same_of_it() {
    let world = world();
    let all = gathered(&events(), &world);
    let (app, cache) = (&all.containers["app"], &all.containers["cache"]);
    let link = |of: &Of, side: Side, peer: &Peer| {
        of.links
            .iter()
            .find(|(key, _)| key.side == side && key.peer == *peer)
            .map(|(key, link)| (key.port, link.clone()))
    };
    let (port, out) = link(app, Side::Out, &Peer::Container("cache".into())).expect("the app's side");
    assert_eq!((port, out.connections, out.sent, out.received, out.retransmits()), (6379, 1, 10, 500, 2));
    assert_eq!((out.rtt.mean(), out.rtt.least), (Some(300.0), 300));
    let (port, into) = link(cache, Side::In, &Peer::Container("app".into())).expect("the cache's side");
    assert_eq!((port, into.connections, into.sent, into.received), (6379, 1, 500, 10));
    let (_, outside) = link(app, Side::Out, &Peer::Address("203.0.113.9".into())).expect("the refused one");
    assert_eq!((outside.connections, outside.failed), (0, 1), "a call that reached nobody is not one");
    let ptrace = &app.security["ptrace"];
    assert_eq!((ptrace.events, ptrace.refused, ptrace.first, ptrace.last), (2, 1, 5 * S, 9 * S));
}

#[test]
fn parts_by_container_add_up_to_the_whole_through_json() {
    let world = world();
    let whole = gathered(&events(), &world);
    let of = |id: &str| -> Vec<Event> {
        events().into_iter().filter(|event| event.common().container.as_deref() == Some(id)).collect()
    };
    let carried = |part: Gathered| -> Gathered {
        serde_json::from_str(&serde_json::to_string(&part).unwrap()).expect("what is written is read")
    };
    let (a, b) = (carried(gathered(&of("app"), &world)), carried(gathered(&of("cache"), &world)));
    for (mut first, second) in [(a.clone(), b.clone()), (b, a)] {
        first.merge(second);
        assert_eq!(first, whole);
    }
}

#[test]
fn a_scan_of_all_ports_takes_bounded_space_and_loses_no_count() {
    let world = world();
    let mut gathered = Gathered::default();
    for port in 1..=5000u16 {
        let event = NetworkEvent { ret: -111, ..network("app", 1, Kind::Connect, 40_000, ("10.0.0.3", port)) };
        gathered.see(&Event::Network(event), &world);
    }
    let links = &gathered.containers["app"].links;
    assert_eq!((links.iter().count(), links.rest().map(|rest| rest.failed)), (KEYS, Some(5000 - KEYS as u64)));
}

#[test]
fn tls_belongs_to_the_socket_that_is_open() {
    let world = world();
    let of = |event: NetworkEvent| Event::Network(NetworkEvent { fd: 5, ..event });
    let [begun, ended] =
        [Kind::Connect, Kind::NetClose].map(|kind| of(network("app", 3, kind, 40_000, ("10.0.0.3", 8080))));
    let tls = |second, fd| {
        Event::Tls(TlsEvent {
            common: common("app", second, Kind::TlsWrite),
            library: "openssl".into(),
            connection: 1,
            fd: Some(fd),
            bytes: 10,
            captured: 0,
            truncated: false,
            data: Vec::new(),
            http_method: None,
            http_path: None,
            http_version: None,
            http_host: None,
            http_headers: None,
            http_status: None,
        })
    };
    let all = gathered(&[tls(1, 5), begun, tls(4, 5), tls(4, 6), ended, tls(9, 5)], &world);
    let links: Vec<_> = all.containers["app"].links.iter().map(|(key, link)| (key.port, link.tls, link.seen)).collect();
    assert_eq!(
        links,
        [(8080, 1, Some((3 * S, 3 * S)))],
        "before it was open and after it was closed the number is another's"
    );
}
