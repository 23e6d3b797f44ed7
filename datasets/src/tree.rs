//! The processes of a recording as a tree, with what the labels say about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{UInt16Type, UInt64Type};
use record_bpf::Class;

use crate::Result;
use crate::model::{Container, Label, Process};
use crate::read::Recording;

/// The processes of one container, or of the host.
#[derive(Clone, Debug)]
pub struct ContainerTree {
    /// `None`: processes outside containers.
    pub id: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    /// Processes whose parent is not in the same container, in the order they began.
    pub roots: Vec<Node>,
}

/// A process: all its incarnations, from fork through every exec to its end.
#[derive(Clone, Debug)]
pub struct Node {
    /// Process id, initial pid namespace.
    pub pid: u32,
    /// The command line of each incarnation that began with exec or was found running; else the one it inherited.
    pub commands: Vec<String>,
    /// `act/step technique`, of every label on an event of this process.
    pub labels: BTreeSet<String>,
    /// Exit code, or the signal as its negative; `None`: it did not end, or ended unseen.
    pub exit: Option<i32>,
    pub children: Vec<Node>,
}

/// Builds the tree of every container. Reads the process table; with labels, also the keys of all events.
///
/// # Errors
/// Those of reading the tables and segments.
pub fn trees(recording: &Recording) -> Result<Vec<ContainerTree>> {
    let processes = recording.processes()?;
    let labels = labels_by_process(recording)?;
    let mut forest = Forest::new(&processes, &labels);
    let containers: HashMap<String, Container> =
        recording.containers()?.into_iter().map(|container| (container.id.to_string(), container)).collect();
    let ids: BTreeSet<Option<String>> = processes.iter().map(|p| p.container.as_deref().map(str::to_owned)).collect();
    let mut trees: Vec<ContainerTree> = ids
        .into_iter()
        .map(|id| {
            let container = id.as_ref().and_then(|id| containers.get(id));
            ContainerTree {
                roots: forest.roots(&id),
                name: container.and_then(|container| container.name.clone()),
                image: container.and_then(|container| container.image.clone()),
                id,
            }
        })
        .collect();
    trees.sort_by(|a, b| (a.id.is_none(), &a.name, &a.id).cmp(&(b.id.is_none(), &b.name, &b.id)));
    Ok(trees)
}

/// What the labels say about each incarnation, by way of the events they name.
fn labels_by_process(recording: &Recording) -> Result<HashMap<u64, BTreeSet<String>>> {
    let labels = recording.labels()?;
    let mut of: HashMap<u64, BTreeSet<String>> = HashMap::new();
    for class in Class::ALL {
        let wanted: HashMap<(u16, u64), &Label> =
            labels.iter().filter(|label| label.class == class).map(|label| ((label.cpu, label.seq), label)).collect();
        if wanted.is_empty() {
            continue;
        }
        for batch in recording.batches(class, Some(&["cpu", "seq", "exec_id"]))? {
            let batch = batch?;
            let cpu = batch.column(0).as_primitive::<UInt16Type>();
            let seq = batch.column(1).as_primitive::<UInt64Type>();
            let exec_id = batch.column(2).as_primitive::<UInt64Type>();
            for row in (0..batch.num_rows()).filter(|row| exec_id.is_valid(*row)) {
                if let Some(label) = wanted.get(&(cpu.value(row), seq.value(row))) {
                    let sure = if label.ambiguous { " (ambiguous)" } else { "" };
                    let text = format!("{}/{} {}{sure}", label.act, label.step, label.technique);
                    of.entry(exec_id.value(row)).or_default().insert(text);
                }
            }
        }
    }
    Ok(of)
}

/// A process deeper than this starts a tree of its own: a chain of forks without end must not end the stack.
const DEPTH_MAX: usize = 200;

/// Incarnations gathered into processes.
struct Forest<'a> {
    /// By the process's first incarnation: its incarnations in order, and its children likewise by their first.
    members: HashMap<u64, Vec<&'a Process>>,
    children: HashMap<u64, Vec<u64>>,
    roots: BTreeMap<Option<String>, Vec<u64>>,
    labels: &'a HashMap<u64, BTreeSet<String>>,
}

