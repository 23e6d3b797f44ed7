//! `datasets schema`

use std::fmt::Write as _;

use datasets::schema_doc;

use super::text::table;

const EXAMPLES: &str = "Examples:\n  \
    datasets schema                                every column of every table\n  \
    datasets schema --format json | jq .version";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// The text of SCHEMA.md
    Markdown,
    /// For programs: one JSON document
    Json,
}

pub fn run(args: &Args) -> anyhow::Result<String> {
    Ok(match args.format {
        Format::Markdown => schema_doc::markdown(),
        Format::Json => {
            let document = serde_json::json!({
                "version": record_bpf::schema::VERSION,
                "tables": schema_doc::tables(),
            });
            serde_json::to_string_pretty(&document)? + "\n"
        }
        Format::Table => render(),
    })
}

fn render() -> String {
    let mut out = format!("Schema {}\n", record_bpf::schema::VERSION);
    for doc in schema_doc::tables() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{}  ({})\n  {}\n", doc.name, doc.files, doc.meaning);
        if !doc.ops.is_empty() {
            let rows: Vec<Vec<String>> =
                doc.ops.iter().map(|op| vec![op.op.to_owned(), op.meaning.to_owned()]).collect();
            let _ = writeln!(out, "{}", table(&["op", "what happened"], &rows, &[]));
        }
        let rows: Vec<Vec<String>> = doc
            .columns
            .iter()
            .map(|column| {
                let null = if column.nullable { "null" } else { "" };
                vec![column.name.to_owned(), column.ty.clone(), null.to_owned(), column.meaning.to_owned()]
            })
            .collect();
        out.push_str(&table(&["column", "type", "", "unit and meaning"], &rows, &[]));
    }
    out
}
