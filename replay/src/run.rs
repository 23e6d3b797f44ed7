//! One replay from its sources to its results.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datasets::{Given, Manifest, Recording, store};
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use crate::alert::allow::AllowList;
use crate::alert::group::{self, GroundTruth, Judged};
use crate::alert::{Alert, Incident, incident};
use crate::args::vectors::LazyModel;
use crate::cli::Replay;
use crate::config::Config;
use crate::engines::{Thresholds, Weights};
use crate::error::{Error, Result};
use crate::gather::Gathered;
use crate::input::{self, Baseline, InputFile};
use crate::judge::Judges;
use crate::many;
use crate::output::report::Shown;
use crate::output::run_json::{BaselineInput, Run, Timings};
use crate::output::{OutputDir, parquet, report};
use crate::pipeline::ended::Ended;
use crate::pipeline::{Images, JUDGED, Lanes, Stage, Start, Streamed, World};
use crate::profile::Profile;
use crate::sink::Dispatcher;
use crate::summary;
use crate::timing::{self, Task};

/// What a replay reads.
pub struct Sources {
    recordings: Vec<Recording>,
    /// As they are called in results; these tell them apart.
    names: Vec<String>,
    /// As it was given.
    learn: Option<String>,
    baseline: Option<(String, Baseline)>,
}

impl Sources {
    /// # Errors
    /// Neither a recording nor a scenario is named; nothing there; foreign or incomplete files.
    pub fn open(options: &Replay) -> Result<Self> {
        if let (None, Some(name)) = (&options.recording, &options.scenario) {
            return Self::with(vec![input::scenario(name)?], options.learn.as_deref());
        }
        let named: Vec<String> = options.recording.iter().chain(&options.further).cloned().collect();
        Self::of(&named, options.learn.as_deref())
    }

    /// Recordings by directory, or name of one that ships; `learn`: the baseline, as `--learn` has it.
    ///
    /// # Errors
    /// As [`Sources::open`].
    pub fn of(recordings: &[String], learn: Option<&str>) -> Result<Self> {
        Self::with(recordings.iter().map(|name| input::recording(name)).collect::<Result<_>>()?, learn)
    }

    fn with(recordings: Vec<Recording>, learn: Option<&str>) -> Result<Self> {
        let baseline = match learn {
            Some(name) => Some((base_name(Path::new(name)), input::baseline(name)?)),
            None => None,
        };
        Ok(Self { learn: learn.map(str::to_owned), ..Self::new(recordings, baseline)? })
    }

    /// Of what is open already. The baseline has a name, which is its file's or its directory's.
    ///
    /// # Errors
    /// None, more recordings than can be told apart, or the same one twice.
    pub fn new(recordings: Vec<Recording>, baseline: Option<(String, Baseline)>) -> Result<Self> {
        if recordings.is_empty() {
            return Err(Error::config(
                "no recording given",
                "give its directory, or --scenario NAME for one that ships; replay --help shows more",
            ));
        }
        many::check(&recordings)?;
        Ok(Self { names: many::names(&recordings), recordings, learn: None, baseline })
    }

    /// In the order in which they were given.
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    /// What they are called in results.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The baseline as it was given.
    pub fn learn(&self) -> Option<&str> {
        self.learn.as_deref()
    }

    pub(crate) fn baseline(&self) -> Option<&(String, Baseline)> {
        self.baseline.as_ref()
    }

    /// The recording's own name; of several, their names.
    pub fn name(&self) -> String {
        many::joined(&self.names)
    }

    /// Ground truth about all events.
    pub(crate) fn truth(&self) -> Result<GroundTruth> {
        Ok(GroundTruth::new(many::labels(&self.recordings, &self.names)?))
    }

    /// Where results go unless told otherwise.
    pub fn default_output(&self) -> PathBuf {
        Path::new("out").join(self.name())
    }
}

