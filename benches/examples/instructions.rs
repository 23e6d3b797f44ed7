//! Counts the instructions of the hot paths under valgrind's callgrind, and compares them with those of `benches/instructions.txt`:
//! a figure that a busy machine does not change.
//!
//! `./dev instructions` builds and runs this. Without arguments every path is counted; exit code 1: one takes more than the
//! baseline, by more than its tolerance. `--update` writes the baseline anew.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use benches::replayed::{Deviations, Replay};
use benches::wire;
use datasets::{Accounting, Event, Kernel, Known, Manifest, Recorder, RecordingWriter, Storage, segment};
use record::decode;
use record_bpf::Class;
use replay::pipeline::Start;

/// Rows, or records.
const MANY: usize = 5_000;
/// Counts of two runs differ by a fiftieth of it: hash maps begin with random numbers.
const TOLERANCE: f64 = 0.01;

/// A hot path: what it is called, how many things it handles, and how it is prepared.
struct Hot {
    name: &'static str,
    of: &'static str,
    prepare: fn() -> Prepared,
}

/// How many things one call handles, and the call.
type Prepared = (u64, Box<dyn FnMut() + Send>);

const PATHS: [Hot; 7] = [
    Hot { name: "decode", of: "records of the ring to owned values", prepare: decoding },
    Hot { name: "columns", of: "rows to columns", prepare: columns },
    Hot { name: "parquet", of: "columns to Parquet", prepare: parquet },
    Hot { name: "journal", of: "rows into open segments and to the journal", prepare: journal },
    Hot { name: "learn", of: "events read and learned", prepare: learn },
    Hot { name: "judge", of: "events read, compared with a profile and asked of the rules", prepare: judge },
    Hot { name: "score", of: "deviations clustered, scored and given a severity", prepare: score },
];

/// What callgrind counts: it is told the name, so nothing may be put in the place of the call.
#[unsafe(no_mangle)]
#[inline(never)]
fn retroscope_counted(work: &mut dyn FnMut()) {
    work();
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--run", name] => PATHS.iter().find(|path| path.name == name).map_or(ExitCode::from(2), run),
        [] => compare(false),
        ["--update"] => compare(true),
        _ => {
            eprintln!("usage: instructions [--update]");
            ExitCode::from(2)
        }
    }
}

/// Under callgrind: once to warm up, once counted.
fn run(path: &Hot) -> ExitCode {
    let (things, mut work) = (path.prepare)();
    println!("{things}");
    // A replay's threads are of a pool: the pool's thread counts.
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    one.install(|| {
        work();
        retroscope_counted(&mut work);
    });
    ExitCode::SUCCESS
}

fn compare(update: bool) -> ExitCode {
    let baseline = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let kept = fs::read_to_string(&baseline).unwrap_or_default();
    let known = read(&kept);
    let mut lines = String::from(HEADER);
    let mut worse = false;
    println!("{:8} {:>14} {:>12} {:>9}  of", "path", "instructions", "per thing", "baseline");
    for path in &PATHS {
        let (count, things) = match count(path) {
            Ok(found) => found,
            Err(why) => {
                eprintln!("error: {}: {why}\nhint: valgrind is needed (Debian: valgrind)", path.name);
                return ExitCode::from(3);
            }
        };
        let change = known.get(path.name).map(|before| count as f64 / *before as f64 - 1.0);
        let shown = change.map_or_else(|| "none".to_owned(), |change| format!("{:+.2} %", change * 100.0));
        println!("{:8} {count:>14} {:>12.0} {shown:>9}  {things} {}", path.name, count as f64 / things as f64, path.of);
        worse |= change.is_some_and(|change| change > TOLERANCE);
        lines += &format!("{} {count}\n", path.name);
    }
    if update {
        if let Err(error) = fs::write(&baseline, lines) {
            eprintln!("error: {}: {error}\nhint: check the space and who may write there", baseline.display());
            return ExitCode::from(5);
        }
    } else if worse {
        eprintln!("check failed: more than {:.0} % above the baseline", TOLERANCE * 100.0);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

const HEADER: &str = "\
# Instructions of one call of each hot path, by `./dev instructions --update`: a development build by Rust 1.95 for x86-64.
# Another compiler, or another version of a library, gives other counts.
";

fn read(text: &str) -> BTreeMap<&str, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).filter_map(|(name, n)| Some((name, n.trim().parse().ok()?))).collect()
}

