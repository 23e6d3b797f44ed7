//! How fast recordings are read, learned and compared, beside a plain polars scan of the same columns of the same files: in one
//! process, on one thread, in turns, so that a busy machine slows all of them alike.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use datasets::Recording;
use polars::prelude::{ParallelStrategy, ParquetReader, PolarsError, SerReader};
use record_bpf::Class;
use record_bpf::schema::{self, Type};
use replay::args::vectors::LazyModel;
use replay::config::Config;
use replay::judge::Judges;
use replay::pipeline::{JUDGED, Stage, Start, Streamed, World, columns, hit_by_rules, judged, stream};
use replay::profile::Profile;
use serde::Serialize;

use crate::machine::Machine;
use crate::overhead::stats::{median, ratio_interval};
use crate::{Error, Result};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// polars decodes the columns that a replay looks at, of the classes that it reads, and keeps nothing.
    Scan,
    /// The same columns as events in order.
    Read,
    /// What `replay learn` does: once for what rules hit, once to learn.
    Learn,
    /// What `replay` does without a baseline: learn, lock, compare.
    Replay,
    /// What `replay --learn profile.json` does: compare with a locked profile.
    Detect,
}

impl Work {
    pub const ALL: [Work; 5] = [Work::Scan, Work::Read, Work::Learn, Work::Replay, Work::Detect];

    pub const fn name(self) -> &'static str {
        match self {
            Work::Scan => "polars scan",
            Work::Read => "read",
            Work::Learn => "learn",
            Work::Replay => "learn, lock, compare",
            Work::Detect => "detect",
        }
    }
}

/// What was found out.
#[derive(Debug, Serialize)]
pub struct Speed {
    pub recording: String,
    pub events: u64,
    pub rounds: usize,
    /// Of this program: `release` or `development`.
    pub build: &'static str,
    pub machine: Machine,
    pub works: Vec<Timed>,
}

/// One of the works, over all rounds.
#[derive(Debug, Serialize)]
pub struct Timed {
    pub work: Work,
    /// s, by round
    pub seconds: Vec<f64>,
    /// Events by the median of the seconds, and by the most and the fewest.
    pub events_per_second: [f64; 3],
    /// Median time by that of the scan.
    pub to_scan: f64,
    /// Its 95 % interval, over rounds.
    pub to_scan_interval: (f64, f64),
}

/// Times each work once a round, after a round that is not counted: it reads files that are in no cache. `say`: lines for people.
/// What `baseline` taught is compared with; without it, what the recording itself teaches.
///
/// # Errors
/// A damaged recording; those of a replay; no events.
pub fn measure(
    name: &str,
    recording: &Recording,
    baseline: Option<Profile>,
    config: &Config,
    rounds: usize,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Speed> {
    datasets::store::local_only(recording.dir(), "a scan by polars")?;
    replay::input::verify(recording)?;
    let machine = Machine::look();
    let mut seconds: BTreeMap<Work, Vec<f64>> = BTreeMap::new();
    let events = replay::run::pooled(1, |_| {
        Ok((|| -> Result<u64> {
            let mut bench = Bench::open(recording, baseline, config)?;
            let events = bench.read()?;
            if events == 0 {
                return Err(Error::Usage {
                    reason: format!("{name} has no events of the classes that a replay reads"),
                });
            }
            for round in 0..=rounds {
                for work in Work::ALL {
                    let begin = Instant::now();
                    let taken = bench.run(work)?;
                    let took = begin.elapsed().as_secs_f64();
                    if taken != events {
                        let reason = format!("{taken} of {events} events were taken");
                        return Err(Error::Run { what: work.name().to_owned(), reason });
                    }
                    if round > 0 {
                        seconds.entry(work).or_default().push(took);
                    }
                }
                say(&format!("round {round} of {rounds}"));
            }
            Ok(events)
        })())
    })??;
    let scan = seconds.get(&Work::Scan).cloned().unwrap_or_default();
    let timed = |(work, seconds): (Work, Vec<f64>)| {
        let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = seconds.iter().copied().fold(0.0, f64::max);
        Timed {
            work,
            events_per_second: [median(&seconds), most, least].map(|took| events as f64 / took),
            to_scan: median(&seconds) / median(&scan),
            to_scan_interval: ratio_interval(&seconds, &scan),
            seconds,
        }
    };
    let works = seconds.into_iter().map(timed).collect();
    let build = if cfg!(debug_assertions) { "development" } else { "release" };
    Ok(Speed { recording: name.to_owned(), events, rounds, build, machine: machine.done(), works })
}

struct Bench<'a> {
    recording: &'a Recording,
    config: &'a Config,
    world: World,
    judges: Judges,
    model: LazyModel,
    profile: Profile,
}

