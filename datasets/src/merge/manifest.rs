//! What the manifest of a merged recording says of the whole.

use std::collections::BTreeMap;

use super::apart::Place;
use crate::derive::{Carried, Derived, Source};
use crate::manifest::{Masking, Scenario};
use crate::read::Recording;
use crate::thinning::Sampling;
use crate::{Error, Result};

/// The first source's manifest, made to fit all; its accounting is to be filled in.
pub(super) fn join(sources: &[Recording], carried: &[Carried], places: &[Place]) -> Result<Carried> {
    let [first, others @ ..] = carried else {
        return Err(Error::Merge { reason: "there must be two recordings or more".to_owned() });
    };
    let mut whole = first.like();
    for other in others {
        whole.recovered_too(other);
        whole.ended = whole.ended.max(other.ended);
    }
    let manifest = &mut whole.manifest;
    for other in others {
        let theirs = &other.manifest;
        if theirs.started.ns < manifest.started.ns {
            manifest.started = theirs.started.clone();
        }
        join_words(&mut manifest.recorder.name, &theirs.recorder.name);
        join_words(&mut manifest.recorder.version, &theirs.recorder.version);
        join_words(&mut manifest.kernel.release, &theirs.kernel.release);
        join_words(&mut manifest.kernel.machine, &theirs.kernel.machine);
        add_new(&mut manifest.filter, &theirs.filter);
        add_new(&mut manifest.classes, &theirs.classes);
        for (class, hooks) in &theirs.hooks {
            add_new(manifest.hooks.entry(class.clone()).or_default(), hooks);
        }
        manifest.filter_changes.extend(theirs.filter_changes.iter().cloned());
        // A rate of one source is not that of another: without it, counts are those of the rows.
        if manifest.sampling != theirs.sampling {
            manifest.sampling =
                unthinned(manifest.sampling.take()).zip(unthinned(theirs.sampling.clone())).map(|(a, _)| a);
        }
        if manifest.known != theirs.known {
            manifest.known = None;
        }
        manifest.masking = masking(manifest.masking.take(), theirs.masking.as_ref());
        manifest.scenario = scenario(manifest.scenario.take(), theirs.scenario.as_ref())?;
        if manifest.end != theirs.end {
            manifest.end = None;
        }
    }
    manifest.filter_changes.sort_by_key(|change| change.at.ns);
    let notes = sources.iter().zip(places);
    let notes = notes.map(|(source, place)| Source { cpus: Some(place.range), ..Source::of(source.manifest()) });
    manifest.derived = Some(Derived::new("merge", notes.collect()));
    Ok(whole)
}

/// What nothing was thinned by, if that is so.
fn unthinned(sampling: Option<Sampling>) -> Option<Sampling> {
    sampling.filter(|sampling| sampling.changes.is_empty())
}

fn join_words(into: &mut String, word: &str) {
    if !into.split(", ").any(|known| known == word) {
        *into = format!("{into}, {word}");
    }
}

fn add_new(into: &mut Vec<String>, from: &[String]) {
    for value in from {
        if !into.contains(value) {
            into.push(value.clone());
        }
    }
}

/// On where it was on everywhere.
fn masking(ours: Option<Masking>, theirs: Option<&Masking>) -> Option<Masking> {
    let (mut ours, theirs) = (ours?, theirs?);
    ours.on &= theirs.on;
    ours.containers += theirs.containers;
    let mut rows: BTreeMap<String, u64> = std::mem::take(&mut ours.rows);
    for (class, n) in &theirs.rows {
        *rows.entry(class.clone()).or_default() += n;
    }
    ours.rows = rows;
    Some(ours)
}

/// Both, one after the other. A seed says which split a run belongs to, so it must be the same.
fn scenario(ours: Option<Scenario>, theirs: Option<&Scenario>) -> Result<Option<Scenario>> {
    let (mut ours, theirs) = match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours, theirs),
        (ours, theirs) => return Ok(ours.or_else(|| theirs.cloned())),
    };
    if ours.seed != theirs.seed {
        let reason = format!(
            "{} has seed {} and {} has {}: what is merged must be of one split",
            ours.name, ours.seed, theirs.name, theirs.seed
        );
        return Err(Error::Merge { reason });
    }
    if ours.name != theirs.name {
        ours.name = format!("{}+{}", ours.name, theirs.name);
        ours.description = format!("{}; {}", ours.description, theirs.description);
    }
    if ours.definition != theirs.definition {
        ours.definition = None;
    }
    if ours.time_compression != theirs.time_compression {
        ours.time_compression = None;
    }
    if ours.benign_s != theirs.benign_s {
        ours.benign_s = None;
    }
    ours.steps.extend(theirs.steps.iter().cloned());
    ours.steps.sort_by_key(|step| (step.start_ns, step.end_ns));
    Ok(Some(ours))
}
