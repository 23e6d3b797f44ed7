//! Work without the interpreter's lock, which Ctrl-C can leave.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::Failure;

/// How often signals are looked for.
const TICK: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own and waits for it; `progress`: with a bar on a terminal. When a signal's handler raises, as that of Ctrl-C does, the exception is
/// raised at once; the thread has nothing to stop it by and goes on, to no effect, until it is done or the process ends.
pub fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: bool,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    replay::run::show_progress(progress);
    let (done, mut waiting) = channel();
    let thread = std::thread::Builder::new().name("retroscope".to_owned());
    // Nobody listens any more after a signal.
    let thread = thread.spawn(move || drop(done.send(work())))?;
    loop {
        let (receiver, got) = py.detach(move || {
            let got = waiting.recv_timeout(TICK);
            (waiting, got)
        });
        waiting = receiver;
        match got {
            Ok(result) => return Ok(result?),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(PyRuntimeError::new_err("the work ended without a result")),
            },
        }
    }
}
