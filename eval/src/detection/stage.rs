//! The stages of a replay, one by one, so that what several configurations have in common is done once: learn, stream, judge.

use std::sync::Arc;

use datasets::{Event, Recording};
use replay::alert::group::Judged;
use replay::args::vectors::LazyModel;
use replay::config::Config;
use replay::engines::{Verdict, Weights};
use replay::judge::Judges;
use replay::pipeline::fold::Folded;
use replay::pipeline::image::ImageState;
use replay::pipeline::ruling::Rules;
use replay::pipeline::{JUDGED, Lanes, Stage, Start, Streamed, World, hit_by_rules, judged, stream};
use replay::profile::Profile;

use super::truth::Loaded;
use crate::Result;

/// A configuration, with what it opens.
pub struct Setup<'a> {
    pub config: Config,
    pub judges: Judges,
    pub model: &'a LazyModel,
    /// Without them, no rule hits anything, and nothing is kept from being learned.
    pub rules: bool,
}

impl<'a> Setup<'a> {
    /// # Errors
    /// Rules or exemplars that cannot be read.
    pub fn new(config: Config, rules: bool, model: &'a LazyModel) -> Result<Setup<'a>> {
        let judges = Judges::open(&config)?;
        Ok(Setup { config, judges, model, rules })
    }

    /// Runs `work` with the rules engine of a recording, or with none.
    fn with_rules<T>(&self, world: &World, work: impl FnOnce(&dyn Rules) -> T) -> T {
        let none = |_: &Event| Vec::<Verdict>::new();
        if self.rules { work(&self.judges.of(world)) } else { work(&none) }
    }
}

/// The points of each engine, as configured.
pub fn weights(config: &Config) -> Weights {
    let weights = &config.engines.weights;
    Weights { rules: weights.rules, statistics: weights.statistics, semantics: weights.semantics }
}

/// How long is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Learning {
    /// All of every recording, each by itself, and then the union: what `replay --learn` does.
    All,
    /// The recordings one after the other, each tree until the configuration's stopping rule ends it.
    UntilLocked,
}

/// What the recordings teach. `tick` is told how many events each had.
///
/// # Errors
/// Damaged or unreadable input.
pub fn learn(lives: &[&Recording], setup: &Setup<'_>, learning: Learning, tick: &dyn Fn(u64)) -> Result<Profile> {
    match learning {
        Learning::All => learn_all(lives, setup, tick),
        Learning::UntilLocked => learn_until_locked(lives, setup, tick),
    }
}

fn learn_all(lives: &[&Recording], setup: &Setup<'_>, tick: &dyn Fn(u64)) -> Result<Profile> {
    let mut profile = Profile::default();
    for life in lives {
        let world = World::load(life, &setup.config)?;
        let learned = setup.with_rules(&world, |rules| {
            let start = Start::LearnAll;
            let stage = Stage { world: &world, start, config: &setup.config, vectors: setup.model, rules };
            stream(life, &stage, |_| {})
        })?;
        profile.merge(learned.profile(), &setup.config);
        tick(life.manifest().rows());
    }
    Ok(profile)
}

fn learn_until_locked(lives: &[&Recording], setup: &Setup<'_>, tick: &dyn Fn(u64)) -> Result<Profile> {
    let mut lives = lives.to_vec();
    lives.sort_by_key(|life| life.manifest().started.ns);
    let mut lanes = Lanes::default();
    let mut last = 0;
    for life in lives {
        let world = World::load(life, &setup.config)?;
        setup.with_rules(&world, |rules| -> Result<()> {
            lanes.begin_recording(hit_by_rules(life, &world, rules)?);
            let start = Start::Learn;
            let stage = Stage { world: &world, start, config: &setup.config, vectors: setup.model, rules };
            Ok(lanes.take(judged(life).given(), &stage, |_| {})?)
        })?;
        last = lanes.seen().span.map_or(last, |(_, end)| end);
        lanes.end_recording(last, &setup.config);
        tick(life.manifest().rows());
    }
    let images = lanes.finish(last, &setup.config);
    let entries = images.iter().map(|state| (Arc::clone(&state.image), state.entry()));
    Ok(Profile { images: entries.collect(), ..Profile::default() })
}

/// What left the profile in one recording.
pub struct Departed {
    pub world: World,
    pub streamed: Streamed,
    pub folded: Vec<Folded>,
}

/// Runs a recording through the profiles. `baseline`: none, and each image learns from the recording itself.
///
/// # Errors
/// A needed model that is missing.
pub fn compare(loaded: &Loaded, baseline: Option<&Profile>, setup: &Setup<'_>) -> Result<Departed> {
    let world = World::load(&loaded.recording, &setup.config)?;
    let start = baseline.map_or(Start::Learn, Start::Baseline);
    let looked_at = loaded.events.iter().filter(|event| JUDGED.contains(&event.class()));
    let mut streamed = setup.with_rules(&world, |rules| -> Result<Streamed> {
        let stage = Stage { world: &world, start, config: &setup.config, vectors: setup.model, rules };
        let mut lanes = Lanes::default();
        lanes.take(looked_at.map(|event| Ok(event.clone())), &stage, |_| {})?;
        Ok(lanes.end(&stage))
    })?;
    let folded = streamed.images.iter_mut().flat_map(ImageState::take_folded).collect();
    Ok(Departed { world, streamed, folded })
}

/// What every engine says of it.
///
/// # Errors
/// The judge needs a model that is missing.
pub fn judge(departed: &Departed, setup: &Setup<'_>) -> Result<Vec<Judged>> {
    let Departed { world, streamed, folded } = departed;
    Ok(setup.judges.judge(folded.clone(), streamed, world, setup.model)?)
}
