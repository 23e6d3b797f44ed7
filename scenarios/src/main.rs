//! `scenarios`: list, show, run, check and begin scenarios.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};
use datasets::manual;

/// `lint` found something.
const FOUND: u8 = 1;
/// The host lacks something, or the run failed.
const CANNOT_RUN: u8 = 3;
const BAD_INPUT: u8 = 4;
const CANNOT_WRITE: u8 = 5;
/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// What a command says, and how it went.
struct Outcome {
    text: String,
    code: u8,
}

fn main() -> ExitCode {
    let Cli { from, command } = manual::parse::<Cli>();
    let from = from.as_deref();
    let outcome = match command {
        Command::List(args) => cli::list::run(from, &args),
        Command::Show(args) => cli::show::run(from, &args),
        Command::Run(args) => cli::run::run(from, &args),
        Command::Build(args) => cli::build::run(from, &args),
        Command::Label(args) => cli::label::run(&args),
        Command::Lint(args) => cli::lint::run(from, &args),
        Command::New(args) => cli::new::run(from, &args),
        Command::Completions(args) => Ok(Outcome { text: manual::completions::<Cli>(&args), code: 0 }),
        Command::Man(args) => manual::man::<Cli>(&args)
            .map(|text| Outcome { text, code: 0 })
            .map_err(|error| scenarios::Error::from(error).into()),
    };
    match outcome {
        Ok(Outcome { text, code }) => match print(&text) {
            Ok(()) => ExitCode::from(code),
            Err(error) => {
                eprintln!("error: cannot write the output: {error}\nhint: check the space where stdout goes");
                ExitCode::from(CANNOT_WRITE)
            }
        },
        Err(error) => {
            let known = error.downcast_ref::<scenarios::Error>();
            let (text, hint) = match known {
                Some(known) => (known.to_string(), known.hint()),
                None => (format!("{error:#}"), "`scenarios --help` has the commands, with examples"),
            };
            eprintln!("error: {text}\nhint: {hint}");
            ExitCode::from(match known {
                Some(known) if known.is_output() => CANNOT_WRITE,
                Some(known) if known.is_bad_input() => BAD_INPUT,
                Some(_) => CANNOT_RUN,
                None => BAD_INPUT,
            })
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
