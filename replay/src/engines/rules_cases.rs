//! `rules/cases.tsv`: for each rule of its list what it hits, and something like it that it must not.

use std::collections::BTreeMap;

use super::*;
use crate::deviation::{DeviationKind, Tree};
use crate::engines::correlation::{Contribution, Correlator, Scope};
use crate::engines::sigma_fields::Known;
use crate::observe::ProcessTable;
use datasets::{DnsEvent, FlowEvent, ResourceEvent, SecurityEvent, TlsEvent};

/// Gap between the events of a case, unless it says otherwise: ns.
const GAP: i64 = 100_000_000;

/// An event of a case with who did it, and what the lane knows of it.
struct Happening {
    event: Event,
    by: Process,
    known: Known<'static>,
}

fn happening(text: &str) -> Happening {
    if let Some(rest) = text.strip_prefix("deviation ") {
        let [tree, kind, what] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let tree = Tree::ALL.into_iter().find(|known| known.name() == tree).expect(text);
        let kinds =
            [DeviationKind::NewProcess, DeviationKind::NewArguments, DeviationKind::NewPath, DeviationKind::NewPeer];
        let kind = kinds.into_iter().find(|known| known.name() == kind).expect(text);
        let mut happening = happening(what);
        happening.known.deviation = Some((tree, kind));
        return happening;
    }
    if let Some(rest) = text.strip_prefix("beyond ") {
        let (bytes, what) = rest.split_once(' ').expect(text);
        let mut happening = happening(what);
        happening.known.beyond = Some(bytes.parse().unwrap_or_else(|_| panic!("{text}")));
        return happening;
    }
    let (text, uid) = match text.rsplit_once(" for ") {
        Some((text, uid)) => (text, uid.parse().unwrap_or_else(|_| panic!("{text}"))),
        None => (text, 0),
    };
    let (text, container) = match text.rsplit_once(" in ") {
        Some((text, container)) if !container.contains(' ') => (text, container),
        _ => (text, "c"),
    };
    let (text, incarnation) = match text.rsplit_once(" as ") {
        Some((text, number)) => (text, number.parse().unwrap_or_else(|_| panic!("{text}"))),
        None => (text, 1),
    };
    let (kind, rest) = text.split_once(' ').expect(text);
    let mut known = Known::default();
    let (mut event, by) = if kind == "exec" {
        let (image, line) = rest.split_once(": ").expect(text);
        let (image, upper) = image.strip_prefix("written ").map_or((image, false), |image| (image, true));
        let (image, memfd) = image.strip_prefix("memory ").map_or((image, false), |image| (image, true));
        let mut event = exec(image, line);
        (event.exe_upper, event.exe_memfd) = (Some(upper), Some(memfd));
        (Event::Process(event), process(image, line))
    } else {
        let (what, image) = rest.rsplit_once(" by ").unwrap_or((rest, "/srv/app/run"));
        let by = process(image, image.rsplit('/').next().unwrap());
        (act(kind, what, &mut known), by)
    };
    let common = event.common_mut();
    (common.container, common.exec_id, common.pid) = (Some(container.into()), Some(incarnation.into()), incarnation);
    let by = Process {
        container: Some(container.into()),
        exec_id: incarnation.into(),
        pid: incarnation,
        uid: Some(uid),
        ..by
    };
    Happening { event, by, known }
}

