//! A replay in parts: `--partition`, `replay merge`, `replay partitions`.

use std::path::PathBuf;
use std::process::ExitCode;

use replay::cli::{Format, Merge, Partitions, ProfileFormat, Replay};
use replay::config::{self, Config};
use replay::error::{Error, Result};
use replay::input;
use replay::output::OutputDir;
use replay::partition::{self, Part, Partial};
use replay::run::Sources;
use replay::sink::Dispatcher;
use serde_json::json;

use crate::{alerting, print, tell};

/// Works on one part.
pub fn run(options: &Replay, sources: &Sources, config: &Config, part: Part) -> Result<ExitCode> {
    let default =
        || PathBuf::from(format!("{}.part-{}-of-{}", sources.default_output().display(), part.index, part.of));
    let output = OutputDir::create(&options.output.clone().unwrap_or_else(default))?;
    let partial = partition::run(sources, config, options.threads.into(), part)?;
    let file = partial.write(&output)?;
    let images: Vec<&str> = partial.images().collect();
    print(&match options.format {
        Format::Table => format!("part {part}: {} images; `replay merge` joins {}\n", images.len(), file.display()),
        Format::Json => format!("{}\n", json!({ "part": part, "images": images, "file": file })),
    });
    Ok(ExitCode::SUCCESS)
}

/// Joins all parts.
pub fn merge(options: &Merge) -> Result<ExitCode> {
    let parts = options.parts.iter().map(|path| Partial::read(path)).collect::<Result<Vec<_>>>()?;
    let first = &parts[0];
    let sets = options.alerting.over(options.model.over(&options.sets));
    let config = if options.config.is_none() && options.sets.is_empty() {
        for part in &parts {
            if part.config() != first.config() {
                return Err(Error::config(
                    format!("parts {} and {} were made with different configurations", first.part(), part.part()),
                    "say which one holds with --config or --set, as for the parts",
                ));
            }
        }
        // What flags say of alerts and of the model goes over it, as for a replay.
        over(first.config(), &sets)?
    } else {
        config::load(options.config.as_deref(), &sets)?
    };
    let named: Vec<String> = match &options.recordings[..] {
        [] => first.recordings().map(str::to_owned).collect(),
        named => named.to_vec(),
    };
    let learn = options.learn.as_deref().or(first.learn());
    let moved = |error: Error| match error {
        Error::Input { message, .. } if options.recordings.is_empty() => Error::input(
            message,
            "the parts name their recordings as they were given there; say where they are with --recording and --learn",
        ),
        other => other,
    };
    let sources = Sources::of(&named, learn).map_err(moved)?;
    let sinks = Dispatcher::start(alerting::chosen(&config, &options.alerting.sinks)?, &sources.name())?;
    let output = OutputDir::create(&options.output.clone().unwrap_or_else(|| sources.default_output()))?;
    let outcome = partition::merge(&sources, &config, options.threads.into(), parts)?;
    tell(outcome, &output, sinks, options.format, options.fail_on, &options.alerting)
}

/// A configuration with some of its values set anew.
fn over(config: &Config, sets: &[String]) -> Result<Config> {
    let asked = config::load(None, sets)?;
    let mut config = config.clone();
    for set in sets {
        match set.split_once('=').map(|(key, _)| key) {
            Some("alerts.allow") => config.alerts.allow.clone_from(&asked.alerts.allow),
            Some("model.device") => config.model.device = asked.model.device,
            Some("model.cache") => config.model.cache.clone_from(&asked.model.cache),
            _ => {}
        }
    }
    Ok(config)
}

/// Prints a plan.
pub fn plan(options: &Partitions) -> Result<ExitCode> {
    let recordings = options.recordings.iter().map(|name| input::recording(name)).collect::<Result<Vec<_>>>()?;
    let plan = partition::plan(&recordings, options.parts)?;
    print(&match options.format {
        ProfileFormat::Table => partition::render(&plan),
        ProfileFormat::Json => partition::to_json(&plan),
    });
    Ok(ExitCode::SUCCESS)
}
