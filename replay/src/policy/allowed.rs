//! What the profile of one image allows, item by item, before any format.
//!
//! A policy holds for a container and not for each of its programs, so an item is what any of them does; who does it is kept
//! beside it. What the container's runtime did before the container's own program began is left out: no policy holds for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::account::Account;
use super::net::{Connection, Direction, Who};
use super::pattern::Pattern;
use crate::args::canonical::{BOUNDARY, basename};
use crate::deviation::Tree;
use crate::observe::RUNTIMES;
use crate::profile::store::Entry;
use crate::profile::{Calls, Node};

/// Programs by which something is done.
pub type Programs = BTreeSet<Arc<str>>;

/// The items of one image.
#[derive(Clone, Debug)]
pub struct Allowed<'a> {
    pub image: Arc<str>,
    /// Programs that are run, with those that start them.
    pub executables: BTreeMap<Pattern, Programs>,
    /// Files with what is done to them: an operation of the file tree, and by whom.
    pub files: BTreeMap<Pattern, BTreeMap<Arc<str>, Programs>>,
    /// Files that a program was given as its first argument and read: of a script that is executed, that is all a profile knows.
    pub scripts: BTreeSet<Pattern>,
    pub connections: BTreeMap<Connection, Programs>,
    pub calls: Option<&'a Calls>,
    /// program → peer → the most bytes sent to it within a minute
    pub sent: &'a BTreeMap<Arc<str>, BTreeMap<Arc<str>, u64>>,
    /// Trees that were still learning.
    pub unlocked: Vec<&'static str>,
    /// What no format can say.
    pub account: Account,
}

const NOT_ABSOLUTE: &str = "no absolute path: a relative one, or a program whose file is not known";
const REFUSED: &str = "was refused when it was learned";

/// Whether a program sets containers up: what it does is before the policy begins.
pub fn is_runtime(program: &str) -> bool {
    RUNTIMES.contains(&basename(program))
}

