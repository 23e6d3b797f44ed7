//! A recording replayed while it is written.
//!
//! Events are taken as [`datasets::Follow`] gives them, twice a second, through the same lanes as offline; what departs is judged at
//! once, and told ([`live`]). When the recording is complete it is replayed from its beginning, as offline, and what was told is
//! compared with that: only the whole recording says how many siblings do the like, and what a container is called.

mod known;
pub mod live;
mod rules;
mod signals;

use std::path::Path;
use std::time::{Duration, Instant};

use datasets::{Follow, Growth, store};
use serde::Serialize;

use crate::alert::Alert;
use crate::alert::allow::AllowList;
use crate::alert::group::GroundTruth;
use crate::args::vectors::LazyModel;
use crate::cli::Replay;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::gather::Gathered;
use crate::input::{self, Baseline};
use crate::judge::Judges;
use crate::output::run_json::{BaselineInput, Timings};
use crate::pipeline::{JUDGED, Lanes, Stage, Start, Streamed};
use crate::profile::Profile;
use crate::run::{self, Conclusion, Outcome, Sources, base_name, learn_baseline, pooled};
use crate::summary;

use known::KnownSoFar;
pub use live::{Changed, Latencies, Live, Told, What};
pub use rules::RuleSet;
use rules::Watch;
pub use signals::Signals;

/// Between two looks at the recording's journal.
const LOOK: Duration = Duration::from_millis(50);

/// Judging everything anew takes no more of the time than one part in so many: with very many deviations alerts come later.
const JUDGE_SHARE: u32 = 5;

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The recording is complete, and the results are those of a replay of it.
    Complete,
    /// The recorder was killed: the results are of what it left.
    RecorderKilled,
    /// It was asked to end: the results are of what there was until then.
    Asked,
}

/// What came of it.
pub struct Followed {
    pub outcome: Outcome,
    pub report: Report,
}

/// `follow.json`: what was told, when, and what has changed since.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub kind: &'static str,
    pub ended: Ended,
    /// Events taken while it followed.
    pub events: u64,
    /// Events that came out of their order, because the recorder knew of them late.
    pub late: u64,
    /// Segments that were removed before they were read.
    pub segments_gone: u64,
    /// Alerts that were told.
    pub told: u64,
    pub latency_ms: Latencies,
    /// What was told and does not hold, and what holds and was not told.
    pub changed: Vec<Changed>,
    /// The rules, in order of time. The results are by the last of them alone.
    pub rules: Vec<RuleSet>,
}

impl Report {
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("string keys and plain values serialize");
        text.push('\n');
        text
    }
}

/// Follows the recording to its end, or until a signal. `tell` gets every alert as it comes.
///
/// # Errors
/// No recording there within `--wait`; one that cannot be followed; damaged files; a needed model that is missing.
pub fn follow(
    options: &Replay,
    dir: &Path,
    config: &Config,
    signals: &Signals,
    tell: &mut (dyn FnMut(&Told) + Send),
) -> Result<Followed> {
    let threads = usize::from(options.threads);
    let Some(recording) = wait_for(dir, Duration::from_secs(options.wait), signals)? else {
        return Err(Error::input(
            format!("{}: no recording there", dir.display()),
            "start the recorder, or give --wait",
        ));
    };
    let (ended, live, mut report, outcome) = pooled(threads, |threads| {
        let mut following = Following::begin(options, dir, recording, config, threads)?;
        let ended = following.run(signals, tell)?;
        let report = following.report(ended);
        // Of a complete recording everything is replayed: what was held for that is not needed any more.
        let outcome = if ended == Ended::Complete { None } else { Some(following.conclude()?) };
        Ok((ended, std::mem::take(&mut following.live), report, outcome))
    })?;
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => run::run(&Sources::open(options)?, config, threads)?,
    };
    report.ended = ended;
    report.changed = live.compare(&outcome.alerts);
    Ok(Followed { outcome, report })
}