/// Instructions of the counted call, and how many things it handled.
fn count(path: &Hot) -> Result<(u64, u64), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let to = dir.path().join("counted");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--toggle-collect=retroscope_counted"]);
    command.arg(format!("--callgrind-out-file={}", to.display())).arg(own).args(["--run", path.name]);
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it said nothing").to_owned());
    }
    let things =
        String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| "it printed no number".to_owned())?;
    let text = fs::read_to_string(&to).map_err(|error| error.to_string())?;
    // "totals: N" or "summary: N", at the end (callgrind's format, "Format Specification").
    let total =
        text.lines().rev().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let count = total.and_then(|total| total.trim().parse().ok()).filter(|count| *count > 0);
    Ok((count.ok_or("nothing was counted")?, things))
}

fn decoding() -> Prepared {
    let records = [wire::call(), wire::connect(), wire::open(), wire::exec()];
    let work = move || {
        for at in 0..MANY {
            let record = decode::record(black_box(&records[at % records.len()]));
            assert!(black_box(record).is_ok());
        }
    };
    (MANY as u64, Box::new(work))
}

fn files() -> Vec<Event> {
    benches::events(MANY * 2).into_iter().filter(|event| event.class() == Class::File).take(MANY).collect()
}

fn columns() -> Prepared {
    let events = files();
    let work = move || assert_eq!(segment::batch(Class::File, black_box(&events)).num_rows(), MANY);
    (MANY as u64, Box::new(work))
}

fn parquet() -> Prepared {
    let batch = segment::batch(Class::File, &files());
    let work = move || {
        let file = segment::parquet(Class::File, black_box(&batch)).expect("the writer's own columns");
        assert!(file.len() > MANY);
    };
    (MANY as u64, Box::new(work))
}

fn journal() -> Prepared {
    let events = files();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let recorder = Recorder { name: "bench".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let kernel = Kernel { release: "none".to_owned(), machine: "none".to_owned() };
    let begin = events[0].common().ts;
    let manifest = Manifest::new(recorder, kernel, begin, Vec::new(), &Class::ALL);
    let storage = Storage { journal: Some(std::time::Duration::ZERO), ..Storage::default() };
    let mut writer = RecordingWriter::create_with(folder.path().join("rec"), manifest, storage).expect("a recording");
    let work = move || {
        // The folder is removed with this.
        assert!(folder.path().is_dir());
        for event in &events {
            writer.push(black_box(event)).expect("a row");
        }
        let known = Known {
            at_ns: begin,
            until_ns: begin,
            accounting: Accounting::default(),
            processes: &[],
            all_processes: false,
            ended: &[],
            containers: &[],
            addresses: &[],
        };
        writer.journal(known).expect("the journal");
    };
    (MANY as u64, Box::new(work))
}

fn learn() -> Prepared {
    let benign = Replay::of("webapp");
    let rows = benign.rows();
    let work = move || {
        let streamed = benign.run(Start::LearnAll);
        assert_eq!(streamed.images.iter().map(|image| image.counts.events).sum::<u64>(), rows);
    };
    (rows, Box::new(work))
}

fn judge() -> Prepared {
    let (benign, attack) = (Replay::of("webapp"), Replay::of("xmrig"));
    let profile = benign.run(Start::LearnAll).profile();
    let rows = attack.rows();
    let work = move || {
        let streamed = attack.run(Start::Baseline(&profile));
        assert_eq!(streamed.images.iter().map(|image| image.counts.events).sum::<u64>(), rows);
    };
    (rows, Box::new(work))
}

fn score() -> Prepared {
    let profile = Replay::of("webapp").run(Start::LearnAll).profile();
    let deviations = Deviations::of(Replay::of("xmrig"), &profile);
    let things = deviations.count();
    (things, Box::new(move || assert_eq!(deviations.score(), things)))
}
