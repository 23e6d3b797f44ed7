//! Against rsigma's own engine where the two must agree, and what this one adds.

use std::collections::BTreeSet;

use datasets::{Common, Event, NetworkEvent};
use record_bpf::Kind;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};
use rsigma_parser::parse_sigma_yaml;

use super::*;
use crate::engines::rules::RuleEngine;
use crate::engines::rules_load::State;

/// Three rules told apart by the port, and one correlation of them.
fn documents(correlation: &str) -> String {
    let rule = |name: &str, port: u16| {
        format!(
            "title: {name}\nid: {name}\nname: {name}\nlogsource: {{category: network_connection}}\n\
             detection: {{a: {{DestinationPort: {port}}}, condition: a}}\n---\n"
        )
    };
    format!(
        "{}{}{}title: C\nid: C\ncorrelation: {correlation}\nlevel: high\n",
        rule("a", 1),
        rule("b", 2),
        rule("c", 3)
    )
}

fn engine(text: &str) -> RuleEngine {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.yml"), text).unwrap();
    RuleEngine::load(Some(folder.path())).unwrap()
}

/// A connection of a container to a port of a host, `at` in ns.
fn connection(at: i64, seq: u64, container: &str, host: u64, port: u16) -> Event {
    let common = Common {
        ts: at,
        cpu: 0,
        seq,
        kind: Kind::Connect,
        container: Some(container.into()),
        pid: 1,
        tid: 1,
        exec_id: Some(1),
    };
    Event::Network(NetworkEvent {
        peer_addr: Some(format!("10.0.0.{host}").into()),
        peer_port: Some(port),
        ret: 0,
        ..NetworkEvent::new(common, "inet", "tcp")
    })
}

/// A number from a seed, the same each time (splitmix64, public domain).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn met_by(engine: &RuleEngine, event: &Event, lane: &mut Correlator) -> Vec<Met> {
    let view = EventView::new(event);
    lane.see(engine.correlations(), &engine.evaluate(&view), &view).0
}

#[test]
fn what_rsigma_finds_in_whole_seconds_is_found_here() {
    const SECOND: i64 = 1_000_000_000;
    for condition in [
        "{type: event_count, rules: [a, b], group-by: [ContainerId], timespan: 10s, condition: {gte: 4}}",
        "{type: event_count, rules: [a], group-by: [ContainerId, DestinationIp], timespan: 30s, condition: {gt: 2}}",
        "{type: value_count, rules: [a, b, c], group-by: [ContainerId], timespan: 12s, condition: {field: DestinationIp, gte: 4}}",
        "{type: value_sum, rules: [b, c], group-by: [ContainerId], timespan: 9s, condition: {field: DestinationPort, gte: 9}}",
        "{type: value_avg, rules: [b, c], group-by: [ContainerId], timespan: 9s, condition: {field: DestinationPort, lt: 3}}",
        "{type: temporal, rules: [a, b, c], group-by: [ContainerId], timespan: 6s}",
        "{type: temporal_ordered, rules: [a, b, c], group-by: [ContainerId], timespan: 8s}",
        "{type: temporal_ordered, rules: [c, a], group-by: [ContainerId, DestinationIp], timespan: 20s}",
    ] {
        let text = documents(condition);
        let ours = engine(&text);
        let parsed = parse_sigma_yaml(&text).unwrap();
        let timespan = parsed.correlations[0].timespan.seconds;
        let config = CorrelationConfig { suppress: Some(timespan), ..CorrelationConfig::default() };
        let mut theirs = CorrelationEngine::new(config);
        theirs.add_collection(&parsed).unwrap();
        let mut lane = Correlator::default();
        let (mut state, mut now, mut fired) = (7, 1_790_000_000i64, 0);
        for seq in 0..3_000 {
            // Times are never equal: which of two hits in one moment was first is theirs to leave open.
            now += 1 + (next(&mut state) % 4) as i64;
            let (container, host, port) =
                (format!("c{}", next(&mut state) % 2), next(&mut state) % 6, 1 + (next(&mut state) % 4) as u16);
            let event = connection(now * SECOND, seq, &container, host, port);
            let met = met_by(&ours, &event, &mut lane);
            let json = serde_json::json!({
                "ContainerId": container, "DestinationIp": format!("10.0.0.{host}"), "DestinationPort": port,
            });
            let results = theirs.process_event_at(&JsonEvent::borrow(&json), now);
            let expected = results.iter().filter(|result| result.is_correlation()).count();
            assert_eq!(met.len(), expected, "{condition}: event {seq}");
            fired += expected;
        }
        assert!(fired > 20, "{condition}: met {fired} times");
    }
}

#[test]
fn a_correlation_names_its_hits_and_their_rows_and_is_not_told_twice() {
    let text = documents("{type: temporal_ordered, rules: [a, b, c], group-by: [ContainerId], timespan: 1m}");
    let engine = engine(&text);
    let mut lane = Correlator::default();
    let events = [(1, 1), (2, 3), (3, 2), (4, 3), (5, 3)];
    let met: Vec<Vec<Met>> = events
        .into_iter()
        .map(|(n, port)| met_by(&engine, &connection(n, n as u64, "c", 1, port), &mut lane))
        .collect();
    assert_eq!(met.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 1, 0]);
    let Met { hit, rows, .. } = &met[3][0];
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(&*hit.reason, "C: 3 hits in 0.0 s: a: DestinationPort 1; b: DestinationPort 2; c: DestinationPort 3");
    assert_eq!((hit.level, &*hit.id), (Level::High, "C"));
    // After its timespan it is told again.
    let later = 61_000_000_000;
    let again = [1, 2, 3].map(|port| {
        let at = later + i64::from(port);
        met_by(&engine, &connection(at, 10 + u64::from(port), "c", 1, port), &mut lane).len()
    });
    assert_eq!(again, [0, 0, 1]);
}

