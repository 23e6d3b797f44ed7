//! The command line of `eval`.

pub mod capture;
pub mod card;
pub mod curve;
pub mod detect;
pub mod detect_all;
mod detect_tables;
pub mod enforce;
mod enforce_text;
pub mod forecast;
pub mod gate;
pub mod growth;
pub mod latency;
pub mod overhead;
mod overhead_text;
pub mod report;
pub mod rerun;
pub mod set;
pub mod soak;
pub mod speed;
pub mod storm;
pub mod text;
pub mod tune;
pub mod wakeup;

use clap::{Parser, Subcommand, ValueEnum};

/// Measure what a replay detects and what a recorder captures.
///
/// RECORDING is the directory of a recording, or the name of one that ships.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER: &str = "\
Examples:
  eval detect xmrig                              replay a shipped recording, compare with its labels
  eval detect rec/ --alerts out/rec              the same with alerts that `replay rec/ -o out/rec` wrote
  eval detect xmrig --set args.embedding.threshold=0.9 --format json
  eval detect xmrig --fail-under 1 --fail-over 0 as a check: every act found at high, no false alert there
  eval detect --all -o out/detect                a benchmark: this detector, ablations and other methods, chosen on validation
  eval rerun out/detect/run.json                 the same again: does it give the same numbers?
  eval report out/detect out/overhead -o r.html  curves, grids and bars with the numbers behind them, as one HTML file
  eval set                                       what replay says of each recording that ships, as a table
  eval tune --range severity.high=40..80 --range args.grammar.accept=0..1 --method bayes --trials 1000
  eval gate --baseline eval/gate.toml --short    is anything worse than it was? without root, in a minute
  eval card rec/ -o rec/                         card.md and rates.svg
  eval capture rec/                              stored, lost, bytes per event, completeness of fields
  eval overhead --rounds 5 -o out/overhead       our recorder and its peers on ten workloads, with a picture (root)
  eval overhead --from out/overhead/run.json     its tables again
  eval curve -o out/curve                        stored, lost, late against the rate of events, of each class (root)
  eval growth -o out/growth                      cost against rate and length of a recording, with exponents (root)
  eval latency -o out/latency                    from kernel to memory, journal, segment and alert, with a picture (root)
  eval enforce xmrig -o out/enforce              the attack again under policies of a learned profile: stopped, broken (root)
  eval speed long/ --learn webapp-1              events a second beside a plain polars scan of the same columns
  eval forecast days/ --until +7d                forecasts of traffic on days held back, beside a plain bound
  eval storm                                     a million system calls a second for a minute (root)
  eval soak -o out/soak --ask 'web/item?id=7'    an hour of a web shop: memory, loss, size, CPU time, a picture (root)
  eval overhead --recorder retroscope,strace --workload storm --scale 0.1

A shell has an `eval` of its own: call this one by its path (target/release/eval ...) or as: env eval ...

