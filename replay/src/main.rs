//! `replay`: options → work → export.

mod alerting;
mod commands;
mod following;
mod parts;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use datasets::{manual, near};
use replay::alert::Alert;
use replay::args::vectors::LazyModel;
use replay::cli::{Alerting, ArgsCommand, Cli, Command, FailOn, Format, Replay, RespondCommand, Responding};
use replay::config::Config;
use replay::engines::Severity;
use replay::error::{Error, Result, exit};
use replay::output::{OutputDir, incidents, table};
use replay::respond::{self, Responder};
use replay::run::Outcome;
use replay::sink::Dispatcher;
use replay::timing::{self, Task};
use replay::{ablate, config, run};

fn main() -> ExitCode {
    let cli = manual::parse::<Cli>();
    let result = match cli.command {
        Some(Command::Args { command: ArgsCommand::Ablate { pairs, config, sets, model, svg, errors } }) => {
            let config = config::load(config.as_deref(), &model.over(&sets));
            config.and_then(|config| ablate(&pairs, &config, svg.as_deref(), errors))
        }
        Some(Command::Learn(options)) => commands::learn(&options),
        Some(Command::Merge(options)) => parts::merge(&options),
        Some(Command::Partitions(options)) => parts::plan(&options),
        Some(Command::Explain(options)) => commands::explain(options),
        Some(Command::Profile { command }) => commands::profile(command),
        Some(Command::Rules(options)) => commands::rules(&options),
        Some(Command::Services(options)) => commands::services(&options),
        Some(Command::Forecast(options)) => commands::forecast(&options),
        Some(Command::Allow(options)) => alerting::allow(&options),
        Some(Command::Sinks { command }) => alerting::sinks(&command),
        Some(Command::Respond { command: RespondCommand::Undo { log, dry_run } }) => undo(&log, dry_run),
        Some(Command::Completions(args)) => {
            print(&manual::completions::<Cli>(&args));
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Man(args)) => manual::man::<Cli>(&args).map_err(Error::from).map(|text| {
            print(&text);
            ExitCode::SUCCESS
        }),
        Some(Command::Policy(policy)) => replay::policy::cli::run(policy.command).map(|said| {
            print(&said.text);
            ExitCode::from(said.code)
        }),
        None => replay(&cli.replay, &cli.alerting, &cli.responding),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}\nhint: {}", error.hint());
        ExitCode::from(error.exit_code())
    })
}

fn replay(options: &Replay, alerting: &Alerting, responding: &Responding) -> Result<ExitCode> {
    let sets = alerting.over(options.model.over(&options.sets));
    let config = config::load(options.config.as_deref(), &sets)?;
    if options.follow {
        return following::follow(options, alerting, responding, &config);
    }
    if options.profile_time {
        timing::start();
    }
    let sources =
        timing::stage(Task::Verify, || run::Sources::open(options)).map_err(|error| misspelt(error, options))?;
    if let Some(part) = options.partition {
        return parts::run(options, &sources, &config, part);
    }
    // Whatever is wrong with a sink is better said before the work than after.
    let sinks = Dispatcher::start(alerting::chosen(&config, &alerting.sinks)?, &sources.name())?;
    let output = OutputDir::create(&options.output.clone().unwrap_or_else(|| sources.default_output()))?;
    let responder = Responder::new(responding, output.path(), false)?;
    let outcome = run::run(&sources, &config, options.threads.into())?;
    if let Some(mut responder) = responder {
        responder.dry(&outcome.alerts)?.iter().for_each(|line| eprintln!("{line}"));
    }
    tell(outcome, &output, sinks, options.format, options.fail_on, alerting)
}

/// What stands first is a recording, unless it is a command: whoever mistypes a command is told so.
fn misspelt(error: Error, options: &Replay) -> Error {
    let meant = options.recording.as_deref().filter(|name| !Path::new(name).exists()).and_then(|name| {
        let program = manual::command::<Cli>();
        near::nearest(name, program.get_subcommands().map(|command| command.get_name())).map(str::to_owned)
    });
    match (error, meant) {
        (Error::Input { message, .. }, Some(meant)) => {
            Error::input(message, format!("for the command, write: replay {meant}"))
        }
        (error, _) => error,
    }
}

/// Sends what is raised, writes all files, and prints.
fn tell(
    mut outcome: Outcome,
    output: &OutputDir,
    sinks: Dispatcher,
    format: Format,
    fail_on: Option<FailOn>,
    alerting: &Alerting,
) -> Result<ExitCode> {
    let tell = outcome.raise(sinks);
    let report = outcome.write(output)?;
    let delivered = alerting::finish(tell, &mut outcome, output)?;
    if let Some(account) = timing::account() {
        eprint!("{}", account.render());
    }

    match format {
        Format::Json => print(&outcome.alerts_json()),
        Format::Table => {
            let width = table::terminal_width();
            print(&table::render(&outcome.alerts, width, colours()));
            print(&incidents::render(&outcome.incidents, width, colours()));
            print(&table::summary(&outcome.run, &report, width));
        }
    }
    Ok(verdict(fail_on, alerting, &outcome.alerts, delivered))
}

/// Takes responses back.
fn undo(log: &Path, dry_run: bool) -> Result<ExitCode> {
    let file = if log.is_dir() { log.join(respond::FILE) } else { log.to_owned() };
    let undone = respond::undo::undo(&file, dry_run)?;
    undone.lines.iter().for_each(|line| print(&format!("{line}\n")));
    Ok(if undone.whole { ExitCode::SUCCESS } else { ExitCode::from(exit::CHECK_FAILED) })
}

/// What `--fail-on` and `--fail-on-sink` say.
fn verdict(fail_on: Option<FailOn>, alerting: &Alerting, alerts: &[Alert], delivered: bool) -> ExitCode {
    let least = fail_on.map(Severity::from);
    let reached =
        least.is_some_and(|least| alerts.iter().any(|alert| alert.severity >= least && alert.allowed.is_none()));
    let untold = alerting.fail_on_sink && !delivered;
    if reached || untold { ExitCode::from(exit::CHECK_FAILED) } else { ExitCode::SUCCESS }
}

/// Whether stdout is to have colours.
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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

/// Writes to stdout. A reader that has seen enough and closed the pipe is no error; any other failure ends the program, whose
/// files are written by then.
fn print(text: &str) {
    match write(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the output: {error}\nhint: check the space where stdout goes");
            std::process::exit(exit::OUTPUT.into());
        }
        _ => {}
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}
