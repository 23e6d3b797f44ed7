//! The terminal's view of incidents: a head line, what it is made of, and its process tree.

use std::fmt::Write;

use super::table::{WIDTH, ansi};
use super::text::{clean, shorten};
use crate::alert::Incident;
use crate::alert::incident::Node;

/// Processes shown of one incident; the rest are in incidents.jsonl.
const SHOWN: usize = 20;

/// The incidents with a raised alert. `colour`: with ANSI colours.
pub fn render(incidents: &[Incident], width: Option<u16>, colour: bool) -> String {
    let width = usize::from(width.unwrap_or(100).clamp(*WIDTH.start(), *WIDTH.end()));
    let mut out = String::new();
    for incident in incidents.iter().filter(|incident| incident.severity.is_raised()) {
        block(incident, width, colour, &mut out);
        out.push('\n');
    }
    out
}

fn block(incident: &Incident, width: usize, colour: bool, out: &mut String) {
    let paint = |text: &str, severity| {
        if colour { format!("\u{1b}[1;{}m{text}\u{1b}[0m", ansi(severity)) } else { text.to_owned() }
    };
    let alerts = match incident.alerts.len() {
        1 => "1 alert".to_owned(),
        n => format!("{n} alerts"),
    };
    let head = format!("INCIDENT {}", incident.id);
    let severity = incident.severity.name().to_uppercase();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}  {severity}  {alerts}  {}, {:.1} s",
        paint(&head, incident.severity),
        incident.first_time,
        incident.length()
    );
    let containers: Vec<_> = incident.containers.iter().map(|member| clean(&member.name)).collect();
    let _ = writeln!(out, "{}", shorten(&format!("in {}", containers.join(", ")), width));
    let techniques: Vec<_> = incident.techniques.iter().map(ToString::to_string).collect();
    if !techniques.is_empty() {
        let _ = writeln!(out, "{}", shorten(&techniques.join(" → "), width));
    }
    for link in &incident.links {
        let _ = writeln!(out, "{} began {:.3} s after {} connected to its container", link.to, link.after_s, link.from);
    }
    for node in incident.tree.iter().take(SHOWN) {
        let several = incident.containers.len() > 1;
        let mark = node.alert.as_ref().zip(node.severity);
        let mark = mark.map_or_else(String::new, |(id, severity)| format!("  ◀ {} {id}", severity.name()));
        let line = shorten(&line(node, several), width.saturating_sub(mark.chars().count()));
        let mark = node.severity.map_or_else(String::new, |severity| paint(&mark, severity));
        let _ = writeln!(out, "{line}{mark}");
    }
    if incident.tree.len() > SHOWN {
        let _ = writeln!(out, "and {} more processes", incident.tree.len() - SHOWN);
    }
}

fn line(node: &Node, several: bool) -> String {
    let indent = "  ".repeat(node.depth.min(16));
    let branch = if node.depth > 0 { "└ " } else { "" };
    let container = if several && node.depth == 0 { format!("{}: ", clean(&node.container)) } else { String::new() };
    format!("{indent}{branch}{container}({}) {}", node.pid, clean(&node.command))
}
