//! What can go wrong in an experiment, the way out, and the exit code.

use std::path::PathBuf;

/// Exit codes of the binary; 0 is success.
pub mod exit {
    /// A gate failed: `--fail-under` or `--fail-over`.
    pub const CHECK_FAILED: u8 = 1;
    /// Bad usage, or a configuration that is not one.
    pub const USAGE: u8 = 2;
    /// Something that a measurement needs is missing.
    pub const MISSING: u8 = 3;
    /// The recording or the alerts cannot be read, or do not belong together.
    pub const INPUT: u8 = 4;
    /// The output cannot be written.
    pub const OUTPUT: u8 = 5;
}

/// An experiment that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Recording(#[from] datasets::Error),
    #[error(transparent)]
    Replay(#[from] replay::error::Error),
    /// `alerts.parquet` or `run.json` is missing, foreign or damaged.
    #[error("{}: {reason}", path.display())]
    Alerts { path: PathBuf, reason: String },
    /// The alerts are of another recording.
    #[error("the alerts are not of {}: {reason}", recording.display())]
    OtherRecording { recording: PathBuf, reason: String },
    /// The baseline may not be learned from, for what it is tried on.
    #[error("the baseline {baseline} is not for learning here: {reason}")]
    Snooped { baseline: String, reason: String },
    #[error("{}: is of {found}, and not of the split {wanted}", path.display())]
    OtherSplit { path: PathBuf, found: String, wanted: &'static str },
    /// `run.json` is missing, foreign or damaged.
    #[error("{}: {reason}", path.display())]
    RunFile { path: PathBuf, reason: String },
    /// A file is no result that a report can be made of.
    #[error("{}: {reason}", path.display())]
    Unreported { path: PathBuf, reason: String },
    /// Options that do not go together.
    #[error("{reason}")]
    Usage { reason: String },
    /// A folder is no set of recordings to learn from and to try it on.
    #[error("the set of recordings: {reason}")]
    Set { reason: String },
    /// What is swept over is nothing that can be swept over.
    #[error("the sweep: {reason}")]
    Sweep { reason: String },
    /// The folder is another sweep's.
    #[error("{}: {reason}", folder.display())]
    Study { folder: PathBuf, reason: String },
    /// A recording that nothing may be chosen on.
    #[error("{recording} is not there to tune on: {reason}")]
    Tuned { recording: String, reason: String },
    /// A file of a gate is not one.
    #[error("{}: {reason}", path.display())]
    Gate { path: PathBuf, reason: String },
    /// A gate asks for the detection of something, and there is nothing to detect.
    #[error("{}: has no ground truth, so there is no share of detected acts", path.display())]
    NoTruth { path: PathBuf },
    /// A workload could not be prepared or run.
    #[error("the workload {name} failed: {reason}")]
    Workload { name: &'static str, reason: String },
    #[error("{what} failed: {reason}")]
    Run { what: String, reason: String },
    /// An adapter file is not one, or there is none of that name.
    #[error("recorder adapter {name}: {reason}")]
    Adapter { name: String, reason: String },
    /// A file of results that were kept is not one.
    #[error("{}: no result of this command: {reason}", path.display())]
    Saved { path: PathBuf, reason: String },
    #[error(transparent)]
    Scenario(#[from] scenarios::Error),
    #[error("{}: {source}", path.display())]
    Output { path: PathBuf, source: std::io::Error },
    #[error("the analysis failed: {0}")]
    Analysis(#[from] polars::error::PolarsError),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn output(path: &std::path::Path, source: std::io::Error) -> Error {
        Error::Output { path: path.to_owned(), source }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Replay(error) => error.exit_code(),
            Error::Usage { .. } | Error::Adapter { .. } | Error::Snooped { .. } | Error::OtherSplit { .. } => {
                exit::USAGE
            }
            Error::Sweep { .. } | Error::Study { .. } | Error::Tuned { .. } => exit::USAGE,
            Error::Workload { .. } | Error::Run { .. } => exit::MISSING,
            Error::Scenario(error) if error.is_output() => exit::OUTPUT,
            Error::Scenario(error) if error.is_bad_input() => exit::INPUT,
            Error::Scenario(_) => exit::MISSING,
            Error::Output { .. } => exit::OUTPUT,
            Error::Recording(error) if error.is_output() => exit::OUTPUT,
            _ => exit::INPUT,
        }
    }

    /// One line on the way out.
    pub fn hint(&self) -> &str {
        match self {
            Error::Recording(error) => error.hint(),
            Error::Replay(error) => error.hint(),
            Error::Alerts { .. } => "give the directory that `replay RECORDING -o DIR` wrote",
            Error::OtherRecording { .. } => "give the recording that was replayed, or leave --alerts out to replay now",
            Error::Snooped { .. } | Error::OtherSplit { .. } => {
                "datasets/splits.toml says which seeds are for what; --splits FILE names another"
            }
            Error::RunFile { .. } => "give the run.json that `eval detect --all -o DIR` wrote",
            Error::Unreported { .. } => "eval report --help names the commands whose results it takes",
            Error::Usage { .. } => "eval detect --help says what goes with what",
            Error::Gate { .. } => "eval/gate.toml is a baseline; `eval gate --update --baseline FILE` writes one",
            Error::Sweep { .. } => "eval tune --help has examples; replay/replay.toml has every key",
            Error::Study { .. } => "give another folder with --output, or begin anew with --fresh",
            Error::Tuned { .. } => {
                "choose on validation, and report on test with `eval detect --split test --config FILE`"
            }
            Error::Set { .. } => "./dev datasets records a set; datasets/splits.toml says which seeds are for what",
            Error::NoTruth { .. } => "leave --fail-under out, or give a recording with labels.parquet",
            Error::Workload { .. } | Error::Run { .. } => "run it by itself: eval workload NAME DIR --prepare",
            Error::Scenario(error) => error.hint(),
            Error::Output { .. } => "give a new or empty directory that can be written to, with space left",
            Error::Saved { .. } => "give what `--format json` printed, or a run.json of --output",
            Error::Adapter { .. } => "eval/peers holds examples; eval/README.md describes the fields",
            Error::Analysis(_) => "this is a bug; please report it with the recording's manifest",
        }
    }
}
