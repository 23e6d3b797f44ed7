//! A profile as a filter of known behaviour: the exact files, of recordings given, that it knows.
//!
//! A profile is made of patterns: values in names are masked, directories collapse to wildcards. The kernel compares exact
//! names. So each pattern is spelled out by what was seen of it, and what cannot be spelled out is listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datasets::known::{FileOp, KnownBehaviour, KnownImage, LearnedFrom, NotExpressed};
use datasets::{Event, FileEvent, Recording};
use record_bpf::{Class, Kind};

use super::Profile;
use super::node::WILDCARD;
use crate::config::Config;
use crate::deviation::Tree;
use crate::error::{Error, Result};
use crate::input;
use crate::observe::{Context, Observer};
use crate::pipeline::World;

/// What became a filter, and what to say of it.
pub struct Exported {
    pub known: KnownBehaviour,
    /// Images whose file tree was still learning when the profile was saved.
    pub unlocked: Vec<Arc<str>>,
    /// Images of the profile that none of the recordings has a file opened in.
    pub unseen: Vec<Arc<str>>,
}

/// Leaves of an image's tree, with the exact paths that were seen of them.
type Seen = BTreeMap<Vec<Arc<str>>, BTreeSet<Arc<str>>>;

/// `profile_sha256`: of the file it was read from, hex.
///
/// # Errors
/// A recording that is damaged, or was itself made with a filter.
pub fn export(
    profile: &Profile,
    profile_sha256: String,
    recordings: &[(String, Recording)],
    config: &Config,
) -> Result<Exported> {
    let names = recordings.iter().map(|(name, _)| name.clone()).collect();
    let mut known = KnownBehaviour::new(LearnedFrom { profile_sha256, recordings: names });
    let mut seen: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
    for (name, recording) in recordings {
        if recording.manifest().known.is_some() {
            return Err(Error::input(
                format!("{name}: was recorded with a filter of known behaviour; what is known is not in it"),
                "give a recording that was made without --known",
            ));
        }
        input::verify(recording)?;
        let world = World::load(recording, config)?;
        let mut observer = Observer::new();
        for event in recording.events_of(&[Class::File]) {
            let event = event?;
            let Some(open) = exact_open(&event) else { continue };
            let container = open.common.container.as_ref().and_then(|id| world.containers.get(id));
            let Some((container, image)) = container.and_then(|c| Some((c, c.image.as_ref()?))) else { continue };
            let Some((image, entry)) = profile.images.get_key_value(&**image) else { continue };
            let context = Context { processes: &world.processes, peers: &world.peers, config };
            let mut observations = Vec::new();
            observer.observe(&event, &context, &mut observations);
            for observation in observations {
                let Some(leaf) = entry.trees.file.leaf(&observation.steps) else { continue };
                let known = known.images.entry(image.to_string()).or_default();
                known.image_ids.extend(container.image_id.as_ref().map(ToString::to_string));
                let program = world.processes.exe(open.common.exec_id);
                let op = FileOp::of(open.flags.unwrap_or(0));
                if let Err(why) = known.insert(&program, op, &observation.raw) {
                    known.not_expressed.push(not_expressed(&program, leaf.last(), &observation.raw, why));
                }
                seen.entry(Arc::clone(image))
                    .or_default()
                    .entry(leaf)
                    .or_default()
                    .insert(Arc::clone(&observation.raw));
            }
        }
    }
    for (image, entry) in &profile.images {
        let Some(known) = known.images.get_mut(&**image) else { continue };
        let seen = seen.get(image);
        entry.trees.file.each_leaf(&mut |leaf, _| {
            let exact = seen.and_then(|seen| seen.get(leaf)).map_or(0, BTreeSet::len);
            known.not_expressed.extend(shortcoming(leaf, exact));
        });
        known.not_expressed.sort();
        known.not_expressed.dedup();
    }
    let unlocked = |entry: &super::store::Entry| !entry.locked.contains_key(&Tree::File);
    Ok(Exported {
        unlocked: profile.images.iter().filter(|(_, entry)| unlocked(entry)).map(|(image, _)| image.clone()).collect(),
        unseen: profile.images.keys().filter(|image| !known.images.contains_key(&***image)).cloned().collect(),
        known,
    })
}

/// An open that succeeded, with all of its path from the kernel.
fn exact_open(event: &Event) -> Option<&FileEvent> {
    let Event::File(open) = event else { return None };
    let exact = open.common.kind == Kind::Open && open.ret >= 0;
    (exact && !open.path_from_user && !open.path_truncated && !open.deleted).then_some(open)
}

/// What a filter does not say of a leaf that `exact` files were seen of.
fn shortcoming(leaf: &[Arc<str>], exact: usize) -> Option<NotExpressed> {
    let [program, segments @ .., op] = leaf else { return None };
    let path = if segments.is_empty() { "/".to_owned() } else { segments.concat() };
    let pattern = segments.iter().chain([program]).any(|step| &**step == WILDCARD || step.contains('<'));
    let why = if !matches!(&**op, "read" | "write" | "list" | "locate") {
        "only files being opened are left out".to_owned()
    } else if exact == 0 {
        "seen in none of the recordings".to_owned()
    } else if pattern {
        format!("a pattern: only what was seen of it is left out ({exact})")
    } else {
        return None;
    };
    Some(not_expressed(program, Some(op), &path, &why))
}

fn not_expressed(program: &str, op: Option<&Arc<str>>, path: &str, why: &str) -> NotExpressed {
    let op = op.map(ToString::to_string).unwrap_or_default();
    NotExpressed { program: program.to_owned(), op, path: path.to_owned(), why: why.to_owned() }
}

/// Says in a line each what a filter covers, for people.
pub fn describe(exported: &Exported) -> String {
    let mut lines = Vec::new();
    for (image, known) in &exported.known.images {
        let KnownImage { not_expressed, image_ids, .. } = known;
        let ids = if image_ids.is_empty() { ", of no known image id" } else { "" };
        lines.push(format!("{image}: {} behaviours{ids}; {} not expressed", known.entries(), not_expressed.len()));
    }
    lines.extend(exported.unseen.iter().map(|image| format!("{image}: nothing: no file of it in the recordings")));
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(words: &[&str]) -> Vec<Arc<str>> {
        words.iter().map(|word| Arc::from(*word)).collect()
    }

    #[test]
    fn what_cannot_be_said_exactly_is_listed_with_the_reason() {
        let why = |leaf: &[&str], exact| shortcoming(&steps(leaf), exact).map(|entry| entry.why);
        assert_eq!(why(&["/bin/app", "/etc", "/hosts", "read"], 1), None);
        assert!(why(&["/bin/app", "/etc", "/hosts", "read"], 0).unwrap().contains("none of the recordings"));
        assert!(why(&["/bin/app", "/srv", "/*", "read"], 7).unwrap().contains("(7)"));
        assert!(why(&["/bin/app", "/proc", "/<pid>", "/stat", "read"], 2).unwrap().contains("pattern"));
        assert!(why(&["/bin/app", "/tmp", "/x", "rename"], 3).unwrap().contains("opened"));
        let listed = shortcoming(&steps(&["/bin/app", "list"]), 0).unwrap();
        assert_eq!((&*listed.path, &*listed.op), ("/", "list"));
    }
}
