//! `datasets sql`

mod print;
mod scan;

use std::path::PathBuf;

use datasets::{Error, Recording};
use polars::prelude::PolarsError;

use self::scan::Tables;
use super::out::Out;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directories of recordings, or names of shipped ones; of several, each table has the rows of all, and a column 'recording'
    #[arg(value_name = "PATH|NAME", required = true)]
    recordings: Vec<String>,
    /// What to ask, in the dialect of polars: SELECT, JOIN, GROUP BY, WITH, ORDER BY, ...
    #[arg(value_name = "QUERY", required = true)]
    query: String,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// To this new file instead of stdout
    #[arg(short, long, value_name = "FILE", required_if_eq("format", "parquet"))]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people: cut to the terminal's width; whole in a pipe
    Table,
    /// A JSON object a line, without columns that are null
    Json,
    /// Comma-separated values with a header (RFC 4180); lists as JSON
    Csv,
    /// For dataframes; needs --output
    Parquet,
}

pub fn run(args: &Args) -> datasets::Result<()> {
    let open = |name: &String| Ok((name.clone(), Recording::find(name)?));
    let recordings: Vec<(String, Recording)> = args.recordings.iter().map(open).collect::<datasets::Result<_>>()?;
    let tables = Tables::new(recordings.into()).map_err(|error| query_error(&error, ""))?;
    let mut answer = tables.ask(&args.query)?;
    if let (Format::Parquet, Some(path)) = (args.format, &args.output) {
        return print::parquet(&mut answer, path);
    }
    let out = args.output.as_deref().map_or_else(|| Ok(Out::stdout()), Out::file)?;
    match args.format {
        Format::Table => print::table(&answer, out),
        Format::Json => print::json(&answer, out),
        Format::Csv | Format::Parquet => print::csv(&answer, out),
    }
}

/// What polars says, without the plan that it adds.
fn query_error(error: &PolarsError, tables: &str) -> Error {
    let text = error.to_string();
    let mut reason = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    // Polars lists columns itself.
    if !tables.is_empty() && !reason.contains("valid columns") {
        reason = format!("{reason}; the tables are: {tables}");
    }
    Error::Query { reason }
}
