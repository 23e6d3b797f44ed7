//! `replay`: options → work → export.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use replay::args::vectors::LazyModel;
use replay::cli::{ArgsCommand, Cli, Command, Format, ProfileCommand, Replay};
use replay::config::Config;
use replay::engines::Severity;
use replay::error::{Error, Result, exit};
use replay::output::{OutputDir, table};
use replay::profile::{Profile, export, show};
use replay::{ablate, config, input, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Args { command: ArgsCommand::Ablate { pairs, config, sets, model, svg, errors } }) => {
            let config = config::load(config.as_deref(), &model.over(&sets));
            config.and_then(|config| ablate(&pairs, &config, svg.as_deref(), errors))
        }
        Some(Command::Profile { command: ProfileCommand::Show { profile, image } }) => {
            show_profile(&profile, image.as_deref())
        }
        Some(Command::Profile { command: ProfileCommand::Export { profile, seen, image, config, sets, filter } }) => {
            let config = config::load(config.as_deref(), &sets);
            config.and_then(|config| export_profile(&profile, &seen, image.as_deref(), &config, &filter))
        }
        None => replay(&cli.replay),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}\nhint: {}", error.hint());
        ExitCode::from(error.exit_code())
    })
}

fn replay(options: &Replay) -> Result<ExitCode> {
    let config = config::load(options.config.as_deref(), &options.model.over(&options.sets))?;
    let sources = run::Sources::open(options)?;
    let output = OutputDir::create(&options.output.clone().unwrap_or_else(|| sources.default_output()))?;
    let outcome = run::run(&sources, &config, options.threads.into())?;
    let report = outcome.write(&output)?;

    match options.format {
        Format::Json => print(&outcome.alerts_json()),
        Format::Table => {
            let stdout = std::io::stdout();
            let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let width = table::terminal_width();
            print(&table::render(&outcome.alerts, width, colour));
            print(&table::summary(&outcome.run, &report, width));
        }
    }
    let reached =
        options.fail_on.map(Severity::from).is_some_and(|least| outcome.alerts.iter().any(|a| a.severity >= least));
    Ok(if reached { ExitCode::from(exit::CHECK_FAILED) } else { ExitCode::SUCCESS })
}

fn show_profile(path: &Path, image: Option<&str>) -> Result<ExitCode> {
    let file = if path.is_dir() { path.join("profile.json") } else { path.to_owned() };
    print(&show::render(&Profile::load(&file)?, image));
    Ok(ExitCode::SUCCESS)
}

/// Measures the argument tiers on pairs.
fn ablate(files: &[PathBuf], config: &Config, svg: Option<&Path>, errors: bool) -> Result<ExitCode> {
    let mut pairs = Vec::new();
    for file in files {
        pairs.extend(ablate::read(file)?);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let outcomes = ablate::run(&pairs, &config.args, &LazyModel::new(&config.model, threads))?;
    print(&ablate::render(&pairs, &outcomes, errors));
    if let Some(svg) = svg {
        let drawn =
            ablate::draw(&pairs, &outcomes).map_err(|error| Error::output(svg, std::io::Error::other(error)))?;
        std::fs::write(svg, drawn).map_err(|error| Error::output(svg, error))?;
        print(&format!("curves: {}\n", svg.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a filter of known behaviour, and says what it covers.
fn export_profile(
    path: &Path,
    seen: &[String],
    image: Option<&str>,
    config: &Config,
    filter: &Path,
) -> Result<ExitCode> {
    let file = if path.is_dir() { path.join("profile.json") } else { path.to_owned() };
    let mut profile = Profile::load(&file)?;
    profile.images.retain(|name, _| image.is_none_or(|wanted| name.contains(wanted)));
    let (sha256, _) = input::hash(&file)
        .map_err(|error| Error::input(format!("{}: cannot read: {error}", file.display()), "check the permissions"))?;
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

/// Writes to stdout. A reader that has seen enough and closed the pipe is no error.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
