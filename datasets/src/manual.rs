//! Shell completions and man pages of the project's programs, made from their command lines.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
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

/// The script that completes `command` in that shell.
pub fn completions(mut command: Command, args: &CompletionsArgs) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The man page of `command`, in roff; or, once the pages are written, where they are, a line each.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write): the directory cannot be made or written to.
pub fn man(command: Command, args: &ManArgs) -> Result<String> {
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
