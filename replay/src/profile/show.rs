//! A profile for people: the trees as indented text.

use std::fmt::{self, Write};

use super::store::Entry;
use super::{Node, Profile};
use crate::deviation::Tree;

/// The trees of all images, or of those whose name contains `image`.
pub fn render(profile: &Profile, image: Option<&str>) -> String {
    let mut out = String::new();
    for (name, entry) in &profile.images {
        if image.is_none_or(|wanted| name.contains(wanted)) {
            // Writing to a String cannot fail.
            let _ = render_image(name, entry, &mut out);
        }
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
    render_node(&entry.trees.network, 2, out)
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
