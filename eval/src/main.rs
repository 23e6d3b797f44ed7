//! `eval`: options → experiment → table or JSON.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command, Outcome};
use datasets::manual;
use eval::error::exit;

fn main() -> ExitCode {
    let outcome = match manual::parse::<Cli>().command {
        Command::Detect(args) => cli::detect::run(&args),
        Command::Rerun(args) => cli::rerun::run(&args),
        Command::Report(args) => cli::report::run(&args),
        Command::Set(args) => cli::set::run(&args),
        Command::Tune(args) => cli::tune::run(args),
        Command::Gate(args) => cli::gate::run(&args),
        Command::Card(args) => cli::card::run(&args),
        Command::Capture(args) => cli::capture::run(&args),
        Command::Overhead(args) => cli::overhead::run(&args),
        Command::Curve(args) => cli::curve::run(&args),
        Command::Growth(args) => cli::growth::run(&args),
        Command::Latency(args) => cli::latency::run(&args),
        Command::Enforce(args) => cli::enforce::run(&args),
        Command::Speed(args) => cli::speed::run(&args),
        Command::Forecast(args) => cli::forecast::run(&args),
        Command::Storm(args) => cli::storm::run(&args),
        Command::Wakeup(args) => cli::wakeup::run(&args),
        Command::Soak(args) => cli::soak::run(&args),
        Command::Calls(args) => cli::storm::calls(&args),
        Command::Workload(args) => cli::overhead::workload(&args),
        Command::Life(args) => cli::latency::life(&args),
        Command::Named(args) => cli::overhead::named(&args),
        Command::Completions(args) => Ok(Outcome::said(manual::completions::<Cli>(&args))),
        Command::Man(args) => manual::man::<Cli>(&args).map(Outcome::said).map_err(Into::into),
    };
    match outcome {
        Ok(outcome) => {
            if let Err(error) = print(&outcome.text) {
                eprintln!("error: cannot write the output: {error}\nhint: check the space where stdout goes");
                return ExitCode::from(exit::OUTPUT);
            }
            for failed in &outcome.failed {
                eprintln!("check failed: {failed}");
            }
            ExitCode::from(if outcome.failed.is_empty() { 0 } else { exit::CHECK_FAILED })
        }
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            ExitCode::from(error.exit_code())
        }
    }
}

/// A reader that has seen enough, as `head`, is not an error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
