//! What a recorder tells while it runs, from a thread of its own: a slow terminal or scraper never holds up the recording.

pub mod args;
mod json;
mod line;
pub mod metrics;
pub mod status;
mod view;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use args::{LiveArgs, Progress};
use status::Status;

use crate::error::Result;

/// A new status is made this often.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How often a view looks at the keyboard, and a spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Statuses that wait for the thread; further ones are left out.
const QUEUED: usize = 4;

/// How long the end of a recording waits for the terminal.
const PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Status(Box<Status>),
    Note(String),
}

/// Shows where the recording stands.
trait Display {
    fn status(&mut self, status: &Status);
    fn note(&mut self, note: &str);
    /// Called every [`TURN`].
    fn turn(&mut self) {}
    /// The end; called once.
    fn finish(&mut self) {}
}

/// Where [`Status`]es go.
pub struct Live {
    sender: Option<SyncSender<Message>>,
    ended: Receiver<()>,
    quiet: bool,
}

impl Live {
    /// `planned`: how long the recording will take, if that is known. `stop`: set when the user asks the view to end.
    ///
    /// # Errors
    /// The metrics cannot be served at the address asked for.
    pub fn start(args: &LiveArgs, quiet: bool, planned: Option<Duration>, stop: &Arc<AtomicBool>) -> Result<Live> {
        let metrics = args.metrics.map(|address| metrics::serve(address, args.metrics_public)).transpose()?;
        let terminal = std::io::stderr().is_terminal();
        let display: Option<Box<dyn Display + Send>> = match args.progress(quiet, terminal) {
            Progress::None => None,
            Progress::Json => Some(Box::new(json::Lines::default())),
            Progress::View => Some(Box::new(view::Screen::open(planned, stop.clone())?)),
            Progress::Line | Progress::Auto => Some(Box::new(line::Line::new(planned))),
        };
        let (done, ended) = mpsc::channel();
        let mut live = Live { sender: None, ended, quiet: quiet || display.is_some() };
        if display.is_some() || metrics.is_some() {
            let (sender, messages) = mpsc::sync_channel(QUEUED);
            live.sender = Some(sender);
            thread::Builder::new()
                .name("live".to_owned())
                .spawn(move || {
                    show(&messages, display, metrics);
                    drop(done);
                })
                .map_err(|source| crate::error::Error::Read { path: "the live thread".into(), source })?;
        }
        Ok(live)
    }

    /// Whether anybody looks.
    pub fn wants(&self) -> bool {
        self.sender.is_some()
    }

    /// A word on what is going on, as a scenario's step; a line of its own where nothing else is shown.
    pub fn note(&mut self, note: String) {
        if !self.quiet {
            eprintln!("{note}");
        }
        self.send(Message::Note(note));
    }

    pub fn update(&mut self, status: Status) {
        self.send(Message::Status(Box::new(status)));
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(message); // a display that is behind gets the next one
        }
    }

    /// Takes the display away.
    pub fn finish(&mut self) {
        if self.sender.take().is_some() {
            let _ = self.ended.recv_timeout(PATIENCE); // the thread drops its end when it is done
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.finish();
    }
}

fn show(messages: &Receiver<Message>, mut display: Option<Box<dyn Display + Send>>, metrics: Option<metrics::Metrics>) {
    loop {
        match messages.recv_timeout(TURN) {
            Ok(Message::Status(status)) => {
                if let Some(metrics) = &metrics {
                    metrics.publish(&status);
                }
                if let Some(display) = &mut display {
                    display.status(&status);
                }
            }
            Ok(Message::Note(note)) => {
                if let Some(display) = &mut display {
                    display.note(&note);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(display) = &mut display {
            display.turn();
        }
    }
    if let Some(mut display) = display {
        display.finish();
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
