//! `replay --follow` as a child, and when its lines come.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ages::Ages;
use super::life::MARK;
use super::{PATIENCE, now, ticks};
use crate::error::{Error, Result};
use crate::overhead::run;

/// One that has used no CPU time for so long has everything ready.
const QUIET: Duration = Duration::from_millis(1_500);

pub(super) struct Follower {
    /// Until it was waited for.
    child: Option<Child>,
    /// Every line with the moment at which it was read, Unix ns.
    lines: Receiver<(i64, String)>,
}

impl Follower {
    /// Returns when it has learned the baseline and opened the model, and waits for the recording.
    pub fn start(replay: &Path, live: &Path, baseline: &Path, dir: &Path) -> Result<Follower> {
        let mut command = Command::new(replay);
        command.arg(live).arg("--learn").arg(baseline).arg("-o").arg(dir.join("followed"));
        command.args(["--format", "json", "--follow", "--wait", &PATIENCE.as_secs().to_string()]);
        // Embeddings of earlier runs would make it faster than it is on the first day.
        command.env("XDG_CACHE_HOME", dir);
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| Error::run(&replay.display().to_string(), error))?;
        let out = child.stdout.take().ok_or_else(|| Error::run("the replay", "it has no output"))?;
        let mut follower = Follower { lines: read(out), child: Some(child) };
        follower.wait_until_ready()?;
        Ok(follower)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let begun = Instant::now();
        let (mut used, mut since) = (ticks(child.id()), Instant::now());
        while since.elapsed() < QUIET || used.is_none_or(|used| used == 0) {
            if run::has_ended(child) || begun.elapsed() > PATIENCE {
                let _ = child.kill();
                return Err(Error::run("the replay", said(child)));
            }
            thread::sleep(Duration::from_millis(50));
            let now = ticks(child.id());
            if now != used {
                (used, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    /// After the recording has ended: the ages of the attacks' alerts when their lines came.
    pub fn finish(mut self, say: &dyn Fn(&str)) -> Result<Ages> {
        say("waiting for the end of the replay");
        let mut ages = Ages::default();
        // Ends with the replay.
        for (at, line) in &self.lines {
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            let of_attack = line["alert"]["process"].as_str().is_some_and(|process| process.contains(MARK));
            if line["live"] == "alert" && of_attack {
                ages.add(at - line["alert"]["raised_at"].as_i64().unwrap_or(at));
            }
        }
        let Some(mut child) = self.child.take() else { return Ok(ages) };
        let (status, _) = run::wait(&mut child, Some(PATIENCE)).map_err(|error| Error::run("the replay", error))?;
        // 0, or what it says of alerts.
        match status.code() {
            Some(0 | 1) => Ok(ages),
            _ => Err(Error::run("the replay", format!("it ended with {status}: {}", said(&mut child)))),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last line of what it says on stderr; it has ended.
fn said(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut err) = child.stderr.take() {
        let _ = std::io::Read::read_to_string(&mut err, &mut text);
    }
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// Lines as they come.
fn read(out: ChildStdout) -> Receiver<(i64, String)> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(std::io::Result::ok) {
            if sender.send((now(), line)).is_err() {
                return;
            }
        }
    });
    lines
}