/// The recording, as soon as it is there. `None`: it is not, or a signal came.
fn wait_for(dir: &Path, most: Duration, signals: &Signals) -> Result<Option<Follow>> {
    let began = Instant::now();
    loop {
        match Follow::begin(dir, &JUDGED) {
            Ok(follow) => return Ok(Some(follow)),
            Err(datasets::Error::NotFound { .. } | datasets::Error::NoManifest { .. })
                if began.elapsed() < most && !signals.ends() =>
            {
                std::thread::sleep(LOOK);
            }
            Err(_) if signals.ends() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Everything that is held while following.
struct Following<'a> {
    config: &'a Config,
    name: String,
    recording: Follow,
    known: KnownSoFar,
    lanes: Lanes,
    judges: Judges,
    model: LazyModel,
    baseline: Option<(Profile, BaselineInput)>,
    watch: Watch,
    allow: AllowList,
    allow_watch: Watch,
    rules: Vec<RuleSet>,
    live: Live,
    events: u64,
    gathered: Gathered,
    /// Unix time, ns.
    began: i64,
    /// Something departed since the engines were asked.
    is_due: bool,
    judged: Instant,
    judging_took: Duration,
    threads: usize,
}

impl<'a> Following<'a> {
    fn begin(
        options: &Replay,
        dir: &Path,
        recording: Follow,
        config: &'a Config,
        threads: usize,
    ) -> Result<Following<'a>> {
        let model = LazyModel::new(&config.model, threads);
        let watch = Watch::new(&config.engines.rules);
        let judges = Judges::open(config)?;
        for skipped in judges.skipped_rules() {
            eprintln!("warning: {skipped}");
        }
        // An alert is not to wait for the model.
        judges.prepare(&model)?;
        let name = base_name(dir);
        let baseline: Option<(String, Baseline)> = match &options.learn {
            Some(learn) => Some((base_name(Path::new(learn)), input::baseline(learn)?)),
            None => None,
        };
        run::hint(&name, recording.manifest(), baseline.is_none());
        let baseline = baseline.map(|(name, baseline)| learn_baseline(&name, &baseline, config, &model, &judges, None));
        let rules = vec![RuleSet { from: None, rules: judges.rule_count(), sha256: watch.sha256().to_owned() }];
        Ok(Following {
            config,
            name,
            recording,
            known: KnownSoFar::default(),
            lanes: Lanes::default(),
            judges,
            model,
            baseline: baseline.transpose()?,
            watch,
            allow: run::allow_list(config)?,
            allow_watch: Watch::new(&config.alerts.allow),
            rules,
            live: Live::default(),
            events: 0,
            gathered: Gathered::default(),
            began: unix_ns(),
            is_due: false,
            judged: Instant::now(),
            judging_took: Duration::ZERO,
            threads,
        })
    }

    fn run(&mut self, signals: &Signals, tell: &mut (dyn FnMut(&Told) + Send)) -> Result<Ended> {
        loop {
            if signals.ends() {
                return Ok(Ended::Asked);
            }
            let asked = signals.take_reload();
            self.reread_rules(asked);
            self.reread_allow_list(asked);
            let progress = self.recording.poll()?;
            if progress != Growth::Nothing {
                self.take(signals)?;
            }
            let ended = match progress {
                Growth::Complete => Some(Ended::Complete),
                Growth::Killed => Some(Ended::RecorderKilled),
                Growth::Grown | Growth::Nothing => None,
            };
            if self.is_due && (ended.is_some() || self.judged.elapsed() >= self.judging_took * JUDGE_SHARE) {
                self.judge(tell)?;
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
            if progress == Growth::Nothing {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Takes the events that there are.
    fn take(&mut self, signals: &Signals) -> Result<()> {
        self.known.grow(self.recording.take_tables(), &self.config.network);
        let Self { known, judges, config, model, baseline, lanes, recording, events, gathered, .. } = self;
        let rules = judges.of(&known.world);
        let start = start(baseline.as_ref());
        let stage = Stage { world: &known.world, start, config, vectors: model, rules: &rules };
        let ready = recording.ready().take_while(|_| !signals.ends());
        lanes.take(ready, &stage, |event| {
            *events += 1;
            gathered.see_given(event, &known.world);
        })?;
        self.is_due |= self.lanes.take_changed();
        Ok(())
    }

    /// Asks the engines about everything that has departed so far, and tells what there is to tell.
    fn judge(&mut self, tell: &mut (dyn FnMut(&Told) + Send)) -> Result<()> {
        let began = Instant::now();
        let alerts = self.alerts()?;
        for mut told in self.live.tell(&alerts, unix_ns(), self.began) {
            told.started = told.alert.exec_id.and_then(|id| self.known.world.processes.begun(id));
            tell(&told);
        }
        (self.is_due, self.judged, self.judging_took) = (false, Instant::now(), began.elapsed());
        Ok(())
    }

    fn alerts(&self) -> Result<Vec<Alert>> {
        let seen = self.lanes.seen();
        let streamed = Streamed { images: Vec::new(), per_second: Default::default(), span: seen.span };
        let judged = self.judges.judge(self.lanes.folded(), &streamed, &self.known.world, &self.model)?;
        let mut alerts = run::alerts(judged, &self.known.world, self.config, &GroundTruth::default());
        self.allow.apply(&mut alerts);
        Ok(alerts)
    }

    /// Takes the user's rules as they are now. Broken ones change nothing.
    fn reread_rules(&mut self, asked: bool) {
        if !self.watch.has_changed(asked) {
            return;
        }
        match self.judges.reload_rules(self.config) {
            Ok(()) => {
                let rules = self.judges.rule_count();
                let from = self.lanes.seen().span.map(|(_, last)| last);
                eprintln!("rules read again: {rules} in use, for events from now on");
                self.judges.skipped_rules().iter().for_each(|skipped| eprintln!("warning: {skipped}"));
                self.rules.push(RuleSet { from, rules, sha256: self.watch.sha256().to_owned() });
            }
            Err(error) => eprintln!("rules stay as they are: {error}"),
        }
    }

    /// Takes the allow-list as it is now; what it allows is told no more, what it does not any longer is told.
    fn reread_allow_list(&mut self, asked: bool) {
        if !self.allow_watch.has_changed(asked) {
            return;
        }
        match run::allow_list(self.config) {
            Ok(allow) => {
                eprintln!("allow-list read again");
                (self.allow, self.is_due) = (allow, true);
            }
            Err(error) => eprintln!("the allow-list stays as it is: {error}"),
        }
    }

    fn report(&self, ended: Ended) -> Report {
        Report {
            kind: "retroscope follow",
            ended,
            events: self.events,
            late: self.recording.late(),
            segments_gone: self.recording.gone(),
            told: self.live.count(),
            latency_ms: self.live.latencies(),
            changed: Vec::new(),
            rules: self.rules.clone(),
        }
    }

    /// The results of what there was so far.
    fn conclude(&mut self) -> Result<Outcome> {
        let Self { known, judges, allow, config, model, baseline, lanes, recording, name, threads, gathered, .. } =
            self;
        let rules = judges.of(&known.world);
        let start = start(baseline.as_ref());
        let stage = Stage { world: &known.world, start, config, vectors: model, rules: &rules };
        let streamed = std::mem::take(lanes).end(&stage);
        run::conclude(
            streamed,
            Conclusion {
                inputs: summary::Inputs {
                    recordings: vec![summary::Recorded {
                        name: name.clone(),
                        dir: store::absolute(recording.dir()),
                        manifest: recording.manifest(),
                        // They were still changing.
                        files: Vec::new(),
                    }],
                    baseline: baseline.take().map(|(_, input)| input),
                },
                config,
                judges,
                allow,
                model,
                world: &known.world,
                truth: &GroundTruth::default(),
                gathered: std::mem::take(gathered),
                timings: Timings { threads: *threads, ..Timings::default() },
                begin: Instant::now(),
            },
        )
    }
}

fn start(baseline: Option<&(Profile, BaselineInput)>) -> Start<'_> {
    baseline.map_or(Start::Learn, |(profile, _)| Start::Baseline(profile))
}

/// Unix time, ns.
fn unix_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