fn act(kind: &str, what: &str, known: &mut Known<'_>) -> Event {
    let words: Vec<&str> = what.split(' ').collect();
    let number = |at: usize| -> u64 { words[at].parse().unwrap_or_else(|_| panic!("a number: {kind} {what}")) };
    match kind {
        "read" => Event::File(file(Kind::Open, what, 0, 0)),
        "write" => Event::File(file(Kind::Open, what, 0o1101, 0o644)),
        "delete" => Event::File(file(Kind::Unlink, what, 0, 0)),
        "rename" => Event::File(FileEvent { new_path: Some(words[1].into()), ..file(Kind::Rename, words[0], 0, 0) }),
        "chmod" => Event::File(file(Kind::Chmod, words[1], 0, u32::from_str_radix(words[0], 8).unwrap())),
        "connect" => Event::Network(connect(words[0], number(1) as u16)),
        "close" => {
            let event = NetworkEvent { bytes_sent: Some(number(2)), ..connect(words[0], number(1) as u16) };
            Event::Network(of_kind(event, Kind::NetClose, words.get(3).copied().unwrap_or("stream")))
        }
        "state" => {
            let states = (Some(words[2].into()), Some(words[3].into()));
            let event = connect(words[0], number(1) as u16);
            let event = NetworkEvent { old_state: states.0, state: states.1, ..event };
            Event::Network(of_kind(event, Kind::TcpState, "stream"))
        }
        "socket" => {
            let event = NetworkEvent { ret: 3, ..NetworkEvent::new(common(Kind::Socket), "inet", words[1]) };
            Event::Network(of_kind(event, Kind::Socket, words[0]))
        }
        "exit" => {
            let signal = (words[0] == "signal").then(|| number(1) as i32);
            let code = signal.is_none().then(|| number(0) as i32);
            Event::Process(ProcessEvent {
                exit_code: code,
                exit_signal: signal,
                ..ProcessEvent::new(common(Kind::Exit))
            })
        }
        "ask" => Event::Dns(dns(words[0], words.get(1).copied())),
        "sample" => {
            known.cpu_percent = Some(number(0) as i64);
            Event::Resource(sample())
        }
        "flow" => Event::Flow(flow(words[0], number(1) as u16, number(2), number(3))),
        "http" => Event::Tls(http(&words)),
        call => {
            let kind =
                Kind::from_op(record_bpf::Class::Security, call).unwrap_or_else(|| panic!("no such case: {call}"));
            Event::Security(security(kind, &words))
        }
    }
}

fn of_kind(mut event: NetworkEvent, kind: Kind, socket_type: &str) -> NetworkEvent {
    event.common.kind = kind;
    event.socket_type = Some(socket_type.into());
    if socket_type == "raw" && kind == Kind::NetClose {
        event.protocol = "tcp".into();
    }
    event
}

fn dns(name: &str, answer: Option<&str>) -> DnsEvent {
    let (kind, direction) = if answer.is_some() { (Kind::DnsAnswer, "received") } else { (Kind::DnsQuery, "sent") };
    DnsEvent {
        common: common(kind),
        direction: direction.into(),
        protocol: "udp".into(),
        local_addr: None,
        local_port: 40_000,
        peer_addr: Some("10.89.0.1".into()),
        peer_port: 53,
        peer_from_user: false,
        fd: 3,
        inode: 1,
        bytes: 60,
        id: Some(1),
        opcode: Some("query".into()),
        rcode: answer.map(Into::into),
        question: Some(name.into()),
        qtype: Some("A".into()),
        answers: None,
        truncated: None,
        malformed: false,
        cut: false,
        more: None,
    }
}

fn sample() -> ResourceEvent {
    ResourceEvent {
        common: common(Kind::Usage),
        cpu_total: Some(0),
        cpu_user: None,
        cpu_system: None,
        cpu_throttled: None,
        memory: None,
        memory_anon: None,
        memory_file: None,
        processes: None,
        source: "cgroup v2".into(),
    }
}

fn flow(to: &str, port: u16, syn: u64, syn_ack: u64) -> FlowEvent {
    FlowEvent {
        common: common(Kind::Flow),
        start: 0,
        interface: "eth0".into(),
        direction: "out".into(),
        family: "inet".into(),
        protocol: Some("tcp".into()),
        src_addr: Some("10.89.0.2".into()),
        src_port: Some(40_000),
        dst_addr: Some(to.into()),
        dst_port: Some(port),
        packets: syn,
        bytes: 54 * syn,
        syn,
        syn_ack,
        fin: 0,
        rst: 0,
        first: None,
        last: None,
        rest: false,
    }
}

fn http(words: &[&str]) -> TlsEvent {
    TlsEvent {
        common: common(Kind::TlsRead),
        library: "openssl".into(),
        connection: 1,
        fd: None,
        bytes: 100,
        captured: 100,
        truncated: false,
        data: Vec::new(),
        http_method: Some(words[0].into()),
        http_path: Some(words[1].into()),
        http_version: Some("1.1".into()),
        http_host: None,
        http_headers: None,
        http_status: None,
    }
}

