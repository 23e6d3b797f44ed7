//! The subcommands: learn, explain, and those on profiles (show, diff, merge, bounds, export).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use datasets::Recording;
use replay::cli::{Explain, Forecast, Learn, MapFormat, ProfileCommand, ProfileFormat, Rules, Services};
use replay::config::{self, Config};
use replay::engines::rules_load::Listed;
use replay::error::{Error, Result, exit};
use replay::judge::Judges;
use replay::output::table;
use replay::output::text::fit;
use replay::profile::siblings::{self, Replica, Siblings};
use replay::profile::{Profile, bounds, diff, export, show};
use replay::{explain, forecast, input, learn, rules_hits, rules_table, run, services};

use crate::print;

/// Learns, and shows the curve.
pub fn learn(options: &Learn) -> Result<ExitCode> {
    let config = config::load(options.config.as_deref(), &options.sets)?;
    let recordings = options.recordings.iter().map(|name| recording(name)).collect::<Result<Vec<_>>>()?;
    let files = learn::Files::of(&options.output);
    let output = files.prepare()?;
    let threads = options.threads.into();
    let learned = match options.partition {
        Some(part) => learn::learn_part(recordings, &config, threads, part)?,
        None => learn::learn(recordings, &config, threads)?,
    };
    let [profile, curve, picture] = files.write(&output, &learned)?;
    match options.format {
        ProfileFormat::Json => print(&learned.report.to_json()),
        ProfileFormat::Table => {
            print(&fit(&learn::render(&learned.report, table::terminal_width()), table::terminal_width()));
            let paths = format!("{}, {}", curve.display(), picture.display());
            print(&format!("profile: {}\ncurve: {paths}\n", profile.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists rule documents.
pub fn rules(options: &Rules) -> Result<ExitCode> {
    let mut config = config::load(options.config.as_deref(), &options.sets)?;
    if let Some(folder) = &options.rules {
        config.engines.rules = folder.display().to_string();
    }
    let judges = Judges::open(&config)?;
    let wanted = |listed: &&Listed| options.rules.is_none() || !listed.built_in;
    let listed: Vec<&Listed> = judges.listed().iter().filter(wanted).collect();
    if !options.on.is_empty() {
        let names = options.on.iter().flat_map(|name| match name.as_str() {
            "shipped" => datasets::shipped_names(),
            _ => vec![name.clone()],
        });
        let found = rules_hits::all(&names.collect::<Vec<_>>(), &judges, &config)?;
        print(&match options.format {
            ProfileFormat::Table => fit(&rules_hits::render(&listed, &found), table::terminal_width()),
            ProfileFormat::Json => rules_hits::to_json(&listed, &found),
        });
        return Ok(ExitCode::SUCCESS);
    }
    print(&match options.format {
        ProfileFormat::Table => fit(&rules_table::render(&listed), table::terminal_width()),
        ProfileFormat::Json => rules_table::to_json(&listed),
    });
    Ok(ExitCode::SUCCESS)
}

/// Shows who talks to whom.
pub fn services(options: &Services) -> Result<ExitCode> {
    let config = config::load(options.config.as_deref(), &options.sets)?;
    let policy = options.policy.as_deref().map(load).transpose()?;
    let recordings = options.recordings.iter().map(|name| recording(name)).collect::<Result<Vec<_>>>()?;
    let found = services::services(&recordings, policy.as_ref(), &config)?;
    print(&match options.format {
        MapFormat::Table => fit(&services::render(&found, table::terminal_width()), table::terminal_width()),
        MapFormat::Json => services::to_json(&found),
        MapFormat::Dot => services::dot(&found),
    });
    Ok(ExitCode::SUCCESS)
}

/// Forecasts traffic, and shows what was otherwise.
pub fn forecast(options: &Forecast) -> Result<ExitCode> {
    let config = config::load(options.config.as_deref(), &options.sets)?;
    let recordings = options.recordings.iter().map(|name| recording(name)).collect::<Result<Vec<_>>>()?;
    let &Forecast { bucket, level, .. } = options;
    let (seasons, until) = (options.seasons.clone(), options.until.clone());
    let found = forecast::forecast(&recordings, &forecast::Options { bucket, seasons, level, until }, &config)?;
    if let Some(svg) = &options.svg {
        std::fs::write(svg, forecast::draw(&found)?).map_err(|error| Error::output(svg, error))?;
    }
    print(&match options.format {
        ProfileFormat::Table => fit(&forecast::render(&found, table::terminal_width()), table::terminal_width()),
        ProfileFormat::Json => forecast::to_json(&found),
    });
    Ok(ExitCode::SUCCESS)
}

/// Explains an alert, or all of an incident.
pub fn explain(options: Explain) -> Result<ExitCode> {
    let Explain { id, run, recording, no_rows, format } = options;
    let explanation = explain::explain(&explain::Wanted { id, run, recording, rows: !no_rows })?;
    print(&match format {
        ProfileFormat::Table => fit(&explain::render(&explanation), table::terminal_width()),
        ProfileFormat::Json => explanation.to_json(),
    });
    Ok(ExitCode::SUCCESS)
}

pub fn profile(command: ProfileCommand) -> Result<ExitCode> {
    match command {
        ProfileCommand::Show { profile, image, format } => {
            let mut profile = load(&profile)?;
            profile.images.retain(|name, _| image.as_ref().is_none_or(|wanted| name.contains(wanted)));
            print(&match format {
                ProfileFormat::Table => fit(&show::render(&profile), table::terminal_width()),
                ProfileFormat::Json => profile.to_json(),
            });
            Ok(ExitCode::SUCCESS)
        }
        ProfileCommand::Diff { old, new, image, format } => compare(&old, &new, image.as_deref(), format),
        ProfileCommand::Merge { profiles, config, sets, output, format } => {
            let config = config::load(config.as_deref(), &sets)?;
            merge(&profiles, &config, &output, format)
        }
        ProfileCommand::Bounds { recordings, against, share, bounds, config, sets, format } => {
            let config = config::load(config.as_deref(), &sets)?;
            measure(&recordings, &against, share, &bounds, &config, format)
        }
        ProfileCommand::Export { profile, seen, image, config, sets, filter } => {
            let config = config::load(config.as_deref(), &sets)?;
            export(&profile, &seen, image.as_deref(), &config, &filter)
        }
    }
}

/// A recording with its own name.
fn recording(name: &str) -> Result<(String, Recording)> {
    let recording = input::recording(name)?;
    Ok((run::base_name(recording.dir()), recording))
}

/// `path`, or the `profile.json` in it.
fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("profile.json") } else { path.to_owned() }
}

fn load(path: &Path) -> Result<Profile> {
    Profile::load(&file(path))
}

fn compare(old: &Path, new: &Path, image: Option<&str>, format: ProfileFormat) -> Result<ExitCode> {
    let (mut old, mut new) = (load(old)?, load(new)?);
    for profile in [&mut old, &mut new] {
        profile.images.retain(|name, _| image.is_none_or(|wanted| name.contains(wanted)));
    }
    let found = diff::diff(&old, &new);
    print(&match format {
        ProfileFormat::Table => found.render(),
        ProfileFormat::Json => found.to_json(),
    });
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(exit::CHECK_FAILED) })
}

/// What `profile merge` says on stdout.
#[derive(serde::Serialize)]
struct Merged {
    profile: PathBuf,
    images: usize,
    /// Of the images that more than one profile has, the profiles as replicas of each other.
    siblings: Vec<Siblings>,
}

fn merge(paths: &[PathBuf], config: &Config, output: &Path, format: ProfileFormat) -> Result<ExitCode> {
    let mut merged = Profile::default();
    let mut replicas: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Replica>> = BTreeMap::new();
    for path in paths {
        let profile = load(path)?;
        for (image, entry) in &profile.images {
            let replica = Replica { observations: entry.trees.observations(), profile: entry.trees.clone() };
            let name = Arc::from(path.display().to_string());
            replicas.entry(Arc::clone(image)).or_default().insert(name, replica);
        }
        merged.merge(profile, config);
    }
    std::fs::write(output, merged.to_json()).map_err(|error| Error::output(output, error))?;
    let siblings = replicas
        .iter()
        .filter_map(|(image, replicas)| siblings::compare(image, replicas, config, &str::to_owned))
        .collect();
    let merged = Merged { profile: output.to_owned(), images: merged.images.len(), siblings };
    match format {
        ProfileFormat::Json => {
            let text = serde_json::to_string_pretty(&merged).expect("string keys and plain values serialize");
            print(&format!("{text}\n"));
        }
        ProfileFormat::Table => {
            for siblings in merged.siblings.iter().filter(|siblings| siblings.differ()) {
                print(&format!("{}\n{}", siblings.image, siblings.render("  ")));
            }
            print(&format!("profile: {} ({} images)\n", output.display(), merged.images));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(
    recordings: &[String],
    against: &[String],
    share: f64,
    bounds: &[usize],
    config: &Config,
    format: ProfileFormat,
) -> Result<ExitCode> {
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::config(format!("--share {share} is out of range"), "it must be above 0 and below 1"));
    }
    let open = |names: &[String]| names.iter().map(|name| recording(name)).collect::<Result<Vec<_>>>();
    let bounds: Vec<Option<usize>> = bounds.iter().map(|bound| (*bound > 0).then_some(*bound)).collect();
    let measured = bounds::measure(&open(recordings)?, &open(against)?, share, &bounds, config)?;
    print(&match format {
        ProfileFormat::Table => measured.render(),
        ProfileFormat::Json => measured.to_json(),
    });
    Ok(ExitCode::SUCCESS)
}

/// Writes a filter of known behaviour, and says what it covers.
fn export(path: &Path, seen: &[String], image: Option<&str>, config: &Config, filter: &Path) -> Result<ExitCode> {
    let file = file(path);
    let mut profile = Profile::load(&file)?;
    profile.images.retain(|name, _| image.is_none_or(|wanted| name.contains(wanted)));
    let (sha256, _) = input::digest(&file, [])?;
    let open = |name: &String| Ok((name.clone(), input::recording(name)?));
    let recordings = seen.iter().map(open).collect::<Result<Vec<_>>>()?;
    let exported = export::export(&profile, sha256, &recordings, config)?;
    std::fs::write(filter, exported.known.to_json()).map_err(|error| Error::output(filter, error))?;
    for image in &exported.unlocked {
        eprintln!("warning: {image}: its file tree was still learning: the filter knows what it did so far");
    }
    print(&export::describe(&exported));
    print(&format!("filter: {}\n", filter.display()));
    Ok(ExitCode::SUCCESS)
}
