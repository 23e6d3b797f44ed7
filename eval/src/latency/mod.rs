//! How long an event takes from the kernel's time stamp to where it can be used: to its row in the recorder's memory, to a reader of
//! the journal, to a finished segment, and to the line that tells of an alert.

pub mod ages;
pub mod chart;
pub mod life;
mod listed;
pub mod store;
mod told;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasets::{Follow, Growth};
use record_bpf::Class;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::machine::{Machine, Program};
use crate::overhead::run;
use ages::{Ages, Stage};
use told::Follower;

/// What is recorded, and read while it is.
pub const CLASSES: [Class; 3] = [Class::Process, Class::File, Class::Network];
/// A reader of the journal looks this often.
const LOOK: Duration = Duration::from_millis(10);
/// For a recorder to begin, and to complete what it recorded.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of the ordinary life that the follower learns from.
const LEARNED: Duration = Duration::from_secs(4);

/// What to measure.
pub struct Plan {
    /// Of the ordinary life, before the attacks.
    pub length: Duration,
    /// Files opened and closed, a second, beside the commands.
    pub rate: u64,
    /// Attacks after that, of which an alert is to tell; 0: no replay follows.
    pub attacks: usize,
    /// The age at which the recorder closes a segment.
    pub segment: Duration,
    pub record: PathBuf,
    pub replay: PathBuf,
    /// More arguments for the recorder.
    pub options: Vec<String>,
    /// For the recordings.
    pub dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Latency {
    #[serde(flatten)]
    pub machine: Machine,
    pub recorder: Option<Program>,
    pub replay: Option<Program>,
    /// More arguments that the recorder had.
    pub options: Vec<String>,
    pub seconds: f64,
    pub rate: u64,
    /// s
    pub segment: f64,
    pub events: u64,
    pub dropped: u64,
    pub attacks: usize,
    /// Of them, those that an alert told of while it was recorded.
    pub told: usize,
    pub stages: Vec<Stage>,
}

/// Records, and watches what becomes of each event. Needs root.
///
/// # Errors
/// The recorder or the replay cannot be run.
pub fn measure(plan: &Plan, say: &(dyn Fn(&str) + Sync)) -> Result<Latency> {
    let machine = Machine::look();
    let live = plan.dir.join("live");
    let follower = (plan.attacks > 0).then(|| follower(plan, &live, say)).transpose()?;
    say("recording");
    let mut recorder = record(plan, &live, plan.length, plan.attacks)?;
    let over = AtomicBool::new(false);
    let (ended, read, listed) = thread::scope(|scope| {
        let read = scope.spawn(|| journal(&live, &over));
        let listed = scope.spawn(|| listed::watch(&live, plan.segment, &over));
        let ended = finish(&mut recorder);
        over.store(true, Ordering::Relaxed);
        (ended, read.join(), listed.join())
    });
    let panicked = |_| Error::run("reading along", "a thread panicked");
    let (summary, read, listed) = (ended?, read.map_err(panicked)??, listed.map_err(panicked)??);
    let told = follower.map(|follower| follower.finish(say)).transpose()?;
    let sum = |key: &str| {
        let classes = summary["classes"].as_object().into_iter().flatten();
        classes.filter_map(|(_, class)| class[key].as_u64()).sum()
    };
    let mut stages = vec![
        Stage::of_buckets("row", "in the recorder's memory", &summary["lag_s"]),
        Stage::of("journal", "at a reader of the journal", &read),
        Stage::of("segment", "in a finished segment", &listed.rows),
        Stage::of("file", "a segment, from when it was due by its age", &listed.due),
    ];
    let count = told.as_ref().map_or(0, Ages::count);
    stages.extend(told.map(|told| Stage::of("alert", "in the line that tells of an alert", &told)));
    Ok(Latency {
        machine: machine.done(),
        recorder: Program::look(&plan.record),
        replay: Program::look(&plan.replay),
        options: plan.options.clone(),
        seconds: plan.length.as_secs_f64(),
        rate: plan.rate,
        segment: plan.segment.as_secs_f64(),
        events: sum("stored"),
        dropped: sum("lost"),
        attacks: plan.attacks,
        told: count,
        stages,
    })
}

/// One that knows ordinary life and waits for the recording.
fn follower(plan: &Plan, live: &Path, say: &dyn Fn(&str)) -> Result<Follower> {
    say("recording what the replay learns from");
    let baseline = plan.dir.join("baseline");
    finish(&mut record(plan, &baseline, LEARNED, 0)?)?;
    say("starting the replay that follows");
    Follower::start(&plan.replay, live, &baseline, &plan.dir)
}

fn record(plan: &Plan, output: &Path, length: Duration, attacks: usize) -> Result<Child> {
    let failed = |error| Error::run("the recorder", error);
    let own = std::env::current_exe().map_err(failed)?;
    let classes = CLASSES.map(Class::name).join(",");
    let mut command = Command::new(&plan.record);
    command.args(["--quiet", "--format", "json", "--events", &classes, "--output"]).arg(output);
    command.arg("--segment-time").arg(format!("{}ms", plan.segment.as_millis())).args(&plan.options);
    command.arg("--").arg(own).arg("life").arg(&plan.dir).args(["--rate", &plan.rate.to_string()]);
    command.args(["--seconds", &length.as_secs_f64().to_string(), "--attacks", &attacks.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)
}

/// Waits for a recorder's end; what it prints as JSON. What it prints is far less than a pipe holds.
fn finish(recorder: &mut Child) -> Result<Value> {
    let failed = |reason: &dyn std::fmt::Display| Error::run("the recorder", reason);
    let (status, _) = run::wait(recorder, None).map_err(|error| failed(&error))?;
    let read = |pipe: Option<&mut dyn std::io::Read>| {
        let mut text = String::new();
        pipe.map(|pipe| pipe.read_to_string(&mut text));
        text
    };
    let said = read(recorder.stderr.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
    if !status.success() {
        return Err(failed(&format!("it ended with {status}: {}", said.lines().last().unwrap_or("it said nothing"))));
    }
    let text = read(recorder.stdout.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

/// Reads the recording while it is written, as `replay --follow` does, and takes each event's age when it comes.
fn journal(dir: &Path, over: &AtomicBool) -> Result<Ages> {
    let mut ages = Ages::default();
    let Some(mut follow) = begin(dir, over)? else { return Ok(ages) };
    loop {
        // What is read after the end came with the segments, not with the journal.
        let ended = over.load(Ordering::Relaxed);
        if follow.poll()? == Growth::Grown && !ended {
            for event in follow.ready() {
                let ts = event?.common().ts;
                ages.add(now() - ts);
            }
        }
        if ended {
            return Ok(ages);
        }
        thread::sleep(LOOK);
    }
}

/// Waits for the recording to be there. None: it never was.
fn begin(dir: &Path, over: &AtomicBool) -> Result<Option<Follow>> {
    let begun = Instant::now();
    while !dir.join("manifest.json").exists() {
        if over.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::run("the recorder", "it does not begin"));
        }
        thread::sleep(LOOK);
    }
    Ok(Some(Follow::begin(dir, &CLASSES)?))
}

/// Unix time, ns.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What a process used so far, in clock ticks of user and system time. None: it is gone.
fn ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11..13)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum())
}
