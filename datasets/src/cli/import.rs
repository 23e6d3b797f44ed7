//! `datasets import`

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::rc::Rc;

use datasets::import::{Format, import};
use datasets::{Error, Result};
use flate2::bufread::MultiGzDecoder;

use super::out::Bar;
use super::text::count;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The log, or `-` for stdin; may be compressed with gzip
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Whose log it is; told by its first lines if left out
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
    /// Falco's JSON output; only alerts that have proc.pid and evt.type
    Falco,
    /// Events of Sysmon for Linux, as they are in syslog
    Sysmon,
    /// Tetragon's JSON export
    Tetragon,
    /// Tracee's JSON output
    Tracee,
}

pub fn run(args: &Args) -> Result<String> {
    let format = args.from.map(|from| match from {
        From::Auditd => Format::Auditd,
        From::Falco => Format::Falco,
        From::Sysmon => Format::Sysmon,
        From::Tetragon => Format::Tetragon,
        From::Tracee => Format::Tracee,
    });
    let read = |source| Error::Log { path: args.log.clone(), source };
    let made = if args.log.as_os_str() == "-" {
        let input = unpacked(io::stdin().lock()).map_err(read)?;
        import(input, "stdin".as_ref(), format, &args.out, |_| {})
    } else {
        let file = File::open(&args.log).map_err(read)?;
        let mut bar = Bar::bytes(file.metadata().map_err(read)?.len());
        // Of a compressed log the bytes on disk tell how far it is.
        let taken = Rc::new(Cell::new(0));
        let counted = Counted { file, taken: Rc::clone(&taken) };
        let input = unpacked(BufReader::with_capacity(1 << 16, counted)).map_err(read)?;
        let made = import(input, &args.log, format, &args.out, |_| bar.show(taken.get()));
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

/// A file that counts what is read of it.
struct Counted {
    file: File,
    taken: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.taken.set(self.taken.get() + read as u64);
        Ok(read)
    }
}

/// RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Decompresses what begins as gzip does.
fn unpacked<'a>(mut input: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    Ok(match input.fill_buf()?.starts_with(&GZIP) {
        true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(input))),
        false => Box::new(input),
    })
}
