//! What a person asks of a running follow: to end, or to read the rules again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Result};

/// SIGINT and SIGTERM end it, a second one at once; SIGHUP asks for the rules.
pub struct Signals {
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// # Errors
    /// The kernel refuses a handler.
    pub fn catch() -> Result<Signals> {
        let signals = Signals { end: Arc::default(), reload: Arc::default() };
        let register = || {
            for signal in [SIGINT, SIGTERM] {
                // In this order: the first signal finds the flag unset, and sets it.
                flag::register_conditional_default(signal, Arc::clone(&signals.end))?;
                flag::register(signal, Arc::clone(&signals.end))?;
            }
            flag::register(SIGHUP, Arc::clone(&signals.reload)).map(drop)
        };
        let refused = |error: std::io::Error| {
            Error::config(format!("cannot handle signals: {error}"), "run it as a process of its own")
        };
        register().map_err(refused)?;
        Ok(signals)
    }

    pub fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Whether the rules were asked for since the last call.
    pub fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }
}
