use super::*;

fn network(kind: Kind, container: &str, pid: u32, ends: [(&str, u16); 2], fd: i32) -> NetworkEvent {
    let [(local, local_port), (peer, peer_port)] = ends;
    let common = datasets::Common {
        ts: i64::from(pid) * 1_000,
        cpu: 0,
        seq: u64::from(pid),
        kind,
        container: Some(container.into()),
        pid,
        tid: pid,
        exec_id: None,
    };
    NetworkEvent {
        local_addr: Some(local.into()),
        local_port: Some(local_port),
        peer_addr: Some(peer.into()),
        peer_port: Some(peer_port),
        fd,
        ..NetworkEvent::new(common, "inet", "tcp")
    }
}

fn closed(mut event: NetworkEvent, sent: u64, received: u64) -> NetworkEvent {
    event.common.kind = Kind::NetClose;
    (event.bytes_sent, event.bytes_received) = (Some(sent), Some(received));
    event
}

fn container(id: &str, image: &str, address: &str) -> datasets::Container {
    datasets::Container {
        id: id.into(),
        image: Some(image.to_owned()),
        addresses: vec![address.to_owned()],
        ..datasets::Container::default()
    }
}

fn map(events: &[Event], policy: Option<&Profile>) -> Vec<Relation> {
    let config = crate::config::load(None, &[]).unwrap();
    let containers = [container("w", "web:1", "10.89.0.2"), container("c", "redis:7", "10.89.0.3")];
    let world = World {
        processes: crate::observe::ProcessTable::default(),
        peers: crate::observe::Peers::new(&containers, &[], &config.network),
        containers: containers.iter().map(|container| (Arc::clone(&container.id), container.clone())).collect(),
    };
    let mut reader = Reader { world: &world, policy, config: &config, observer: Observer::new(), open: HashMap::new() };
    let mut gathered = BTreeMap::new();
    events.iter().for_each(|event| reader.see(event, &mut gathered));
    gathered.into_iter().map(|(key, gathered)| relation(key, gathered)).collect()
}

const WEB: (&str, u16) = ("10.89.0.2", 40_000);
const CACHE: (&str, u16) = ("10.89.0.3", 6379);

#[test]
fn both_ends_of_a_connection_are_one_relation_and_count_once() {
    let connect = network(Kind::Connect, "w", 1, [WEB, CACHE], 5);
    let accept = network(Kind::Accept, "c", 2, [CACHE, WEB], 7);
    let events = [
        Event::Network(connect.clone()),
        Event::Network(accept.clone()),
        Event::Network(closed(accept.clone(), 900, 100)),
        Event::Network(closed(connect, 100, 900)),
    ];
    let relations = map(&events, None);
    let [relation] = &relations[..] else { panic!("{relations:?}") };
    assert_eq!((&*relation.key.client, &*relation.key.server), ("web:1", "redis:7"));
    assert_eq!((relation.key.port, relation.service), (Some(6379), Some("redis")));
    assert_eq!((relation.connections, relation.refused), (1, 0));
    assert_eq!((relation.to_server, relation.from_server), (100, 900));
    assert_eq!((relation.channel, relation.evidence), (Channel::Either, Evidence::Port));
    assert!(relation.open_store && !relation.credentials_in_the_clear);

    let relations = map(&[Event::Network(accept.clone()), Event::Network(closed(accept, 900, 100))], None);
    assert_eq!((relations[0].connections, relations[0].to_server, relations[0].from_server), (1, 100, 900));
}

#[test]
fn refused_attempts_loopback_and_outside_peers() {
    let mut refused = network(Kind::Connect, "w", 1, [WEB, ("203.0.113.9", 23)], 5);
    refused.ret = -111;
    let mut under_way = network(Kind::Connect, "w", 2, [WEB, ("203.0.113.9", 23)], 6);
    under_way.ret = -115;
    let mut senseless = under_way.clone();
    senseless.ret = -9;
    let own = network(Kind::Connect, "w", 3, [("127.0.0.1", 40_000), ("127.0.0.1", 8080)], 7);
    let relations = map(&[refused, under_way, senseless, own].map(Event::Network), None);
    let [own, telnet] = &relations[..] else { panic!("{relations:?}") };
    assert_eq!((&*telnet.key.server, telnet.connections, telnet.refused), ("public 203.0.113.0/24", 1, 1));
    assert!(telnet.credentials_in_the_clear, "telnet");
    assert_eq!((&*own.key.client, &*own.key.server), ("web:1", LOOPBACK));
    assert!(!own.credentials_in_the_clear, "nobody is on the way");
}

