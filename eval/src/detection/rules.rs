//! Rules alone, without a profile: what a host runs that has nothing but a set of rules.
//!
//! A process scores as the highest level of a rule that hit one of its events. Correlations count within an image; those over
//! several images, and rules about departures from a profile, have nothing to work on here.

use std::collections::BTreeMap;
use std::sync::Arc;

use replay::engines::Level;
use replay::observe::{Context, HOST};
use replay::pipeline::ruling::{Memory, Said};
use replay::pipeline::{JUDGED, World};

use super::scored::{Scored, to_resolution};
use super::stage::Setup;
use super::truth::{Loaded, row_of};
use crate::Result;

/// Of a level's score.
pub const RESOLUTION: f64 = 0.01;

/// The score from which a rule is trusted by itself: that of level high.
pub fn high() -> f64 {
    to_resolution(Level::High.score().into(), RESOLUTION)
}

/// Container, incarnation, and process id where there is no incarnation.
type Doer = (Arc<str>, Option<u64>, u32);

/// # Errors
/// The recording's tables cannot be read.
pub fn alone(loaded: &Loaded, setup: &Setup<'_>) -> Result<Vec<Scored>> {
    let world = World::load(&loaded.recording, &setup.config)?;
    let rules = setup.judges.of(&world);
    let context = Context { processes: &world.processes, peers: &world.peers, config: &setup.config };
    let mut memories: BTreeMap<Arc<str>, Memory> = BTreeMap::new();
    // With the score of the technique.
    let mut found: BTreeMap<Doer, (Scored, f32)> = BTreeMap::new();
    for event in loaded.events.iter().filter(|event| JUDGED.contains(&event.class())) {
        let common = event.common();
        let memory = memories.entry(world.image(common.container.as_ref())).or_default();
        let ruling = memory.judge(event, Said::default(), &rules, &context);
        memory.abroad.clear();
        let levels = ruling.verdicts.iter().filter_map(|verdict| verdict.level);
        let Some(level) = levels.max() else { continue };
        let container = common.container.clone().unwrap_or_else(|| HOST.into());
        let pid = if common.exec_id.is_some() { 0 } else { common.pid };
        let (scored, best) = found.entry((Arc::clone(&container), common.exec_id, pid)).or_default();
        scored.exec_id = common.exec_id;
        scored.container = container;
        scored.rise(common.ts, to_resolution(level.score().into(), RESOLUTION));
        scored.rows.extend(ruling.rows.iter().copied().chain([row_of(event)]));
        for verdict in &ruling.verdicts {
            if verdict.technique.is_some() && verdict.score > *best {
                *best = verdict.score;
                scored.technique.clone_from(&verdict.technique);
            }
        }
    }
    Ok(found.into_values().map(|(scored, _)| scored).collect())
}
