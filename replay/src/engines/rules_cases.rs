//! `rules/cases.tsv`: for each rule of its list what it hits, and something like it that it must not.

use std::collections::BTreeMap;

use super::*;

/// Image and event of a case's text.
fn event(text: &str) -> (Event, Process) {
    let (kind, rest) = text.split_once(' ').expect(text);
    if kind == "exec" {
        let (image, line) = rest.split_once(": ").expect(text);
        return (Event::Process(exec(image, line)), process(image, line));
    }
    let (what, image) = rest.rsplit_once(" by ").expect(text);
    let by = process(image, image.rsplit('/').next().unwrap());
    let pair = |text: &str| text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("two words");
    let event = match kind {
        "read" => Event::File(file(Kind::Open, what, 0, 0)),
        "write" => Event::File(file(Kind::Open, what, 0o1101, 0o644)),
        "delete" => Event::File(file(Kind::Unlink, what, 0, 0)),
        "chmod" => {
            let (mode, path) = pair(what);
            Event::File(file(Kind::Chmod, &path, 0, u32::from_str_radix(&mode, 8).unwrap()))
        }
        "connect" => {
            let (address, port) = pair(what);
            Event::Network(connect(&address, port.parse().unwrap()))
        }
        other => panic!("no kind of case: {other}"),
    };
    (event, by)
}

#[test]
fn every_rule_of_the_list_fires_and_stays_silent_where_it_should() {
    let engine = RuleEngine::load(None).unwrap();
    let ids: BTreeMap<&str, String> = BUILT_IN
        .iter()
        .map(|(name, text)| {
            let id = parse_sigma_yaml(text).unwrap().rules[0].id.clone().unwrap();
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
        let (event, by) = event(what);
        let view = EventView { event: &event, process: Some(&by), parent: None, container: None, peer: None };
        let hit = engine.evaluate(&view).iter().any(|hit| *hit.id == **id);
        if hit != fires {
            wrong.push(line);
        }
        seen.entry(rule).or_default()[usize::from(fires)] += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (rule, [silent, fires]) in &seen {
        assert!(*silent > 0 && *fires > 0, "{rule}: {fires} that fire, {silent} that do not");
    }
    println!("{} rules, {} of them with cases here", BUILT_IN.len(), seen.len());
}
