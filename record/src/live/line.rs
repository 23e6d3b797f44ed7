//! The live line: events per second, stored, lost.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::status::Status;
use super::{Display, clock};

pub struct Line {
    bar: ProgressBar,
    planned: Option<Duration>,
    /// Time and stored events of the status before.
    last: (Duration, u64),
    note: String,
}

impl Line {
    pub fn new(planned: Option<Duration>) -> Line {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a constant template"));
        Line { bar, planned, last: (Duration::ZERO, 0), note: String::new() }
    }
}

impl Display for Line {
    fn status(&mut self, status: &Status) {
        let stored = status.total(|account| account.stored);
        let since = status.elapsed.saturating_sub(self.last.0).as_secs_f64();
        let rate = if since > 0.0 { stored.saturating_sub(self.last.1) as f64 / since } else { 0.0 };
        self.last = (status.elapsed, stored);
        let of = self.planned.map(|planned| format!(" of {}", clock(planned))).unwrap_or_default();
        let note = if self.note.is_empty() { String::new() } else { format!(" · {}", self.note) };
        self.bar.set_message(format!(
            "{}{of} · {} events/s · {} stored · {} lost · {} containers{note}",
            clock(status.elapsed),
            HumanCount(rate as u64),
            HumanCount(stored),
            HumanCount(status.total(|account| account.dropped.total())),
            status.followed,
        ));
    }

    fn note(&mut self, note: &str) {
        note.clone_into(&mut self.note);
    }

    fn turn(&mut self) {
        self.bar.tick();
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}
