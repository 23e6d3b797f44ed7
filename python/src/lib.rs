//! `retroscope._native`: recordings, learning, replays and sweeps for Python. What a user sees of it is documented in
//! `retroscope/_native.pyi`, which a test holds to what is here.
//!
//! Tables leave through the Arrow C stream interface, so nothing is copied between this library and what reads them. Work is done
//! without the interpreter's lock, on threads of its own ([`work`]).

mod config;
mod error;
mod inputs;
mod outcome;
mod partition;
mod profile;
mod readers;
mod recording;
mod sweep;
mod table;
mod work;

use pyo3::prelude::*;

/// Rust side of the package `retroscope`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::outcome::{Outcome, run_replay};
    #[pymodule_export]
    use crate::partition::{partition_learn, partition_merge, partition_plan, partition_run, partition_union};
    #[pymodule_export]
    use crate::profile::{Profile, run_learn};
    #[pymodule_export]
    use crate::recording::{Recording, open_recording, shipped};
    #[pymodule_export]
    use crate::sweep::run_sweep;
    #[pymodule_export]
    use crate::table::Table;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
