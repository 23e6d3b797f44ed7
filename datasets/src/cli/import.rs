//! `datasets import`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use datasets::import::{Format, import};
use datasets::{Error, Result};

use super::out::Bar;
use super::text::count;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log, or `-` for stdin
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Whose log it is; told by its first line if left out
    #[arg(long, value_enum)]
    from: Option<From>,
    /// Directory of the new recording; it must not exist or be empty
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// audit.log of auditd, raw or enriched
    Auditd,
    /// Tetragon's JSON export
    Tetragon,
    /// Tracee's JSON output
    Tracee,
}

pub fn run(args: &Args) -> Result<String> {
    let format = args.from.map(|from| match from {
        From::Auditd => Format::Auditd,
        From::Tetragon => Format::Tetragon,
        From::Tracee => Format::Tracee,
    });
    let read = |source| Error::Read { path: args.log.clone(), source };
    let made = if args.log.as_os_str() == "-" {
        import(io::stdin().lock(), "stdin".as_ref(), format, &args.out, |_| {})
    } else {
        let file = File::open(&args.log).map_err(read)?;
        let mut bar = Bar::bytes(file.metadata().map_err(read)?.len());
        let made = import(BufReader::with_capacity(1 << 16, file), &args.log, format, &args.out, |n| bar.show(n));
        bar.clear();
        made
    };
    let imported = made?;
    for (line, why) in &imported.named {
        eprintln!("warning: {}:{line}: {why}", args.log.display());
    }
    let more = imported.malformed - imported.named.len() as u64;
    if more > 0 {
        eprintln!("warning: and {} more malformed lines", count(more));
    }
    let mut out = String::new();
    let counts = [imported.manifest.rows(), imported.lines, imported.malformed].map(count);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}: {} rows of {} lines of {}, {} malformed",
        args.out.display(),
        counts[0],
        counts[1],
        imported.format.name(),
        counts[2]
    );
    for (name, n) in &imported.left_out {
        let _ = writeln!(out, "  left out: {} of {name}", count(*n));
    }
    Ok(out)
}