Exit codes: 0 ok; 1 --fail-under or --fail-over not met; 2 usage or config; 3 model or ONNX Runtime missing;
4 bad input; 5 the output cannot be written.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare alerts with ground truth: precision, recall, acts detected, time to detect, false alerts
    ///
    /// Without --alerts the recording is replayed now, and nothing is written. A recording without labels counts as
    /// benign from end to end: what is raised there is a false alert.
    ///
    /// With --all: a benchmark over a whole set. Profiles are learned on train, cut-offs chosen on validation, results are those
    /// of test, for this detector, with parts of it taken away, and for other methods.
    Detect(detect::Args),
    /// Repeat a run from its run.json, and name what came out otherwise (exit code 1)
    Rerun(rerun::Args),
    /// Draw results of other commands, one or several side by side, in one self-contained HTML file
    ///
    /// Takes what `detect --all`, `overhead`, `curve`, `soak`, `latency` and `growth` write with --output.
    Report(report::Args),
    /// What a replay says of each recording of a set, by itself and with what the set's lives teach
    ///
    /// The baseline is learned from the recordings of train that show no attack, and tried on those of --split.
    Set(set::Args),
    /// Try many configurations, see what each finds and how often it alarms falsely, and write the best (never on test)
    ///
    /// A baseline is learned from the lives of train; every configuration is tried on validation, and on what train has of attacks.
    /// Stages of a replay are made once for all configurations that they are the same for. An interrupted sweep goes on when it is
    /// started again.
    Tune(tune::Args),
    /// Fail where capture, overhead, accuracy or speed is worse than a committed baseline allows
    ///
    /// Counts, ratios of what is done in turns on the same machine, and instructions, so that a busy machine does not fail it.
    Gate(gate::Args),
    /// Write a recording's data card: how it was made, what is in it, known gaps, and a picture of its rates
    Card(card::Args),
    /// Account for a recording: emitted, stored, dropped, bytes per event, completeness of fields
    Capture(capture::Args),
    /// Measure what recorders cost: the same work bare and recorded, in turns (needs root)
    ///
    /// Recorders: ours in two modes and those that Debian packages. An absent one is named absent. Another is added by an
    /// adapter file: eval/README.md describes it.
    Overhead(overhead::Args),
    /// Measure what is stored, lost and late as events of each class come faster, up to as fast as can be (needs root)
    ///
    /// Every event is counted by who makes it too: the recorder has no part in that count.
    Curve(curve::Args),
    /// Measure how the recorder's cost grows with the rate of events and with time, and fit the powers (needs root)
    Growth(growth::Args),
    /// Measure how long events take to memory, to the journal, to a finished segment and to an alert (needs root)
    ///
    /// A command's ordinary life is recorded and read while it is, and then stand-ins of attacks that `replay --follow` tells of.
    Latency(latency::Args),
    /// Learn a profile, run a scenario again under its policies, and say what they stopped and what they broke (needs root)
    ///
    /// Beside it stands what `replay policy simulate` tells from the recording of a run without policies.
    Enforce(enforce::Args),
    /// Measure how fast a recording is read, learned and compared, beside a plain polars scan of the same columns
    ///
    /// On one thread, in turns, without the embedding model. Build with --release, and take a recording of a million events or
    /// more: benches' `stretch` makes one of any length.
    Speed(speed::Args),
    /// Try forecasts of traffic on the part of recordings that was held back: how often right, how wide, what they would find
    Forecast(forecast::Args),
    /// Record a storm of system calls and compare what was stored with what the callers counted (needs root)
    Storm(storm::Args),
    /// Measure what waking the recorder by batch and by deadline costs, and how old events get (needs root)
    Wakeup(wakeup::Args),
    /// Record a scenario for an hour and watch the recorder: memory, loss, size, CPU time, with a picture (needs root)
    ///
    /// --turns compares windows with and without the recorder first: CPU time of the containers, and with --ask the time of answers.
    Soak(soak::Args),
    /// Make system calls and count them
    #[command(hide = true)]
    Calls(storm::CallsArgs),
    /// Run one workload and print how long it took
    #[command(hide = true)]
    Workload(overhead::WorkloadArgs),
    /// Open files and run commands at a pace
    #[command(hide = true)]
    Life(latency::LifeArgs),
    /// Count the opens and the execs of a path in a recording
    #[command(hide = true)]
    Named(overhead::NamedArgs),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    Train,
    Validation,
    Test,
}

impl From<SplitName> for datasets::Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Validation => Self::Validation,
            SplitName::Test => Self::Test,
        }
    }
}

/// What a command has to say.
pub struct Outcome {
    /// For stdout.
    pub text: String,
    /// Gates that were not met, in words.
    pub failed: Vec<String>,
}

impl Outcome {
    /// Of a command that checks nothing.
    pub fn said(text: String) -> Outcome {
        Outcome { text, failed: Vec::new() }
    }
}

/// The recorder that was built with this program.
fn own_recorder() -> std::path::PathBuf {
    std::env::current_exe().map(|own| own.with_file_name("record")).unwrap_or_default()
}

/// A document for programs.
fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("string keys and plain values serialize");
    text + "\n"
}
