//! What one profile knows and another does not.

use std::sync::Arc;

use serde::Serialize;

use super::Profile;
use crate::deviation::Tree;

/// One leaf that the other profile does not know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub image: Arc<str>,
    /// None: the whole image is missing.
    pub tree: Option<Tree>,
    /// Steps from below the image to the leaf, the last an argument pattern in the process tree.
    pub path: Vec<Arc<str>>,
    /// How often it was seen; 0 for a whole image.
    pub count: u64,
}

/// Both directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Known to the first alone.
    pub removed: Vec<Difference>,
    /// Known to the second alone.
    pub added: Vec<Difference>,
}

/// Compares two profiles leaf by leaf. What a wildcard of the other covers, the other knows.
pub fn diff(old: &Profile, new: &Profile) -> Diff {
    Diff { removed: unknown(old, new), added: unknown(new, old) }
}

/// Leaves of `profile` that `to` does not know.
fn unknown(profile: &Profile, to: &Profile) -> Vec<Difference> {
    let mut out = Vec::new();
    for (image, entry) in &profile.images {
        let Some(other) = to.images.get(image) else {
            out.push(Difference { image: Arc::clone(image), tree: None, path: Vec::new(), count: 0 });
            continue;
        };
        let mut push = |tree, path, count| {
            out.push(Difference { image: Arc::clone(image), tree: Some(tree), path, count });
        };
        for (parent, programs) in &entry.trees.process {
            for (program, leaf) in programs {
                let known = other.trees.process.get(parent).and_then(|programs| programs.get(program));
                for (pattern, count) in leaf.patterns() {
                    if !known.is_some_and(|leaf| leaf.contains(&pattern)) {
                        let path = vec![Arc::clone(parent), Arc::clone(program), pattern.text().into()];
                        push(Tree::Process, path, count);
                    }
                }
            }
        }
        for (tree, node, known) in [
            (Tree::File, &entry.trees.file, &other.trees.file),
            (Tree::Network, &entry.trees.network, &other.trees.network),
        ] {
            node.each_leaf(&mut |path, count| {
                if !known.matched(path).known {
                    push(tree, path.to_vec(), count);
                }
            });
        }
    }
    out
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// A line each: `-` known to the first alone, `+` to the second alone.
    pub fn render(&self) -> String {
        let sides = [('-', &self.removed), ('+', &self.added)];
        sides
            .iter()
            .flat_map(|(sign, side)| side.iter().map(move |found| format!("{sign} {}\n", found.line())))
            .collect()
    }

    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain values serialize");
        text.push('\n');
        text
    }
}

impl Difference {
    fn line(&self) -> String {
        let Some(tree) = self.tree else { return format!("{}  (the whole image)", self.image) };
        let mut line = format!("{}  {} ", self.image, tree.name());
        for (i, step) in self.path.iter().enumerate() {
            // Path segments carry their own separator; the program before them is the first step.
            let joined = i > 1 && step.starts_with('/') && tree == Tree::File;
            line.push_str(if joined { "" } else { " " });
            line.push_str(step);
        }
        format!("{line}  ×{}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Canonical;
    use crate::profile::store::Entry;

    fn steps(words: &[&str]) -> Vec<Arc<str>> {
        words.iter().map(|word| Arc::from(*word)).collect()
    }

    fn profile(image: &str, file: &[&[&str]], args: &[&str]) -> Profile {
        let mut entry = Entry::default();
        file.iter().for_each(|path| {
            entry.trees.file.insert(&steps(path), 50);
        });
        let programs = entry.trees.process.entry("init".into()).or_default();
        for line in args {
            let canonical = Canonical::new("/bin/app", &["app", line], false);
            programs.entry("/bin/app".into()).or_default().insert("/bin/app", &canonical, 50);
        }
        let mut profile = Profile::default();
        profile.images.insert(image.into(), entry);
        profile
    }

    #[test]
    fn each_side_is_told_once() {
        let old = profile("web", &[&["app", "/srv", "/a", "read"], &["app", "/srv", "/b", "read"]], &["one"]);
        let new = profile("web", &[&["app", "/srv", "/a", "read"], &["app", "/srv", "/a", "write"]], &["one", "two"]);
        let found = diff(&old, &new);
        assert_eq!(
            found.render(),
            "- web  file  app /srv/b read  ×1\n+ web  process  init /bin/app two  ×1\n+ web  file  app /srv/a write  ×1\n"
        );
        assert!(diff(&old, &old).is_empty());
        let back: serde_json::Value = serde_json::from_str(&found.to_json()).unwrap();
        assert_eq!(back["added"][1]["path"][3], "write");
    }

    #[test]
    fn a_wildcard_knows_what_it_covers() {
        let old = profile("web", &[&["app", "/srv", "/a", "read"]], &[]);
        let new = profile("web", &[&["app", "/srv", "/*", "read"]], &[]);
        let found = diff(&old, &new);
        assert!(found.removed.is_empty());
        assert_eq!(found.added.len(), 1);
    }

    #[test]
    fn an_image_of_one_side_is_one_line() {
        let found = diff(&profile("web", &[&["app", "/a", "read"]], &["one"]), &profile("db", &[], &[]));
        assert_eq!(found.render(), "- web  (the whole image)\n+ db  (the whole image)\n");
    }
}
