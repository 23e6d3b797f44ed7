//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::embed::Device;
use crate::engines::Severity;
use crate::partition::Part;
use crate::respond::Action;

/// Replays a recording: learns what each image does, reports what departs from it.
#[derive(Debug, Parser)]
#[command(name = "replay", version, args_conflicts_with_subcommands = true, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub replay: Replay,
    #[command(flatten)]
    pub alerting: Alerting,
    #[command(flatten)]
    pub responding: Responding,
}

/// What is done about alerts.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Response")]
pub struct Responding {
    /// Say what would be done about each alert, and write it to responses.jsonl: isolate (off its networks), kill (the process and
    /// what comes from it), pause (the container). Nothing is done without --really
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ACTION,...")]
    pub respond: Vec<Action>,
    /// Carry these actions out, with --follow, as root; `replay respond undo` takes them back, but not a kill
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ACTION,...", requires = "respond")]
    pub really: Vec<Action>,
    /// Only containers whose name or id matches (`*`: any characters; may be repeated); must be given with --really
    #[arg(long, value_name = "PATTERN", requires = "respond")]
    pub respond_to: Vec<String>,
    /// Only alerts of this severity or a higher one [default: high]
    #[arg(long, value_enum, value_name = "SEVERITY", requires = "respond")]
    pub respond_at: Option<FailOn>,
}

/// Who is told of what.
#[derive(Debug, Default, Args)]
pub struct Alerting {
    /// TOML file of alerts that are known and not raised; `replay allow` writes entries
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,
    /// Send alerts to this sink of the configuration, or to TYPE=TARGET, as jsonl=-; may be repeated, 'none' for no sink
    /// [default: all of the configuration]
    #[arg(long = "sink", value_name = "NAME|TYPE=TARGET")]
    pub sinks: Vec<String>,
    /// Exit with 1 if a sink did not get all of its alerts
    #[arg(long)]
    pub fail_on_sink: bool,
}

impl Alerting {
    /// `sets` with what the flags set after them.
    pub fn over(&self, sets: Vec<String>) -> Vec<String> {
        let text = |path: &PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
        let allow = self.allow.as_ref().map(|path| format!("alerts.allow={}", text(path)));
        sets.into_iter().chain(allow).collect()
    }
}

const AFTER: &str = "\
Examples:
  replay --scenario xmrig                 replay a recording that ships
  replay rec/ --learn baseline/           compare with what another recording shows
  replay --follow rec/ --learn shop.json  alerts while rec/ is being recorded
  replay learn rec/ -o shop.json          learn a profile, and see its learning curve
  replay rec/ --set convergence.window=30 --fail-on high
  replay host-a/ host-b/                  recordings of several hosts as one
  replay explain A0001 out/rec            how that alert's score came to be
  replay rec/ --respond isolate,pause     what would be done about the alerts
  replay --follow rec/ --learn shop.json --respond isolate,pause --really isolate,pause --respond-to 'shop-*'
  replay respond undo out/rec             take that back

Writes alerts.parquet, alerts.jsonl, incidents.jsonl, run.json, profile.json and report.html.
Exit codes: 0 ok, 1 --fail-on reached, 2 usage or config, 3 model or ONNX Runtime missing, 4 bad input, 5 cannot write.";

#[derive(Debug, Default, Args)]
pub struct Replay {
    /// Directory of a recording, or the name of one that ships
    #[arg(conflicts_with = "scenario")]
    pub recording: Option<String>,
    /// Further recordings, of the same or of other hosts, replayed together in one order of time
    #[arg(value_name = "RECORDING", conflicts_with_all = ["scenario", "follow"])]
    pub further: Vec<String>,
    /// Replay the recording that ships of this scenario
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<String>,
    /// Compare with this baseline (a recording, or a saved profile.json) instead of learning from the recording itself
    #[arg(long, value_name = "BASELINE")]
    pub learn: Option<String>,
    /// Replay a recording while it is written: an alert as soon as it is raised, the results when the recording has ended.
    /// SIGINT and SIGTERM end it before; SIGHUP reads the rules of engines.rules again, as does a change of their files
    #[arg(long, requires = "recording")]
    pub follow: bool,
    /// With --follow: how long to wait for a recording that is not there yet, s
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "follow")]
    pub wait: u64,
    /// Work on part K of N of the images only, and write what `replay merge` joins with the other parts
    #[arg(long, value_name = "K/N", conflicts_with_all = ["follow", "fail_on", "sinks", "fail_on_sink"])]
    pub partition: Option<Part>,
    /// TOML file over the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, as engines.weights.rules=50; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    #[command(flatten)]
    pub model: ModelFlags,
    /// Worker threads; 0: one per core. The result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,
    /// Print where the time went to stderr: each stage and part with wall and CPU time; also to run.json, as timings.profile
    #[arg(long, conflicts_with = "follow")]
    pub profile_time: bool,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Exit with 1 if there is an alert of this severity or a higher one
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Directory for the results [default: out/<name>]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// How the embedding model runs. Short for --set model.device and model.cache, over what they say.
#[derive(Debug, Default, Args)]
pub struct ModelFlags {
    /// Where the embedding model runs
    #[arg(long, value_enum, value_name = "DEVICE")]
    pub device: Option<Device>,
    /// Folder where embeddings are kept between runs, or 'off' [default: $XDG_CACHE_HOME/retroscope/embeddings]
    #[arg(long, value_name = "DIR")]
    pub embed_cache: Option<String>,
}

