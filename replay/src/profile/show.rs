//! A profile for people: the trees as indented text.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::siblings::Branch;
use super::store::Entry;
use super::tuning::Behaviour;
use super::{Node, Profile};
use crate::args::Canonical;
use crate::deviation::Tree;
use crate::output::text;

/// The trees of all images.
pub fn render(profile: &Profile) -> String {
    let mut out = String::new();
    for (name, entry) in &profile.images {
        // Writing to a String cannot fail.
        let _ = render_image(name, entry, &mut out);
    }
    out
}

fn render_image(name: &str, entry: &Entry, out: &mut String) -> fmt::Result {
    writeln!(out, "{name}")?;
    let state = |tree| match entry.locked.get(&tree) {
        Some(locked) => format!("locked after {} observations: {}", locked.learned, locked.decided_by),
        None => "still learning".to_owned(),
    };
    writeln!(out, "  process ({})", state(Tree::Process))?;
    for (parent, programs) in &entry.trees.process {
        writeln!(out, "    {parent}")?;
        for (program, leaf) in programs {
            writeln!(out, "      {program}")?;
            for (pattern, count) in leaf.patterns() {
                writeln!(out, "        {}  ×{count}", pattern.text())?;
            }
        }
    }
    writeln!(out, "  file ({})", state(Tree::File))?;
    render_node(&entry.trees.file, 2, out)?;
    writeln!(out, "  network ({})", state(Tree::Network))?;
    render_node(&entry.trees.network, 2, out)?;
    render_volumes(entry, out)?;
    for tuned in &entry.tuned {
        let days = tuned.occasions.iter().map(|at| text::time(*at)).collect::<Vec<_>>().join(", ");
        writeln!(out, "  taken in since: {}  on {days}", behaviour(&tuned.behaviour))?;
    }
    for candidate in &entry.probation {
        let occasions = candidate.occasions.len();
        writeln!(out, "  on probation: {}  {occasions} occasions", behaviour(&candidate.behaviour))?;
    }
    Ok(())
}

/// What is known of how much is sent, and so what a volume is compared with.
fn render_volumes(entry: &Entry, out: &mut String) -> fmt::Result {
    let peers: usize = entry.trees.sent.values().map(BTreeMap::len).sum();
    if peers == 0 {
        return Ok(());
    }
    match &entry.trees.traffic {
        Some(traffic) => writeln!(
            out,
            "  sent to {peers} peers: the most of a minute, and a forecast from {} buckets of {} s",
            traffic.learned(),
            traffic.bucket
        ),
        None => writeln!(
            out,
            "  sent to {peers} peers: the most of a minute alone; a forecast takes two seasons of learning"
        ),
    }
}

fn behaviour(behaviour: &Behaviour) -> String {
    let args = behaviour.args.as_ref().map(|args| Canonical::from_key(Arc::clone(args)).text().into());
    let path = behaviour.path.iter().cloned().chain(args).collect();
    Branch { tree: behaviour.tree, path, events: 0 }.text()
}

fn render_node(node: &Node, depth: usize, out: &mut String) -> fmt::Result {
    for (key, child) in &node.children {
        write!(out, "{:indent$}{key}", "", indent = depth * 2)?;
        // A chain of only children reads better on one line.
        let mut end = child;
        while end.count == 0 && end.children.len() == 1 {
            let (key, next) = end.children.iter().next().expect("its length is one");
            let gap = if key.starts_with('/') { "" } else { " " };
            write!(out, "{gap}{key}")?;
            end = next;
        }
        if end.count > 0 {
            write!(out, "  ×{}", end.count)?;
        }
        writeln!(out)?;
        render_node(end, depth + 1, out)?;
    }
    Ok(())
}