impl<'a> Allowed<'a> {
    pub fn new(image: &Arc<str>, entry: &'a Entry) -> Allowed<'a> {
        let unlocked = Tree::ALL.into_iter().filter(|tree| !entry.locked.contains_key(tree)).map(Tree::name);
        let mut allowed = Allowed {
            image: Arc::clone(image),
            executables: BTreeMap::new(),
            files: BTreeMap::new(),
            scripts: BTreeSet::new(),
            connections: BTreeMap::new(),
            calls: entry.trees.calls.as_ref(),
            sent: &entry.trees.sent,
            unlocked: unlocked.collect(),
            account: Account::default(),
        };
        allowed.take_executables(entry);
        allowed.take_files(&entry.trees.file);
        allowed.take_connections(&entry.trees.network);
        allowed.find_scripts(entry);
        allowed
    }

    fn take_executables(&mut self, entry: &Entry) {
        for (parent, programs) in &entry.trees.process {
            for program in programs.keys().filter(|program| !is_runtime(program)) {
                let pattern = Pattern::of_program(program);
                if pattern.is_absolute() {
                    self.executables.entry(pattern).or_default().insert(Arc::clone(parent));
                } else {
                    self.account.leave_out(NOT_ABSOLUTE, program);
                }
            }
        }
    }

    fn take_files(&mut self, tree: &Node) {
        tree.each_leaf(&mut |leaf, _| {
            let [program, segments @ .., op] = leaf else { return };
            if is_runtime(program) {
                return;
            }
            let pattern = Pattern::of_steps(segments);
            if &**op == "denied" {
                self.account.leave_out(REFUSED, &pattern);
            } else if pattern.is_absolute() {
                let ops = self.files.entry(pattern).or_default();
                ops.entry(Arc::clone(op)).or_default().insert(Arc::clone(program));
            } else {
                self.account.leave_out(NOT_ABSOLUTE, &pattern);
            }
        });
    }

    fn take_connections(&mut self, tree: &Node) {
        tree.each_leaf(&mut |leaf, _| {
            let [program, steps @ ..] = leaf else { return };
            if is_runtime(program) {
                return;
            }
            match Connection::of_steps(steps) {
                Some(connection) => {
                    self.connections.entry(connection).or_default().insert(Arc::clone(program));
                }
                None => self.account.leave_out("a step of the network tree that cannot be read", steps.join(" ")),
            }
        });
    }

    /// First arguments that are files which the same program reads.
    fn find_scripts(&mut self, entry: &Entry) {
        for programs in entry.trees.process.values() {
            for (program, leaf) in programs {
                for (arguments, _) in leaf.patterns() {
                    let first = arguments.key().split(BOUNDARY).find(|argument| argument.starts_with('/'));
                    let Some(first) = first.map(Pattern::of_program) else { continue };
                    let read = self.files.get(&first).and_then(|ops| ops.get("read"));
                    if read.is_some_and(|by| by.contains(program)) {
                        self.scripts.insert(first);
                    }
                }
            }
        }
    }

    /// Connections over IP that are begun or accepted, and UDP ports that are served; those of loopback, which no network policy sees,
    /// are not among them.
    pub fn over_ip(&self) -> impl Iterator<Item = &Connection> {
        self.connections.keys().filter(|connection| {
            let local = matches!(connection.who, Who::Loopback | Who::Socket(_));
            let begun = matches!(connection.direction, Direction::Connect | Direction::Accept);
            let served = connection.direction == Direction::Bind && &*connection.protocol == "udp";
            !local && &*connection.protocol != "unix" && (begun || served)
        })
    }

    /// Items of all kinds.
    pub fn items(&self) -> u64 {
        let files: usize = self.files.values().map(BTreeMap::len).sum();
        (self.executables.len() + files + self.connections.len()) as u64
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::args::Canonical;
    use crate::profile::node::segment;

    /// An entry with these programs, files (program, path, operation) and connections (program, direction and protocol, peer, port).
    pub fn entry(programs: &[&str], files: &[[&str; 3]], network: &[[&str; 4]]) -> Entry {
        let mut entry = Entry::default();
        let parent = entry.trees.process.entry("/bin/init".into()).or_default();
        for program in programs {
            let line = Canonical::new(program, &[*program, "/srv/run.sh"], false);
            parent.entry(Arc::from(*program)).or_default().insert(program, &line, 50);
        }
        for [program, path, op] in files {
            let mut steps: Vec<Arc<str>> = vec![Arc::from(*program)];
            let names = path.split('/').skip(1).filter(|name| !name.is_empty());
            steps.extend(names.map(|name| if name == "**" { "/*".into() } else { Arc::from(segment(name)) }));
            steps.push(Arc::from(*op));
            entry.trees.file.insert(&steps, 50);
        }
        for leaf in network {
            entry.trees.network.insert(&leaf.map(Arc::from), 50);
        }
        entry
    }

    #[test]
    fn items_are_the_containers_and_the_runtimes_are_none() {
        let entry = entry(
            &["/usr/bin/app", "/runc", "memfd:x"],
            &[
                ["/usr/bin/app", "/srv/data", "read"],
                ["/usr/bin/other", "/srv/data", "read"],
                ["/usr/bin/app", "/srv/data", "write"],
                ["/usr/bin/app", "/srv/run.sh", "read"],
                ["/usr/bin/app", "/etc/shadow", "denied"],
                ["/runc", "/proc/1/fd", "read"],
            ],
            &[
                ["/usr/bin/app", "connect tcp", "image redis:7", "6379"],
                ["/usr/bin/app", "connect tcp", "loopback", "80"],
                ["/usr/bin/app", "bind udp", "any", "514"],
                ["/usr/bin/app", "bind tcp", "any", "80"],
                ["/runc", "connect unix", "socket /run/x", "-"],
            ],
        );
        let image: Arc<str> = "web:1".into();
        let allowed = Allowed::new(&image, &entry);
        assert_eq!(allowed.executables.keys().map(ToString::to_string).collect::<Vec<_>>(), ["/usr/bin/app"]);
        assert_eq!((allowed.files.len(), allowed.items()), (2, 1 + 3 + 4));
        let data = allowed.files.iter().find(|(path, _)| path.to_string() == "/srv/data").unwrap().1;
        assert_eq!(data["read"].len(), 2);
        assert_eq!(allowed.over_ip().count(), 2);
        assert_eq!(allowed.account.left_out_items(), 2);
        assert_eq!(allowed.scripts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/srv/run.sh"]);
        assert_eq!(allowed.unlocked, ["process", "file", "network"]);
    }
}
