//! Command line of `record`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use record_bpf::Class;

use crate::bpf::SyscallForm;
use crate::live::args::LiveArgs;
use crate::narrow::PodArgs;
use crate::privacy::PrivacyArgs;
use crate::sample::flow::{FlowHook, FlowOptions};
use crate::signing::SigningArgs;
use crate::storage::StorageArgs;
use crate::thin::cli::ThinArgs;
use crate::tls;

const EXAMPLES: &str = "\
Examples:
  record --duration 1h                        every container, for an hour
  record --container 'shop-*' -o /data/shop   containers by name, until Ctrl-C
  record --image '*nginx*' --duration 10m     containers by image
  record -o /tmp/build -- make -j2            a command and all its children
  record --scenario xmrig                     the scripted miner attack, labelled
  record check                                what this kernel offers
  record selftest                             whether every kind of event is recorded here

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
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Do one thing of every kind, record it, and check that exactly its row is there, every field right
    #[command(after_help = SELFTEST_HELP)]
    Selftest(SelftestArgs),
    /// Run the triggers of selftest cases; what they did goes to DIR/facts.jsonl
    #[command(hide = true)]
    SelftestTrigger(TriggerArgs),
    /// Print the script that completes this program's commands and options in a shell
    Completions(datasets::manual::CompletionsArgs),
    /// Print this program's man page, or write those of all its commands
    Man(datasets::manual::ManArgs),
}

const CHECK_HELP: &str = "\
Examples:
  record check                                    without root it says what root would add
  record check --format json
  sudo record check --verifier                    what the verifier went through, per program

Exit codes: 0 this machine can record; 3 something that is required is missing.";

const SELFTEST_HELP: &str = "\
Examples:
  sudo record selftest
  sudo record selftest --events minimal,dns --keep /tmp/selftest

Exit codes: 0 every row found, every field right; 1 a row missing or wrong; 3 cannot record here.";

