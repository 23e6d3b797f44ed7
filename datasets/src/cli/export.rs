//! `datasets export`

use std::collections::BTreeMap;
use std::path::PathBuf;

use datasets::export::{Exporter, Form};
use datasets::rows::Page;
use datasets::{Event, Recording};

use super::out::{Bar, Out};
use super::selected::Selected;
use super::text::count;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    #[arg(long, value_enum)]
    format: Format,
    /// A new file for the lines; stdout unless given
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    selected: Selected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Every column that is not null, with container, image, process, command line and label
    Jsonl,
    /// Open Cybersecurity Schema Framework 1.5.0: file system, process, network, DNS, HTTP, memory, kernel activity
    Ocsf,
    /// As Falco prints alerts with json_output: output, output_fields, rule, priority, time
    Falco,
}

/// Rows made into lines together.
const PAGE: usize = 4096;

pub fn run(args: &Args) -> datasets::Result<()> {
    let recording = Recording::find(&args.recording)?;
    let chosen = args.selected.selection(&recording)?.resolve(&recording)?;
    let form = match args.format {
        Format::Jsonl => Form::Jsonl,
        Format::Ocsf => Form::Ocsf,
        Format::Falco => Form::Falco,
    };
    let exporter = Exporter::new(&recording, form)?;
    let mut out = args.out.as_ref().map_or_else(|| Ok(Out::stdout()), |path| Out::file(path))?;
    let mut bar = Bar::new(recording.manifest().rows());
    let mut left_out: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut events = chosen.events(&recording);
    let mut read = 0;
    loop {
        let page: Vec<Event> = events.by_ref().take(PAGE).collect::<datasets::Result<_>>()?;
        if page.is_empty() {
            break;
        }
        read += page.len() as u64;
        for row in Page::new(page).rows() {
            match exporter.line(&row) {
                Some(line) => out.line(&line.to_string())?,
                None => *left_out.entry(row.event.class().name()).or_default() += 1,
            }
        }
        bar.show(read);
    }
    bar.clear();
    for (class, n) in left_out {
        eprintln!("note: {} rows of class {class} were left out: this format has nothing that they could be", count(n));
    }
    out.done()
}
