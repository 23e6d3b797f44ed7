//! Handing messages to sinks without ever waiting for one.
//!
//! A queue that is full drops what comes, and counts it. A message that fails in a way that may pass is tried again, with
//! growing pauses. When the replay is over, a sink has `deadline` seconds for what is left in its queue.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BlockingRetryable, ExponentialBuilder};
use serde::Serialize;

use super::{Body, Failure, Message, Sink, SinkConfig};
use crate::alert::{Alert, Incident};
use crate::engines::Severity;
use crate::error::{Error, Result};

/// First pause before trying again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Longest pause that a receiver may ask for: others' alerts are waiting.
const ASKED: Duration = Duration::from_secs(60);
/// Beyond a sink's deadline, for a call that is just coming back.
const GRACE: Duration = Duration::from_millis(500);

/// All sinks of a run.
pub struct Dispatcher {
    recording: Arc<str>,
    lanes: Vec<Lane>,
}

/// What became of one sink's messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where to, without what may be secret.
    pub to: String,
    pub min_severity: Severity,
    pub sent: u64,
    /// Given up, or left when the deadline came.
    pub failed: u64,
    /// Came when the queue was full.
    pub dropped: u64,
    /// Attempts after a first one.
    pub retries: u64,
    /// The last failure.
    pub error: Option<String>,
}

impl Delivery {
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && self.dropped == 0
    }

    /// In one line.
    pub fn describe(&self) -> String {
        let Self { name, kind, to, sent, failed, dropped, error, .. } = self;
        let mut text = format!("sink {name} ({kind} {to}): {sent} sent");
        if *failed > 0 {
            text.push_str(&format!(", {failed} failed"));
        }
        if *dropped > 0 {
            text.push_str(&format!(", {dropped} dropped from a full queue"));
        }
        if let Some(error) = error.as_ref().filter(|_| !self.is_whole()) {
            text.push_str(&format!(": {error}"));
        }
        text
    }
}

/// One sink, its thread and its queue.
struct Lane {
    name: String,
    config: SinkConfig,
    queue: SyncSender<Message>,
    /// Closed when the thread has ended.
    done: Receiver<()>,
    shared: Arc<Shared>,
    accepted: u64,
    dropped: u64,
    /// Keys and severities handed over: an alert that is raised again is news only at a higher severity.
    known: HashSet<(String, Severity)>,
}

#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    retries: AtomicU64,
    error: Mutex<Option<String>>,
    /// When to give up; none while the replay runs.
    end: Mutex<Option<Instant>>,
}

impl Shared {
    fn left(&self) -> Option<Duration> {
        let end = *self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.map(|end| end.saturating_duration_since(Instant::now()))
    }
}

impl Dispatcher {
    /// Opens the sinks and starts their threads. `recording`: its name.
    ///
    /// # Errors
    /// A configuration that cannot work: an environment variable that is not set, a certificate that cannot be read, ...
    pub fn start(sinks: impl IntoIterator<Item = (String, SinkConfig)>, recording: &str) -> Result<Self> {
        let lanes = sinks.into_iter().map(|(name, config)| Lane::start(name, config)).collect::<Result<_>>()?;
        Ok(Self { recording: recording.into(), lanes })
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Hands over an alert to every sink that wants it. What is not raised is not told.
    pub fn raise(&mut self, alert: &Alert) {
        if alert.is_raised() && !self.lanes.is_empty() {
            self.hand_over(&Message::alert(alert, &self.recording));
        }
    }

    /// Hands over an incident that has a raised alert.
    pub fn raise_incident(&mut self, incident: &Incident) {
        if incident.severity.is_raised() && !self.lanes.is_empty() {
            self.hand_over(&Message::incident(incident, &self.recording));
        }
    }

    /// Hands over any message.
    pub fn hand_over(&mut self, message: &Message) {
        self.lanes.iter_mut().filter(|lane| lane.wants(message)).for_each(|lane| lane.take(message.clone()));
    }

    /// Waits until everything is sent, each sink until its deadline, all at once.
    pub fn finish(self) -> Vec<Delivery> {
        let now = Instant::now();
        for lane in &self.lanes {
            *lane.shared.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + lane.config.deadline);
        }
        // Dropping the queues tells all threads at once that nothing more comes.
        let (queues, ends): (Vec<_>, Vec<_>) = self.lanes.into_iter().map(Lane::close).unzip();
        drop(queues);
        ends.into_iter().map(|end| end.wait(now)).collect()
    }
}

