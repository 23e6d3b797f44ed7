//! Sessions of one graph, lent to one batch at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ort::session::Session;

use super::EmbedError;

/// Never more than `most` sessions exist. Who finds all of them lent waits.
pub(super) struct Sessions {
    state: Mutex<State>,
    returned: Condvar,
    most: usize,
}

struct State {
    idle: Vec<Session>,
    /// Idle and lent.
    open: usize,
}

impl Sessions {
    pub fn new(first: Session, most: usize) -> Sessions {
        let state = Mutex::new(State { idle: vec![first], open: 1 });
        Sessions { state, returned: Condvar::new(), most: most.max(1) }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// Lends a session to `work`, opening a further one where all are lent and more are allowed.
    pub fn with<T>(
        &self,
        open: impl FnOnce() -> Result<Session, EmbedError>,
        work: impl FnOnce(&mut Session) -> Result<T, EmbedError>,
    ) -> Result<T, EmbedError> {
        let mut state = self.lock();
        let idle = loop {
            match state.idle.pop() {
                Some(session) => break Some(session),
                None if state.open < self.most => {
                    state.open += 1;
                    break None;
                }
                None => state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(state);
        let mut lent = Lent { sessions: self, session: idle };
        let session = match &mut lent.session {
            Some(session) => session,
            none => none.insert(open()?),
        };
        work(session)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the session back whatever comes of the work; none could be opened: gives its place back.
struct Lent<'a> {
    sessions: &'a Sessions,
    session: Option<Session>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.sessions.lock();
        match self.session.take() {
            Some(session) => state.idle.push(session),
            None => state.open -= 1,
        }
        self.sessions.returned.notify_one();
    }
}
