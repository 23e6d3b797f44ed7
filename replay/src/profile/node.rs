//! A prefix tree over string steps, whose path segments generalise to a wildcard.
//!
//! Steps that begin with `/` are path segments; all others (programs, operations, peers, ports) never generalise.
//! When a directory would hold more than `bound` distinct names, its segment children become one wildcard child.
//! (The idea and the default bound of 50 are those of kubescape's `dynamicpathdetector`.)

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::args::path::may_collapse;

/// The step that stands for any one path segment. A real file named `*` is stored escaped, see [`segment`].
pub const WILDCARD: &str = "/*";

/// The step of a path segment.
pub fn segment(name: &str) -> String {
    if name == "*" { "/\\*".to_owned() } else { format!("/{name}") }
}

/// The children that a step may lead to, in order of preference.
fn keys(step: &str) -> impl Iterator<Item = &str> {
    std::iter::once(step).chain(step.starts_with('/').then_some(WILDCARD))
}

/// One node; `count` is the events that ended here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<Arc<str>, Node>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What inserting a path did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The path was not in the tree.
    pub new: bool,
    /// The tree is another one now: also where a directory became a wildcard that knew the path already.
    pub grew: bool,
    /// Identity of the pattern the path ended in, after wildcards.
    pub species: u64,
}

impl Node {
    /// Adds one event. `bound` is the number of distinct segments a directory may hold.
    pub fn insert(&mut self, steps: &[Arc<str>], bound: usize) -> Inserted {
        if let Some(species) = self.count_known(steps, DefaultHasher::new(), 1) {
            return Inserted { new: false, grew: false, species };
        }
        let mut node = self;
        let mut directory = String::new();
        let mut hasher = DefaultHasher::new();
        for step in steps {
            let is_segment = step.starts_with('/');
            if !node.children.contains_key(step) && is_segment {
                let segments = node.segments();
                if segments >= bound && may_collapse(&directory) && !node.children.contains_key(WILDCARD) {
                    node.collapse();
                }
            }
            let key = if is_segment && !node.children.contains_key(step) && node.children.contains_key(WILDCARD) {
                Arc::from(WILDCARD)
            } else {
                Arc::clone(step)
            };
            if is_segment {
                directory.push_str(&key);
            }
            key.hash(&mut hasher);
            node = node.children.entry(key).or_default();
        }
        node.count += 1;
        Inserted { new: node.count == 1, grew: true, species: hasher.finish() }
    }

    /// Adds events to a path that is known; to one that is not, none.
    pub fn count(&mut self, steps: &[Arc<str>], events: u64) {
        self.count_known(steps, DefaultHasher::new(), events);
    }

    /// Adds events to a path that is known; its species.
    fn count_known(&mut self, steps: &[Arc<str>], hasher: DefaultHasher, events: u64) -> Option<u64> {
        let Some((step, rest)) = steps.split_first() else {
            let known = self.count > 0;
            self.count += if known { events } else { 0 };
            return known.then(|| hasher.finish());
        };
        for key in keys(step) {
            if let Some(child) = self.children.get_mut(key) {
                let mut hasher = hasher.clone();
                key.hash(&mut hasher);
                if let Some(species) = child.count_known(rest, hasher, events) {
                    return Some(species);
                }
            }
        }
        None
    }

    /// How many steps lead along the tree; all of them and an event ended there: the path is known.
    ///
    /// A directory that became a wildcard may hold, from those it was merged of, both names and a wildcard; a path that was
    /// learned is found by one or the other.
    pub fn matched(&self, steps: &[Arc<str>]) -> Match {
        let Some((step, rest)) = steps.split_first() else { return Match { steps: 0, known: self.count > 0 } };
        let mut best = Match { steps: 0, known: false };
        for key in keys(step) {
            let Some(child) = self.children.get(key) else { continue };
            let below = child.matched(rest);
            if below.known || below.steps + 1 > best.steps {
                best = Match { steps: below.steps + 1, known: below.known };
            }
            if best.known {
                break;
            }
        }
        best
    }

    /// The path of the tree that an observation's path ends in, with wildcards as such; None: it is not known.
    pub fn leaf(&self, steps: &[Arc<str>]) -> Option<Vec<Arc<str>>> {
        let mut leaf = Vec::with_capacity(steps.len());
        self.trace(steps, &mut leaf).then_some(leaf)
    }

    fn trace(&self, steps: &[Arc<str>], leaf: &mut Vec<Arc<str>>) -> bool {
        let Some((step, rest)) = steps.split_first() else { return self.count > 0 };
        keys(step).any(|key| {
            let Some((key, child)) = self.children.get_key_value(key) else { return false };
            leaf.push(Arc::clone(key));
            let found = child.trace(rest, leaf);
            if !found {
                leaf.pop();
            }
            found
        })
    }

    fn segments(&self) -> usize {
        self.children.keys().filter(|key| key.starts_with('/')).count()
    }

    /// Merges all segment children into the wildcard.
    fn collapse(&mut self) {
        let (segments, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.children).into_iter().partition(|(key, _)| key.starts_with('/'));
        let mut wildcard = Node::default();
        for node in segments.into_values() {
            wildcard.absorb(node);
        }
        self.children = rest;
        self.children.insert(WILDCARD.into(), wildcard);
    }

    fn absorb(&mut self, other: Node) {
        self.count += other.count;
        for (key, child) in other.children {
            self.children.entry(key).or_default().absorb(child);
        }
    }

    /// Adds another tree and applies the bound again.
    pub fn merge(&mut self, other: Node, bound: usize) {
        self.absorb(other);
        self.enforce(bound, &mut String::new());
    }

