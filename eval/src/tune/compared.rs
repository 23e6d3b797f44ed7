//! A recording, read once, and compared with a baseline as often as a configuration makes a difference.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use datasets::{Given, Recording, Split};
use replay::alert::group;
use replay::args::vectors::LazyModel;
use replay::config::{Asked, Config};
use replay::deviation::Deviation;
use replay::engines::Verdict;
use replay::judge::Judges;
use replay::pipeline::image::ImageState;
use replay::pipeline::{Lanes, Stage as Stream, Start, World, judged};
use replay::profile::Profile;

use super::facts::{Shown, Truth};
use super::keys::{Reads, Stage, hex};
use crate::{Error, Result};

/// A recording that configurations are tried on.
pub struct Tried {
    pub name: String,
    pub split: Option<Split>,
    pub recording: Recording,
    /// SHA-256 of its manifest, which names every file by hash.
    pub sha256: String,
    pub truth: Truth,
    /// Decoded, where memory allows.
    events: Option<Vec<Given>>,
    compared: Mutex<HashMap<String, Vec<Arc<Compared>>>>,
}

/// What departs from the baseline.
pub struct Compared {
    /// Names it among all.
    pub id: String,
    pub world: World,
    pub deviations: Vec<Deviation>,
    /// By deviation.
    pub hits: Vec<Vec<Verdict>>,
    pub span: Option<(i64, i64)>,
    /// The deviations of each alert, in order of time, with what its evidence shows.
    pub groups: Vec<(Vec<usize>, Shown)>,
    asked: Arc<Asked>,
}

/// SHA-256 of a recording's manifest, hex.
///
/// # Errors
/// It cannot be read.
pub fn hash(recording: &Recording) -> Result<String> {
    let path = recording.dir().join("manifest.json");
    replay::input::hash(&path).map(|(sha256, _)| sha256).map_err(|error| unreadable(&path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::Set { reason: format!("{}: {error}", path.display()) }
}

impl Tried {
    /// `keep`: its events stay in memory.
    ///
    /// # Errors
    /// A damaged recording.
    pub fn open(name: String, split: Option<Split>, recording: Recording, keep: bool) -> Result<Tried> {
        replay::input::verify(&recording)?;
        let sha256 = hash(&recording)?;
        let truth = Truth::of(&recording)?;
        let read = || judged(&recording).given().collect::<datasets::Result<Vec<Given>>>();
        let events = keep.then(read).transpose()?;
        Ok(Tried { name, split, recording, sha256, truth, events, compared: Mutex::default() })
    }

    /// What departs from the baseline (`None`: from what the recording itself taught) under a configuration, and whether it had to
    /// be found out now. `baseline_key` names the baseline.
    ///
    /// # Errors
    /// Unreadable events; a model that is needed and missing.
    pub fn compare(
        &self,
        baseline: Option<&Profile>,
        baseline_key: &str,
        (config, reads): (&Config, &Reads),
        model: &LazyModel,
        judges: &Judges,
    ) -> Result<(Arc<Compared>, bool)> {
        let key = reads.key(Stage::Compare, &[&self.sha256, baseline_key]);
        let known = || self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = |known: &HashMap<String, Vec<Arc<Compared>>>| known.get(&key).cloned().unwrap_or_default();
        let there = of_key(&known());
        if let Some(compared) = there.iter().find(|compared| compared.asked.holds_for(&config.args)) {
            return Ok((Arc::clone(compared), false));
        }
        let asked = Arc::new(Asked::default());
        let mut watched = config.clone();
        watched.args.asked = Some(Arc::clone(&asked));
        let world = World::load(&self.recording, config)?;
        let start = baseline.map_or(Start::Learn, Start::Baseline);
        let rules = judges.of(&world);
        let stage = Stream { world: &world, start, config: &watched, vectors: model, rules: &rules };
        let mut lanes = Lanes::default();
        match &self.events {
            Some(events) => lanes.take(events.iter().cloned().map(Ok), &stage, |_| {})?,
            None => lanes.take(judged(&self.recording).given(), &stage, |_| {})?,
        }
        let mut streamed = lanes.end(&stage);
        let folded = streamed.images.iter_mut().flat_map(ImageState::take_folded);
        let (deviations, hits): (Vec<Deviation>, Vec<Vec<Verdict>>) =
            folded.map(|folded| (folded.deviation, folded.hits)).unzip();
        let groups = group::groups(deviations.iter().enumerate().collect(), |(_, deviation)| *deviation);
        let groups = groups.into_iter().map(|group| {
            let shown = self.truth.of_alert(group.iter().flat_map(|(_, deviation)| &deviation.rows));
            (group.into_iter().map(|(at, _)| at).collect(), shown)
        });
        let groups = groups.collect();
        let compared = Compared {
            id: format!("{key} {}", there.len()),
            world,
            hits,
            span: streamed.span,
            groups,
            asked,
            deviations,
        };
        let compared = Arc::new(compared);
        known().entry(key).or_default().push(Arc::clone(&compared));
        Ok((compared, true))
    }

    /// Forgets what was compared, but for the last so many keys' worth: early keys make results that never come again.
    pub fn forget(&self, most: usize) {
        let mut known = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > most {
            known.clear();
        }
    }
}

/// A name for the program that results were made with: another build may find something else.
pub fn program() -> String {
    let built = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| Ok((file.len(), file.modified()?)));
    let built = built.map(|(bytes, at)| format!("{bytes} {:?}", at.duration_since(std::time::UNIX_EPOCH)));
    let text = format!("{} {}", env!("CARGO_PKG_VERSION"), built.unwrap_or_default());
    hex(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))
}
