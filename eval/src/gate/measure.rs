//! What a gate measures.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datasets::{Recording, Split, Splits};
use replay::config::Config;
use replay::engines::Severity;
use replay::profile::Profile;

use super::baseline::Better;
use super::{Figure, instructions, speed};
use crate::capture::capture;
use crate::overhead::adapter::Adapter;
use crate::storm::deed::Deed;
use crate::tune::bench::Bench;
use crate::tune::keys::leaves;
use crate::workload::Workload;
use crate::{Error, Result};

/// What to measure.
pub struct Plan<'a> {
    /// Figures whose name begins so; empty: all.
    pub only: &'a [String],
    /// Nothing that needs root, or minutes.
    pub short: bool,
    /// As `replay --config` and `--set`.
    pub config: &'a Config,
    pub splits: &'a Splits,
    pub replay: PathBuf,
    pub record: PathBuf,
    /// Whose overhead is measured.
    pub adapter: Adapter,
    pub rounds: usize,
    /// Share of the usual work of a workload.
    pub scale: f64,
    /// Of the storm.
    pub seconds: f64,
    /// For the recorder in the storm.
    pub options: Vec<String>,
}

/// How the program was built: times and instructions of one build say nothing of another.
const BUILD: &str = if cfg!(debug_assertions) { "dev" } else { "release" };
/// What speed is measured on, and what its baseline is learned from.
const SPEED: (&str, &str) = ("xmrig", "webapp-1");
const WORKLOADS: [Workload; 2] = [Workload::Storm, Workload::Forkexec];

impl Plan<'_> {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| name.starts_with(&**prefix))
    }

    /// Whether any of a group's figures is wanted.
    fn wants_group(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| prefix.starts_with(group) || group.starts_with(&**prefix))
    }
}

/// Measures all of it. `say`: lines for people. What needs what is not there is absent, and says why.
///
/// # Errors
/// A recording that ships is damaged; a replay fails.
pub fn measure(plan: &Plan<'_>, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if plan.wants_group("recordings") {
        say("what is in the recordings that ship");
        figures.extend(recordings()?);
    }
    if plan.wants_group("accuracy") {
        say("accuracy over the recordings of test");
        figures.extend(accuracy(plan)?);
    }
    if plan.wants_group("speed") {
        say("speed of a replay");
        figures.extend(replay_speed(plan)?);
    }
    if !plan.short {
        if plan.wants_group("capture") {
            say("a storm of system calls");
            figures.extend(storm(plan));
        }
        if plan.wants_group("overhead") {
            figures.extend(overhead(plan, say)?);
        }
    }
    figures.retain(|figure| plan.wants(&figure.name));
    if figures.is_empty() {
        return Err(Error::Set { reason: format!("no figure begins with {}", plan.only.join(", ")) });
    }
    Ok(figures)
}

/// `slack` and `share` are those of a new baseline.
fn figure(name: &str, value: Option<f64>, unit: &str, better: Better, (slack, share): (f64, f64), how: &str) -> Figure {
    let (name, unit, how) = (name.to_owned(), unit.to_owned(), how.to_owned());
    Figure { name, value, absent: None, unit, how, better, slack, share }
}

/// Captured, complete and small, of what ships.
fn recordings() -> Result<Vec<Figure>> {
    let (mut least, mut complete, mut bytes, mut events) = (1.0f64, 1.0f64, 0, 0);
    for name in datasets::shipped_names() {
        let found = capture(&Recording::shipped(&name)?)?;
        least = least.min(found.total.capture_rate.unwrap_or(0.0));
        complete = found.fields.iter().filter_map(|fields| fields.share).fold(complete, f64::min);
        (bytes, events) = (bytes + found.total.bytes, events + found.total.stored);
    }
    let per_event = bytes as f64 / events.max(1) as f64;
    Ok(vec![
        figure(
            "recordings.captured",
            Some(least),
            "share",
            Better::More,
            (0.0, 0.0),
            "eval capture: least of what ships",
        ),
        figure(
            "recordings.complete",
            Some(complete),
            "share",
            Better::More,
            (0.0, 0.0),
            "eval capture: least share of rows with all fields",
        ),
        figure(
            "recordings.bytes-per-event",
            Some(per_event),
            "bytes",
            Better::Less,
            (0.0, 0.02),
            "segments of what ships / events",
        ),
    ])
}

