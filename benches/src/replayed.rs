//! A replay on one thread without the embedding model: the path of each event alone.

use std::hint::black_box;
use std::sync::Arc;

use datasets::Recording;
use replay::args::vectors::Vectors;
use replay::config::{self, Config};
use replay::deviation::Deviation;
use replay::embed::Embedding;
use replay::engines::statistics::{self, Population};
use replay::engines::{Thresholds, Verdict, Weights};
use replay::error::{Error, Result};
use replay::judge::Judges;
use replay::pipeline::{self, Stage, Start, Streamed, World};
use replay::profile::Profile;

/// The model must not be asked: its tier is switched off.
pub struct NoModel;

impl Vectors for NoModel {
    fn embed(&self, _: &[&str]) -> Result<Vec<Embedding>> {
        Err(Error::prerequisite("the embedding tier is switched off", "this is a bug of the bench"))
    }
}

/// A recording with what its events are compared by.
pub struct Replay {
    pub recording: Recording,
    pub world: World,
    pub config: Config,
    pub judges: Judges,
}

impl Replay {
    /// A recording that ships, by its name.
    pub fn of(name: &str) -> Self {
        let config = config::load(None, &["args.embedding.enabled=false".to_owned()]).expect("a known key");
        let recording = Recording::shipped(name).expect("a recording that ships");
        let world = World::load(&recording, &config).expect("readable tables");
        let judges = Judges::open(&config).expect("the built-in rules");
        Replay { recording, world, config, judges }
    }

    /// Reads, learns or compares, and runs every rule on every event that the profile looks at.
    pub fn run(&self, start: Start<'_>) -> Streamed {
        let rules = self.judges.of(&self.world);
        let stage = Stage { world: &self.world, start, config: &self.config, vectors: &NoModel, rules: &rules };
        pipeline::stream(&self.recording, &stage, |_| {}).expect("a replay")
    }

    pub fn rows(&self) -> u64 {
        self.recording.manifest().rows()
    }
}

/// What a recording deviates by, ready to be scored.
pub struct Deviations {
    of: Replay,
    deviations: Vec<Deviation>,
    hits: Vec<Vec<Verdict>>,
    span: Option<(i64, i64)>,
    replicas: Vec<(Arc<str>, Arc<str>)>,
}

impl Deviations {
    pub fn of(attack: Replay, profile: &Profile) -> Self {
        let mut streamed = attack.run(Start::Baseline(profile));
        let folded: Vec<_> = streamed.images.iter_mut().flat_map(|image| image.take_folded()).collect();
        let (deviations, hits) = folded.into_iter().map(|folded| (folded.deviation, folded.hits)).unzip();
        let world = &attack.world;
        let replicas = world.containers.keys().map(|id| (world.image(Some(id)), Arc::clone(id))).collect();
        Deviations { deviations, hits, span: streamed.span, replicas, of: attack }
    }

    pub fn count(&self) -> u64 {
        self.deviations.len() as u64
    }

    /// Clusters them, asks the statistics engine, and gives each a severity; returns how many.
    pub fn score(&self) -> u64 {
        let population = Population::new(self.replicas.iter().cloned(), self.span);
        let rare = statistics::judge(black_box(&self.deviations), &population, &self.of.config.engines.statistics);
        let severities = self.hits.iter().zip(rare).map(|(hits, rare)| {
            let mut verdicts = hits.clone();
            verdicts.push(rare);
            Thresholds::default().severity(Weights::default().total(&verdicts))
        });
        severities.map(black_box).count() as u64
    }
}
