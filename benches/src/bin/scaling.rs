//! `scaling`: how a replay's time and memory grow with the length of a recording.

use std::path::PathBuf;
use std::process::ExitCode;

use benches::scaling::{COSTS, Error, Plan, Scaling, draw, measure};
use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};

/// Stretch a recording to several lengths, replay each with the program itself, and fit how time and memory grow.
///
/// Prints a row for each replay, and for each cost the exponent of the power that it follows (1: linear) with its 95 % interval.
#[derive(Debug, Parser)]
#[command(name = "scaling", version, after_help = AFTER)]
struct Cli {
    /// Directory of a recording, or the name of one that ships
    recording: String,
    /// Lengths: at least so many events each
    #[arg(long, value_delimiter = ',', default_value = "100k,400k,1600k", value_name = "COUNT,COUNT", value_parser = benches::amount)]
    events: Vec<u64>,
    /// Copies side by side, as of `stretch`
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    replicas: u16,
    /// Replays of each length
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The program that is measured [default: the one beside this]
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The program that stretches [default: the one beside this]
    #[arg(long, value_name = "FILE")]
    stretch: Option<PathBuf>,
    /// Where recordings and results are put, one at a time, and removed again [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Directory for scaling.json and scaling.svg
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Exit with 1 if the exponent of the CPU time is above this
    #[arg(long, value_name = "EXPONENT")]
    max_exponent: Option<f64>,
    /// Exit with 1 if a replay took more memory than this, MiB
    #[arg(long, value_name = "MIB")]
    max_memory: Option<f64>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More arguments for the replay
    #[arg(last = true, value_name = "ARGUMENT")]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
}

const AFTER: &str = "\
Examples:
  scaling webapp-1 --events 100k,1M,10M -o out/scaling
  scaling webapp-1 --events 1M,10M,100M --rounds 1 --max-exponent 1.05 --max-memory 1024 -- --learn webapp-2
  scaling rec/ --replay target/release/replay -- --threads 1 --set args.embedding.enabled=false

Exit codes: 0 ok; 1 --max-exponent or --max-memory exceeded; 2 usage; 3 a program cannot be run or fails; 4 the recording cannot be
read; 5 the output cannot be written.";

fn main() -> ExitCode {
    let options = Cli::parse();
    match run(&options) {
        Ok(found) => {
            let failed = failed(&options, &found);
            failed.iter().for_each(|failed| eprintln!("check failed: {failed}"));
            ExitCode::from(u8::from(!failed.is_empty()))
        }
        Err(error) => {
            eprintln!("error: {error}\nhint: {}", error.hint());
            ExitCode::from(match error {
                Error::Failed { .. } | Error::Picture(_) => 3,
                Error::Recording(_) => 4,
                Error::Io { .. } => 5,
            })
        }
    }
}

fn run(options: &Cli) -> Result<Scaling, Error> {
    let beside = |name: &str| std::env::current_exe().map(|own| own.with_file_name(name)).unwrap_or_default();
    let made = options.dir.as_ref().map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    let made =
        made.map_err(|source| Error::Io { path: options.dir.clone().unwrap_or_else(std::env::temp_dir), source })?;
    let plan = Plan {
        recording: options.recording.clone(),
        events: options.events.clone(),
        replicas: options.replicas,
        rounds: options.rounds,
        stretch: options.stretch.clone().unwrap_or_else(|| beside("stretch")),
        replay: options.replay.clone().unwrap_or_else(|| beside("replay")),
        options: options.options.clone(),
        dir: made.path().to_owned(),
    };
    let found = measure(&plan, &|line| eprintln!("{line}"))?;
    let json = serde_json::to_string_pretty(&found).expect("string keys and plain values serialize") + "\n";
    if let Some(dir) = &options.output {
        let failed = |path: PathBuf| move |source| Error::Io { path, source };
        std::fs::create_dir_all(dir).map_err(failed(dir.clone()))?;
        for (name, text) in [("scaling.json", &json), ("scaling.svg", &draw(&found)?)] {
            std::fs::write(dir.join(name), text).map_err(failed(dir.join(name)))?;
        }
    }
    match options.format {
        Format::Json => print!("{json}"),
        Format::Table => print!("{}", render(&found)),
    }
    Ok(found)
}

fn failed(options: &Cli, found: &Scaling) -> Vec<String> {
    let mut failed = Vec::new();
    // CPU time: wall time is also that of others on the machine.
    let exponent = found.fits[1].power.map(|power| power.exponent);
    if let Some(most) = options.max_exponent {
        match exponent {
            Some(exponent) if exponent <= most => {}
            Some(exponent) => failed.push(format!("CPU time grows to the power of {exponent:.3}, above {most}")),
            None => failed.push("one length has no exponent: give several with --events".to_owned()),
        }
    }
    let highest = found.points.iter().map(|point| point.memory_mib).fold(0.0, f64::max);
    if let Some(most) = options.max_memory.filter(|most| highest > *most) {
        failed.push(format!("a replay took {highest:.0} MiB, above {most}"));
    }
    failed
}

fn render(found: &Scaling) -> String {
    let mut out = format!(
        "kernel {}, {} CPUs, load {:.1} before the first run; {} stretched, {} replicas\n\n",
        found.kernel, found.cpus, found.load_before, found.recording, found.replicas
    );
    let header = ["events", "round", "bytes", COSTS[0].name, COSTS[1].name, COSTS[2].name, "events/CPU s"];
    let rows = found.points.iter().map(|point| {
        vec![
            point.events.to_string(),
            point.round.to_string(),
            point.bytes.to_string(),
            format!("{:.2}", point.wall_s),
            format!("{:.2}", point.cpu_s),
            format!("{:.1}", point.memory_mib),
            format!("{:.0}", point.events as f64 / point.cpu_s),
        ]
    });
    out += &table(&header, rows.collect());
    let rows = found.fits.iter().map(|fit| {
        let cells = fit.power.map_or(["-".to_owned(), "-".to_owned()], |power| {
            [format!("{:.3}", power.exponent), format!("[{:.3}, {:.3}]", power.low, power.high)]
        });
        std::iter::once(fit.cost.to_owned()).chain(cells).collect()
    });
    out + "\n" + &table(&["grows with events", "to the power of", "95 %"], rows.collect())
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec()).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| format!(" {}\n", line.trim_end())).collect()
}
