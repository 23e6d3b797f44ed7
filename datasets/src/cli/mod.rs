//! The command line of `datasets`.

pub mod absent;
mod gaps;
pub mod info;
pub mod recover;
pub mod schema;
pub mod sign;
pub mod text;
pub mod tree;
pub mod verify;

use ::datasets::manual;
use clap::{Parser, Subcommand, ValueEnum};

/// Look at, check and understand recordings.
///
/// A recording is a directory with a manifest, Parquet segments of kernel events, and the tables of the processes and
/// containers in them. PATH|NAME is that directory, or the name of a recording that ships with the project.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
        datasets info xmrig                       what a shipped recording holds\n  \
        datasets verify ./my-recording            is it whole, and is every lost event accounted for?\n  \
        datasets verify xmrig --format json       the same for programs\n  \
        datasets recover ./my-recording           complete it after the recorder was killed\n  \
        datasets tree xmrig --container webapp    who started whom, with the attack marked\n  \
        datasets absent ./my-recording \"$(uname -n)\"  is this host's name nowhere in it?\n  \
        datasets schema --format markdown         every column: type, unit, meaning\n\n\
        Exit codes: 0 ok; 1 verify found damage, or a recording that was not finished, or absent a word; 2 bad usage;\n\
        4 not a recording, or one that cannot be read; 5 the output cannot be written.\n\n\
        Recordings are found by name in $RETROSCOPE_DATASETS, then in datasets/recordings here or above."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that a recording is as it was written and accounts for every event
    ///
    /// Recomputes every SHA-256 and the chain through the segments, decodes every row, and compares counts, order and
    /// schema. From the sequence numbers in the rows it proves the account of what was lost: on each CPU, the missing
    /// numbers are exactly the events the recorder says it dropped, filtered, sampled out or
    /// knew. Tells a missing, truncated, altered, reordered or miscounted file apart, and names the place. A signature is
    /// checked where there is one.
    Verify(verify::Args),
    /// Complete the recording of a recorder that was killed, from its journal
    ///
    /// Writes the rows that were in no segment yet, the tables, and the account of every event as far as the recorder had
    /// noted it; what was emitted later is named as unknown. Refuses while the recorder runs. Does nothing to a recording
    /// that is complete, and may be stopped and started again at any time.
    Recover(recover::Args),
    /// Sign a finished recording, or sign it anew after labels were added or it was recovered
    Sign(sign::SignArgs),
    /// Make a key pair to sign recordings with; prints the public key in hex
    Keygen(sign::KeygenArgs),
    /// Check that words are nowhere in a recording, as the name of the host it was made on; exits with 1 if one is
    ///
    /// Looks for whole words in the manifest and in every text of every table. The folder's README.md and card are not looked at.
    Absent(absent::Args),
    /// Summarise a recording: rows, rates, sizes, containers, losses, scenario
    Info(info::Args),
    /// Print every table: column, type, unit and meaning
    Schema(schema::Args),
    /// Print the process tree of each container, with labelled attack processes marked
    ///
    /// One line per process: its id and command line; "=>" is an exec into another program. Siblings that look the same
    /// are printed once, with their number.
    Tree(tree::Args),
    /// Print the script that completes this program's commands and options in a shell
    Completions(manual::CompletionsArgs),
    /// Print this program's man page, or write those of all its commands
    Man(manual::ManArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
}
