//! Learning as a step of its own: recordings in, a profile and its learning curve out.
//!
//! Several recordings are learned in order of their time, as one stretch of learning: the clock stands still between them, and
//! for an image also while a recording has no events of it. A quiet window is one in which the image was watched.
//!
//! Each recording is read twice, first for what rules of high confidence hit. A process that a rule hits at any time teaches
//! nothing, neither do those that it starts; not even by what it did before the hit.

mod picture;
mod store;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::{Given, Recording};
use serde::Serialize;

use crate::args::vectors::LazyModel;
use crate::config::{Config, Convergence};
use crate::convergence::curve::{Converged, Sample};
use crate::deviation::Tree;
use crate::error::Result;
use crate::input;
use crate::judge::Judges;
use crate::observe::peers::image_of;
use crate::output::OutputDir;
use crate::partition::{self, Part};
use crate::pipeline::image::{ImageState, Phase};
use crate::pipeline::{Images, Lanes, Stage, Start, World, hit_by_rules, judged};
use crate::profile::siblings::Siblings;
use crate::profile::{self, Calls, Profile};
use crate::run::{hint, pooled, progress_bar};
use crate::summary;

pub use table::render;

/// Hits named of one image; the rest are counted.
const NAMED: usize = 10;

/// What was learned, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub kind: &'static str,
    pub version: u32,
    /// In the order in which they were learned.
    pub recordings: Vec<Source>,
    /// The stopping rule, in words.
    pub rule: String,
    pub convergence: Convergence,
    pub images: Vec<Image>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Source {
    pub name: String,
    pub started: String,
    pub events: u64,
    /// From the first event to the last, seconds.
    pub seconds: f64,
    /// Incarnations that a rule of high confidence hit.
    pub hit: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Image {
    pub image: Arc<str>,
    pub events: u64,
    pub observations: u64,
    pub learned: u64,
    /// Not learned, for the rules' sake.
    pub withheld: u64,
    /// What rules hit, the first ten.
    pub hits: Vec<Hit>,
    pub trees: Vec<LearnedTree>,
    /// Null for a single replica.
    pub siblings: Option<Siblings>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Hit {
    /// What happened, as it was.
    pub text: Arc<str>,
    pub count: u64,
    pub reasons: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LearnedTree {
    pub tree: Tree,
    pub observations: u64,
    pub patterns: u64,
    pub nodes: u64,
    /// When the stopping rule would have ended learning; null: it would not have.
    pub converged: Option<Converged>,
    /// Whether it holds at the end, which is what the profile says.
    pub locked: bool,
    pub curve: Vec<Sample>,
}

/// A profile with the report of its learning.
pub struct Learned {
    pub profile: Profile,
    pub report: Report,
}

/// Learns from recordings, given by name or path and opened. `threads`: 0 for one per core.
///
/// # Errors
/// Damaged input; rules that cannot be loaded.
pub fn learn(recordings: Vec<(String, Recording)>, config: &Config, threads: usize) -> Result<Learned> {
    let recordings = in_order(recordings);
    pooled(threads, |threads| learn_all(&recordings, config, threads, None))
}

/// The same for the images of one part: see [`partition`]. Of the events of the recordings it tells all.
///
/// # Errors
/// As [`learn`]; no such part.
pub fn learn_part(
    recordings: Vec<(String, Recording)>,
    config: &Config,
    threads: usize,
    part: Part,
) -> Result<Learned> {
    let recordings = in_order(recordings);
    let images = partition::images_to_learn(&recordings, part)?;
    pooled(threads, |threads| learn_all(&recordings, config, threads, Some(images)))
}

fn in_order(mut recordings: Vec<(String, Recording)>) -> Vec<(String, Recording)> {
    recordings
        .sort_by(|(a_name, a), (b_name, b)| (a.manifest().started.ns, a_name).cmp(&(b.manifest().started.ns, b_name)));
    recordings
}

/// `only`: of these images; else of all.
fn learn_all(
    recordings: &[(String, Recording)],
    config: &Config,
    threads: usize,
    only: Option<Arc<Images>>,
) -> Result<Learned> {
    let judges = Judges::open(config)?;
    for skipped in judges.skipped_rules() {
        eprintln!("warning: rule skipped: {skipped}");
    }
    // Nothing is compared while learning, so that it is never opened.
    let model = LazyModel::new(&config.model, threads);
    let mut lanes = only.map_or_else(Lanes::default, Lanes::only);
    lanes.expect_replicas(replicated(recordings)?);
    let mut sources = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut calls: BTreeMap<Arc<str>, Calls> = BTreeMap::new();
    let mut last_end = 0;
    for (name, recording) in recordings {
        hint(name, recording.manifest(), true);
        input::verify(recording)?;
        let world = World::load(recording, config)?;
        names.extend(world.containers.keys().map(|id| (id.to_string(), world.container_name(id))));
        let rules = judges.of(&world);
        let withheld = hit_by_rules(recording, &world, &rules)?;
        let hit = withheld.len() as u64;
        for (image, learned) in profile::calls::learn(recording, &world, &withheld)? {
            match calls.get_mut(&image) {
                Some(known) => known.merge(learned),
                None => drop(calls.insert(image, learned)),
            }
        }
        lanes.begin_recording(withheld);
        let bar = progress_bar(recording.manifest().rows(), "learning");
        let mut events = 0u64;
        let watch = |_: &Given| {
            events += 1;
            if events.is_multiple_of(4096) {
                bar.set_position(events);
            }
        };
        let stage = Stage { world: &world, start: Start::LearnAll, config, vectors: &model, rules: &rules };
        lanes.take(judged(recording).given(), &stage, watch)?;
        bar.finish_and_clear();
        let (begin, end) = lanes.seen().span.unwrap_or_default();
        lanes.end_recording(end, config);
        last_end = end;
        sources.push(Source {
            name: name.clone(),
            started: recording.manifest().started.utc.clone(),
            events,
            seconds: ((end - begin) as f64 / 1e6).round() / 1e3,
            hit,
        });
    }
    let mut images = lanes.finish(last_end, config);
    let entries = images.iter().map(|state| (Arc::clone(&state.image), state.entry()));
    let mut profile = Profile { images: entries.collect(), ..Profile::default() };
    for (image, calls) in calls {
        if let Some(entry) = profile.images.get_mut(&image) {
            entry.trees.calls = Some(calls);
        }
    }
    let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| crate::output::text::short_id(id).to_owned());
    let report = Report {
        kind: "retroscope learning",
        version: 1,
        recordings: sources,
        rule: summary::rule(config),
        convergence: config.convergence.clone(),
        images: images.iter_mut().map(|state| image(state, config, &name)).collect(),
    };
    Ok(Learned { profile, report })
}

/// Images that more than one container runs, in all recordings together.
fn replicated(recordings: &[(String, Recording)]) -> Result<BTreeSet<Arc<str>>> {
    let mut containers: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for (_, recording) in recordings {
        for container in recording.containers()? {
            containers.entry(image_of(&container)).or_default().insert(container.id);
        }
    }
    Ok(containers.into_iter().filter(|(_, ids)| ids.len() > 1).map(|(image, _)| image).collect())
}

fn image(state: &mut ImageState, config: &Config, name: &dyn Fn(&str) -> String) -> Image {
    let hits = state.take_folded().into_iter().take(NAMED).map(|folded| Hit {
        text: folded.deviation.text,
        count: folded.deviation.count,
        reasons: folded.hits.into_iter().map(|hit| hit.reason).collect(),
    });
    let hits = hits.collect();
    let trees = Tree::ALL.map(|tree| LearnedTree {
        tree,
        observations: match state.phases.get(&tree) {
            Some(Phase::Learning(tracker)) => tracker.learned(),
            Some(Phase::Locked(locked)) => locked.learned,
            None => 0,
        },
        patterns: state.profile.patterns(tree),
        nodes: state.profile.nodes(tree),
        converged: state.curve().and_then(|curve| curve.converged(tree)).cloned(),
        locked: matches!(state.phases.get(&tree), Some(Phase::Locked(_))),
        curve: state.curve().map_or_else(Vec::new, |curve| curve.samples(tree).to_vec()),
    });
    Image {
        image: Arc::clone(&state.image),
        events: state.counts.events,
        observations: state.counts.observations,
        learned: state.counts.learned,
        withheld: state.counts.withheld,
        hits,
        trees: trees.into(),
        siblings: state.siblings(config, name),
    }
}

/// Where the files go: beside the profile, by its name; in a directory, by their own.
pub struct Files {
    directory: PathBuf,
    profile: String,
    curve: String,
    picture: String,
}

impl Files {
    /// `output`: a file that ends in `.json`, or a directory.
    pub fn of(output: &Path) -> Self {
        let stem = output.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let is_file = !output.is_dir() && output.extension().is_some_and(|extension| extension == "json");
        match stem.filter(|_| is_file) {
            Some(stem) => {
                let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
                Self {
                    directory: parent.unwrap_or(Path::new(".")).to_owned(),
                    profile: format!("{stem}.json"),
                    curve: format!("{stem}.curve.parquet"),
                    picture: format!("{stem}.curve.svg"),
                }
            }
            None => Self {
                directory: output.to_owned(),
                profile: "profile.json".to_owned(),
                curve: "curve.parquet".to_owned(),
                picture: "curve.svg".to_owned(),
            },
        }
    }

    /// Makes sure, before the work, that they can be written.
    ///
    /// # Errors
    /// [`crate::error::Error::Output`].
    pub fn prepare(&self) -> Result<OutputDir> {
        OutputDir::create(&self.directory)
    }

    /// Writes all; returns their paths, the profile's first.
    ///
    /// # Errors
    /// [`crate::error::Error::Output`].
    pub fn write(&self, output: &OutputDir, learned: &Learned) -> Result<[PathBuf; 3]> {
        Ok([
            output.write(&self.profile, learned.profile.to_json().as_bytes())?,
            output.write(&self.curve, &store::encode(&learned.report)?)?,
            output.write(&self.picture, picture::draw(&learned.report)?.as_bytes())?,
        ])
    }
}

impl Report {
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }
}
