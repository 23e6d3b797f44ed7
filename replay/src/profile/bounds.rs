//! What the bound on a directory's names costs and buys, measured on recordings: nodes of the file trees, against files that
//! ordinary life opens and the tree does not know, and files of an attack that it takes for known.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use comfy_table::{CellAlignment, Table, presets};
use datasets::Recording;
use record_bpf::Class;
use serde::Serialize;

use super::Node;
use crate::config::Config;
use crate::deviation::RowRef;
use crate::error::Result;
use crate::input;
use crate::observe::{Context, Observer};
use crate::output::text::count;
use crate::pipeline::World;

/// A file that was used, as a path through the file tree of its image.
struct Use {
    image: Arc<str>,
    steps: Arc<[Arc<str>]>,
    /// Unix time, ns.
    ts: i64,
    /// It belongs to an act of the ground truth.
    labelled: bool,
}

/// One bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Distinct names a directory may hold; null: as many as it has.
    pub bound: Option<usize>,
    pub nodes: u64,
    /// Paths that the trees hold.
    pub patterns: u64,
    /// Directories that became a wildcard.
    pub wildcards: u64,
    /// Events of ordinary life, held out, that the trees do not know, and distinct paths of them.
    pub false_events: u64,
    pub false_paths: u64,
    /// Distinct paths of labelled acts, held out, that the trees do not know, and that they take for known.
    pub attack_found: u64,
    pub attack_hidden: u64,
}

/// The measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Bounds {
    pub learned_events: u64,
    pub held_out_events: u64,
    pub rows: Vec<Row>,
}

/// Learns the file trees of `recordings` with each bound, and compares them with `against`; without one, learns the first
/// `share` of each recording's time and compares with the rest. Labelled events are not learned.
///
/// # Errors
/// Damaged input.
pub fn measure(
    recordings: &[(String, Recording)],
    against: &[(String, Recording)],
    share: f64,
    bounds: &[Option<usize>],
    config: &Config,
) -> Result<Bounds> {
    let (mut learned, mut held_out) = (Vec::new(), Vec::new());
    for (_, recording) in recordings {
        let (uses, from) = uses(recording, config, share)?;
        for used in uses {
            let early = !against.is_empty() || used.ts < from;
            if !early {
                held_out.push(used);
            } else if !used.labelled {
                learned.push(used);
            }
        }
    }
    for (_, recording) in against {
        held_out.extend(uses(recording, config, share)?.0);
    }
    let rows = bounds.iter().map(|bound| row(*bound, &learned, &held_out)).collect();
    Ok(Bounds { learned_events: learned.len() as u64, held_out_events: held_out.len() as u64, rows })
}

/// The files that a recording's containers used, and the time at which `share` of it is over.
fn uses(recording: &Recording, config: &Config, share: f64) -> Result<(Vec<Use>, i64)> {
    input::verify(recording)?;
    let world = World::load(recording, config)?;
    let labels = recording.labels()?;
    let labels: HashSet<(u16, u64)> =
        labels.iter().filter(|label| label.class == Class::File).map(|label| (label.cpu, label.seq)).collect();
    let context = Context { processes: &world.processes, peers: &world.peers, config };
    let (mut observer, mut observations, mut uses) = (Observer::new(), Vec::new(), Vec::new());
    let mut span: Option<(i64, i64)> = None;
    for event in recording.events_of(&[Class::File]) {
        let event = event?;
        let ts = event.common().ts;
        span = Some(span.map_or((ts, ts), |(first, _)| (first, ts)));
        let image = world.image(event.common().container.as_ref());
        observer.observe(&event, &context, &mut observations);
        uses.extend(observations.drain(..).map(|observation| {
            let RowRef { cpu, seq, .. } = observation.row;
            let labelled = labels.contains(&(cpu, seq));
            Use { image: Arc::clone(&image), steps: observation.steps, ts, labelled }
        }));
    }
    let (first, last) = span.unwrap_or_default();
    Ok((uses, first + ((last - first) as f64 * share) as i64))
}

fn row(bound: Option<usize>, learned: &[Use], held_out: &[Use]) -> Row {
    let mut trees: BTreeMap<&str, Node> = BTreeMap::new();
    for used in learned {
        trees.entry(&used.image).or_default().insert(&used.steps, bound.unwrap_or(usize::MAX));
    }
    let mut row = Row { bound, ..Row::default() };
    for tree in trees.values() {
        row.nodes += tree.nodes();
        row.patterns += tree.patterns();
        row.wildcards += tree.wildcards();
    }
    let (mut ordinary, mut found, mut hidden) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for used in held_out {
        // An image that was not learned says nothing about the bound.
        let Some(tree) = trees.get(&*used.image) else { continue };
        let path = (&used.image, &used.steps);
        match (used.labelled, tree.matched(&used.steps).known) {
            (false, false) => {
                row.false_events += 1;
                ordinary.insert(path);
            }
            (true, false) => {
                found.insert(path);
            }
            (true, true) => {
                hidden.insert(path);
            }
            (false, true) => {}
        }
    }
    row.false_paths = ordinary.len() as u64;
    row.attack_found = found.len() as u64;
    row.attack_hidden = hidden.len() as u64;
    row
}

impl Bounds {
    pub fn render(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        let header =
            ["bound", "nodes", "paths", "wildcards", "false paths", "events", "attack paths found", "taken for known"];
        table.set_header(header);
        for row in &self.rows {
            let bound = row.bound.map_or_else(|| "none".to_owned(), |bound| bound.to_string());
            let counts = [
                row.nodes,
                row.patterns,
                row.wildcards,
                row.false_paths,
                row.false_events,
                row.attack_found,
                row.attack_hidden,
            ];
            table.add_row(std::iter::once(bound).chain(counts.map(count)));
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let lines: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        format!(
            "{} file observations learned, {} held out\n{lines}",
            count(self.learned_events),
            count(self.held_out_events)
        )
    }

    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain values serialize");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(path: &str, labelled: bool) -> Use {
        let segments = path.split('/').skip(1).map(|name| Arc::from(super::super::node::segment(name)));
        let steps = std::iter::once(Arc::from("/bin/app")).chain(segments).chain([Arc::from("read")]).collect();
        Use { image: "web".into(), steps, ts: 0, labelled }
    }

    #[test]
    fn a_low_bound_saves_nodes_and_alarms_and_hides_an_attack() {
        let learned: Vec<Use> = ["a", "b", "c", "d", "e"].map(|name| used(&format!("/srv/{name}"), false)).into();
        let held_out = [used("/srv/f", false), used("/srv/loot", true), used("/etc/shadow", true)];
        let low = row(Some(4), &learned, &held_out);
        let high = row(None, &learned, &held_out);
        assert_eq!((low.nodes, low.patterns, low.wildcards), (4, 1, 1));
        assert_eq!((low.false_paths, low.attack_found, low.attack_hidden), (0, 1, 1));
        assert_eq!((high.nodes, high.patterns, high.wildcards), (12, 5, 0));
        assert_eq!((high.false_paths, high.attack_found, high.attack_hidden), (1, 2, 0));
    }
}