#[derive(Debug, Args)]
pub struct SelftestArgs {
    /// Event classes to test, and presets of them, as in 'record --events' [default: every class]
    #[arg(long, value_delimiter = ',', value_name = "CLASS", value_parser = selection)]
    pub events: Vec<Selection>,
    /// Keep the recordings, and the facts they were checked against, in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct TriggerArgs {
    pub dir: PathBuf,
    /// Run this one in this process
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// End at once with this exit code
    #[arg(long, value_name = "CODE")]
    pub end: Option<u8>,
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Print what the kernel's verifier had to do for each BPF program instead
    #[arg(long)]
    pub verifier: bool,
    /// Write what was measured as the new budget (record-bpf/verifier.toml)
    #[arg(long, value_name = "FILE", requires = "verifier")]
    pub update: Option<PathBuf>,
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
    #[command(flatten)]
    pub pods: PodArgs,
    /// Read --container, --image, --cgroup, --pod, --namespace and --label from this TOML file, and again at SIGHUP
    #[arg(long, value_name = "FILE", help_heading = "Filters", conflicts_with_all = ["container", "image", "cgroup", "pod", "namespace", "label", "command", "scenario"])]
    pub filter_file: Option<PathBuf>,
    /// Event classes to record: process, security, file, network, dns, tls, flow, syscall, resource; or presets of them:
    /// minimal (process, security, network), default (process, security, file, network, dns, resource), all (but flow)
    #[arg(long, value_delimiter = ',', value_name = "CLASS", default_value = "default", value_parser = selection)]
    pub events: Vec<Selection>,
    /// Reads and writes of files: summed until the file is closed, or also an event for each call
    #[arg(long, value_enum, default_value_t = FileIo::Sums, value_name = "HOW")]
    pub file_io: FileIo,
    /// How the syscall class records: every call, or the set of calls of each process
    #[arg(long, value_enum, default_value_t = SyscallForm::Calls, value_name = "FORM")]
    pub syscalls: SyscallForm,
    /// Run this scenario in real containers, record it and label the attack
    #[arg(long, value_name = "NAME", conflicts_with_all = ["duration", "container", "image", "cgroup", "command"])]
    pub scenario: Option<String>,
    /// Scenario: seed of the load
    #[arg(long, default_value_t = 1, requires = "scenario", value_name = "N")]
    pub seed: u64,
    /// Scenario: seconds of ordinary life instead of the scenario's own
    #[arg(long, requires = "scenario", value_name = "SECONDS")]
    pub benign: Option<u64>,
    /// Scenario: ordinary life alone, without the attack
    #[arg(long, requires = "scenario")]
    pub no_attack: bool,
    /// Class tls: plaintext kept of each call, bytes
    #[arg(long, default_value_t = tls::DEFAULT_BYTES, value_name = "N", help_heading = "Tuning", value_parser = clap::value_parser!(u32).range(0..=i64::from(tls::MAX_BYTES)))]
    pub tls_bytes: u32,
    /// Ring buffer in MiB, a power of two
    #[arg(long, default_value_t = 64, value_name = "MIB", help_heading = "Tuning", value_parser = ring_size)]
    pub ring: u32,
    /// Events per CPU before the recorder is woken
    #[arg(long, default_value_t = 128, value_name = "EVENTS", help_heading = "Tuning", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Longest time an event waits in the ring, in ms
    #[arg(long, default_value_t = 50, value_name = "MS", help_heading = "Tuning", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub deadline: u64,
    /// Count the flows at this network interface (may be repeated); adds the class flow
    #[arg(long, value_name = "IFACE", help_heading = "Flows")]
    pub interface: Vec<String>,
    /// Where to count them
    #[arg(long, value_enum, default_value_t = FlowHook::Tc, requires = "interface", help_heading = "Flows")]
    pub flow_hook: FlowHook,
    /// One row per flow and interval
    #[arg(long, value_parser = flow_interval, default_value = "1s", requires = "interface", value_name = "TIME", help_heading = "Flows")]
    pub flow_interval: Duration,
    /// Flows an interval has room for; packets of others are counted together
    #[arg(long, default_value_t = 65_536, requires = "interface", value_name = "N", help_heading = "Flows", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub flow_table: u32,
    #[command(flatten)]
    pub storage: StorageArgs,
    #[command(flatten)]
    pub signing: SigningArgs,
    #[command(flatten)]
    pub privacy: PrivacyArgs,
    #[command(flatten)]
    pub thin: ThinArgs,
    #[command(flatten)]
    pub live: LiveArgs,
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
pub enum FileIo {
    Sums,
    Calls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

/// One word of `--events`: a class, or a preset of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection(&'static [Class]);

/// What `--events` understands besides the classes' own names. flow needs an interface to look at, so no preset has it.
const PRESETS: &[(&str, &[Class])] = &[
    ("minimal", &[Class::Process, Class::Security, Class::Network]),
    ("default", &[Class::Process, Class::Security, Class::File, Class::Network, Class::Dns, Class::Resource]),
    (
        "all",
        &[
            Class::Process,
            Class::Security,
            Class::File,
            Class::Network,
            Class::Dns,
            Class::Tls,
            Class::Syscall,
            Class::Resource,
        ],
    ),
];

impl RecordArgs {
    /// The classes asked for, each once, in their own order.
    pub fn classes(&self) -> Vec<Class> {
        let asked = selected(&self.events);
        let wanted = |class: &Class| asked.contains(class) || (*class == Class::Flow && !self.interface.is_empty());
        Class::ALL.into_iter().filter(wanted).collect()
    }
}

impl SelftestArgs {
    /// The classes asked for; every one if none was.
    pub fn classes(&self) -> Vec<Class> {
        if self.events.is_empty() { Class::ALL.to_vec() } else { selected(&self.events) }
    }
}

fn selected(events: &[Selection]) -> Vec<Class> {
    let asked = |class: &Class| events.iter().any(|selection| selection.0.contains(class));
    Class::ALL.into_iter().filter(asked).collect()
}

impl RecordArgs {
    /// Where to count flows.
    pub fn flow(&self) -> Option<FlowOptions> {
        (!self.interface.is_empty()).then(|| FlowOptions {
            interfaces: self.interface.clone(),
            hook: self.flow_hook,
            interval: self.flow_interval,
            entries: self.flow_table,
        })
    }
}

fn selection(name: &str) -> Result<Selection, String> {
    let name = name.trim();
    let preset = PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, classes)| *classes);
    let class = Class::ALL.iter().position(|class| class.name() == name);
    preset.or_else(|| class.map(|at| &Class::ALL.as_slice()[at..=at])).map(Selection).ok_or_else(|| {
        let known: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        let presets: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
        format!("known classes are {}; presets are {}", known.join(", "), presets.join(", "))
    })
}

fn flow_interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval >= Duration::from_millis(200) => Ok(interval),
        Ok(_) => Err("give 200ms or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
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
        assert_eq!(cli.record.classes(), [Class::Process, Class::File]);
        assert_eq!(cli.record.command, ["ls", "-l"]);
        assert_eq!(cli.record.ring, 64 << 20);
        let cli = Cli::try_parse_from(["record", "--events", "minimal,file,network"]).unwrap();
        assert_eq!(cli.record.classes(), [Class::Process, Class::Security, Class::File, Class::Network]);
        assert!(Cli::try_parse_from(["record", "--events", "tsl"]).is_err());
        assert!(Cli::try_parse_from(["record", "--ring", "3"]).is_err());
    }
}
