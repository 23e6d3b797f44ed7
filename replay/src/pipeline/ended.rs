//! What the end of a stream leaves of it: all that results are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fold::Folded;
use super::image::{Counts, ImageState, Phase};
use super::{Streamed, World};
use crate::config::Config;
use crate::convergence::LockTest;
use crate::convergence::curve::Sample;
use crate::deviation::Tree;
use crate::profile::siblings::Siblings;
use crate::profile::{LockedTree, Profile, store};

/// An image at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndedImage {
    pub image: Arc<str>,
    /// Time of the image's first and last event; Unix time, ns.
    pub span: Option<(i64, i64)>,
    pub counts: Counts,
    pub entry: store::Entry,
    pub trees: Vec<EndedTree>,
    /// Behaviours taken in since the lock, and on probation.
    pub tuned: u64,
    pub on_probation: u64,
    pub siblings: Option<Siblings>,
    pub folded: Vec<Folded>,
}

/// A tree at the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndedTree {
    pub tree: Tree,
    /// None: still learning.
    pub locked: Option<LockedTree>,
    /// Observations learned.
    pub learned: u64,
    pub patterns: u64,
    pub since_lock: Option<LockTest>,
    /// How it grew, where that was taken down.
    pub samples: Vec<Sample>,
}

impl EndedImage {
    pub fn new(mut state: ImageState, world: &World, config: &Config) -> Self {
        let folded = state.take_folded();
        let tree = |(tree, phase): (&Tree, &Phase)| {
            let (locked, learned) = match phase {
                Phase::Learning(tracker) => (None, tracker.learned()),
                Phase::Locked(locked) => (Some(locked.clone()), locked.learned),
            };
            let patterns = state.profile.patterns(*tree);
            let samples = state.curve().map_or_else(Vec::new, |curve| curve.samples(*tree).to_vec());
            EndedTree { tree: *tree, locked, learned, patterns, since_lock: state.lock_test(*tree, config), samples }
        };
        Self {
            trees: state.phases.iter().map(tree).collect(),
            span: state.span,
            counts: state.counts,
            tuned: state.tuned().len() as u64,
            on_probation: state.on_probation() as u64,
            siblings: state.siblings(config, &|id| world.container_name(id)),
            entry: state.entry(),
            folded,
            image: state.image,
        }
    }
}

/// A stream that has ended.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// By image.
    pub images: Vec<EndedImage>,
    /// Events per second of event time, by Unix second.
    pub per_second: BTreeMap<i64, u64>,
    /// First and last event; Unix time, ns.
    pub span: Option<(i64, i64)>,
}

impl Ended {
    pub fn new(streamed: Streamed, world: &World, config: &Config) -> Self {
        let Streamed { images, per_second, span } = streamed;
        let images = images.into_iter().map(|state| EndedImage::new(state, world, config)).collect();
        Self { images, per_second, span }
    }

    /// The profiles; none are left here.
    pub fn take_profile(&mut self) -> Profile {
        let entries = self.images.iter_mut().map(|image| (Arc::clone(&image.image), std::mem::take(&mut image.entry)));
        Profile { images: entries.collect(), ..Profile::default() }
    }

    /// The deviations of all images; none are left here.
    pub fn take_folded(&mut self) -> Vec<Folded> {
        self.images.iter_mut().flat_map(|image| std::mem::take(&mut image.folded)).collect()
    }
}
