//! The map as a table, as JSON, and as a graph in the DOT language.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::{Channel, Evidence, Relation, Services};
use crate::output::table::WIDTH;
use crate::output::text::{clean, count, shorten, time};

/// Characters of an end before it is cut; the JSON holds all of it.
const LONG: usize = 60;
/// Characters of a tag before it is cut: those that are digests of what was built.
const TAG: usize = 10;

/// A line for each relation, then what stands out, and what cannot be seen.
pub fn render(services: &Services, width: Option<u16>) -> String {
    if services.relations.is_empty() {
        return format!("nobody talks to anybody\n{}", limits(services));
    }
    let mut table = Table::new();
    let width = width.unwrap_or(100).clamp(*WIDTH.start(), *WIDTH.end());
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.force_no_tty();
    let judged = services.relations.iter().any(|relation| relation.within_policy.is_some());
    let mut head = vec!["client", "server", "service", "channel", "connections", "to server", "from server", "first"];
    head.extend(judged.then_some("policy"));
    table.set_header(head);
    for relation in &services.relations {
        let mut row = vec![
            end(&relation.key.client),
            end(&relation.key.server),
            service(relation),
            channel(relation),
            connections(relation),
            bytes(relation.to_server),
            bytes(relation.from_server),
            time(relation.first).get(5..19).unwrap_or_default().replace('T', " "),
        ];
        if judged {
            row.push(policy(relation));
        }
        table.add_row(row.into_iter().map(Cell::new));
    }
    let mut out = String::new();
    for line in table.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let noted: String = services.relations.iter().flat_map(notes).map(|note| format!("  {note}\n")).collect();
    if !noted.is_empty() {
        out += &format!("\nlook at:\n{noted}");
    }
    out + &limits(services)
}

fn limits(services: &Services) -> String {
    let lines: String = services.limits.iter().map(|limit| format!("  {}\n", clean(limit))).collect();
    if lines.is_empty() { lines } else { format!("\nnot seen:\n{lines}") }
}

/// An image without its registry and folders, which most of a recording's have in common.
pub(crate) fn end(text: &str) -> String {
    let text = clean(text);
    if text.contains(' ') {
        return shorten(&text, LONG);
    }
    let name = text.rsplit('/').next().unwrap_or(&text);
    match name.rsplit_once(':') {
        Some((name, tag)) => format!("{}:{}", shorten(name, LONG), shorten(tag, TAG)),
        None => shorten(name, LONG),
    }
}

fn service(relation: &Relation) -> String {
    let port = relation.key.port.map_or_else(|| "ephemeral".to_owned(), |port| port.to_string());
    let name = relation.service.map_or_else(String::new, |name| format!(" {name}"));
    format!("{}/{port}{name}", clean(&relation.key.protocol))
}

fn channel(relation: &Relation) -> String {
    said(relation.channel, relation.evidence)
}

/// A channel, and how it is known.
pub(crate) fn said(channel: Channel, evidence: Evidence) -> String {
    let how = match evidence {
        Evidence::TlsSeen | Evidence::DnsSeen => ", seen",
        Evidence::Port => ", by port",
        Evidence::None => "",
    };
    format!("{}{how}", channel.name())
}

fn connections(relation: &Relation) -> String {
    let refused = if relation.refused > 0 { format!(" (+{} refused)", count(relation.refused)) } else { String::new() };
    format!("{}{refused}", count(relation.connections))
}

fn policy(relation: &Relation) -> String {
    match (relation.within_policy, relation.outside_policy) {
        (Some(_), Some(0)) => "within".to_owned(),
        (Some(0), Some(_)) => "OUTSIDE".to_owned(),
        (Some(within), Some(outside)) => format!("{} OUTSIDE of {}", count(outside), count(within + outside)),
        _ => "-".to_owned(),
    }
}

fn bytes(n: u64) -> String {
    indicatif::HumanBytes(n).to_string()
}

fn notes(relation: &Relation) -> Vec<String> {
    let ends = format!("{} → {} {}", end(&relation.key.client), end(&relation.key.server), service(relation));
    let mut notes = Vec::new();
    if relation.credentials_in_the_clear {
        notes.push(format!("{ends}: what is said there, passwords too, can be read on the way"));
    } else if relation.open_store {
        notes.push(format!("{ends}: a data store, and no encryption was seen"));
    }
    if relation.outside_policy.is_some_and(|outside| outside > 0) {
        notes.push(format!("{ends}: the policy does not know it"));
    }
    if relation.connections == 0 && relation.refused > 0 {
        notes.push(format!("{ends}: {} attempts, none answered", count(relation.refused)));
    }
    notes
}

/// All of it.
pub fn to_json(services: &Services) -> String {
    format!("{}\n", serde_json::to_string_pretty(services).expect("string keys and plain values serialize"))
}

/// A graph for `dot -Tsvg`: ends are nodes, a relation is an edge with its service; red: outside the policy or in the clear.
pub fn dot(services: &Services) -> String {
    let mut out = "digraph services {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for relation in &services.relations {
        for name in [relation.key.client.as_str(), relation.key.server.as_str()] {
            let next = ids.len();
            if let std::collections::btree_map::Entry::Vacant(vacant) = ids.entry(name) {
                vacant.insert(next);
                let _ = writeln!(out, "  n{next} [label={}];", quoted(&end(name)));
            }
        }
        let bad = relation.credentials_in_the_clear || relation.outside_policy.is_some_and(|outside| outside > 0);
        let label = format!("{}, {}", service(relation), relation.channel.name());
        let colour = if bad { ", color=red, fontcolor=red" } else { "" };
        let (from, to) = (ids[relation.key.client.as_str()], ids[relation.key.server.as_str()]);
        let _ = writeln!(out, "  n{from} -> n{to} [label={}{colour}];", quoted(&label));
    }
    out + "}\n"
}

/// A string of the DOT language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
