//! `datasets`: look at, check and understand recordings.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};
use datasets::manual;

/// A check failed.
const FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;
const BAD_INPUT: u8 = 4;
const CANNOT_WRITE: u8 = 5;

fn main() -> ExitCode {
    let outcome = match manual::parse::<Cli>().command {
        Command::Verify(args) => cli::verify::run(&args),
        Command::Recover(args) => cli::recover::run(&args).map(|text| (text, true)),
        Command::Sign(args) => cli::sign::run(&args).map(|text| (text, true)),
        Command::Keygen(args) => cli::sign::keygen(&args).map(|text| (text, true)),
        Command::Absent(args) => cli::absent::run(&args),
        Command::Info(args) => cli::info::run(&args).map(|text| (text, true)),
        Command::Schema(args) => cli::schema::run(&args).map(|text| (text, true)),
        Command::Tree(args) => cli::tree::run(&args).map(|text| (text, true)),
        Command::Completions(args) => Ok((manual::completions::<Cli>(&args), true)),
        Command::Man(args) => manual::man::<Cli>(&args).map(|text| (text, true)).map_err(Into::into),
        Command::Head(args) => streamed(cli::cat::run(&args, Some(cli::cat::HEAD))),
        Command::Cat(args) => streamed(cli::cat::run(&args, None)),
        Command::Export(args) => streamed(cli::export::run(&args)),
        #[cfg(feature = "sql")]
        Command::Sql(args) => streamed(cli::sql::run(&args)),
        Command::Slice(args) => cli::slice::run(&args).map(|text| (text, true)).map_err(Into::into),
        Command::Merge(args) => cli::merge::run(&args).map(|text| (text, true)).map_err(Into::into),
        Command::Import(args) => cli::import::run(&args).map(|text| (text, true)).map_err(Into::into),
        Command::Copy(args) => cli::copy::run(&args).map(|text| (text, true)).map_err(Into::into),
        Command::Anonymise(args) => cli::anonymise::run(&args).map(|text| (text, true)).map_err(Into::into),
    };
    match outcome {
        Ok((text, passed)) => match print(&text) {
            Ok(()) if passed => ExitCode::SUCCESS,
            Ok(()) => ExitCode::from(FAILED),
            Err(error) => {
                eprintln!("error: cannot write the output: {error}\nhint: check the space where stdout goes");
                ExitCode::from(CANNOT_WRITE)
            }
        },
        Err(error) => {
            let known = error.downcast_ref::<datasets::Error>();
            let (text, hint) = match known {
                Some(known) => (known.to_string(), known.hint()),
                None => (format!("{error:#}"), "`datasets --help` has the commands, with examples"),
            };
            eprintln!("error: {text}\nhint: {hint}");
            ExitCode::from(match known {
                Some(known) if known.is_output() => CANNOT_WRITE,
                Some(known) if known.is_usage() => BAD_USAGE,
                Some(_) => BAD_INPUT,
                None => BAD_USAGE,
            })
        }
    }
}

/// Of a command that has written its output itself. A reader that has seen enough, as `head`, is not an error.
fn streamed(written: datasets::Result<()>) -> anyhow::Result<(String, bool)> {
    match written {
        Err(datasets::Error::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok((String::new(), true))
}

/// A reader that has seen enough, as `head`, is not an error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
