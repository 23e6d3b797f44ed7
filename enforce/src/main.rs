//! `enforce`: a policy in force while this runs.

use std::io::{self, Write};
use std::process::ExitCode;

use datasets::manual;
use enforce::cli::{Action, Cli};
use enforce::error::{Error, Result};

fn main() -> ExitCode {
    match run(&manual::parse::<Cli>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.action {
        Action::Xdp(args) => return enforce::xdp::run(args),
        Action::Lsm(args) => return enforce::lsm::run(args),
        Action::Selftest(args) => return enforce::selftest::run(args),
        Action::Completions(args) => print(&manual::completions::<Cli>(args))?,
        Action::Man(args) => print(&manual::man::<Cli>(args)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes()).map_err(Error::Output)
}
