//! Shell completions and man pages of the project's programs, made from their command lines.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory, FromArgMatches};
use clap_complete::Shell;

use crate::{Error, Result};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    PROGRAM completions bash > /etc/bash_completion.d/PROGRAM\n  \
    PROGRAM completions zsh > ~/.zfunc/_PROGRAM\n  \
    PROGRAM completions fish > ~/.config/fish/completions/PROGRAM.fish")]
pub struct CompletionsArgs {
    /// The shell to complete in
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    PROGRAM man > PROGRAM.1; man -l PROGRAM.1\n  \
    PROGRAM man -o /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write a page for the program and for each of its commands into this directory, instead of printing the first
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// What was asked for on the command line. Ends the program where that is help, or nothing that can be understood.
pub fn parse<Cli: CommandFactory + FromArgMatches>() -> Cli {
    let mut matches = command::<Cli>().get_matches();
    Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command::<Cli>()).exit())
}

/// The program's definition, with its own name in the examples of the commands that every program has.
pub fn command<Cli: CommandFactory>() -> Command {
    let command = Cli::command();
    let name = command.get_name().to_owned();
    command.mut_subcommands(|inner| match inner.get_after_help().map(ToString::to_string) {
        Some(text) if text.contains(PROGRAM) => inner.after_help(text.replace(PROGRAM, &name)),
        _ => inner,
    })
}

/// Stands for the program's name in the examples below.
const PROGRAM: &str = "PROGRAM";

/// The script that completes the program in that shell.
pub fn completions<Cli: CommandFactory>(args: &CompletionsArgs) -> String {
    let mut command = command::<Cli>();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The man page of the program, in roff; or, once the pages are written, where they are, a line each.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write): the directory cannot be made or written to.
pub fn man<Cli: CommandFactory>(args: &ManArgs) -> Result<String> {
    let command = command::<Cli>();
    match &args.output {
        None => {
            let mut page = Vec::new();
            // Into memory: nothing could fail.
            let _ = clap_mangen::Man::new(command).render(&mut page);
            Ok(String::from_utf8_lossy(&page).into_owned())
        }
        Some(dir) => write(command, dir).map_err(|source| Error::Write { path: dir.clone(), source }),
    }
}

fn write(mut command: Command, dir: &Path) -> io::Result<String> {
    std::fs::create_dir_all(dir)?;
    command.build();
    let mut written = String::new();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        left.extend(
            command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help").cloned(),
        );
        let page = clap_mangen::Man::new(command);
        let file = dir.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)?;
        std::fs::write(&file, text)?;
        written += &format!("{}\n", file.display());
    }
    Ok(written)
}
