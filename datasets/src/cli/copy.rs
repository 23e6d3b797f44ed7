//! `datasets copy`

use std::path::PathBuf;

use datasets::{Recording, copy};

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
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &Args) -> datasets::Result<String> {
    let recording = Recording::find(&args.from)?;
    let mut bar = Bar::new();
    let copied = copy(&recording, &args.to, |progress| bar.show(progress));
    bar.clear();
    let copied = copied?;
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
