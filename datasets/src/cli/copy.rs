//! `datasets copy`

use std::path::PathBuf;
use std::time::Duration;

use datasets::{Recording, copy, copy_growing};

use super::Format;
use super::bytes_bar::Bar;
use super::text::{bytes, count};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A recording: a directory, s3://BUCKET/PREFIX, or the name of a shipped one
    #[arg(value_name = "SRC")]
    from: String,
    /// A directory or s3://BUCKET/PREFIX; it must not exist or be empty
    #[arg(value_name = "DST")]
    to: PathBuf,
    /// SRC is being recorded: copy each segment when it is finished, and the rest when the recorder ends
    #[arg(long)]
    follow: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A segment takes the recorder a minute by default; a look is a file of kilobytes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub fn run(args: &Args) -> datasets::Result<String> {
    let mut bar = Bar::new();
    let copied = if args.follow {
        copy_growing(args.from.as_ref(), &args.to, LOOK_EVERY, |progress| bar.show(progress))
    } else {
        copy(&Recording::find(&args.from)?, &args.to, |progress| bar.show(progress))
    };
    bar.clear();
    let copied = copied?;
    let recording = Recording::find(&args.from)?;
    let chain = recording.manifest().chain_head();
    Ok(match args.format {
        Format::Json => {
            let (path, files, bytes) = (args.to.display().to_string(), copied.files, copied.bytes);
            format!("{:#}\n", serde_json::json!({ "path": path, "files": files, "bytes": bytes, "chain": chain }))
        }
        Format::Table => format!(
            "{}: {} files, {}, each as the manifest says\n  chain {chain}\n",
            args.to.display(),
            count(copied.files),
            bytes(copied.bytes)
        ),
    })
}