/// Acts found and false alerts over all recordings of test that ship, with the baseline of the lives of train.
fn accuracy(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let (mut lives, mut tried) = (Vec::new(), Vec::new());
    for name in datasets::shipped_names() {
        let recording = Recording::shipped(&name)?;
        let attacked = recording.manifest().scenario.as_ref().is_some_and(|scenario| !scenario.steps.is_empty());
        match plan.splits.of_recording(recording.manifest()) {
            Some(Split::Train) if !attacked => lives.push((name, recording)),
            Some(Split::Test) => tried.push((name, Some(Split::Test), recording)),
            _ => {}
        }
    }
    let folder = tempfile::tempdir().map_err(|error| Error::output(Path::new("a temporary directory"), error))?;
    let mut figures = Vec::new();
    let bench = replay::run::pooled(0, |threads| {
        Ok(Bench::open(lives, tried, Severity::Medium, folder.path().to_owned(), plan.config, threads).and_then(
            |bench| {
                let metrics = bench.evaluate(plan.config)?;
                Ok((bench.tried.len(), metrics))
            },
        ))
    });
    let (count, metrics) = bench??;
    let how = format!("{count} recordings of test with the lives' baseline, at medium and above");
    let false_alerts = metrics.false_alerts as f64;
    // Another CPU's last bits of a vector may turn one.
    figures.push(figure("accuracy.acts-found", Some(metrics.found as f64), "acts", Better::More, (1.0, 0.0), &how));
    figures.push(figure("accuracy.false-alerts", Some(false_alerts), "alerts", Better::Less, (2.0, 0.0), &how));
    let median = metrics.median_time_to_detect();
    figures.push(figure(
        "accuracy.time-to-detect",
        median,
        "s of event time",
        Better::Less,
        (0.05, 0.0),
        &format!("median; {how}"),
    ));
    Ok(figures)
}

/// The ratio in every form; instructions where there is time for them.
fn replay_speed(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let (name, life) = SPEED;
    let recording = Recording::shipped(name)?;
    let baseline: Profile = replay::run::learn(Recording::shipped(life)?, plan.config, 1)?;
    let mut figures = Vec::new();
    let ratio = format!("speed.replay-to-scan-{BUILD}");
    if plan.wants(&ratio) {
        let value = speed::ratio(&recording, &baseline, plan.config)?;
        let how = format!("{name} with {life}: median of 9 pairs of replay and plain scan, one thread");
        figures.push(figure(&ratio, Some(value), "times", Better::Less, (0.0, 0.75), &how));
    }
    let counted = format!("speed.instructions-per-event-{BUILD}");
    if !plan.short && plan.wants(&counted) {
        let how = format!("replay {name} --learn {life}, no model, one thread: instructions / events");
        let mut found = figure(&counted, None, "instructions", Better::Less, (0.0, 0.03), &how);
        match count(plan, &recording, &baseline) {
            Ok((value, who)) => {
                found.value = Some(value);
                found.how += &format!(", {who}");
            }
            Err(why) => found.absent = Some(why),
        }
        figures.push(found);
    }
    Ok(figures)
}

