//! `datasets tree`

use std::fmt::Write as _;
use std::io::IsTerminal;

use datasets::Recording;
use datasets::tree::{ContainerTree, Node, trees};

const EXAMPLES: &str = "Examples:\n  \
    datasets tree xmrig --container app            who started whom, with the attack marked\n  \
    datasets tree ./rec --full | less              whole command lines, every sibling";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// Only containers of this name or image, or whose id begins so; without one, those with it in their name or image
    #[arg(long, value_name = "X")]
    container: Option<String>,
    /// Print long command lines whole, and every one of the siblings that look the same
    #[arg(long)]
    full: bool,
}

/// Characters of a command line shown without `--full`.
const COMMAND_SHOWN: usize = 140;

pub fn run(args: &Args) -> anyhow::Result<String> {
    let recording = Recording::find(&args.recording)?;
    let mut trees = trees(&recording)?;
    if let Some(wanted) = &args.container {
        let names: Vec<String> = trees.iter().map(title).collect();
        let exact = trees.iter().any(|tree| is(tree, wanted));
        trees.retain(|tree| if exact { is(tree, wanted) } else { has(tree, wanted) });
        if trees.is_empty() {
            let reason = format!("no container {wanted:?} here; there are: {}", names.join(", "));
            return Err(datasets::Error::Selection { reason }.into());
        }
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut printer = Printer { out: String::new(), full: args.full, colour };
    for (i, tree) in trees.iter().enumerate() {
        if i > 0 {
            printer.out.push('\n');
        }
        printer.out.push_str(&title(tree));
        printer.out.push('\n');
        printer.nodes(&tree.roots, "");
    }
    Ok(printer.out)
}

fn is(tree: &ContainerTree, wanted: &str) -> bool {
    let id = tree.id.as_ref().is_some_and(|id| id.starts_with(wanted));
    id || tree.name.as_deref() == Some(wanted) || tree.image.as_deref() == Some(wanted)
}

/// Whether its name or image has that in it.
fn has(tree: &ContainerTree, part: &str) -> bool {
    [&tree.name, &tree.image].into_iter().flatten().any(|text| text.contains(part))
}

fn title(tree: &ContainerTree) -> String {
    let Some(id) = &tree.id else { return "outside containers".to_owned() };
    let id: String = id.chars().take(12).collect();
    match (&tree.name, &tree.image) {
        (Some(name), Some(image)) => format!("{name} ({image}, {id})"),
        (Some(name), None) => format!("{name} ({id})"),
        _ => id,
    }
}

struct Printer {
    out: String,
    full: bool,
    colour: bool,
}

impl Printer {
    fn nodes(&mut self, nodes: &[Node], indent: &str) {
        let groups = self.groups(nodes);
        let last = groups.len().saturating_sub(1);
        for (i, (node, times)) in groups.into_iter().enumerate() {
            let (branch, below) = if i == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let line = self.line(node, times);
            // Writing to a String cannot fail.
            let _ = writeln!(self.out, "{indent}{branch}{line}");
            self.nodes(&node.children, &format!("{indent}{below}"));
        }
    }

    /// Siblings that look the same, down to the last descendant, as the first of them and their number.
    fn groups<'a>(&self, nodes: &'a [Node]) -> Vec<(&'a Node, usize)> {
        let mut groups: Vec<(&Node, usize)> = Vec::new();
        let mut seen: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for node in nodes {
            let at = *seen.entry(shape(node)).or_insert(groups.len());
            match groups.get_mut(at) {
                Some((_, times)) if !self.full => *times += 1,
                _ => groups.push((node, 1)),
            }
        }
        groups
    }

    fn line(&self, node: &Node, times: usize) -> String {
        let commands: Vec<String> = node.commands.iter().map(|command| self.short(command)).collect();
        let mut line = format!("{} {}", node.pid, commands.join(" => "));
        if times > 1 {
            let _ = write!(line, "  ×{times}");
        }
        match node.exit {
            Some(signal) if signal < 0 => {
                let _ = write!(line, "  [signal {}]", -signal);
            }
            Some(code) if code > 0 => {
                let _ = write!(line, "  [exit {code}]");
            }
            _ => {}
        }
        if !node.labels.is_empty() {
            let labels = node.labels.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let (on, off) = if self.colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            let _ = write!(line, "  {on}<== attack: {labels}{off}");
        }
        line
    }

    fn short(&self, command: &str) -> String {
        match command.char_indices().nth(COMMAND_SHOWN) {
            Some((end, _)) if !self.full => format!("{}...", &command[..end]),
            _ => command.to_owned(),
        }
    }
}

/// All of a process and its descendants but their ids.
fn shape(node: &Node) -> String {
    let mut shape = format!("{:?}{:?}{:?}[", node.commands, node.labels, node.exit);
    for child in &node.children {
        shape.push_str(&self::shape(child));
    }
    shape.push(']');
    shape
}
