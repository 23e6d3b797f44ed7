//! Sweeps over configurations: what each finds, against how often it alarms falsely.
//!
//! Every configuration is tried on the same recordings. What a stage of a replay makes is kept under the hash of its inputs and of
//! the keys it reads ([`keys`]), so that a configuration costs no more than what it changes ([`bench`]). Trials are written as they
//! are made, and a sweep that was interrupted goes on where it ended ([`log`]). Of all that were tried, [`front`] has those that
//! no other is better than, and one is chosen and written with where it comes from ([`provenance`]).

pub mod bench;
mod chart;
mod compared;
mod facts;
pub mod front;
pub mod keys;
mod log;
pub mod metrics;
pub mod provenance;
pub mod recordings;
pub mod sampler;
pub mod space;
mod sweep;

pub use chart::draw;
pub use log::Trial;
pub use sweep::{Plan, Progress, Report, StageCost, run};
