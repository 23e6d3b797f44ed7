//! One part of a replay.

use std::sync::Arc;

use datasets::Given;

use super::{Identity, Part, PartImage, Partial, Whole, images_of};
use crate::args::vectors::LazyModel;
use crate::config::Config;
use crate::error::Result;
use crate::gather::Gathered;
use crate::input::{Baseline, InputFile};
use crate::judge::Judges;
use crate::output::run_json::BaselineInput;
use crate::pipeline::{Lanes, Stage, Start, StreamedApart, World};
use crate::run::{self, Sources};

/// Reads the recordings, and works on the images of one part. `threads`: 0 for one per core.
///
/// # Errors
/// No such part; damaged input; a needed model that is missing.
pub fn run(sources: &Sources, config: &Config, threads: usize, part: Part) -> Result<Partial> {
    let part = Part::new(part.index, part.of)?;
    run::pooled(threads, |threads| part_of(sources, config, threads, part))
}

fn part_of(sources: &Sources, config: &Config, threads: usize, part: Part) -> Result<Partial> {
    let model = LazyModel::new(&config.model, threads);
    let judges = Judges::open(config)?;
    for skipped in judges.skipped_rules() {
        eprintln!("warning: {skipped}");
    }
    run::hints(sources);
    let files = run::verify(sources)?;
    let baseline_files = baseline_files(sources)?;
    let identity = Identity::new(sources, config, part.of, &files, baseline_files.as_deref())?;
    let images = images_of(&identity.plan[part.index as usize - 1]);
    let baseline = sources.baseline().map(|(name, baseline)| {
        run::learn_baseline(name, baseline, config, &model, &judges, Some(&images)).map(|(profile, _)| profile)
    });
    let baseline = baseline.transpose()?;

    let world = World::of(sources.recordings(), config)?;
    let mut truth = sources.truth()?;
    let mut gathered = Gathered::default();
    let watch = |event: &Given| {
        truth.see(event.class(), event.cpu(), event.seq(), event.ts());
        gathered.see_given(event, &world);
    };
    let rules = judges.of(&world);
    let start = baseline.as_ref().map_or(Start::Learn, Start::Baseline);
    let stage = Stage { world: &world, start, config, vectors: &model, rules: &rules };
    let lanes = Lanes::kept_apart(Arc::clone(&images));
    let lanes = run::streamed(lanes, sources.recordings(), &stage, "replaying", watch)?;
    let StreamedApart { images, abroad, seen } = lanes.end_apart(&stage);
    Ok(Partial {
        part,
        identity,
        images: images.into_iter().map(|(ended, apart)| PartImage { ended, apart }).collect(),
        abroad,
        whole: Whole { per_second: seen.per_second, span: seen.span, acts: truth.begin, gathered },
        model: model.name(),
    })
}

/// The files of the baseline, read and compared.
pub(super) fn baseline_files(sources: &Sources) -> Result<Option<Vec<InputFile>>> {
    match sources.baseline() {
        None => Ok(None),
        Some((_, Baseline::Profile(_, file))) => Ok(Some(vec![file.clone()])),
        Some((_, Baseline::Recording(recording))) => crate::input::verify(recording).map(Some),
    }
}

/// What results name as the baseline.
pub(super) fn baseline_input(sources: &Sources, files: Vec<InputFile>) -> Option<BaselineInput> {
    let (name, baseline) = sources.baseline()?;
    let kind = match baseline {
        Baseline::Profile(..) => "profile",
        Baseline::Recording(_) => "recording",
    };
    Some(BaselineInput { kind, name: name.clone(), files })
}