fn count(plan: &Plan<'_>, recording: &Recording, baseline: &Profile) -> Result<(f64, &'static str), String> {
    if !plan.replay.is_file() {
        return Err(format!("{} is not built", plan.replay.display()));
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let profile = folder.path().join("profile.json");
    std::fs::write(&profile, baseline.to_json()).map_err(|error| error.to_string())?;
    let mut args: Vec<OsString> = vec![recording.dir().into(), "--learn".into(), profile.into()];
    args.extend(["--threads".into(), "1".into(), "-o".into(), folder.path().join("out").into()]);
    // The model's instructions are those of its library, and of the CPU's features.
    let off = ["engines.weights.semantics=0", "args.embedding.enabled=false"].map(str::to_owned);
    let defaults = replay::config::load(None, &[]).map_err(|error| error.to_string())?;
    let changed = leaves(plan.config).into_iter().zip(leaves(&defaults)).filter(|(own, default)| own != default);
    let sets = changed.map(|((key, value), _)| format!("{key}={value}")).chain(off);
    args.extend(sets.flat_map(|set| ["--set".into(), set.into()]));
    let (counted, who) = instructions::count(&plan.replay, &args)?;
    Ok((counted as f64 / recording.manifest().rows().max(1) as f64, who))
}

/// Why nothing can be recorded here, if so.
fn cannot_record(record: &Path) -> Option<String> {
    // SAFETY: geteuid() has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Some("needs root".to_owned());
    }
    if !record.is_file() {
        return Some(format!("{} is not built", record.display()));
    }
    let checked = std::process::Command::new(record).arg("check").output();
    match checked {
        Ok(output) if output.status.code() != Some(3) => None,
        Ok(_) => Some("this kernel cannot record".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// System calls on every CPU as fast as can be.
fn storm(plan: &Plan<'_>) -> Vec<Figure> {
    let cpus = (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    let how = format!("getppid() on all CPUs for {} s, record --sample off {}", plan.seconds, plan.options.join(" "));
    let mut stored = figure("capture.storm-stored", None, "share", Better::More, (0.005, 0.0), how.trim_end());
    let mut accounted = figure("capture.storm-accounted", None, "share", Better::More, (0.0, 0.0), how.trim_end());
    let mut absent = |why: String| {
        stored.absent = Some(why.clone());
        accounted.absent = Some(why);
    };
    let dir = match (cannot_record(&plan.record), tempfile::tempdir()) {
        (Some(why), _) => {
            absent(why);
            return vec![stored, accounted];
        }
        (None, Err(error)) => {
            absent(error.to_string());
            return vec![stored, accounted];
        }
        (None, Ok(dir)) => dir,
    };
    let storm = crate::storm::storm(&crate::storm::Plan {
        deed: Deed::Syscall,
        cpus,
        length: Duration::from_secs_f64(plan.seconds),
        rate: 0,
        record: plan.record.clone(),
        counter: None,
        options: ["--sample", "off"].map(str::to_owned).into_iter().chain(plan.options.clone()).collect(),
        dir: dir.path().to_owned(),
    });
    match storm {
        Ok(storm) => {
            stored.value = Some(storm.stored_share);
            accounted.value = Some(if storm.verified { storm.accounted_share } else { 0.0 });
        }
        // A recorder that fails stores nothing: that is worse, and not absent.
        Err(error) => {
            stored.value = Some(0.0);
            accounted.value = Some(0.0);
            stored.how += &format!("; {error}");
        }
    }
    vec![stored, accounted]
}

/// Work under the recorder beside the same work bare, in turns.
fn overhead(plan: &Plan<'_>, say: &(dyn Fn(&str) + Sync)) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir().map_err(|error| Error::output(Path::new("a temporary directory"), error))?;
    let name = |workload: Workload| format!("overhead.{}", workload.name());
    let workloads: Vec<Workload> = WORKLOADS.into_iter().filter(|workload| plan.wants(&name(*workload))).collect();
    let how = format!("eval overhead --recorder {} --rounds {} --scale {}", plan.adapter.name, plan.rounds, plan.scale);
    let empty = |workload: Workload| figure(&name(workload), None, "times", Better::Less, (0.1, 0.15), &how);
    let needs_record = plan.adapter.command.iter().any(|word| word.contains("{record}"));
    if let Some(why) = needs_record.then(|| cannot_record(&plan.record)).flatten() {
        let absent = |workload| Figure { absent: Some(why.clone()), ..empty(workload) };
        return Ok(workloads.into_iter().map(absent).collect());
    }
    let found = crate::overhead::measure(
        &crate::overhead::Plan {
            workloads: workloads.clone(),
            adapters: vec![plan.adapter.clone()],
            rounds: plan.rounds,
            scale: plan.scale,
            record: plan.record.clone(),
            dir: dir.path().to_owned(),
        },
        &|line| say(line),
    )?;
    let of = |workload: Workload| {
        let result = found.recorders.iter().flat_map(|recorder| &recorder.results);
        let result = result.into_iter().find(|result| result.workload == workload);
        let why = || found.absent.iter().map(|absent| format!("{}: {}", absent.name, absent.why)).next();
        match result {
            Some(result) => Figure { value: Some(result.ratio), ..empty(workload) },
            None => Figure { absent: Some(why().unwrap_or_default()), ..empty(workload) },
        }
    };
    Ok(workloads.into_iter().map(of).collect())
}
