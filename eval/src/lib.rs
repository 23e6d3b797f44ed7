//! Experiments over recordings.
//!
//! [`detect`] compares the alerts of a replay with a recording's ground truth, and [`set`] those of a whole set; [`detection`]
//! is the benchmark beside other methods; [`capture`] says
//! what a recorder stored, lost and left incomplete, and [`curve`] over rates of events; [`card`] describes a recording. [`enforce`]
//! runs scenarios again under policies, [`forecast`] tries forecasts of traffic on days that were held back. README.md defines every metric with its unit.

pub mod alerts;
pub mod capture;
pub mod card;
pub mod curve;
pub mod detect;
pub mod detection;
pub mod enforce;
pub mod error;
pub mod forecast;
mod frames;
pub mod gate;
pub mod growth;
mod judged;
pub mod latency;
pub mod machine;
pub mod named;
pub mod overhead;
pub mod picture;
mod recorder;
pub mod report;
pub mod set;
pub mod soak;
pub mod speed;
pub mod storm;
pub mod tune;
pub mod wakeup;
pub mod workload;

pub use error::{Error, Result};