/// The last part of a path, made absolute first.
pub fn base_name(path: &Path) -> String {
    store::absolute(path).file_name().map_or_else(|| "recording".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What came of it.
pub struct Outcome {
    pub alerts: Vec<Alert>,
    pub incidents: Vec<Incident>,
    pub run: Run,
    pub profile: Profile,
    shown: Shown,
}

impl Outcome {
    /// The alerts, one JSON object per line.
    pub fn alerts_jsonl(&self) -> String {
        self.alerts.iter().map(|alert| format!("{}\n", to_json(alert))).collect()
    }

    /// The incidents, one JSON object per line.
    pub fn incidents_jsonl(&self) -> String {
        self.incidents.iter().map(|incident| format!("{}\n", to_json(incident))).collect()
    }

    /// The alerts as one JSON array.
    pub fn alerts_json(&self) -> String {
        let lines: Vec<_> = self.alerts.iter().map(|alert| format!("  {}", to_json(alert))).collect();
        if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
    }

    /// Hands what is raised to the sinks, whose threads send it meanwhile.
    pub fn raise(&self, mut sinks: Dispatcher) -> Dispatcher {
        self.alerts.iter().for_each(|alert| sinks.raise(alert));
        self.incidents.iter().for_each(|incident| sinks.raise_incident(incident));
        sinks
    }

    /// Writes all files; returns the report's path.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn write(&self, output: &OutputDir) -> Result<PathBuf> {
        let report = timing::stage(Task::Output, || self.write_results(output))?;
        // Last, so that it can say how long the others took.
        let mut run = self.run.clone();
        run.timings.profile = timing::account();
        output.write("run.json", run.to_json().as_bytes())?;
        Ok(report)
    }

    fn write_results(&self, output: &OutputDir) -> Result<PathBuf> {
        output.write("alerts.parquet", &parquet::encode(&self.alerts)?)?;
        output.write("alerts.jsonl", self.alerts_jsonl().as_bytes())?;
        output.write("incidents.jsonl", self.incidents_jsonl().as_bytes())?;
        output.write("profile.json", self.profile.to_json().as_bytes())?;
        let report = output
            .write("report.html", report::render(&self.run, &self.alerts, &self.incidents, &self.shown)?.as_bytes())?;
        Ok(report)
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("string keys and plain values serialize")
}

/// Runs the replay. `threads`: 0 for one per core.
///
/// # Errors
/// Damaged input; a needed model that is missing.
pub fn run(sources: &Sources, config: &Config, threads: usize) -> Result<Outcome> {
    pooled(threads, |threads| replay(sources, config, threads))
}

/// Runs `work` on a pool of `threads`, 0 for one per core; it is told how many.
///
/// # Errors
/// The threads cannot be started, or the work fails.
pub fn pooled<T: Send>(threads: usize, work: impl FnOnce(usize) -> Result<T> + Send) -> Result<T> {
    let threads = if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
        Error::config(format!("cannot start {threads} threads: {error}"), "give fewer with --threads")
    })?;
    pool.install(|| work(threads))
}

/// What a recording teaches as a baseline: all of it is learned, as with `--learn`. `threads` as of [`run`].
///
/// # Errors
/// Damaged input; a needed model that is missing.
pub fn learn(recording: Recording, config: &Config, threads: usize) -> Result<Profile> {
    pooled(threads, |threads| {
        let model = LazyModel::new(&config.model, threads);
        let judges = Judges::open(config)?;
        let name = base_name(recording.dir());
        let baseline = Baseline::Recording(Box::new(recording));
        learn_baseline(&name, &baseline, config, &model, &judges, None).map(|(profile, _)| profile)
    })
}

fn replay(sources: &Sources, config: &Config, threads: usize) -> Result<Outcome> {
    let begin = Instant::now();
    let mut timings = Timings { threads, ..Timings::default() };
    let model = LazyModel::new(&config.model, threads);
    let judges = Judges::open(config)?;
    let allow = allow_list(config)?;
    for skipped in judges.skipped_rules() {
        eprintln!("warning: {skipped}");
    }

    hints(sources);
    let files = timed(&mut timings.verify_ms, Task::Verify, || verify(sources))?;
    let baseline = timed(&mut timings.baseline_ms, Task::Baseline, || match &sources.baseline {
        Some((name, baseline)) => learn_baseline(name, baseline, config, &model, &judges, None).map(Some),
        None => Ok(None),
    })?;

    let world = timing::stage(Task::Tables, || World::of(&sources.recordings, config))?;
    let mut truth = sources.truth()?;
    let start = baseline.as_ref().map_or(Start::Learn, |(profile, _)| Start::Baseline(profile));
    let mut gathered = Gathered::default();
    let watch = |event: &Given| {
        truth.see(event.class(), event.cpu(), event.seq(), event.ts());
        gathered.see_given(event, &world);
    };
    let streamed = timed(&mut timings.stream_ms, Task::Stream, || {
        let rules = judges.of(&world);
        let stage = Stage { world: &world, start, config, vectors: &model, rules: &rules };
        stream(&sources.recordings, &stage, "replaying", watch)
    })?;
    let inputs = inputs(sources, files, baseline.map(|(_, input)| input));
    let truth = &truth;
    conclude(
        streamed,
        Conclusion {
            inputs,
            config,
            judges: &judges,
            allow: &allow,
            model: &model,
            world: &world,
            truth,
            gathered,
            timings,
            begin,
        },
    )
}