impl ModelFlags {
    /// `sets` with what the flags set after them.
    pub fn over(&self, sets: &[String]) -> Vec<String> {
        let text = |value: &str| toml::Value::String(value.to_owned());
        let device = self.device.map(|device| format!("model.device={}", text(device.name())));
        let cache = self.embed_cache.as_deref().map(|folder| format!("model.cache={}", text(folder)));
        sets.iter().cloned().chain(device).chain(cache).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub enum Format {
    /// A block per alert at medium or above, and a summary
    #[default]
    Table,
    /// All alerts as a JSON array; with --follow a JSON object per line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Low,
    Medium,
    High,
    Critical,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Low => Severity::Low,
            FailOn::Medium => Severity::Medium,
            FailOn::High => Severity::High,
            FailOn::Critical => Severity::Critical,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Learn a profile from recordings, and print and keep the learning curve
    Learn(Learn),
    /// Join the parts of a replay, made with --partition, to the results that one replay of all images gives
    Merge(Merge),
    /// Print which images are of which part of a replay
    Partitions(Partitions),
    /// Let an alert of an earlier replay be known, for a reason and until a day: adds an entry to an allow-list
    Allow(Allow),
    /// Try out where alerts are sent
    #[command(after_help = "Examples:\n  \
    replay sinks test --config alerts.toml\n  \
    replay sinks test --sink webhook=http://127.0.0.1:8080/")]
    Sinks {
        #[command(subcommand)]
        command: SinksCommand,
    },
    /// Take back what responses to alerts did
    #[command(after_help = "Examples:\n  \
    replay respond undo out/shop --dry-run\n  \
    replay respond undo out/shop")]
    Respond {
        #[command(subcommand)]
        command: RespondCommand,
    },
    /// Print how an alert's score came to be, and the rows of the recording that prove it
    Explain(Explain),
    /// Measure the argument tiers on labelled pairs of command lines
    #[command(after_help = "Examples:\n  \
    replay args ablate replay/pairs/test.tsv --svg curves.svg")]
    Args {
        #[command(subcommand)]
        command: ArgsCommand,
    },
    /// Work with saved profiles
    #[command(after_help = "Examples:\n  \
    replay profile show out/xmrig --image app\n  \
    replay profile diff last-week.json shop.json\n  \
    replay profile merge host-a.json host-b.json -o shop.json")]
    Profile {
        #[command(subcommand)]
        command: ProfileCommand,
    },
    /// List the rules: which speak in full, which in part, and why others cannot
    Rules(Rules),
    /// Show who talks to whom in recordings: services, bytes, encrypted or not, within a learned policy or not
    Services(Services),
    /// Forecast how much each container and its peers exchange, by hour and day, and show when it was otherwise
    Forecast(Forecast),
    /// Print the script that completes this program's commands and options in a shell
    Completions(datasets::manual::CompletionsArgs),
    /// Print this program's man page, or write those of all its commands
    Man(datasets::manual::ManArgs),
    /// Policies from profiles: write them for those who enforce them, compare them, look them over, try them out on recordings
    Policy(crate::policy::cli::PolicyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = ALLOW_AFTER)]
pub struct Allow {
    /// Id of the alert, as A0003
    pub alert: String,
    /// Directory that the replay wrote, or its alerts.jsonl
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// Why it is allowed
    #[arg(long)]
    pub reason: String,
    /// Last day on which it is, as 2027-01-31, in the time of recordings
    #[arg(long, value_name = "DAY")]
    pub until: String,
    /// Who allows it
    #[arg(long)]
    pub author: Option<String>,
    /// Allow-list that the entry is added to
    #[arg(long, value_name = "FILE", default_value = "allow.toml")]
    pub file: PathBuf,
}

const ALLOW_AFTER: &str = "\
The entry matches the alert's image, its command line and, where rules hit, the rule; edit it to match more.
Example:
  replay allow A0003 --from out/shop --reason 'nightly report, asked the team' --until 2027-01-31
  replay rec/ --allow allow.toml";

#[derive(Debug, Subcommand)]
pub enum RespondCommand {
    /// Take back all that a log says was done: containers go on and are on their networks again, with their addresses and names
    ///
    /// The last thing first; what is taken back is marked in the log, so that a second call does the rest. Killed stays killed.
    /// Exit codes: 0 all is taken back, 1 something could not be.
    #[command(after_help = "Examples:\n  \
    replay respond undo out/shop --dry-run           what would be taken back\n  \
    replay respond undo out/shop/responses.jsonl")]
    Undo {
        /// The responses.jsonl of a replay, or the directory that holds it
        log: PathBuf,
        /// Say what would be taken back, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum SinksCommand {
    /// Send one alert that says it is a test
    #[command(after_help = "Examples:\n  \
    replay sinks test --config alerts.toml\n  \
    replay sinks test ops --config alerts.toml   one of several")]
    Test {
        /// Names of sinks of the configuration; without one all of them
        names: Vec<String>,
        /// TOML file with [sinks.NAME]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Set one configuration value, as sinks.ops.timeout=3; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        /// A sink that is not in the configuration, as webhook=http://127.0.0.1:8080/; may be repeated
        #[arg(long = "sink", value_name = "TYPE=TARGET")]
        sinks: Vec<String>,
    },
}

/// What `services` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
    /// A graph, for `dot -Tsvg`
    Dot,
}

#[derive(Debug, Args)]
#[command(after_help = SERVICES_AFTER)]
pub struct Services {
    /// Directories of recordings, or names of ones that ship
    #[arg(required = true, value_name = "RECORDING")]
    pub recordings: Vec<String>,
    /// Say of each relation whether this profile knows it: a profile.json, or a directory with one
    #[arg(long, value_name = "PROFILE")]
    pub policy: Option<PathBuf>,
    /// TOML file over the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, as network.prefix_v4=16; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = MapFormat::Table)]
    pub format: MapFormat,
}

const SERVICES_AFTER: &str = "\
Examples:
  replay services xmrig                           who talks to whom in a shipped recording
  replay services mon/ tue/ --format json         over several recordings
  replay learn monday/ -o shop.json; replay services tuesday/ --policy shop.json
  replay services xmrig --format dot | dot -Tsvg > services.svg

Ends are images, and outside of the recording domains or networks. A relation is counted at its client where that was recorded.
'Encrypted' is what a TLS library was seen to do, or what the port stands for, and the table says which.";

#[derive(Debug, Args)]
#[command(after_help = FORECAST_AFTER)]
pub struct Forecast {
    /// Directories of recordings, or names of ones that ship; together they are one series, with gaps where none was made
    #[arg(required = true, value_name = "RECORDING")]
    pub recordings: Vec<String>,
    /// Length of time that bytes are summed over
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = crate::forecast::duration)]
    pub bucket: i64,
    /// After how long traffic repeats itself; what is not learned twice is left out [default: 1h and 1d, if longer than a bucket]
    #[arg(long = "season", value_name = "TIME,...", value_delimiter = ',', value_parser = crate::forecast::duration)]
    pub seasons: Vec<i64>,
    /// Share of buckets that the interval shall have
    #[arg(long, value_name = "SHARE", default_value_t = 0.99, value_parser = crate::forecast::level)]
    pub level: f64,
    /// End of what is learned, the rest is compared: a time, or +7d after the begin [default: three quarters]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Draw the series and their forecasts into this SVG, the twelve that matter most
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// TOML file over the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, as network.prefix_v4=16; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// What goes to stdout: means and what was outside, or every bucket as JSON
    #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
    pub format: ProfileFormat,
}

