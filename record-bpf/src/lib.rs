//! The event contract of Retroscope.
//!
//! One place defines what an event is: [`abi`] mirrors `include/events.h` (checked against it by size here and against
//! BTF in the recorder's tests), and [`schema`] gives every event class its Parquet columns, with unit and meaning.
//! The BPF programs live beside it in `bpf/`; building this crate needs neither clang nor libbpf.

pub mod abi;
pub mod event;
pub mod schema;

/// Verified instructions of each BPF program: what `record check --verifier` measures, kept in check by a test (TOML).
pub const VERIFIER_BUDGET: &str = include_str!("../verifier.toml");

pub use event::{Class, Kind};
