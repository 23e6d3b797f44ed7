//! Command line of `enforce`.

use clap::{Parser, Subcommand, ValueEnum};
use datasets::manual::{CompletionsArgs, ManArgs};

const EXAMPLES: &str = "\
Examples:
  replay policy export shop.json --format bpf --image app -o app.bpf.json --addresses shop-recording/
  enforce xdp app.bpf.json --interface veth0   drop what the container sends to unknown peers
  enforce lsm app.bpf.json --cgroup machine.slice/libpod-1234.scope --dry-run
                                               programs, files and peers of its processes

A policy is in force as long as the program runs. SIGHUP reads it again.

Exit codes: 0 ended; 1 a selftest found something wrong; 2 bad usage; 3 something missing (root, the interface, a kernel that takes the program);
4 the policy cannot be read; 5 the output cannot be written.";

/// Hold a running container to a learned policy, by BPF programs
#[derive(Debug, Parser)]
#[command(name = "enforce", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    Xdp(crate::xdp::Args),
    Lsm(crate::lsm::Args),
    Selftest(crate::selftest::Args),
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
