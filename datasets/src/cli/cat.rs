//! `datasets cat` and `datasets head`

use datasets::export::{Exporter, Form};
use datasets::rows::{JOINED, Page, Row, joined, printable};
use datasets::{Error, Event, Recording};
use record_bpf::{Class, schema};
use serde_json::{Map, Value};

use super::columns::Columns;
use super::out::Out;
use super::selected::Selected;
use super::text::{plain, quoted};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// At most so many rows
    #[arg(short = 'n', long = "rows", value_name = "N")]
    rows: Option<u64>,
    /// These columns, separated by commas: those of the schema ('datasets schema'), and time, clock, class, event,
    /// container_name, image, pod, process, program, command, parent, label, what
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    columns: Vec<String>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    selected: Selected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people: cut to the terminal's width; whole in a pipe
    Table,
    /// A JSON object a line, without columns that are null; all columns unless some are named
    Json,
    /// Comma-separated values with a header (RFC 4180); lists as JSON
    Csv,
}

/// What a table has, unless columns are named.
const SHOWN: [&str; 5] = ["clock", "event", "container_name", "program", "what"];

/// What CSV has: nothing is cut there.
const WRITTEN: [&str; 7] = ["time", "event", "container_name", "image", "pid", "process", "what"];

/// Rows looked at together.
const PAGE: usize = 512;

/// Of `head`, unless it is told.
pub const HEAD: u64 = 20;

pub fn run(args: &Args, most: Option<u64>) -> datasets::Result<()> {
    let recording = Recording::find(&args.recording)?;
    let chosen = args.selected.selection(&recording)?.resolve(&recording)?;
    let columns: Vec<&str> = match args.format {
        _ if !args.columns.is_empty() => args.columns.iter().map(String::as_str).collect(),
        Format::Table => SHOWN.to_vec(),
        Format::Csv => WRITTEN.to_vec(),
        Format::Json => Vec::new(),
    };
    columns.iter().try_for_each(|column| known(column))?;
    let mut printer =
        Printer { exporter: Exporter::new(&recording, Form::Jsonl)?, columns: columns.clone(), out: Out::stdout() };
    if args.format == Format::Csv {
        printer.out.line(&columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(","))?;
    }
    let mut layout: Option<Columns> = None;
    let most = args.rows.or(most).unwrap_or(u64::MAX);
    let mut events = chosen.events(&recording).take(usize::try_from(most).unwrap_or(usize::MAX));
    loop {
        let page: Vec<Event> = events.by_ref().take(PAGE).collect::<datasets::Result<_>>()?;
        if page.is_empty() {
            break;
        }
        let page = Page::new(page);
        match args.format {
            Format::Json => page.rows().try_for_each(|row| printer.json(&row))?,
            Format::Csv => page.rows().try_for_each(|row| printer.csv(&row))?,
            Format::Table => {
                let cells: Vec<Vec<String>> = page.rows().map(|row| printer.cells(&row)).collect();
                if layout.is_none() {
                    let made = Columns::new(&columns, &cells);
                    printer.out.line(&made.header())?;
                    layout = Some(made);
                }
                if let Some(layout) = &layout {
                    cells.iter().try_for_each(|row| printer.out.line(&layout.line(row)))?;
                }
            }
        }
    }
    printer.out.done()
}

fn known(column: &str) -> datasets::Result<()> {
    let of = |class: Class| schema::COMMON.iter().chain(schema::class_columns(class));
    let in_schema = || Class::ALL.into_iter().any(|class| of(class).any(|known| known.name == column));
    if JOINED.iter().any(|(name, _)| *name == column) || in_schema() {
        return Ok(());
    }
    let joined: Vec<&str> = JOINED.iter().map(|(name, _)| *name).collect();
    let reason =
        format!("no column {column:?}: `datasets schema` prints those of the tables; besides: {}", joined.join(", "));
    Err(Error::Selection { reason })
}

struct Printer<'a> {
    exporter: Exporter,
    columns: Vec<&'a str>,
    out: Out,
}

impl Printer<'_> {
    /// Null where the row's class has no such column.
    fn value(&self, row: &Row<'_>, column: &str) -> Value {
        joined(column, row, self.exporter.names()).or_else(|| row.value(column)).unwrap_or_default()
    }

    fn cells(&self, row: &Row<'_>) -> Vec<String> {
        self.columns.iter().map(|column| printable(&plain(self.value(row, column), " ")).into_owned()).collect()
    }

    fn json(&mut self, row: &Row<'_>) -> datasets::Result<()> {
        let line = if self.columns.is_empty() {
            self.exporter.line(row).unwrap_or_default()
        } else {
            let values = self.columns.iter().map(|column| ((*column).to_owned(), self.value(row, column)));
            Value::Object(values.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        };
        self.out.line(&line.to_string())
    }

    fn csv(&mut self, row: &Row<'_>) -> datasets::Result<()> {
        let value = |column: &&str| match self.value(row, column) {
            list @ Value::Array(_) => quoted(&list.to_string()),
            other => quoted(&plain(other, " ")),
        };
        let line: Vec<String> = self.columns.iter().map(value).collect();
        self.out.line(&line.join(","))
    }
}
