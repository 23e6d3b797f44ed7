//! `datasets recover`

use std::fmt::Write as _;
use std::path::PathBuf;

use datasets::Recovery;

use super::Format;
use super::text::count;

const EXAMPLES: &str = "Examples:\n  \
    datasets recover ./my-recording && datasets verify ./my-recording";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording
    #[arg(value_name = "PATH")]
    recording: PathBuf,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &Args) -> anyhow::Result<String> {
    let recovery = datasets::recover(&args.recording)?;
    Ok(match args.format {
        Format::Json => serde_json::to_string_pretty(&recovery)? + "\n",
        Format::Table => render(&recovery),
    })
}

fn render(recovery: &Recovery) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match (recovery.was_complete, recovery.state) {
        (true, datasets::State::Recovered) => {
            writeln!(out, "{}: was recovered before; nothing to do", recovery.path.display())
        }
        (true, _) => writeln!(out, "{}: is complete; nothing to do", recovery.path.display()),
        (false, _) => writeln!(out, "{}: recovered", recovery.path.display()),
    };
    if recovery.was_complete {
        return out;
    }
    let known = recovery.known_until.as_ref().map_or("there was no journal".to_owned(), |moment| moment.utc.clone());
    let lines = [
        ("segments", format!("{} were complete and listed", count(recovery.listed))),
        ("", format!("{} were complete and not listed yet", count(recovery.adopted))),
        ("", format!("{} written from the journal: {} rows", count(recovery.written), count(recovery.rows))),
        ("tables", format!("{} processes, {} containers", count(recovery.processes), count(recovery.containers))),
        ("torn", format!("{} bytes of the journal were no whole entry", count(recovery.torn_bytes))),
        ("known until", format!("{known}; what was emitted later and has no row is in no count")),
        ("lost", format!("{} events emitted until then did not reach the disk", count(recovery.unsaved))),
    ];
    for (name, value) in lines {
        let _ = writeln!(out, "  {name:<12}{value}");
    }
    if recovery.unattributed > 0 {
        let _ = writeln!(out, "  {:<12}{} numbers without a row, of unknown class", "", count(recovery.unattributed));
    }
    out
}
