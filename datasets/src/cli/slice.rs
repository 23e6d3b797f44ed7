//! `datasets slice`

use std::path::PathBuf;

use datasets::Recording;
use datasets::store::Spool;

use super::out::{Bar, bring};
use super::selected::Selected;
use super::text::count;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// Directory of the new recording, or s3://BUCKET/PREFIX; it must not exist or be empty
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    out: PathBuf,
    #[command(flatten)]
    selected: Selected,
}

pub fn run(args: &Args) -> datasets::Result<String> {
    let recording = Recording::find(&args.recording)?;
    let selection = args.selected.selection(&recording)?;
    if selection.is_all() {
        let reason = "nothing is chosen: --from, --to, --class, --container, --image or --tree say what to keep";
        return Err(datasets::Error::Selection { reason: reason.to_owned() });
    }
    let spool = Spool::new(&args.out)?;
    let total = recording.manifest().rows();
    let mut bar = Bar::new(total);
    let made = datasets::slice(&recording, &selection, spool.dir(), |read| bar.show(read));
    bar.clear();
    let manifest = made?;
    bring(spool)?;
    let (kept, out) = (count(manifest.rows()), args.out.display());
    Ok(format!("{out}: {kept} of {} rows, {} labels\n", count(total), count(labels(&manifest))))
}

pub fn labels(manifest: &datasets::Manifest) -> u64 {
    manifest.table("labels.parquet").map_or(0, |table| table.rows)
}
