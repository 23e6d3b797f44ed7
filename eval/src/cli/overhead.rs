//! `eval overhead`, and the `eval workload` that it runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use eval::error::{Error, Result};
use eval::overhead::adapter::Adapter;
use eval::overhead::{Overhead, Plan, Recorded, Recorder, measure};
use eval::workload::Workload;

use super::text::{clean, count, or_none, table};
use super::{Format, Outcome, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recorders to measure: names of shipped adapters, or adapter files (.toml) [default: every shipped one]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    recorder: Vec<String>,
    /// Workloads to measure them on [default: all]
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Rounds; in each, every workload runs bare and under every recorder
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Share of the usual amount of work: 0.1 for a quick look
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Fail unless every ratio of the recorder `retroscope` is at most this
    #[arg(long, value_name = "RATIO")]
    fail_over: Option<f64>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
        _ => Err("give a number above 0, up to 100".to_owned()),
    }
}

pub fn run(args: &Args) -> Result<Outcome> {
    let named: Vec<String> =
        if args.recorder.is_empty() { Adapter::shipped().map(str::to_owned).collect() } else { args.recorder.clone() };
    let dir = tempfile::tempdir().map_err(|error| Error::Workload { name: "set-up", reason: error.to_string() })?;
    let beside = || std::env::current_exe().ok().map(|own| own.with_file_name("record")).unwrap_or_default();
    let plan = Plan {
        workloads: if args.workload.is_empty() { Workload::ALL.into() } else { args.workload.clone() },
        adapters: named.iter().map(|name| Adapter::find(name)).collect::<Result<_>>()?,
        rounds: args.rounds as usize,
        scale: args.scale,
        record: args.record.clone().unwrap_or_else(beside),
        dir: dir.path().to_owned(),
    };
    let found = measure(&plan, &|line| eprintln!("{line}"))?;
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: args.fail_over.map_or_else(Vec::new, |limit| over(&found, limit)) })
}

fn over(found: &Overhead, limit: f64) -> Vec<String> {
    let own = found.recorders.iter().filter(|recorder| recorder.name == "retroscope");
    let results = own.flat_map(|recorder| &recorder.results).filter(|result| result.ratio > limit);
    results.map(|r| format!("{}: {:.2} times the bare run, more than {limit}", r.workload.name(), r.ratio)).collect()
}

fn render(found: &Overhead) -> String {
    let mut out = format!(
        "Time under a recorder / time without, medians of {} rounds [95 % bootstrap interval]\n\
         kernel {}, {} CPUs, work x {}\n",
        found.rounds,
        clean(&found.machine.kernel),
        found.machine.cpus,
        found.scale
    );
    let header: Vec<&str> =
        std::iter::once("recorder").chain(found.bare.iter().map(|bare| bare.workload.unit())).collect();
    let cells = |recorder: &Recorder, cell: &dyn Fn(&Recorded) -> String| -> Vec<String> {
        let of = |workload| recorder.results.iter().find(|result| result.workload == workload);
        let cells = found.bare.iter().map(|bare| or_none(of(bare.workload).map(cell)));
        std::iter::once(clean(&recorder.name)).chain(cells).collect()
    };
    let section = |title: &str, cell: &dyn Fn(&Recorded) -> String| -> String {
        let rows: Vec<_> = found.recorders.iter().map(|recorder| cells(recorder, cell)).collect();
        format!("\n{title}\n{}", table(&header, &rows, 1))
    };
    let whole = |value: f64| count(value.round() as u64);
    out += &section("overhead", &|r| format!("{:.2} [{:.2}, {:.2}]", r.ratio, r.low, r.high));
    out += &section("CPU time of the recorder, begin and end included, s", &|r| format!("{:.2}", r.cpu_seconds));
    let ends: Vec<_> = found
        .recorders
        .iter()
        .map(|r| vec![clean(&r.name), or_none(r.idle_cpu_seconds.map(|s| format!("{s:.2}")))])
        .collect();
    out += &format!("\nof that to begin and to end, s\n{}", table(&["recorder", "begin and end"], &ends, 1));
    out += &section("memory of the recorder at most, MiB", &|r| format!("{:.0}", r.memory_mib));
    out += &section("events stored", &|r| or_none(r.events.map(whole)));
    out += &section("events lost, as the recorder itself says", &|r| or_none(r.dropped.map(whole)));
    out += &section("bytes per event", &|r| or_none(r.bytes_per_event.map(|bytes| format!("{bytes:.1}"))));
    let bare: Vec<_> = found
        .bare
        .iter()
        .map(|b| vec![b.workload.unit().to_owned(), format!("{:.3}", b.median), format!("{:.1} %", b.spread * 100.0)])
        .collect();
    let _ = write!(out, "\nbare\n{}", table(&["workload", "median, s", "spread"], &bare, 1));
    // Writing to a String cannot fail.
    for recorder in &found.recorders {
        let version = recorder.version.as_deref().unwrap_or("version not known");
        let _ = writeln!(out, "  {}: {} ({})", clean(&recorder.name), clean(&recorder.about), clean(version));
    }
    for absent in &found.absent {
        let _ = writeln!(out, "  absent: {}: {}", clean(&absent.name), clean(&absent.why));
    }
    let noisy: Vec<_> = found.bare.iter().filter(|bare| bare.spread > NOISY_SPREAD).collect();
    if found.machine.noise().is_some() || !noisy.is_empty() {
        let _ = writeln!(
            out,
            "  A NOISY MACHINE: load {:.1} before the first run, spread of the bare runs up to {:.0} %. \
             Take the intervals seriously, not the ratios.",
            found.machine.load_before,
            found.bare.iter().map(|bare| bare.spread).fold(0.0, f64::max) * 100.0
        );
    }
    out
}

/// Bare runs that differ by more than this among themselves say more of the machine than of a recorder.
const NOISY_SPREAD: f64 = 0.05;

#[derive(Debug, clap::Args)]
pub struct WorkloadArgs {
    #[arg(value_enum)]
    workload: Workload,
    /// Directory that it was prepared in
    dir: PathBuf,
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Write the measurement to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    result: Option<PathBuf>,
    /// Make what it needs in the directory first
    #[arg(long)]
    prepare: bool,
}

pub fn workload(args: &WorkloadArgs) -> Result<Outcome> {
    if args.prepare {
        args.workload.prepare(&args.dir)?;
    }
    let text = json(&args.workload.run(&args.dir, args.scale)?);
    let Some(file) = &args.result else { return Ok(Outcome { text, failed: Vec::new() }) };
    std::fs::write(file, text)
        .map_err(|error| Error::Workload { name: args.workload.name(), reason: error.to_string() })?;
    Ok(Outcome { text: String::new(), failed: Vec::new() })
}
