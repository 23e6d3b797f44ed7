//! Command line of `record`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use record_bpf::Class;

const EXAMPLES: &str = "\
Examples:
  record --duration 1h                        every container, for an hour
  record --container 'shop-*' -o /data/shop   containers by name, until Ctrl-C
  record --image '*nginx*' --duration 10m     containers by image
  record -o /tmp/build -- make -j2            a command and all its children
  record --scenario xmrig                     the scripted miner attack, labelled
  record check                                what this kernel offers

Without a filter every container is recorded, and nothing outside containers.
A recording is a directory of Parquet files: 'datasets info DIR' describes it, 'replay DIR' judges it.

Exit codes: 0 recorded; 2 bad usage; 3 something missing (root, BTF, podman);
4 unknown scenario; 5 the output cannot be written; 130 interrupted before it began.
With -- COMMAND the command's own exit code is printed, not returned.";

/// Record what containers do, from the kernel, to Parquet
#[derive(Debug, Parser)]
#[command(name = "record", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub action: Option<Action>,
    #[command(flatten)]
    pub record: RecordArgs,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Print what this kernel offers and what each event class will use
    Check {
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub struct RecordArgs {
    /// How long to record, as 90s, 10m or 1h; until Ctrl-C or the command's end if not given
    #[arg(long, short, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Directory to write; must not exist or be empty [default: recording-DATE-TIME]
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Only containers whose name or id matches (a glob; may be repeated)
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    pub container: Vec<String>,
    /// Only containers whose image name or id matches
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    pub image: Vec<String>,
    /// Only cgroups whose path matches, as '/system.slice/*'
    #[arg(long, value_name = "PATTERN", help_heading = "Filters")]
    pub cgroup: Vec<String>,
    /// Event classes to record
    #[arg(long, value_delimiter = ',', value_name = "CLASS", default_value = "process,file,network", value_parser = class)]
    pub events: Vec<Class>,
    /// Run this scenario in real containers, record it and label the attack
    #[arg(long, value_name = "NAME", conflicts_with_all = ["duration", "container", "image", "cgroup", "command"])]
    pub scenario: Option<String>,
    /// Scenario: seed of the load
    #[arg(long, default_value_t = 1, requires = "scenario", value_name = "N")]
    pub seed: u64,
    /// Scenario: seconds of ordinary life instead of the scenario's own
    #[arg(long, requires = "scenario", value_name = "SECONDS")]
    pub benign: Option<u64>,
    /// Ring buffer in MiB, a power of two
    #[arg(long, default_value_t = 64, value_name = "MIB", help_heading = "Tuning", value_parser = ring_size)]
    pub ring: u32,
    /// Events per CPU before the recorder is woken
    #[arg(long, default_value_t = 128, value_name = "EVENTS", help_heading = "Tuning", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Longest time an event waits in the ring, in ms
    #[arg(long, default_value_t = 50, value_name = "MS", help_heading = "Tuning", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub deadline: u64,
    /// Form of the summary on stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// No live line
    #[arg(long, short)]
    pub quiet: bool,
    /// Record this command and its children instead of containers
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["container", "image", "cgroup"])]
    pub command: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

fn class(name: &str) -> Result<Class, String> {
    Class::from_name(name.trim()).ok_or_else(|| {
        let known: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        format!("known classes are {}", known.join(", "))
    })
}

fn ring_size(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(mib) if mib.is_power_of_two() && mib <= 1024 => Ok(mib << 20),
        _ => Err("give a power of two from 1 to 1024".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["record", "--events", "file,process", "--", "ls", "-l"]).unwrap();
        assert_eq!(cli.record.events, [Class::File, Class::Process]);
        assert_eq!(cli.record.command, ["ls", "-l"]);
        assert_eq!(cli.record.ring, 64 << 20);
        assert!(Cli::try_parse_from(["record", "--events", "tls"]).is_err());
        assert!(Cli::try_parse_from(["record", "--ring", "3"]).is_err());
    }
}
