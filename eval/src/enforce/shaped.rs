//! An exported shaping in a container's own network namespace: looked at all the while, and asked after each part of a run what it
//! held back.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use replay::policy::apply::Namespace;
use replay::policy::tc::Shape;

/// The interface that a container of podman has.
pub const INTERFACE: &str = "eth0";

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// What a class did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Bytes that left.
    sent: u64,
    /// Packets dropped where the queue was full.
    dropped: u64,
    /// How often its bucket was found empty.
    emptied: u64,
    /// Packets and bytes that wait.
    waiting: u64,
    waiting_bytes: u64,
}

/// Classes by minor number.
type Looked = BTreeMap<u16, Counts>;

/// What a class held back in a part of a run.
#[derive(Clone, Debug)]
pub struct Held {
    pub shape: Arc<Shape>,
    /// None: all that is in no peer's.
    pub class: Option<usize>,
    /// Unix time of the look at which something was first held back, ns.
    pub first_ns: i64,
    /// Bytes that left.
    pub sent: u64,
    pub dropped: u64,
    /// Packets and bytes that waited at the part's end.
    pub waiting: u64,
    pub waiting_bytes: u64,
}

/// A shaping in force, and who looks at it. Ends when dropped.
#[derive(Debug)]
pub struct Watched {
    shape: Arc<Shape>,
    namespace: Arc<Namespace>,
    /// At the end of the last part.
    before: Looked,
    /// Since then: when each class first held something back.
    first: Arc<Mutex<BTreeMap<u16, i64>>>,
    /// Gone: the thread ends.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watched {
    /// Puts the shaping there.
    ///
    /// # Errors
    /// What nsenter or tc said.
    pub fn begin(namespace: Namespace, shape: Shape, batch: &str) -> Result<Watched, String> {
        namespace.tc(&["-batch", "-"], batch).map_err(|error| error.to_string())?;
        let (namespace, first) = (Arc::new(namespace), Arc::default());
        let (stop, stopped) = channel();
        let thread = thread::spawn({
            let (namespace, first) = (Arc::clone(&namespace), Arc::clone(&first));
            move || watch(&namespace, &first, &stopped)
        });
        Ok(Watched {
            shape: Arc::new(shape),
            namespace,
            before: Looked::new(),
            first,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What was held back since the last call.
    ///
    /// # Errors
    /// What nsenter or tc said.
    pub fn take_held(&mut self) -> Result<Vec<Held>, String> {
        let now = look(&self.namespace)?;
        let at = unix_ns();
        let first = std::mem::take(&mut *self.first.lock().unwrap_or_else(PoisonError::into_inner));
        let mut found = Vec::new();
        for (minor, counts) in &now {
            let before = self.before.get(minor).copied().unwrap_or_default();
            if !counts.held(&before) {
                continue;
            }
            found.push(Held {
                shape: Arc::clone(&self.shape),
                class: self.shape.class_at(*minor),
                first_ns: first.get(minor).copied().unwrap_or(at),
                sent: counts.sent - before.sent,
                dropped: counts.dropped - before.dropped,
                waiting: counts.waiting,
                waiting_bytes: counts.waiting_bytes,
            });
        }
        self.before = now;
        Ok(found)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Counts {
    /// Something was held back since: what waits since then waits still.
    fn held(&self, before: &Counts) -> bool {
        self.emptied > before.emptied || self.dropped > before.dropped || self.waiting > 0
    }
}

fn watch(namespace: &Namespace, first: &Mutex<BTreeMap<u16, i64>>, stopped: &Receiver<()>) {
    let mut before = Looked::new();
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        // What ails it is said at the part's end.
        let Ok(now) = look(namespace) else { continue };
        let at = unix_ns();
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        for (minor, counts) in &now {
            if counts.held(&before.get(minor).copied().unwrap_or_default()) {
                first.entry(*minor).or_insert(at);
            }
        }
        before = now;
    }
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn look(namespace: &Namespace) -> Result<Looked, String> {
    let text = namespace.tc(&["-s", "class", "show", "dev", INTERFACE], "").map_err(|error| error.to_string())?;
    Ok(parse(&text))
}

/// As iproute2 6.1 prints it, which has no JSON of classes.
fn parse(text: &str) -> Looked {
    let mut found = Looked::new();
    let mut minor = None;
    for line in text.lines() {
        let words: Vec<&str> =
            line.split(|c: char| c.is_whitespace() || "(),".contains(c)).filter(|word| !word.is_empty()).collect();
        let number = |at: usize| words.get(at).and_then(|word| word.trim_end_matches(['b', 'p']).parse::<u64>().ok());
        match words[..] {
            ["class", "htb", id, ..] => {
                minor = id.strip_prefix("1:").and_then(|minor| u16::from_str_radix(minor, 16).ok());
            }
            ["Sent", _, "bytes", _, "pkt", "dropped", _, "overlimits", ..] => {
                if let Some(counts) = minor.map(|minor| found.entry(minor).or_default()) {
                    counts.sent = number(1).unwrap_or(0);
                    counts.dropped = number(6).unwrap_or(0);
                    counts.emptied = number(8).unwrap_or(0);
                }
            }
            ["backlog", ..] => {
                if let Some(counts) = minor.and_then(|minor| found.get_mut(&minor)) {
                    counts.waiting_bytes = number(1).unwrap_or(0);
                    counts.waiting = number(2).unwrap_or(0);
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read() {
        let text = "class htb 1:1f root leaf 101f: prio 0 rate 133328bit ceil 133328bit burst 999999b cburst 999999b \n \
                    Sent 418488 bytes 280 pkt (dropped 7, overlimits 3 requeues 0) \n backlog 49962b 5p requeues 0\n \
                    lended: 15 borrowed: 0 giants: 0\n tokens: 545209509 ctokens: 545209509\n\n\
                    class htb 1:2 root leaf 1002: prio 0 rate 2664bit ceil 2664bit burst 19999b cburst 19999b \n";
        let counts = Counts { sent: 418_488, dropped: 7, emptied: 3, waiting: 5, waiting_bytes: 49_962 };
        assert_eq!(parse(text), Looked::from([(0x1f, counts)]));
        assert!(counts.held(&Counts { waiting: 0, ..counts }) && !Counts { waiting: 0, ..counts }.held(&counts));
    }
}
