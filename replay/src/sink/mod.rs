//! Sinks: where raised alerts are sent.
//!
//! Each sink has a thread and a bounded queue of its own ([`Dispatcher`]): handing over an alert never waits, whatever the
//! receiver does. What a sink is and how it is told what to do is in [`config`]; each kind is a [`Sink`] in its own file.

mod alertmanager;
mod cef;
mod chat;
pub mod config;
mod dispatch;
mod ecs;
mod email;
mod http;
mod lines;
mod message;
mod ocsf;
pub mod probe;
mod syslog;
mod webhook;

use std::time::Duration;

pub use config::{Kind, SinkConfig};
pub use dispatch::{Delivery, Dispatcher};
pub use message::{Body, Message};

/// A receiver of one kind.
pub trait Sink: Send {
    /// Sends a message, and returns when the receiver has it as far as its protocol tells. Takes no longer than about `within`.
    ///
    /// # Errors
    /// [`Failure`]: whether it may pass when tried again.
    fn send(&mut self, message: &Message, within: Duration) -> Result<(), Failure>;
}

/// Why a message did not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    pub why: String,
    /// Trying again may help.
    pub may_pass: bool,
    /// What the receiver said about when to try again.
    pub after: Option<Duration>,
}

impl Failure {
    pub fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), may_pass: true, after: None }
    }

    pub fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), may_pass: false, after: None }
    }
}
