//! `eval capture`

use std::fmt::Write as _;

use datasets::Recording;
use eval::capture::{Capture, ClassCapture, capture};
use eval::error::Result;

use super::text::{clean, count, or_none, percent, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval capture rec/                                stored, lost, bytes per event, completeness of fields\n  \
    eval capture xmrig --format json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(default_value = "xmrig")]
    recording: String,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let found = capture(&Recording::find(&args.recording)?)?;
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: Vec::new() })
}

fn render(found: &Capture) -> String {
    let Capture { recording, finished, classes, total, fields, failures, table_bytes } = found;
    let mut out = format!("{}\n", clean(recording));
    // Writing to a String cannot fail.
    if !finished {
        let _ = writeln!(out, "  The recorder did not finish: what it lost is not known.");
    }
    let rows: Vec<_> = classes.iter().chain([total]).map(class).collect();
    let header = [
        "class",
        "emitted",
        "filtered",
        "known",
        "sampled out",
        "dropped",
        "stored",
        "captured",
        "bytes",
        "bytes/event",
    ];
    let _ = write!(out, "\n{}", table(&header, &rows, 1));
    let _ = writeln!(
        out,
        "  captured = stored / (emitted - filtered - known); process and container tables: {} bytes more",
        count(*table_bytes)
    );
    let rows: Vec<_> = fields
        .iter()
        .map(|f| vec![f.rows_of.to_owned(), f.fields.to_owned(), count(f.rows), count(f.complete), percent(f.share)])
        .collect();
    let _ = write!(out, "\n{}", table(&["rows of", "with", "rows", "complete", "share"], &rows, 2));
    if !failures.is_empty() {
        let _ = writeln!(out);
    }
    for (name, n) in failures {
        let _ = writeln!(out, "  {}: {}", clean(name), count(*n));
    }
    out
}

fn class(class: &ClassCapture) -> Vec<String> {
    vec![
        class.class.to_owned(),
        or_none(class.emitted.map(count)),
        or_none(class.filtered.map(count)),
        or_none(class.known.map(count)),
        or_none(class.sampled_out.map(count)),
        or_none(class.dropped.map(count)),
        count(class.stored),
        percent(class.capture_rate),
        count(class.bytes),
        or_none(class.bytes_per_event.map(|bytes| format!("{bytes:.1}"))),
    ]
}
