//! All parts to one outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::run::{baseline_files, baseline_input};
use super::{Identity, PartImage, Partial};
use crate::args::vectors::LazyModel;
use crate::config::Config;
use crate::engines::correlation::Correlator;
use crate::error::{Error, Result};
use crate::judge::Judges;
use crate::observe::HOST;
use crate::output::run_json::Timings;
use crate::pipeline::World;
use crate::pipeline::apart::{Abroad, Rejoined};
use crate::pipeline::ended::{Ended, EndedImage};
use crate::pipeline::ruling::{Rules, Ruling};
use crate::run::{self, Conclusion, Outcome, Sources};
use crate::timing::Task;

/// The outcome of all parts of one plan, in whatever order. `sources` and `config` are those that the parts were made of; of the
/// configuration, how deviations are judged and alerts scored may be another one. `threads`: 0 for one per core.
///
/// # Errors
/// A part that is missing, there twice, or of another replay; damaged input; a needed model that is missing.
pub fn merge(sources: &Sources, config: &Config, threads: usize, parts: Vec<Partial>) -> Result<Outcome> {
    run::pooled(threads, |threads| merged(sources, config, threads, parts))
}

fn merged(sources: &Sources, config: &Config, threads: usize, parts: Vec<Partial>) -> Result<Outcome> {
    let begin = Instant::now();
    let mut timings = Timings { threads, ..Timings::default() };
    let parts = complete(parts)?;
    let model = LazyModel::new(&config.model, threads);
    let judges = Judges::open(config)?;
    let allow = run::allow_list(config)?;
    let files = run::timed(&mut timings.verify_ms, Task::Verify, || run::verify(sources))?;
    let baseline = baseline_files(sources)?;
    let own = Identity::new(sources, config, parts[0].part.of, &files, baseline.as_deref())?;
    for part in &parts {
        if let Some(why) = own.differs(&part.identity) {
            return Err(foreign(part, &why));
        }
        if part.whole != parts[0].whole {
            return Err(foreign(part, "it saw other events than part 1"));
        }
    }
    let mut models = parts.iter().filter_map(|part| Some((part, part.model.clone()?)));
    let needed = models.next().map(|(_, model)| model);
    if let Some((part, other)) = models.find(|(_, model)| Some(model) != needed.as_ref()) {
        let needed = needed.unwrap_or_default();
        return Err(foreign(part, &format!("its embedding model was {other}, and another part's {needed}")));
    }

    let world = World::of(sources.recordings(), config)?;
    let mut truth = sources.truth()?;
    let whole = parts[0].whole.clone();
    truth.begin = whole.acts;
    let (images, abroad) = parts.into_iter().fold((Vec::new(), Vec::new()), |(mut images, mut abroad), part| {
        images.extend(part.images);
        abroad.extend(part.abroad);
        (images, abroad)
    });
    let images = rejoin(images, abroad, &judges.of(&world), &world, config);
    let ended = Ended { images, per_second: whole.per_second, span: whole.span };
    let inputs = run::inputs(sources, files, baseline.and_then(|files| baseline_input(sources, files)));
    run::conclude_ended(
        ended,
        needed,
        Conclusion {
            inputs,
            config,
            judges: &judges,
            allow: &allow,
            model: &model,
            world: &world,
            truth: &truth,
            gathered: whole.gathered,
            timings,
            begin,
        },
    )
}

/// All parts of one number, each once, in order.
fn complete(mut parts: Vec<Partial>) -> Result<Vec<Partial>> {
    let hint = "give the directory of each part of one plan, once: replay merge DIR...";
    parts.sort_by_key(|partial| partial.part.index);
    let Some(first) = parts.first() else { return Err(Error::input("no part to merge", hint)) };
    let of = first.part.of;
    if let Some(other) = parts.iter().find(|partial| partial.part.of != of) {
        return Err(Error::input(format!("part {} and part {} are of different plans", first.part, other.part), hint));
    }
    if let Some(pair) = parts.windows(2).find(|pair| pair[0].part == pair[1].part) {
        return Err(Error::input(format!("part {} is there twice", pair[0].part), hint));
    }
    let there = |index: &u32| parts.iter().any(|partial| partial.part.index == *index);
    let missing: Vec<String> = (1..=of).filter(|index| !there(index)).map(|index| format!("{index}/{of}")).collect();
    if missing.is_empty() {
        return Ok(parts);
    }
    let named = missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if missing.len() > 5 { format!(" and {} more", missing.len() - 5) } else { String::new() };
    Err(Error::input(format!("{} of {of} parts are missing: {named}{more}", missing.len()), hint))
}

fn foreign(part: &Partial, why: &str) -> Error {
    Error::input(
        format!("part {} does not belong here: {why}", part.part),
        "make all parts of the same recordings with the same --learn, --config, --set, rules and version",
    )
}

/// Correlates what containers of all parts did with each other, in order and chunk by chunk, as a replay of all images does.
fn rejoin(
    images: Vec<PartImage>,
    mut abroad: Vec<Abroad>,
    rules: &dyn Rules,
    world: &World,
    config: &Config,
) -> Vec<EndedImage> {
    let mut lanes: BTreeMap<Arc<str>, (EndedImage, Rejoined)> = images
        .into_iter()
        .map(|PartImage { ended, apart }| {
            let rejoined = Rejoined::new(Arc::clone(&ended.image), apart, config.alerts.evidence_rows);
            (Arc::clone(&ended.image), (ended, rejoined))
        })
        .collect();
    // Hits of one event stay in their order.
    abroad.sort_by_key(|hit| (hit.chunk, hit.contribution.order()));
    let mut across = Correlator::default();
    for Abroad { chunk, mut contribution } in abroad {
        let Some(correlations) = rules.correlations() else { break };
        let observation = contribution.observation.take();
        let (Some(met), Some(observation)) = (across.join(correlations, contribution), observation) else { continue };
        let container = Some(&observation.container).filter(|id| ***id != *HOST);
        if let Some((_, lane)) = lanes.get_mut(&world.image(container)) {
            lane.meet(chunk, &observation, &Ruling::of_met(met));
        }
    }
    let ended = lanes.into_values().map(|(ended, lane)| EndedImage { folded: lane.end(), ..ended });
    ended.filter(|image| image.counts.events > 0 || !image.folded.is_empty()).collect()
}
