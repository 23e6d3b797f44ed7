//! A replay on one thread without the embedding model: the path of each event alone.

use datasets::Recording;
use replay::args::vectors::Vectors;
use replay::config::{self, Config};
use replay::embed::Embedding;
use replay::error::{Error, Result};
use replay::judge::Judges;
use replay::pipeline::{self, Stage, Start, Streamed, World};

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
