//! A detection benchmark: learn on train, choose a cut-off on validation, report on test; this project's detector, the same
//! with parts taken away, and other people's methods, on the same recordings.
//!
//! [`evaluate`] is what an experiment with a single configuration needs.

pub mod bench;
pub mod choice;
pub mod confusion;
pub mod curve;
pub mod interval;
pub mod methods;
pub mod metrics;
pub mod outcome;
pub mod report;
pub mod rules;
pub mod run_file;
pub mod scored;
pub mod stage;
pub mod stide;
pub mod store;
#[cfg(test)]
mod tests;
pub mod truth;

use std::collections::BTreeMap;

use datasets::Recording;
use replay::args::vectors::LazyModel;
use replay::config::Config;
use replay::engines::{Engine, Weights};
use replay::profile::Profile;

use crate::Result;
use outcome::Outcome;
use stage::{Learning, Setup};
use truth::Loaded;

/// What a configuration says of some recordings. [`metrics::measure`] makes metrics of it, at any cut-off in points.
pub struct Evaluation {
    /// In the order of the recordings, by all engines with the configured weights.
    pub outcomes: Vec<Outcome>,
    /// The same by the points of one engine alone.
    pub by_engine: BTreeMap<Engine, Vec<Outcome>>,
}

/// Texts embedded at once: as many as there are cores.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What recordings without an attack teach under a configuration.
///
/// # Errors
/// Damaged input; rules that cannot be read.
pub fn baseline(lives: &[&Recording], config: &Config) -> Result<Profile> {
    let model = LazyModel::new(&config.model, threads());
    stage::learn(lives, &Setup::new(config.clone(), true, &model)?, Learning::All, &|_| {})
}

/// Replays recordings, given by name, and holds what is said of each against its labels. `baseline`: none, and each teaches
/// itself. Which split they are of is for the caller to see to. The allow-list of the configuration is not applied.
///
/// # Errors
/// Damaged input; a model that is needed and missing.
pub fn evaluate(recordings: &[(String, Recording)], baseline: Option<&Profile>, config: &Config) -> Result<Evaluation> {
    let model = LazyModel::new(&config.model, threads());
    let setup = Setup::new(config.clone(), true, &model)?;
    let all = stage::weights(config);
    let mut evaluation = Evaluation { outcomes: Vec::new(), by_engine: BTreeMap::new() };
    for (name, recording) in recordings {
        let loaded = Loaded::open(name, recording)?;
        let departed = stage::compare(&loaded, baseline, &setup)?;
        let judged = stage::judge(&departed, &setup)?;
        let outcome = |weights: &Weights| Outcome::new(&loaded.truth, &scored::by_engines(&judged, weights));
        evaluation.outcomes.push(outcome(&all));
        for engine in Engine::ALL {
            evaluation.by_engine.entry(engine).or_default().push(outcome(&only(engine, &all)));
        }
    }
    Ok(evaluation)
}

/// The points of one engine, and none of the others.
pub fn only(engine: Engine, weights: &Weights) -> Weights {
    let of = |other: Engine| if other == engine { weights.of(other) } else { 0.0 };
    Weights { rules: of(Engine::Rules), statistics: of(Engine::Statistics), semantics: of(Engine::Semantics) }
}
