//! Command line of `enforce`.

use clap::{Parser, Subcommand, ValueEnum};
use datasets::manual::{CompletionsArgs, ManArgs};

/// Hold a running container to a learned policy, by BPF programs
#[derive(Debug, Parser)]
#[command(name = "enforce", version)]
pub struct Cli {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print the script that completes this program's commands and options in a shell
    Completions(CompletionsArgs),
    /// Print this program's man page, or write those of all its commands
    Man(ManArgs),
}

/// What goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}