    fn enforce(&mut self, bound: usize, directory: &mut String) {
        let has_wildcard = self.children.contains_key(WILDCARD);
        if may_collapse(directory) && (self.segments() > bound || (has_wildcard && self.segments() > 1)) {
            self.collapse();
        }
        for (key, child) in &mut self.children {
            let length = directory.len();
            if key.starts_with('/') {
                directory.push_str(key);
            }
            child.enforce(bound, directory);
            directory.truncate(length);
        }
    }

    /// Calls `visit` with every path that events ended in, in order, and how many did.
    pub fn each_leaf(&self, visit: &mut dyn FnMut(&[Arc<str>], u64)) {
        self.leaves(&mut Vec::new(), visit);
    }

    fn leaves(&self, path: &mut Vec<Arc<str>>, visit: &mut dyn FnMut(&[Arc<str>], u64)) {
        if self.count > 0 {
            visit(path, self.count);
        }
        for (step, child) in &self.children {
            path.push(Arc::clone(step));
            child.leaves(path, visit);
            path.pop();
        }
    }

    /// Nodes below this one.
    pub fn nodes(&self) -> u64 {
        self.children.values().map(|child| 1 + child.nodes()).sum()
    }

    /// Directories below this one, itself included, that became a wildcard.
    pub fn wildcards(&self) -> u64 {
        u64::from(self.children.contains_key(WILDCARD)) + self.children.values().map(Node::wildcards).sum::<u64>()
    }

    /// Paths that events ended in.
    pub fn patterns(&self) -> u64 {
        u64::from(self.count > 0) + self.children.values().map(Node::patterns).sum::<u64>()
    }
}

/// The result of walking a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Steps the tree has.
    pub steps: usize,
    /// The whole path was learned.
    pub known: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: &str, op: &str) -> Vec<Arc<str>> {
        let segments = path.split('/').skip(1).map(|name| Arc::from(segment(name)));
        std::iter::once(Arc::from("/bin/app"))
            .map(|_: Arc<str>| Arc::from("app"))
            .chain(segments)
            .chain([Arc::from(op)])
            .collect()
    }

    #[test]
    fn a_learned_path_is_known_and_its_neighbours_are_not() {
        let mut tree = Node::default();
        assert!(tree.insert(&steps("/srv/a", "read"), 50).new);
        assert!(!tree.insert(&steps("/srv/a", "read"), 50).new);
        assert!(tree.matched(&steps("/srv/a", "read")).known);
        assert_eq!(tree.matched(&steps("/srv/a", "write")), Match { steps: 3, known: false });
        assert_eq!(tree.matched(&steps("/srv/b", "read")), Match { steps: 2, known: false });
        assert!(!tree.matched(&steps("/srv/a", "read")[..2]).known, "a directory is not a path that was used");
    }

    #[test]
    fn many_names_become_one_wildcard_that_keeps_operations_apart() {
        let mut tree = Node::default();
        for i in 0..5 {
            tree.insert(&steps(&format!("/srv/n{}", ["a", "b", "c", "d", "e"][i]), "read"), 4);
        }
        assert_eq!(tree.patterns(), 1);
        assert!(tree.matched(&steps("/srv/never-seen", "read")).known);
        assert!(!tree.matched(&steps("/srv/never-seen", "write")).known);
        assert!(!tree.insert(&steps("/srv/f", "read"), 4).new, "through the wildcard nothing is new");
    }

    #[test]
    fn what_was_learned_stays_known_whatever_collapses() {
        // `/srv/a/x` holds one name; the other directories below /srv collapse, and then /srv itself.
        let mut tree = Node::default();
        let paths: Vec<String> = (0..7)
            .flat_map(|i| {
                let directory = ["a", "b", "c", "d", "e", "f", "g"][i];
                let names = ["x", "k", "l", "m", "n", "o"].into_iter().take(1 + 5 * (i % 2));
                names.map(move |name| format!("/srv/{directory}/{name}/{directory}"))
            })
            .collect();
        for path in &paths {
            tree.insert(&steps(path, "read"), 4);
        }
        for path in &paths {
            assert!(tree.matched(&steps(path, "read")).known, "{path}");
            assert!(!tree.insert(&steps(path, "read"), 4).new, "{path}");
        }
    }

    #[test]
    fn a_directory_above_credentials_does_not_collapse() {
        let mut tree = Node::default();
        for name in ["a", "b", "c", "d", "e", "f", "etc"] {
            tree.insert(&steps(&format!("/{name}/passwd"), "read"), 4);
        }
        assert!(!tree.matched(&steps("/never-seen/passwd", "read")).known);
        assert!(!tree.matched(&steps("/root/passwd", "read")).known);
    }

    #[test]
    fn directories_with_credentials_do_not_collapse() {
        let mut tree = Node::default();
        for name in ["a", "b", "c", "d", "e", "f"] {
            tree.insert(&steps(&format!("/etc/{name}"), "read"), 4);
        }
        assert!(!tree.matched(&steps("/etc/shadow", "read")).known);
    }

    #[test]
    fn a_file_named_like_the_wildcard_matches_itself_alone() {
        let mut tree = Node::default();
        tree.insert(&steps("/srv/*", "read"), 50);
        assert!(!tree.matched(&steps("/srv/other", "read")).known);
    }

    #[test]
    fn merging_is_a_union_that_obeys_the_bound() {
        let (mut a, mut b) = (Node::default(), Node::default());
        for name in ["a", "b", "c"] {
            a.insert(&steps(&format!("/srv/{name}"), "read"), 4);
        }
        for name in ["c", "d", "e"] {
            b.insert(&steps(&format!("/srv/{name}"), "read"), 4);
        }
        a.merge(b, 4);
        assert!(a.matched(&steps("/srv/never-seen", "read")).known);
        assert_eq!(a.patterns(), 1);
    }
}