impl<'a> Bench<'a> {
    fn open(recording: &'a Recording, baseline: Option<Profile>, config: &'a Config) -> Result<Bench<'a>> {
        let world = World::load(recording, config)?;
        let (judges, model) = (Judges::open(config)?, LazyModel::new(&config.model, 1));
        let mut bench = Bench { recording, config, world, judges, model, profile: Profile::default() };
        bench.profile = match baseline {
            Some(profile) => profile,
            None => bench.stream(Start::LearnAll)?.1.profile(),
        };
        Ok(bench)
    }

    /// Returns how many events were taken.
    fn run(&mut self, work: Work) -> Result<u64> {
        match work {
            Work::Scan => scan(self.recording),
            Work::Read => self.read(),
            Work::Learn => {
                let rules = self.judges.of(&self.world);
                std::hint::black_box(hit_by_rules(self.recording, &self.world, &rules)?);
                self.stream(Start::LearnAll).map(|(taken, _)| taken)
            }
            Work::Replay => self.stream(Start::Learn).map(|(taken, _)| taken),
            Work::Detect => self.stream(Start::Baseline(&self.profile)).map(|(taken, _)| taken),
        }
    }

    fn read(&self) -> Result<u64> {
        let mut events = 0;
        for event in judged(self.recording).given() {
            std::hint::black_box(event?);
            events += 1;
        }
        Ok(events)
    }

    fn stream(&self, start: Start<'_>) -> Result<(u64, Streamed)> {
        let rules = self.judges.of(&self.world);
        let stage = Stage { world: &self.world, start, config: self.config, vectors: &self.model, rules: &rules };
        let mut events = 0;
        let streamed = stream(self.recording, &stage, |_| events += 1)?;
        Ok((events, streamed))
    }
}

/// What gives an event its place and its kind; read besides what [`columns::of`] names.
const ALWAYS: [&str; 4] = ["ts", "cpu", "seq", "op"];

/// Rows of the classes that a replay reads.
fn scan(recording: &Recording) -> Result<u64> {
    let manifest = recording.manifest();
    let segments = JUDGED.into_iter().flat_map(|class| manifest.class_segments(class).map(move |one| (class, one)));
    segments.map(|(class, one)| scan_segment(&recording.dir().join(&one.file), class)).sum()
}

/// Polars without `dtype-u16` cannot hold CPUs and ports: they are not scanned, so the scan does a little less than a replay.
fn can_be_scanned(class: Class, name: &str) -> bool {
    let columns = schema::COMMON.iter().chain(schema::class_columns(class));
    columns.filter(|column| column.name == name).all(|column| column.ty != Type::U16)
}

fn scan_segment(path: &Path, class: Class) -> Result<u64> {
    let file = File::open(path).map_err(PolarsError::from)?;
    let mut reader = ParquetReader::new(file).read_parallel(ParallelStrategy::None);
    let found = reader.schema()?;
    // An older file may not have all of them.
    let wanted = |name: &&&str| found.get(name).is_some() && can_be_scanned(class, name);
    let wanted = ALWAYS.iter().chain(columns::of(class)).filter(wanted).map(|name| (*name).to_owned());
    let frame = reader.with_columns(Some(wanted.collect())).finish()?;
    Ok(std::hint::black_box(frame).height() as u64)
}
