//! The command line of `scenarios`.

pub mod build;
pub mod label;
pub mod lint;
pub mod list;
pub mod new;
pub mod run;
pub mod show;
mod text;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use scenarios::{Error, Scenario};

/// Scripted life and scripted attacks in real containers.
///
/// A scenario is a folder with a `scenario.toml`. `record --scenario NAME` runs, records and labels one; this program lists,
/// shows, runs (without recording), checks and begins them.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
        scenarios list                          all scenarios, with their techniques and lengths\n  \
        scenarios show xmrig                    what happens in one, when, and how it is labelled\n  \
        sudo scenarios run xmrig --benign 60    run it without recording; the timeline goes to stdout as JSON\n  \
        sudo scenarios build                    build the images of all of them\n  \
        scenarios lint                          check every folder\n  \
        scenarios new mine --extends webapp     begin a scenario of one's own\n\n\
        Exit codes: 0 ok; 1 lint found something; 2 bad usage; 3 the host lacks something, or the run failed;\n\
        4 no such scenario, or one that cannot be read; 5 the output cannot be written; 130 interrupted."
)]
pub struct Cli {
    /// Folder that holds the scenario folders [default: scenarios/ beside or above the program]
    #[arg(long, global = true, value_name = "FOLDER", env = "RETROSCOPE_SCENARIOS")]
    pub from: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the scenarios: services, acts, techniques, length
    List(list::Args),
    /// Print one scenario: what runs, what happens when, and how the attack is labelled
    Show(show::Args),
    /// Run one without recording it; the timeline goes to stdout as JSON
    Run(run::Args),
    /// Build the images that are missing, one after the other; nothing runs
    Build(build::Args),
    /// Count the labelled events of a recording by the timeline that `run` printed
    Label(label::Args),
    /// Check scenario folders: definition, ATT&CK ids, texts, labels, seeds, and that nothing leads outside
    Lint(lint::Args),
    /// Begin a scenario: a folder that runs and passes `lint`
    New(new::Args),
    /// Print the script that completes this program's commands and options in a shell
    Completions(datasets::manual::CompletionsArgs),
    /// Print this program's man page, or write those of all its commands
    Man(datasets::manual::ManArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
}

/// The folder of scenarios that was asked for, or the usual one.
fn folder(from: Option<&Path>) -> Result<PathBuf, Error> {
    match from {
        Some(folder) => Ok(folder.to_owned()),
        None => scenarios::folder(),
    }
}

fn load(from: Option<&Path>, name: &str) -> Result<Scenario, Error> {
    scenarios::load_from(&folder(from)?, name)
}
