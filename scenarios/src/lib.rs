//! Scenarios: scripted life and scripted attacks in real containers, and the ground truth of what was the attack.
//!
//! A scenario is a folder with a `scenario.toml` and image recipes; `scenarios/README.md` tells how one is written.
//!
//! ```no_run
//! # fn main() -> Result<(), scenarios::Error> {
//! use std::sync::atomic::AtomicBool;
//! scenarios::preflight()?;
//! let options = scenarios::RunOptions { seed: 7, benign: None };
//! let say = |line: &str| eprintln!("{line}");
//! let mut runner = scenarios::Runner::prepare(scenarios::load("xmrig")?, options, &say)?;
//! // ... begin to record runner.container_glob() ...
//! let timeline = runner.run(&AtomicBool::new(false), &say)?;
//! // ... end the recording ...
//! runner.cleanup()?;
//! let labels = scenarios::label(&datasets::Recording::open("DIR")?, &timeline)?;
//! # Ok(()) }
//! ```

mod activity;
mod apt;
mod attack;
mod attendant;
mod catalog;
mod check;
pub mod definition;
mod error;
mod images;
mod label;
pub mod lint;
mod matchers;
mod operation;
mod podman;
mod preflight;
mod runner;
mod skeleton;
mod stage;
mod timeline;

pub use attack::{Technique, technique};
pub use attendant::{Attendant, Part};
pub use catalog::{folder, list, list_from, load, load_from};
pub use definition::Scenario;
pub use error::Error;
pub use label::label;
pub use podman::{PodmanEnv, podman_env};
pub use preflight::preflight;
pub use runner::{RunOptions, Runner, build};
pub use skeleton::begin;
pub use timeline::{OperationRun, RunContainer, Runs, StepRun, Timeline, describe};