impl Lane {
    fn start(name: String, config: SinkConfig) -> Result<Self> {
        let sink = config.open().map_err(|why| {
            Error::config(format!("sink {name}: {why}"), "mend [sinks] in the file of --config, or leave the sink out")
        })?;
        let (queue, messages) = sync_channel(config.queue);
        let (ended, done) = sync_channel(0);
        let shared = Arc::new(Shared::default());
        let (attempts, timeout) = (config.attempts, config.timeout);
        let tally = Arc::clone(&shared);
        let work = move || {
            // Dropped with the thread, also when it panics: whoever waits then knows that nothing more comes.
            let _ended = ended;
            run(sink, &messages, &tally, attempts, timeout);
        };
        let thread = std::thread::Builder::new().name(format!("sink {name}"));
        thread.spawn(work).map_err(|error| {
            Error::config(format!("sink {name}: cannot start a thread: {error}"), "leave sinks out with --sink")
        })?;
        Ok(Self { name, config, queue, done, shared, accepted: 0, dropped: 0, known: HashSet::new() })
    }

    fn wants(&self, message: &Message) -> bool {
        let of_kind = match message.body {
            Body::Alert(_) => self.config.alerts,
            Body::Incident(_) => self.config.incidents,
        };
        of_kind && message.severity() >= self.config.min_severity
    }

    fn take(&mut self, message: Message) {
        if !self.known.insert((message.key.clone(), message.severity())) {
            return;
        }
        match self.queue.try_send(message) {
            Ok(()) => self.accepted += 1,
            Err(_) => self.dropped += 1,
        }
    }

    fn close(self) -> (SyncSender<Message>, Ending) {
        let Self { name, config, queue, done, shared, accepted, dropped, known: _ } = self;
        (queue, Ending { name, config, done, shared, accepted, dropped })
    }
}

/// A lane whose queue is closed.
struct Ending {
    name: String,
    config: SinkConfig,
    done: Receiver<()>,
    shared: Arc<Shared>,
    accepted: u64,
    dropped: u64,
}

impl Ending {
    fn wait(self, begin: Instant) -> Delivery {
        let left = (begin + self.config.deadline + GRACE).saturating_duration_since(Instant::now());
        // Either the thread has ended, or its time is over.
        let _ = self.done.recv_timeout(left);
        let sent = self.shared.sent.load(Ordering::Acquire);
        let failed = self.accepted.saturating_sub(sent);
        let error = self.shared.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let late = || format!("not done within {} s", self.config.deadline.as_secs_f64());
        let error = error.or_else(|| (failed > 0).then(late));
        Delivery {
            to: self.config.shown_target(),
            kind: self.config.kind.name(),
            min_severity: self.config.min_severity,
            name: self.name,
            sent,
            failed,
            dropped: self.dropped,
            retries: self.shared.retries.load(Ordering::Acquire),
            error,
        }
    }
}

/// A sink's thread: message after message, until the queue is closed and empty, or the deadline is over.
fn run(
    mut sink: Box<dyn Sink>,
    messages: &Receiver<Message>,
    shared: &Arc<Shared>,
    attempts: usize,
    timeout: Duration,
) {
    for message in messages {
        if shared.left().is_some_and(|left| left.is_zero()) {
            return;
        }
        match deliver(&mut *sink, &message, shared, attempts, timeout) {
            Ok(()) => {
                shared.sent.fetch_add(1, Ordering::AcqRel);
            }
            Err(failure) => {
                *shared.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.why);
            }
        }
    }
}

fn deliver(
    sink: &mut dyn Sink,
    message: &Message,
    shared: &Arc<Shared>,
    attempts: usize,
    timeout: Duration,
) -> std::result::Result<(), Failure> {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(PAUSES.0)
        .with_max_delay(PAUSES.1)
        .with_factor(2.0)
        .with_max_times(attempts.saturating_sub(1))
        .with_jitter();
    let asked: Rc<Cell<Option<Duration>>> = Rc::default();
    let (told, clock) = (Rc::clone(&asked), Arc::clone(shared));
    let attempt = || {
        let within = shared.left().map_or(timeout, |left| left.min(timeout));
        sink.send(message, within.max(Duration::from_millis(1)))
    };
    attempt
        .retry(pauses)
        .when(|failure| failure.may_pass && shared.left().is_none_or(|left| !left.is_zero()))
        .notify(|failure, _| {
            asked.set(failure.after.map(|after| after.min(ASKED)));
            shared.retries.fetch_add(1, Ordering::AcqRel);
        })
        .sleep(move |pause: Duration| wait(pause.max(told.take().unwrap_or_default()), &clock))
        .call()
}

/// Sleeps, in steps, so that a deadline that is set meanwhile counts.
fn wait(pause: Duration, shared: &Shared) {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = shared.left().map_or(left, |end| left.min(end));
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