impl<'a> Forest<'a> {
    fn new(processes: &'a [Process], labels: &'a HashMap<u64, BTreeSet<String>>) -> Forest<'a> {
        let by_id: HashMap<u64, &Process> = processes.iter().map(|process| (process.exec_id, process)).collect();
        // Follows exec backwards; the bound ends a loop that a damaged table could hold.
        let first = |mut process: &'a Process| {
            for _ in 0..processes.len() {
                match process.prev_exec_id.and_then(|id| by_id.get(&id)) {
                    Some(previous) if previous.exec_id != process.exec_id => process = previous,
                    _ => break,
                }
            }
            process
        };
        let mut sorted: Vec<&Process> = processes.iter().collect();
        sorted.sort_by_key(|process| (process.start, process.exec_id));
        let mut members: HashMap<u64, Vec<&Process>> = HashMap::new();
        let mut order: Vec<u64> = Vec::new();
        for process in sorted {
            let id = first(process).exec_id;
            let incarnations = members.entry(id).or_default();
            if incarnations.is_empty() {
                order.push(id);
            }
            incarnations.push(process);
        }
        let mut children: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut roots: BTreeMap<Option<String>, Vec<u64>> = BTreeMap::new();
        let mut depths: HashMap<u64, usize> = HashMap::new();
        for id in order {
            let own = &members[&id];
            let container = own.last().and_then(|process| process.container.as_deref());
            let parent = own.iter().find_map(|process| by_id.get(&process.parent_exec_id?)).map(|p| first(p).exec_id);
            let same = |parent: &u64| {
                let theirs = members.get(parent).and_then(|list| list.last());
                *parent != id && theirs.is_some_and(|theirs| theirs.container.as_deref() == container)
            };
            let parent = parent.filter(same);
            let depth = parent.and_then(|parent| depths.get(&parent)).map_or(0, |depth| depth + 1);
            match parent {
                Some(parent) if depth < DEPTH_MAX => {
                    depths.insert(id, depth);
                    children.entry(parent).or_default().push(id);
                }
                _ => roots.entry(container.map(str::to_owned)).or_default().push(id),
            }
        }
        Forest { members, children, roots, labels }
    }

    fn roots(&mut self, container: &Option<String>) -> Vec<Node> {
        let ids = self.roots.remove(container).unwrap_or_default();
        ids.into_iter().filter_map(|id| self.node(id)).collect()
    }

    /// Takes the process and all below it out of the forest, so that even a loop ends.
    fn node(&mut self, id: u64) -> Option<Node> {
        let incarnations = self.members.remove(&id)?;
        let last = incarnations.last()?;
        let began = incarnations.iter().filter(|process| process.origin != crate::Origin::Fork);
        let mut commands: Vec<String> = began.map(|process| command(process)).collect();
        if commands.is_empty() {
            commands.push(command(last));
        }
        let labels = incarnations.iter().filter_map(|p| self.labels.get(&p.exec_id)).flatten().cloned().collect();
        let exit = last.exit_code.or(last.exit_signal.map(i32::wrapping_neg));
        let pid = last.pid;
        let children = self.children.remove(&id).unwrap_or_default();
        let children = children.into_iter().filter_map(|child| self.node(child)).collect();
        Some(Node { pid, commands, labels, exit, children })
    }
}

/// The command line as one line of printable text.
pub(crate) fn command(process: &Process) -> String {
    let mut text = match (&process.argv, &process.exe, &process.comm) {
        (Some(argv), _, _) if !argv.is_empty() => argv.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" "),
        (_, Some(exe), _) => quoted(exe),
        (_, _, Some(comm)) => format!("[{}]", quoted(comm)),
        _ => "[unknown]".to_owned(),
    };
    // An argv[0] that does not name the program hides it; python3 for python3.11 does not.
    if let (Some(argv), Some(exe)) = (&process.argv, &process.exe)
        && let Some(first) = argv.first()
        && !name(exe).starts_with(name(first))
    {
        text.push_str(&format!(" (exe {})", quoted(exe)));
    }
    let marks =
        [(process.exe_memfd, " (memfd)"), (process.exe_deleted, " (deleted)"), (process.argv_truncated, " ...")];
    text.extend(marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark));
    text
}

/// The last part of a path; of a login shell's name, too.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path).trim_start_matches('-')
}

/// What a process calls itself must not steer the reader's terminal.
pub(crate) fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,~".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        return arg.to_owned();
    }
    let inner: String = arg
        .chars()
        .map(|c| if c.is_control() || is_format(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    if arg.contains('\'') { format!("\"{inner}\"") } else { format!("'{inner}'") }
}

/// Invisible characters that reorder or hide text (Unicode's bidirectional controls, zero-width and tag characters).
pub(crate) fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}