#[test]
fn tls_that_was_seen_says_more_than_a_port() {
    let connect = network(Kind::Connect, "w", 1, [WEB, ("203.0.113.9", 8080)], 5);
    let tls = |pid, fd| {
        let common = datasets::Common { kind: Kind::TlsWrite, pid, ..connect.common.clone() };
        Event::Tls(datasets::TlsEvent {
            common,
            library: "openssl".into(),
            connection: 1,
            fd,
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
    let begun = Event::Network(connect.clone());
    let channel = |events: &[Event]| (map(events, None)[0].channel, map(events, None)[0].evidence);
    assert_eq!(channel(&[begun.clone(), tls(1, Some(5))]), (Channel::Encrypted, Evidence::TlsSeen));
    for other in [tls(2, Some(5)), tls(1, Some(6)), tls(1, None)] {
        assert_eq!(channel(&[begun.clone(), other]), (Channel::Cleartext, Evidence::Port));
    }
    let gone = Event::Network(closed(connect.clone(), 1, 1));
    assert_eq!(
        channel(&[begun, gone, tls(1, Some(5))]),
        (Channel::Cleartext, Evidence::Port),
        "the number was free again"
    );
}

#[test]
fn a_policy_says_which_connections_it_knows() {
    let connect = |pid, port| Event::Network(network(Kind::Connect, "w", pid, [WEB, ("10.89.0.3", port)], 5));
    let config = crate::config::load(None, &[]).unwrap();
    let mut trees = crate::profile::ImageProfile::default();
    let steps = ["(unknown)", "connect tcp", "image redis:7", "6379"].map(Arc::from);
    trees.network.insert(&steps, config.profile.collapse);
    let entry = crate::profile::store::Entry { trees, ..Default::default() };
    let policy = Profile { images: [("web:1".into(), entry)].into(), ..Profile::default() };
    let relations = map(&[connect(1, 6379), connect(2, 6379), connect(3, 6380)], Some(&policy));
    let judged: Vec<_> =
        relations.iter().map(|each| (each.key.port, each.within_policy, each.outside_policy)).collect();
    assert_eq!(judged, [(Some(6379), Some(2), Some(0)), (Some(6380), Some(0), Some(1))]);
    let accept = Event::Network(network(Kind::Accept, "c", 4, [CACHE, WEB], 7));
    assert_eq!(map(&[accept], Some(&policy))[0].within_policy, None, "it does not know redis:7");

    let services = Services { recordings: vec!["r".to_owned()], relations, limits: vec!["r: no tls".to_owned()] };
    let text = render(&services, Some(120));
    for part in
        ["web:1", "redis:7", "tcp/6379 redis", "either, by port", "OUTSIDE", "the policy does not know it", "r: no tls"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let graph = dot(&services);
    assert!(graph.contains("n0 -> n1 [label=\"tcp/6379 redis, either\"];") && graph.contains("color=red"), "{graph}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&to_json(&services)).unwrap()["relations"][0]["port"], 6379);
}

#[test]
fn hostile_names_stay_within_their_quotes() {
    let key =
        Key { client: "a\"];\n\u{1b}[2J".to_owned(), server: "b\\".to_owned(), protocol: "tcp".to_owned(), port: None };
    let services =
        Services { recordings: Vec::new(), relations: vec![relation(key, Gathered::default())], limits: Vec::new() };
    let graph = dot(&services);
    assert!(graph.contains(r#"[label="a\"];\\x0a\\x1b[2J"];"#) && graph.contains(r#"[label="b\\"];"#), "{graph}");
    assert!(!render(&services, None).contains('\u{1b}'));
}
