//! What a person asks of a program that runs, by signals: taken one at a time, between two things that it does.

use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT, SIGTERM
    End,
    /// SIGHUP: the policy is to be read again.
    Reload,
    /// SIGUSR1: what was refused is to be said now.
    Report,
}

/// The signals of [`Asked`], which wait until they are taken, also where whoever started this program ignores them.
pub struct Signals(SigSet);

impl Signals {
    /// To be called while this process has one thread.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take_over() -> std::io::Result<Signals> {
        let set = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1]);
        set.thread_block()?;
        Ok(Signals(set))
    }

    /// The next signal; None: there was none until that moment.
    pub fn wait(&self, until: Instant) -> Option<Asked> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.next(left) {
                Some(libc::SIGHUP) => return Some(Asked::Reload),
                Some(libc::SIGUSR1) => return Some(Asked::Report),
                Some(_) => return Some(Asked::End),
                None if left.is_zero() => return None,
                // The time is over, or the wait was interrupted.
                None => {}
            }
        }
    }

    fn next(&self, left: Duration) -> Option<i32> {
        let left = libc::timespec {
            tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        // SAFETY: set and time are valid for the call, and no more is asked about the signal than its number.
        let signal = unsafe { libc::sigtimedwait(self.0.as_ref(), std::ptr::null_mut(), &raw const left) };
        (signal > 0).then_some(signal)
    }
}