/// The files of all recordings, whose hashes are as the manifests say.
pub(crate) fn verify(sources: &Sources) -> Result<Vec<Vec<InputFile>>> {
    sources.recordings.iter().map(input::verify).collect()
}

/// What results name as their input. `files`: of each recording.
pub(crate) fn inputs(
    sources: &Sources,
    files: Vec<Vec<InputFile>>,
    baseline: Option<BaselineInput>,
) -> summary::Inputs<'_> {
    let named = sources.recordings.iter().zip(&sources.names).zip(files);
    let recordings = named.map(|((recording, name), files)| summary::Recorded {
        name: name.clone(),
        dir: store::absolute(recording.dir()),
        manifest: recording.manifest(),
        files,
    });
    summary::Inputs { recordings: recordings.collect(), baseline }
}

/// What results are made with, besides the stream.
pub(crate) struct Conclusion<'a> {
    pub inputs: summary::Inputs<'a>,
    pub config: &'a Config,
    pub judges: &'a Judges,
    pub allow: &'a AllowList,
    pub model: &'a LazyModel,
    pub world: &'a World,
    pub truth: &'a GroundTruth,
    pub gathered: Gathered,
    pub timings: Timings,
    pub begin: Instant,
}

/// From the stream's end to the results.
pub(crate) fn conclude(streamed: Streamed, conclusion: Conclusion<'_>) -> Result<Outcome> {
    let ended = Ended::new(streamed, conclusion.world, conclusion.config);
    conclude_ended(ended, None, conclusion)
}

/// The same. `model`: the embedding model that the stream needed, where this process did not open one.
pub(crate) fn conclude_ended(mut ended: Ended, needed: Option<String>, conclusion: Conclusion<'_>) -> Result<Outcome> {
    let Conclusion { inputs, config, judges, allow, model, world, truth, gathered, mut timings, begin } = conclusion;
    let profile = ended.take_profile();
    let folded = ended.take_folded();
    let streamed = Streamed { images: Vec::new(), per_second: BTreeMap::new(), span: ended.span };
    let begun = Instant::now();
    let judged = judges.judge(folded, &streamed, world, model)?;
    timings.engines_ms = milliseconds(begun.elapsed());
    let deviations = judged.len() as u64;
    timings.judge = judges.llm_use(&judged);
    judges.warn_unanswered(&judged);
    let (alerts, allowed, incidents) = timing::stage(Task::Alerts, || {
        let mut alerts = alerts(judged, world, config, truth);
        let allowed = allow.apply(&mut alerts);
        let mut incidents = incident::gather(&alerts, config.alerts.lateral);
        if inputs.recordings.len() > 1 {
            let names: Vec<Arc<str>> = inputs.recordings.iter().map(|recorded| recorded.name.as_str().into()).collect();
            many::name(&mut alerts, &mut incidents, &names);
        }
        (alerts, allowed, incidents)
    });
    timings.total_ms = milliseconds(begin.elapsed());
    let judge = judges.semantics().to_owned();
    let engines = summary::Engines { model: model.name().or(needed), judge, rules: judges.listed() };
    let mut run = summary::run(inputs, engines, config, &ended, world, &alerts, deviations, truth, timings);
    run.allowed.entries = allowed;
    let timeline = summary::timeline(&ended, &alerts);
    let shown = Shown::new(timeline, &gathered, world, &alerts);
    Ok(Outcome { alerts, incidents, run, profile, shown })
}

/// The alerts of what was judged, by the configured weights and bounds.
pub(crate) fn alerts(judged: Vec<Judged>, world: &World, config: &Config, truth: &GroundTruth) -> Vec<Alert> {
    let weights = &config.engines.weights;
    let weights = Weights { rules: weights.rules, statistics: weights.statistics, semantics: weights.semantics };
    let bounds = &config.severity;
    let bounds = Thresholds { critical: bounds.critical, high: bounds.high, medium: bounds.medium };
    group::alerts(judged, world, weights, bounds, truth, config.alerts.lateral)
}

/// The list of what is known and not raised; empty where the configuration names none.
///
/// # Errors
/// A file that cannot be read or has a bad entry.
pub(crate) fn allow_list(config: &Config) -> Result<AllowList> {
    match &*config.alerts.allow {
        "" => Ok(AllowList::default()),
        path => AllowList::load(Path::new(path)),
    }
}