const FORECAST_AFTER: &str = "\
Examples:
  replay forecast week/ --bucket 1h --season 1d --until +5d     five days learned, two compared
  replay forecast mon/ tue/ wed/ thu/ --bucket 10m --season 1d --svg traffic.svg
  replay forecast xmrig --bucket 2s --season 30s --level 0.999  a season of a short recording
  replay forecast week/ --bucket 1h --season 1d,7d --format json | jq '.lines[] | select(.unfit == null)'

A way is one direction between a container and a peer, on one service; peers are called as `replay services` calls them, and
'own' is a service of the container. Bytes count when a socket is closed. A season must be learned twice, and three times for an
interval that was tried on what was learned.";

#[derive(Debug, Args)]
#[command(after_help = MERGE_AFTER)]
pub struct Merge {
    /// Directories that replays with --partition wrote, all parts of one plan, in any order
    #[arg(required = true, value_name = "DIR")]
    pub parts: Vec<PathBuf>,
    /// Where a recording is now; once for each, in their order [default: where the first part says]
    #[arg(long = "recording", value_name = "RECORDING")]
    pub recordings: Vec<String>,
    /// Where the baseline is now [default: where the first part says]
    #[arg(long, value_name = "BASELINE")]
    pub learn: Option<String>,
    /// TOML file over the defaults; with it or --set nothing of the parts' configuration is taken over [default: theirs]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    #[command(flatten)]
    pub model: ModelFlags,
    #[command(flatten)]
    pub alerting: Alerting,
    /// Worker threads; 0: one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Exit with 1 if there is an alert of this severity or a higher one
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Directory for the results [default: out/<name>]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

const MERGE_AFTER: &str = "\
Example, each of the first two on a machine of its own:
  replay monday/ tuesday/ --partition 1/2 -o part-1
  replay monday/ tuesday/ --partition 2/2 -o part-2
  replay merge part-1 part-2 -o out/both    all files as of: replay monday/ tuesday/ -o out/both";

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    replay partitions monday/ tuesday/ -n 2      which images are of which part, with their events")]
pub struct Partitions {
    /// Directories of recordings, or names of ones that ship
    #[arg(required = true, value_name = "RECORDING")]
    pub recordings: Vec<String>,
    /// Number of parts
    #[arg(short = 'n', long = "parts", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub parts: u32,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
    pub format: ProfileFormat,
}

#[derive(Debug, Args)]
#[command(after_help = RULES_AFTER)]
pub struct Rules {
    /// Folder of Sigma rules to list instead of those that ship [default: engines.rules, with those that ship]
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Count what they hit in recordings, without a profile: directories, names of ones that ship, or `shipped` for all of those
    #[arg(long, value_name = "RECORDING", num_args = 1..)]
    pub on: Vec<String>,
    /// TOML file over the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, as engines.rules=DIR; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
    pub format: ProfileFormat,
}

const RULES_AFTER: &str = "\
Examples:
  replay rules                             the rules that ship
  replay rules --rules sigma/rules/linux   what becomes of a folder of others
  replay rules --rules sigma/rules/linux --on shipped
                                           how often each of them hits, on an attack and on anything else";

#[derive(Debug, Args)]
#[command(after_help = LEARN_AFTER)]
pub struct Learn {
    /// Directories of recordings, or names of ones that ship; learned in order of their time
    #[arg(required = true, value_name = "RECORDING")]
    pub recordings: Vec<String>,
    /// File to write the profile to, the curve beside it; or a directory
    #[arg(short, long, value_name = "PROFILE")]
    pub output: PathBuf,
    /// Learn the images of part K of N only; `replay profile merge` joins the profiles of all parts
    #[arg(long, value_name = "K/N")]
    pub partition: Option<Part>,
    /// TOML file over the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, as convergence.window=30; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Worker threads; 0: one per core. The result is the same for any number
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,
    /// What goes to stdout: a table with small curves, or all of it as JSON
    #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
    pub format: ProfileFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    replay explain A0014                         an alert of the last run in out/\n  \
    replay explain I0003 out/xmrig               an incident with all its alerts\n  \
    replay explain A0014 out/rec --no-rows       without the recording")]
pub struct Explain {
    /// An alert, as A0014, or an incident with all its alerts, as I0003
    #[arg(value_name = "ALERT")]
    pub id: String,
    /// Directory of a replay's results [default: the last one in out/]
    #[arg(value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Where the recording is, by directory or name [default: where it was when it was replayed]
    #[arg(long, value_name = "RECORDING")]
    pub recording: Option<String>,
    /// Leave out the recording's rows: then it need not be there
    #[arg(long)]
    pub no_rows: bool,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
    pub format: ProfileFormat,
}

const LEARN_AFTER: &str = "\
Examples:
  replay learn webapp -o webapp.json       also writes webapp.curve.parquet and webapp.curve.svg
  replay learn monday/ tuesday/ -o shop/   profile.json, curve.parquet and curve.svg in shop/
  replay wednesday/ --learn webapp.json    compares with what was learned";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileFormat {
    /// For people
    Table,
    /// For machines
    Json,
}

#[derive(Debug, Subcommand)]
pub enum ArgsCommand {
    /// Print what each tier is worth on pairs of command lines, alone and together
    #[command(after_help = "Examples:\n  \
    replay args ablate replay/pairs/test.tsv --svg curves.svg\n  \
    replay args ablate replay/pairs/validation.tsv --set args.grammar.accept=0.35 --errors")]
    Ablate {
        /// Files of pairs, as replay/pairs/test.tsv
        #[arg(required = true)]
        pairs: Vec<PathBuf>,
        /// TOML file over the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Set one configuration value, as args.grammar.accept=0.4; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        #[command(flatten)]
        model: ModelFlags,
        /// Draw the ROC curves into this SVG
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// List the pairs that all tiers together judge wrongly
        #[arg(long)]
        errors: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Print a profile as trees
    #[command(after_help = "Examples:\n  \
    replay profile show out/xmrig\n  \
    replay profile show shop.json --image app --format json")]
    Show {
        /// A profile.json, or a directory that holds one
        profile: PathBuf,
        /// Only images whose name contains this
        #[arg(long)]
        image: Option<String>,
        /// What goes to stdout: trees, or the profile as JSON
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Print what one profile knows and another does not; exits with 1 if there is anything
    #[command(after_help = "Examples:\n  \
    replay profile diff last-week.json shop.json | grep '^+'     what is new")]
    Diff {
        /// A profile.json, or a directory that holds one
        old: PathBuf,
        /// The one it is compared with
        new: PathBuf,
        /// Only images whose name contains this
        #[arg(long)]
        image: Option<String>,
        /// What goes to stdout: a line per difference, or JSON
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Write one profile that knows what any of these knows, and name the one that stands out; a tree is locked in it if it is
    /// in all that have the image
    #[command(after_help = "Examples:\n  \
    replay profile merge host-a.json host-b.json host-c.json -o shop.json")]
    Merge {
        /// profile.json files, or directories that hold one
        #[arg(required = true, num_args = 2..)]
        profiles: Vec<PathBuf>,
        /// TOML file over the defaults, for the bounds of profile.* and tuning.*
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Set one configuration value; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// What goes to stdout: who stands out, in words or as JSON
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Measure on recordings what the bound on a directory's names costs: nodes against false deviations and hidden attacks
    #[command(after_help = "Examples:\n  \
    replay profile bounds webapp --against xmrig\n  \
    replay profile bounds webapp --bounds 5,50,0")]
    Bounds {
        /// Recordings to learn from, by directory or name
        #[arg(required = true, value_name = "RECORDING")]
        recordings: Vec<String>,
        /// Recording to compare with, by directory or name; may be repeated. Without one, the rest of each
        #[arg(long, value_name = "RECORDING")]
        against: Vec<String>,
        /// Share of each recording's time that is learned, where there is no --against
        #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
        share: f64,
        /// Bounds to measure; 0: none
        #[arg(long, value_delimiter = ',', default_values_t = [5, 10, 20, 30, 50, 75, 100, 200, 500, 0], value_name = "LIST")]
        bounds: Vec<usize>,
        /// TOML file over the defaults
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Set one configuration value; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        /// What goes to stdout
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Make a filter of known behaviour for 'record --known': the files of recordings that a profile knows, exactly
    #[command(after_help = "Examples:\n  \
    replay profile export shop.json --seen monday/ --filter known.json\n  \
    record --image '*shop*' --known known.json -o news")]
    Export {
        /// A profile.json, or a directory that holds one
        profile: PathBuf,
        /// Recording to take the exact names from, by directory or name; may be repeated
        #[arg(long, value_name = "RECORDING", required = true)]
        seen: Vec<String>,
        /// Only images whose name contains this
        #[arg(long)]
        image: Option<String>,
        /// TOML file over the defaults, as the profile was learned with
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Set one configuration value; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        sets: Vec<String>,
        /// File to write
        #[arg(long, value_name = "FILE")]
        filter: PathBuf,
    },
}