/// `name=value` of a call's columns.
fn security(kind: Kind, words: &[&str]) -> SecurityEvent {
    let mut event = SecurityEvent::new(common(kind), 0);
    for word in words.iter().filter(|word| **word != "-") {
        let (column, value) = word.split_once('=').expect("column=value");
        match column {
            "request" => event.request = Some(value.into()),
            "ret" => event.ret = value.parse().unwrap(),
            "fs_type" => event.fs_type = Some(value.into()),
            "source" => event.source = Some(value.into()),
            "path" => event.path = Some(value.into()),
            "signal" => event.signal = value.parse().ok(),
            "target" => (event.target_pid, event.target_container) = (value.parse().ok(), Some("c".into())),
            "target_container" => event.target_container = Some(value.into()),
            other => panic!("no such column: {other}"),
        }
    }
    event
}

/// The events of a case: `A ;; B`, each with `20x` for as many with `{n}` numbered, and `@2` for a gap of two seconds before.
fn happenings(text: &str) -> Vec<Happening> {
    let mut all = Vec::new();
    let mut now = 0;
    for part in text.split(" ;; ") {
        let mut part = part;
        let (mut times, mut gap) = (1, GAP);
        if let Some((count, rest)) = part.split_once("x ").and_then(|(n, rest)| Some((n.parse::<u32>().ok()?, rest))) {
            (times, part) = (count, rest);
        }
        if let Some((seconds, rest)) = part.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            (gap, part) = ((seconds.parse::<f64>().unwrap() * 1e9) as i64, rest);
        }
        for n in 1..=times {
            now += gap;
            let mut happening = happening(&part.replace("{n}", &n.to_string()));
            let common = happening.event.common_mut();
            (common.ts, common.seq) = (now, all.len() as u64);
            all.push(happening);
        }
    }
    all
}

/// Ids of what is hit and met.
fn found(engine: &RuleEngine, text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let (mut lane, mut across) = (Correlator::default(), Correlator::default());
    for Happening { event, by, known } in happenings(text) {
        let table = ProcessTable::new([by.clone()]);
        let view = EventView { process: Some(&by), processes: Some(&table), known, ..EventView::new(&event) };
        let hits = engine.evaluate(&view);
        let (mut met, abroad) = lane.see(engine.correlations(), &hits, &view);
        let joined = |contribution: Contribution| across.join(engine.correlations(), contribution);
        met.extend(abroad.into_iter().filter_map(joined));
        ids.extend(hits.iter().filter(|hit| !hit.silent).map(|hit| hit.id.to_string()));
        ids.extend(met.iter().map(|met| met.hit.id.to_string()));
    }
    ids
}

#[test]
fn every_rule_of_the_list_fires_and_stays_silent_where_it_should() {
    let engine = RuleEngine::load(None).unwrap();
    let ids: BTreeMap<&str, String> = BUILT_IN
        .iter()
        .map(|(name, text)| {
            let documents = parse_sigma_yaml(text).unwrap();
            let correlation = documents.correlations.last().and_then(|rule| rule.id.clone());
            let id = correlation.or_else(|| documents.rules[0].id.clone()).unwrap();
            (name.strip_suffix(".yml").unwrap(), id)
        })
        .collect();
    let mut seen: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    let mut wrong = Vec::new();
    let cases = include_str!("../../rules/cases.tsv");
    for line in cases.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let [rule, expected, what] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("three columns: {line}") };
        let fires = match expected {
            "fires" => true,
            "silent" => false,
            other => panic!("fires or silent, not {other}"),
        };
        let id = ids.get(rule).unwrap_or_else(|| panic!("no rule {rule}"));
        if found(&engine, what).contains(id) != fires {
            wrong.push(line);
        }
        seen.entry(rule).or_default()[usize::from(fires)] += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (rule, [silent, fires]) in &seen {
        assert!(*silent > 0 && *fires > 0, "{rule}: {fires} that fire, {silent} that do not");
    }
    // Those without cases here have theirs in this module's parent.
    let older = BUILT_IN.len() - seen.len();
    assert!(older <= 18, "{older} rules without cases");
    assert!(engine.correlations().documents().iter().any(|document| document.scope == Scope::Everywhere));
}
