//! The live line: events per second, stored, lost.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Counts since the recording began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub stored: u64,
    pub lost: u64,
    pub containers: usize,
}

/// Shown on a terminal's stderr, and nowhere else.
pub struct Live {
    bar: Option<ProgressBar>,
    quiet: bool,
    planned: Option<Duration>,
    last: (Instant, u64),
    rate: f64,
    note: String,
}

impl Live {
    /// `planned`: how long the recording will take, if that is known.
    pub fn new(quiet: bool, planned: Option<Duration>) -> Live {
        let shown = !quiet && std::io::stderr().is_terminal();
        let bar = shown.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a constant template"));
            bar
        });
        Live { bar, quiet, planned, last: (Instant::now(), 0), rate: 0.0, note: String::new() }
    }

    /// A word on what is going on, as a scenario's step; a line of its own where there is no live line.
    pub fn note(&mut self, note: String) {
        if self.bar.is_none() && !self.quiet {
            eprintln!("{note}");
        }
        self.note = note;
    }

    pub fn update(&mut self, progress: &Progress, elapsed: Duration) {
        let Some(bar) = &self.bar else { return };
        let since = self.last.0.elapsed().as_secs_f64();
        if since >= 1.0 {
            self.rate = (progress.stored - self.last.1) as f64 / since;
            self.last = (Instant::now(), progress.stored);
        }
        let of = self.planned.map(|planned| format!(" of {}", clock(planned))).unwrap_or_default();
        let note = if self.note.is_empty() { String::new() } else { format!(" · {}", self.note) };
        bar.tick();
        bar.set_message(format!(
            "{}{of} · {} events/s · {} stored · {} lost · {} containers{note}",
            clock(elapsed),
            HumanCount(self.rate as u64),
            HumanCount(progress.stored),
            HumanCount(progress.lost),
            progress.containers,
        ));
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `h:mm:ss`, or `m:ss` below an hour.
pub fn clock(duration: Duration) -> String {
    let s = duration.as_secs();
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}
