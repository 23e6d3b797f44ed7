//! `datasets merge`

use std::fmt::Write as _;
use std::path::PathBuf;

use datasets::Recording;
use datasets::store::Spool;

use super::out::{Bar, bring};
use super::slice::labels;
use super::text::count;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories of recordings, or names of shipped ones; two or more
    #[arg(value_name = "PATH|NAME", required = true, num_args = 2..)]
    recordings: Vec<String>,
    /// Directory of the new recording, or s3://BUCKET/PREFIX; it must not exist or be empty
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    out: PathBuf,
}

pub fn run(args: &Args) -> datasets::Result<String> {
    let sources: Vec<Recording> =
        args.recordings.iter().map(|name| Recording::find(name)).collect::<datasets::Result<_>>()?;
    let spool = Spool::new(&args.out)?;
    let mut bar = Bar::new(sources.iter().map(|source| source.manifest().rows()).sum());
    let made = datasets::merge(&sources, spool.dir(), |read| bar.show(read));
    bar.clear();
    let merged = made?;
    bring(spool)?;
    let manifest = &merged.manifest;
    if !merged.shared_addresses.is_empty() {
        eprintln!(
            "warning: containers of different recordings held these addresses at the same time, so whose an address was \
             cannot be told: {}",
            merged.shared_addresses.join(", ")
        );
    }
    let mut out = String::new();
    let rows = (count(manifest.rows()), count(labels(manifest)));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}: {} rows, {} labels", args.out.display(), rows.0, rows.1);
    let ranges = manifest.derived.iter().flat_map(|derived| &derived.sources);
    for (name, source) in args.recordings.iter().zip(ranges) {
        if let Some(cpus) = source.cpus {
            let last = u32::from(cpus.first) + u32::from(cpus.count) - 1;
            let _ = writeln!(out, "  cpus {} to {last}: {name}", cpus.first);
        }
    }
    Ok(out)
}
