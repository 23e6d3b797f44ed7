//! A policy in force: what is asked of it by signals, what it says on stdout and stderr, and its end.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::Format;
use crate::error::{Error, Result};
use crate::signals::{Asked, Signals};

/// What is kept up until the end.
pub trait InForce {
    /// Reads the policy again, and says so; where it cannot be read, the old one stays.
    fn reload(&mut self);

    /// Says what was refused since the last time.
    ///
    /// # Errors
    /// The kernel's tables cannot be read.
    fn turn(&mut self) -> Result<()>;

    /// What it was in force for is gone: a word for it.
    fn gone(&self) -> Option<&'static str>;

    fn said(&mut self) -> &mut Said;
}

/// Until SIGINT, SIGTERM, the end of the time or of what is watched.
///
/// # Errors
/// As [`InForce::turn`].
pub fn watch(
    signals: &Signals,
    duration: Option<Duration>,
    interval: Duration,
    running: &mut impl InForce,
) -> Result<()> {
    let deadline = duration.map(|duration| Instant::now() + duration);
    loop {
        let tick = Instant::now() + interval.max(Duration::from_millis(10));
        match signals.wait(deadline.map_or(tick, |deadline| deadline.min(tick))) {
            Some(Asked::End) => return Ok(()),
            Some(Asked::Reload) => running.reload(),
            Some(Asked::Report) => {
                running.turn()?;
                running.said().line(&json!({ "event": "reported" }));
            }
            None => running.turn()?,
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(());
        }
        if let Some(what) = running.gone() {
            running.said().note(&format!("the {what} is gone"), &json!({ "event": format!("{what}_gone") }));
            return Ok(());
        }
    }
}

/// What is said while it runs.
pub struct Said {
    json: bool,
}

impl Said {
    pub fn new(format: Format) -> Said {
        Said { json: format == Format::Json }
    }

    pub fn line(&mut self, line: &Value) {
        // Nobody reads any more: the policy is in force all the same.
        if self.json && print(&format!("{line}\n")).is_err() {
            eprintln!("warning: stdout cannot be written to: nothing more is printed");
            self.json = false;
        }
    }

    pub fn note(&mut self, text: &str, line: &Value) {
        eprintln!("enforce: {text}");
        self.line(line);
    }

    /// The old policy stays.
    pub fn policy_refused(&mut self, error: &Error) {
        let line = json!({ "event": "policy_refused", "error": error.to_string() });
        self.note(&format!("the old policy stays in force: {error}\nhint: {}", error.hint()), &line);
    }
}

/// A reader that closed the pipe has what it wanted.
///
/// # Errors
/// Any other that writing has.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
