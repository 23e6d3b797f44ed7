//! `eval soak`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eval::error::{Error, Result};
use eval::soak::{Long, Plan, Ratio, Soak, Turns, chart, soak};

use super::text::{clean, count, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval soak -o out/soak                            an hour of a web shop\n  \
    eval soak --duration 10m --turns 5 --ask 'web/item?id=7'";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What runs meanwhile
    #[arg(long, default_value = "webapp", value_name = "NAME")]
    scenario: String,
    /// Seed of the load
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How long to record, as 10m or 1h; 0s: only --turns
    #[arg(long, short, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    duration: Duration,
    /// Between two looks at the recorder
    #[arg(long, default_value = "5s", value_parser = pause, value_name = "TIME")]
    every: Duration,
    /// First compare windows without and with the recorder, so many pairs of them
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000))]
    turns: u16,
    /// Length of such a window
    #[arg(long, default_value = "30s", value_parser = pause, value_name = "TIME")]
    turn: Duration,
    /// Ask this service for this path all the time, and say how long answers take: SERVICE/PATH, as 'web/item?id=7'
    #[arg(long, value_parser = ask, value_name = "WHAT")]
    ask: Option<(String, String)>,
    /// Between two requests
    #[arg(long, default_value = "100ms", value_parser = pause, value_name = "TIME")]
    pause: Duration,
    /// Exit with 1 if the recorder's own memory may grow by more than this an hour: the upper end of the slope's interval, as a
    /// share of the median
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    growth: f64,
    /// Our recorder [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Directory for the recording, soak.json, samples.csv and soak.svg; must not exist or be empty
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More options for the recorder
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

fn pause(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time >= Duration::from_millis(10) => Ok(time),
        Ok(_) => Err("give 10ms or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn ask(text: &str) -> Result<(String, String), String> {
    let (service, path) = text.split_once('/').ok_or("give SERVICE/PATH, as web/item?id=7")?;
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    if plain(path) { Ok((service.to_owned(), path.to_owned())) } else { Err("a path has no spaces".to_owned()) }
}

pub fn run(args: &Args) -> Result<Outcome> {
    let written = |path: &Path, error| Error::Output { path: path.to_owned(), source: error };
    fs::create_dir_all(&args.output).map_err(|error| written(&args.output, error))?;
    let mut entries = fs::read_dir(&args.output).map_err(|error| written(&args.output, error))?;
    if entries.next().is_some() {
        return Err(written(&args.output, std::io::ErrorKind::DirectoryNotEmpty.into()));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Error::Run { what: "handling signals".to_owned(), reason: error.to_string() })?;
    let plan = Plan {
        scenario: args.scenario.clone(),
        seed: args.seed,
        length: args.duration,
        every: args.every,
        turns: args.turns.into(),
        turn: args.turn,
        ask: args.ask.clone(),
        pause: args.pause,
        record: args.record.clone().unwrap_or_else(super::own_recorder),
        options: args.options.clone(),
        dir: args.output.clone(),
    };
    let found = soak(&plan, &stop, &|line| eprintln!("{line}"))?;
    let file = args.output.join("soak.json");
    fs::write(&file, json(&found)).map_err(|error| written(&file, error))?;
    if let Some(long) = &found.long {
        let drawn = chart::draw(long)?;
        let file = args.output.join("soak.svg");
        fs::write(&file, drawn).map_err(|error| written(&file, error))?;
    }
    let text = match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    };
    Ok(Outcome { text, failed: found.long.iter().flat_map(|long| failed(long, args.growth)).collect() })
}

fn failed(long: &Long, growth: f64) -> Vec<String> {
    let mut failed = Vec::new();
    if long.dropped > 0 {
        failed.push(format!("{} events were lost, wanted none", count(long.dropped)));
    }
    if !long.verified {
        failed.push("the recording does not verify".to_owned());
    }
    match long.memory.slope {
        Some((_, _, high)) if high <= growth * long.memory.median => {}
        Some((_, _, high)) => failed.push(format!(
            "memory may grow by {high:.2} MiB an hour, wanted at most {:.2}",
            growth * long.memory.median
        )),
        None => failed.push("too short to say whether memory grows: four minutes and more after a tenth".to_owned()),
    }
    failed
}

