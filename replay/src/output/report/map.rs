//! Where the nodes and edges of the map of flows are drawn: clients left, what they use right of them, the rest of the
//! world at the edges. Layers are those of a layered drawing (K. Sugiyama et al., 1981): cycles broken, longest path,
//! each layer in the order of where its edges come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

const NODE: (f64, f64) = (190.0, 46.0);
const GAP: (f64, f64) = (178.0, 34.0);
const EDGE: f64 = 10.0;
/// From one label's line to the next.
const LINE: f64 = 15.0;

/// Something that talks.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub detail: String,
    /// Not recorded: it is drawn at the edge.
    pub outside: bool,
}

/// One node talks to another.
#[derive(Clone, Debug)]
pub struct Talk {
    pub from: usize,
    pub to: usize,
    /// More is more important: where cycles have to be broken, the least is turned.
    pub weight: u64,
    pub label: String,
    pub title: String,
    /// Severity and id.
    pub alert: Option<(&'static str, String)>,
}

/// The drawing, in its own units.
#[derive(Debug, Serialize)]
pub struct Map {
    pub width: f64,
    pub height: f64,
    pub nodes: Vec<Placed>,
    pub edges: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub struct Placed {
    pub name: String,
    pub detail: String,
    pub outside: bool,
    pub x: f64,
    pub y: f64,
}

#[derive(Debug, Serialize)]
pub struct Line {
    /// The curve, and the head of its arrow.
    pub curve: String,
    pub head: String,
    pub label: String,
    pub title: String,
    pub x: f64,
    pub y: f64,
    pub severity: Option<&'static str>,
    pub alert: Option<String>,
}

/// Draws it. The same nodes and talks give the same map.
pub fn draw(nodes: Vec<Node>, mut talks: Vec<Talk>) -> Map {
    talks.sort_by(|a, b| (b.weight, a.from, a.to).cmp(&(a.weight, b.from, b.to)));
    let layers = layers(&nodes, &talks);
    let rows = rows(&nodes, &talks, &layers);
    let columns = layers.iter().max().map_or(1, |last| last + 1);
    let tallest = (0..columns).map(|layer| layers.iter().filter(|own| **own == layer).count()).max().unwrap_or(1);
    let height = EDGE * 2.0 + tallest as f64 * (NODE.1 + GAP.1) - GAP.1;
    let place = |node: usize| {
        let count = layers.iter().filter(|own| **own == layers[node]).count();
        let top = (height - (count as f64 * (NODE.1 + GAP.1) - GAP.1)) / 2.0;
        (EDGE + layers[node] as f64 * (NODE.0 + GAP.0), top + rows[node] as f64 * (NODE.1 + GAP.1))
    };
    let mut edges: Vec<Line> = talks.into_iter().map(|talk| line(talk, place)).collect();
    let lowest = spread(&mut edges);
    let place = |(i, node): (usize, Node)| {
        let (x, y) = place(i);
        Placed { name: node.name, detail: node.detail, outside: node.outside, x, y }
    };
    // An edge within the last layer bows out to the right.
    let bow = GAP.0 / 2.0 + 60.0;
    Map {
        width: EDGE * 2.0 + columns as f64 * (NODE.0 + GAP.0) - GAP.0 + bow,
        height: height.max(lowest + EDGE),
        nodes: nodes.into_iter().enumerate().map(place).collect(),
        edges,
    }
}

/// The column of each node.
fn layers(nodes: &[Node], talks: &[Talk]) -> Vec<usize> {
    let inner = |node: usize| !nodes[node].outside;
    let mut forward: BTreeSet<(usize, usize)> = BTreeSet::new();
    for talk in talks.iter().filter(|talk| inner(talk.from) && inner(talk.to)) {
        if !reaches(&forward, talk.to, talk.from) {
            forward.insert((talk.from, talk.to));
        }
    }
    let first = usize::from(talks.iter().any(|talk| !inner(talk.from)));
    let mut layers = vec![first; nodes.len()];
    for _ in 0..nodes.len() {
        for (from, to) in &forward {
            layers[*to] = layers[*to].max(layers[*from] + 1);
        }
    }
    let last = layers.iter().max().map_or(0, |last| last + 1);
    for (node, layer) in layers.iter_mut().enumerate().filter(|(node, _)| !inner(*node)) {
        *layer = if talks.iter().any(|talk| talk.to == node) { last } else { 0 };
    }
    // Without gaps.
    let used: BTreeSet<usize> = layers.iter().copied().collect();
    let number: BTreeMap<usize, usize> = used.into_iter().enumerate().map(|(i, layer)| (layer, i)).collect();
    layers.iter().map(|layer| number[layer]).collect()
}

fn reaches(forward: &BTreeSet<(usize, usize)>, from: usize, to: usize) -> bool {
    let (mut seen, mut stack) = (BTreeSet::new(), vec![from]);
    while let Some(node) = stack.pop() {
        if node == to {
            return true;
        }
        if seen.insert(node) {
            stack.extend(forward.range((node, 0)..=(node, usize::MAX)).map(|(_, to)| *to));
        }
    }
    false
}

/// The row of each node in its column.
fn rows(nodes: &[Node], talks: &[Talk], layers: &[usize]) -> Vec<usize> {
    let mut rows = vec![0; nodes.len()];
    for layer in 0..layers.iter().max().map_or(1, |last| last + 1) {
        let mut own: Vec<(f64, &str, usize)> = (0..nodes.len())
            .filter(|node| layers[*node] == layer)
            .map(|node| {
                let before: Vec<usize> = talks
                    .iter()
                    .filter(|talk| talk.to == node && layers[talk.from] < layer)
                    .map(|talk| rows[talk.from])
                    .collect();
                let mean = before.iter().sum::<usize>() as f64 / before.len().max(1) as f64;
                (mean, nodes[node].name.as_str(), node)
            })
            .collect();
        own.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        own.iter().enumerate().for_each(|(row, (.., node))| rows[*node] = row);
    }
    rows
}

fn line(talk: Talk, place: impl Fn(usize) -> (f64, f64)) -> Line {
    let (from, to) = (place(talk.from), place(talk.to));
    let half = GAP.0 / 2.0;
    // What goes back stands a little lower than what goes there.
    let lower = if to.0 < from.0 { 9.0 } else { -5.0 };
    let (y1, y2) = (from.1 + NODE.1 / 2.0 + lower, to.1 + NODE.1 / 2.0 + lower);
    let (x1, tip, back) = if to.0 > from.0 {
        (from.0 + NODE.0, to.0, -1.0)
    } else if to.0 < from.0 {
        (from.0, to.0 + NODE.0, 1.0)
    } else {
        (from.0 + NODE.0, to.0 + NODE.0, 1.0)
    };
    let x2 = tip + 8.0 * back;
    let head = format!("M{tip:.1} {y2:.1}L{x2:.1} {:.1}L{x2:.1} {:.1}Z", y2 - 4.5, y2 + 4.5);
    // It leaves and arrives level; within a column it bows out.
    let (out, into) = if to.0 == from.0 { (half, half) } else { (-half * back, half * back) };
    let curve = format!("M{x1:.1} {y1:.1}C{:.1} {y1:.1} {:.1} {y2:.1} {x2:.1} {y2:.1}", x1 + out, x2 + into);
    let x = tip + half * back;
    let t = if to.0 == from.0 { 0.5 } else { ((x - x1) / (x2 - x1)).clamp(0.0, 1.0) };
    let y = y1 + (y2 - y1) * t * t * (3.0 - 2.0 * t) - 7.0;
    let (severity, alert) = talk.alert.unzip();
    Line { curve, head, label: talk.label, title: talk.title, x, y, severity, alert }
}

/// Moves labels that stand on each other apart; returns where the lowest is.
fn spread(edges: &mut [Line]) -> f64 {
    let mut order: Vec<usize> = (0..edges.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&edges[*a], &edges[*b]);
        a.y.total_cmp(&b.y).then_with(|| a.x.total_cmp(&b.x)).then_with(|| a.title.cmp(&b.title))
    });
    let mut placed: Vec<(f64, f64)> = Vec::new();
    for i in order {
        let edge = &mut edges[i];
        edge.y = edge.y.max(LINE);
        // They are placed from above, so each step down leaves one of them behind.
        while let Some((_, y)) =
            placed.iter().find(|(x, y)| (x - edge.x).abs() < GAP.0 && (y - edge.y).abs() < LINE - 1e-9)
        {
            edge.y = y + LINE;
        }
        placed.push((edge.x, edge.y));
    }
    placed.iter().map(|(_, y)| *y).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, outside: bool) -> Node {
        Node { name: name.to_owned(), detail: String::new(), outside }
    }

    fn talk(from: usize, to: usize, weight: u64) -> Talk {
        Talk { from, to, weight, label: format!("{from}-{to}"), title: format!("{from} to {to}"), alert: None }
    }

    #[test]
    fn clients_stand_left_of_what_they_use_and_the_world_at_the_edges() {
        let nodes = || {
            vec![node("web", false), node("app", false), node("cache", false), node("user", true), node("cdn", true)]
        };
        let talks = || vec![talk(3, 0, 9), talk(0, 1, 8), talk(1, 2, 7), talk(1, 4, 6), talk(2, 1, 1)];
        let map = draw(nodes(), talks());
        let x = |name: &str| map.nodes.iter().find(|node| node.name == name).unwrap().x;
        assert!(x("user") < x("web") && x("web") < x("app") && x("app") < x("cache") && x("cache") < x("cdn"));
        assert_eq!(map.edges.len(), 5, "an edge against the order is drawn, too");
        let again = draw(nodes(), talks().into_iter().rev().collect());
        assert_eq!(format!("{map:?}"), format!("{again:?}"), "the order of the input does not matter");
    }

    #[test]
    fn nothing_stands_on_anything_else_and_all_is_within() {
        let nodes: Vec<Node> = (0..12).map(|i| node(&format!("n{i}"), i > 8)).collect();
        let talks: Vec<Talk> =
            (0..12).flat_map(|a| (0..12).filter(move |b| (a * b) % 5 == 2).map(move |b| talk(a, b, 1))).collect();
        let map = draw(nodes, talks);
        for (i, a) in map.nodes.iter().enumerate() {
            assert!(a.x >= 0.0 && a.y >= 0.0 && a.x + NODE.0 <= map.width && a.y + NODE.1 <= map.height);
            assert!(map.nodes[i + 1..].iter().all(|b| (a.x - b.x).abs() >= NODE.0 || (a.y - b.y).abs() >= NODE.1));
        }
        for (i, a) in map.edges.iter().enumerate() {
            assert!(a.y <= map.height && a.x <= map.width);
            assert!(map.edges[i + 1..].iter().all(|b| (a.x - b.x).abs() >= GAP.0 || (a.y - b.y).abs() >= LINE - 1e-6));
        }
    }

    #[test]
    fn nothing_is_a_map_too() {
        let map = draw(Vec::new(), Vec::new());
        assert!(map.nodes.is_empty() && map.width > 0.0 && map.height.is_finite());
    }
}
