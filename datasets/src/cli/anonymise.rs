//! `datasets anonymise`

use std::path::PathBuf;

use datasets::Recording;
use datasets::anonymise::{Key, anonymise};
use datasets::store::Spool;

use super::out::{Bar, bring};
use super::text::count;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// Directory of the new recording, or s3://BUCKET/PREFIX; it must not exist or be empty
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    out: PathBuf,
    /// File with the key, 16 bytes or more ('head -c 32 /dev/urandom > FILE'): recordings made with the same key have the
    /// same pseudonyms. Without one the key is drawn at random and forgotten
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    key: Option<PathBuf>,
    /// A text in the place of a key file, for tests: whoever guesses it can find out what the pseudonyms stand for
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
}

pub fn run(args: &Args) -> datasets::Result<String> {
    let recording = Recording::find(&args.recording)?;
    let key = match (&args.key, &args.seed) {
        (Some(path), _) => Key::read(path)?,
        (None, Some(seed)) => Key::from_seed(seed),
        (None, None) => Key::random()?,
    };
    let spool = Spool::new(&args.out)?;
    let mut bar = Bar::new(recording.manifest().rows());
    let made = anonymise(&recording, spool.dir(), &key, |read| bar.show(read));
    bar.clear();
    let manifest = made?;
    bring(spool)?;
    let hint = if args.key.is_none() && args.seed.is_none() {
        "  the key was drawn at random and is gone: no other recording will have the same pseudonyms (--key FILE)\n"
    } else {
        ""
    };
    let checked =
        "  look before it leaves the house: `datasets absent OUT WORD...` says whether words are nowhere in it\n";
    Ok(format!("{}: {} rows\n{hint}{checked}", args.out.display(), count(manifest.rows())))
}