pub(crate) fn hints(sources: &Sources) {
    for (recording, name) in sources.recordings.iter().zip(&sources.names) {
        hint(name, recording.manifest(), sources.baseline.is_none());
    }
    if let Some((name, Baseline::Recording(recording))) = &sources.baseline {
        hint(name, recording.manifest(), true);
    }
}

/// What a recording left out on purpose changes what can be learned from it.
pub fn hint(name: &str, manifest: &Manifest, is_learned: bool) {
    if let Some(known) = manifest.known.as_ref().filter(|_| is_learned) {
        let filter = known.sha256.get(..12).unwrap_or(&known.sha256);
        eprintln!(
            "warning: {name} was recorded with a filter of known behaviour ({filter}…): what that knew is not in it, and \
             a profile learned from it is wrong"
        );
        eprintln!("hint: compare it with the profile that the filter was made from: --learn PROFILE.json");
    }
    let thinned = manifest.sampling.iter().flat_map(|sampling| &sampling.changes).filter(|change| change.to > 1);
    if let Some(most) = thinned.max_by_key(|change| change.to) {
        eprintln!(
            "warning: {name} was thinned: of class {}, one event in {} was kept at the least",
            most.class, most.to
        );
    }
}

/// The profile of a baseline, and what it was read from. `only`: of these images; of a saved profile it is all of it.
pub(crate) fn learn_baseline(
    name: &str,
    baseline: &Baseline,
    config: &Config,
    model: &LazyModel,
    judges: &Judges,
    only: Option<&Arc<Images>>,
) -> Result<(Profile, BaselineInput)> {
    let (profile, kind, files): (Profile, &'static str, Vec<InputFile>) = match baseline {
        Baseline::Profile(profile, file) => (profile.clone(), "profile", vec![file.clone()]),
        Baseline::Recording(recording) => {
            let files = input::verify(recording)?;
            let world = World::load(recording, config)?;
            let rules = judges.of(&world);
            let stage = Stage { world: &world, start: Start::LearnAll, config, vectors: model, rules: &rules };
            let lanes = only.map_or_else(Lanes::default, |only| Lanes::only(Arc::clone(only)));
            let lanes = streamed(lanes, std::slice::from_ref(&**recording), &stage, "learning", |_| {})?;
            (lanes.end(&stage).profile(), "recording", files)
        }
    };
    Ok((profile, BaselineInput { kind, name: name.to_owned(), files }))
}

/// All events through the lanes of all images, with a progress bar on a terminal.
fn stream(
    recordings: &[Recording],
    stage: &Stage<'_>,
    what: &'static str,
    watch: impl FnMut(&Given),
) -> Result<Streamed> {
    Ok(streamed(Lanes::default(), recordings, stage, what, watch)?.end(stage))
}

/// The lanes after all events.
pub(crate) fn streamed(
    mut lanes: Lanes,
    recordings: &[Recording],
    stage: &Stage<'_>,
    what: &'static str,
    mut watch: impl FnMut(&Given),
) -> Result<Lanes> {
    let bar = progress_bar(many::rows(recordings), what);
    let mut taken = 0u64;
    let watch = |event: &Given| {
        taken += 1;
        if taken.is_multiple_of(4096) {
            bar.set_position(taken);
        }
        watch(event);
    };
    let taken = lanes.take(many::events(recordings, &JUDGED), stage, watch);
    bar.finish_and_clear();
    taken.map(|()| lanes)
}

static PROGRESS: AtomicBool = AtomicBool::new(true);

/// Whether this process draws progress bars at all, which a program does and a library does not.
pub fn show_progress(shown: bool) {
    PROGRESS.store(shown, Ordering::Relaxed);
}

/// On a terminal; hidden elsewhere.
pub fn progress_bar(total: u64, what: &'static str) -> ProgressBar {
    progress_of(total, what, "events")
}

/// The same for other things than events.
pub(crate) fn progress_of(total: u64, what: &'static str, things: &str) -> ProgressBar {
    if !PROGRESS.load(Ordering::Relaxed) || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template(&format!("{{msg}} {{bar:30}} {{human_pos}}/{{human_len}} {things}, {{rate}}/s"))
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
            });
    ProgressBar::new(total).with_message(what).with_style(style)
}

pub(crate) fn timed<T>(slot: &mut f64, stage: Task, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = timing::stage(stage, work);
    *slot = milliseconds(begin.elapsed());
    result
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Alerts by severity, in order of severity's name, without the allowed ones.
pub fn by_severity(alerts: &[Alert]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| alert.allowed.is_none()) {
        *counts.entry(alert.severity.name()).or_default() += 1;
    }
    counts
}