#[test]
fn an_event_without_the_groups_field_takes_no_part_and_one_event_is_no_sequence() {
    let text = documents(
        "{type: event_count, rules: [a], group-by: [ContainerId, DestinationHostname], timespan: 1m, condition: {gte: 1}}",
    );
    let mut lane = Correlator::default();
    assert!(met_by(&engine(&text), &connection(1, 1, "c", 1, 1), &mut lane).is_empty());
    // Both rules hit each event: only two events are a sequence.
    let text = documents("{type: temporal_ordered, rules: [a, b], group-by: [ContainerId], timespan: 1m}")
        .replace("DestinationPort: 2", "DestinationPort: 1");
    let engine = engine(&text);
    let mut lane = Correlator::default();
    assert!(met_by(&engine, &connection(1, 1, "c", 1, 1), &mut lane).is_empty());
    assert_eq!(met_by(&engine, &connection(2, 2, "c", 1, 1), &mut lane).len(), 1);
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_does_not_depend_on_the_table() {
    let text = documents(
        "{type: event_count, rules: [a], group-by: [ContainerId, DestinationIp], timespan: 1h, condition: {gte: 3}}",
    );
    let engine = engine(&text);
    // Rules are not what is tried here: one answer serves for all events.
    let hits = engine.evaluate(&EventView::new(&connection(0, 0, "c", 1, 1)));
    let see = |lane: &mut Correlator, n: u64, host: u64| {
        let event = connection(n as i64, n, "c", host, 1);
        lane.see(engine.correlations(), &hits, &EventView::new(&event)).0
    };
    let run = || {
        let mut lane = Correlator::default();
        let mut met = Vec::new();
        for n in 0..200_000 {
            // Some hosts come back, most never do.
            let host = if n % 3 == 0 { n / 3 % 500 } else { 1_000 + n };
            met.extend(see(&mut lane, n, host).into_iter().map(|met| met.rows));
            assert!(lane.hits <= HITS);
        }
        assert_eq!(lane.hits, lane.windows.values().map(Window::len).sum::<usize>());
        met
    };
    let first = run();
    assert!(!first.is_empty());
    assert_eq!(first, run());
    // One group keeps the last hits.
    let mut lane = Correlator::default();
    for n in 0..5_000 {
        see(&mut lane, n, 1);
    }
    assert_eq!(lane.hits, WINDOW);
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_the_reason() {
    for (correlation, reason) in [
        ("{type: event_count, rules: [x], group-by: [ContainerId], timespan: 1m, condition: {gte: 1}}", "refers to x"),
        (
            "{type: event_count, rules: [C], group-by: [ContainerId], timespan: 1m, condition: {gte: 1}}",
            "refers to itself",
        ),
        (
            "{type: event_count, rules: [a], group-by: [LogonId], timespan: 1m, condition: {gte: 1}}",
            "no event has LogonId",
        ),
        (
            "{type: event_count, rules: [a], group-by: [ContainerId], timespan: 1m, condition: {gte: 9999}}",
            "more than 2048",
        ),
        ("{type: temporal, rules: [a, b], group-by: [ContainerId], timespan: 1m, condition: a and b}", "in words"),
        (
            "{type: value_median, rules: [a], group-by: [ContainerId], timespan: 1m, condition: {field: BytesSent, gte: 1}}",
            "value_median is not supported",
        ),
    ] {
        let engine = engine(&documents(correlation));
        let states: Vec<String> = engine
            .listed()
            .iter()
            .filter_map(|listed| match &listed.state {
                State::Skipped { reason } if !listed.built_in => Some(reason.clone()),
                _ => None,
            })
            .collect();
        assert!(matches!(&states[..], [only] if only.contains(reason)), "{correlation}: {states:?}");
        // Its rules stand for themselves then.
        let event = connection(1, 1, "c", 1, 1);
        let hits = engine.evaluate(&EventView::new(&event));
        assert!(hits.iter().any(|hit| &*hit.id == "a" && !hit.silent));
    }
}

#[test]
fn a_rule_of_another_file_is_not_silenced() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        documents("{type: event_count, rules: [a, b], group-by: [ContainerId], timespan: 1m, condition: {gte: 9}}");
    let (rules, correlation) = text.rsplit_once("---\n").unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    std::fs::write(folder.path().join("correlation.yml"), correlation).unwrap();
    let apart = RuleEngine::load(Some(folder.path())).unwrap();
    let event = connection(1, 1, "c", 1, 1);
    let silent = |engine: &RuleEngine| -> BTreeSet<bool> {
        let hits = engine.evaluate(&EventView::new(&event));
        hits.iter().filter(|hit| &*hit.id == "a").map(|hit| hit.silent).collect()
    };
    assert_eq!(silent(&apart), BTreeSet::from([false]));
    assert_eq!(silent(&engine(&text)), BTreeSet::from([true]));
}
