//! `datasets verify`

use std::fmt::Write as _;
use std::path::PathBuf;

use datasets::{CpuReport, PublicKey, Verdict, VerifyReport, resolve};

use super::bytes_bar::Bar;
use super::text::{bytes, count, table, wrapped};
use super::{Format, gaps};

const EXAMPLES: &str = "Examples:\n  \
    datasets verify ./my-recording                    is it whole, and what did the recorder lose?\n  \
    datasets verify xmrig --format json              for programs\n  \
    datasets verify ./rec --public-key key.pub        and is it signed by this key?";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// The recording must be signed by the key of this public one (PEM): one that is not signed, or by another, fails
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Returns the text, and whether the recording is intact.
pub fn run(args: &Args) -> anyhow::Result<(String, bool)> {
    let path = resolve(&args.recording)?;
    let mut bar = Bar::new();
    let key = args.public_key.as_deref().map(PublicKey::read).transpose()?;
    let report = datasets::verify_signed(&path, key.as_ref(), |progress| bar.show(progress))?;
    bar.clear();
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Table => render(&report),
    };
    Ok((text, matches!(report.verdict, Verdict::Intact | Verdict::Recovered)))
}

fn render(report: &VerifyReport) -> String {
    let verdict = match report.verdict {
        Verdict::Intact => "intact: as it was written, and every event is accounted for",
        Verdict::Unfinished => "unfinished: what is there is as it was written, the end is missing",
        Verdict::Recovered => {
            "recovered: as it was recovered, and every event is accounted for up to the moment named below"
        }
        Verdict::Damaged => "DAMAGED",
        Verdict::Untrusted => "UNTRUSTED: it is as it was written, but not signed by the key that was asked for",
    };
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}: {verdict}", report.path.display());
    let _ = writeln!(
        out,
        "  {} rows in {} segments, {} tables, {} hashed",
        count(report.rows),
        report.segments,
        report.tables,
        bytes(report.bytes)
    );
    let _ = writeln!(out, "  chain {}", report.chain);
    if let Some(derived) = &report.derived {
        let _ = writeln!(out, "  {}", wrapped(&derived.to_string(), 2));
    }
    let _ = writeln!(out, "  signed by {}\n", report.signed_by.as_deref().unwrap_or("nobody"));
    out.push_str(&cpus(&report.cpus));
    out.push_str(&gaps::table(report));
    if !report.findings.is_empty() {
        let rows: Vec<Vec<String>> = report
            .findings
            .iter()
            .map(|finding| vec![finding.kind.name().to_owned(), finding.place.clone(), finding.detail.clone()])
            .collect();
        out.push('\n');
        out.push_str(&table(&["finding", "place", "detail"], &rows, &[]));
    }
    out
}

/// A line for each CPU. Why numbers are missing has a column for each cause there was, so that it fits 80 columns.
fn cpus(cpus: &[CpuReport]) -> String {
    type Count = fn(&CpuReport) -> u64;
    let always: [(&str, Count); 4] =
        [("stored", |c| c.rows), ("missing", |c| c.missing), ("gaps", |c| c.gap_count), ("dropped", |c| c.dropped)];
    let causes: [(&str, Count); 4] = [
        ("filtered", |c| c.filtered),
        ("sampled", |c| c.sampled_out),
        ("known", |c| c.known),
        ("duplicates", |c| c.duplicates),
    ];
    let causes = causes.into_iter().filter(|(_, of)| cpus.iter().any(|cpu| of(cpu) > 0));
    let counts: Vec<(&str, Count)> = always.into_iter().chain(causes).collect();
    let row = |cpu: &CpuReport| {
        let emitted = cpu.next_seq.map_or("unknown".to_owned(), count);
        [cpu.cpu.to_string(), emitted].into_iter().chain(counts.iter().map(|(_, of)| count(of(cpu)))).collect()
    };
    let header: Vec<&str> = ["cpu", "emitted"].into_iter().chain(counts.iter().map(|(name, _)| *name)).collect();
    let right: Vec<usize> = (0..header.len()).collect();
    table(&header, &cpus.iter().map(row).collect::<Vec<_>>(), &right)
}