fn render(found: &Soak) -> String {
    let mut out = format!(
        "{} on kernel {}, {} CPUs; load average before it {:.1}\n",
        clean(&found.scenario),
        clean(&found.machine.kernel),
        found.machine.cpus,
        found.machine.load_before
    );
    if let Some(turns) = &found.turns {
        out += &format!(
            "\nwith the recorder / without, medians of {} windows of {:.0} s each [95 % bootstrap interval]\n{}",
            turns.pairs,
            turns.seconds,
            with_and_without(turns)
        );
    }
    if let Some(long) = &found.long {
        out += &format!("\nrecorded for {:.0} s\n{}\n{}", long.seconds, figures(long), sizes(long));
    }
    out
}

fn with_and_without(turns: &Turns) -> String {
    let ms = |value: f64| format!("{:.2} ms", value * 1e3);
    let row = |name: &str, bare: String, r: &Ratio| {
        vec![name.to_owned(), bare, format!("{:.3} [{:.3}, {:.3}]", r.ratio, r.low, r.high)]
    };
    let share = turns.containers;
    let mut rows = vec![row("CPU time of the containers", format!("{:.1} % of a core", share.bare * 100.0), &share)];
    rows.extend(turns.p50.iter().map(|p50| row("an answer, median", ms(p50.bare), p50)));
    rows.extend(turns.p99.iter().map(|p99| row("an answer, 99 %", ms(p99.bare), p99)));
    table(&["", "without", "ratio"], &rows, 1)
}

fn grows(slope: Option<(f64, f64, f64)>) -> String {
    slope.map_or_else(
        || "too short to say".to_owned(),
        |(slope, low, high)| format!("{slope:+.2} [{low:+.2}, {high:+.2}] MiB an hour"),
    )
}

fn figures(long: &Long) -> String {
    let spent = &long.spent;
    let ns = if spent.bpf_runs == 0 { f64::NAN } else { spent.bpf * 1e9 / spent.bpf_runs as f64 };
    let of_load = spent.recorder_of_load() * 100.0;
    let mut rows = vec![
        ("own memory", format!("{:.1} MiB (median), {:.1} MiB at most", long.memory.median, long.memory.most)),
        ("it grows by", grows(long.memory.slope)),
        ("  least of a minute", grows(long.memory.least)),
        ("resident", format!("{:.1} MiB (median), {:.1} MiB at most", long.resident.median, long.resident.most)),
        ("events stored", format!("{}, {:.0} a second", count(long.stored), long.stored as f64 / long.seconds)),
        ("lost", count(long.dropped)),
        ("left out on purpose", count(long.left_out)),
        ("verified", if long.verified { "yes" } else { "NO" }.to_owned()),
        ("on disk", format!("{:.2} MB, {:.1} bytes an event", long.bytes as f64 / 1e6, long.bytes_per_event)),
        (
            "CPU of the recorder",
            format!("{:.2} % of a core, {:.2} % of the containers'", spent.recorder_share() * 100.0, of_load),
        ),
        ("  with begin and end", format!("{:.1} s", long.recorder_cpu_total)),
        (
            "BPF programs",
            format!(
                "{:.2} % of a core, {:.2} % of all CPU time on the machine; {} runs of {ns:.0} ns",
                spent.bpf / spent.seconds * 100.0,
                spent.bpf_of_all() * 100.0,
                count(spent.bpf_runs)
            ),
        ),
        ("containers", format!("{:.1} % of a core", spent.containers / spent.seconds * 100.0)),
        ("everything else", format!("{:.0} % of a core (median)", long.others_share * 100.0)),
        (
            "kernel to row",
            format!("{:.1} ms (99 %, median), {:.1} ms at most", long.lag_p99_median * 1e3, long.lag_max * 1e3),
        ),
    ];
    if let Some(asked) = &long.asked {
        rows.push((
            "answers",
            format!(
                "{:.2} ms (median), {:.2} ms (99 %), of {}; {} failed",
                asked.p50 * 1e3,
                asked.p99 * 1e3,
                count(asked.answers),
                count(asked.failed)
            ),
        ));
    }
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table(&["", ""], &rows, 1)
}

fn sizes(long: &Long) -> String {
    let row = |class: &eval::soak::ClassSize| {
        let per =
            if class.rows == 0 { "-".to_owned() } else { format!("{:.1}", class.bytes as f64 / class.rows as f64) };
        vec![class.class.clone(), count(class.rows), count(class.bytes), per]
    };
    table(&["class", "rows", "bytes", "bytes per row"], &long.classes.iter().map(row).collect::<Vec<_>>(), 1)
}
