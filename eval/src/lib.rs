//! Experiments over recordings.
//!
//! [`detect`] compares the alerts of a replay with a recording's ground truth; [`capture`] says what a recorder stored,
//! lost and left incomplete. README.md defines every metric with its unit.

pub mod alerts;
pub mod capture;
pub mod detect;
pub mod error;
mod frames;
mod judged;

pub use error::{Error, Result};
pub mod overhead;
pub mod soak;
pub mod storm;
pub mod wakeup;
pub mod workload;
