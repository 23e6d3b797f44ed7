//! The event contract of Retroscope.
//!
//! One place defines what an event is: [`abi`] mirrors `include/events.h` (checked against it by size here and against
//! BTF in the recorder's tests), and [`schema`] gives every event class its Parquet columns, with unit and meaning.
//! The BPF programs live beside it in `bpf/`; building this crate needs neither clang nor libbpf.

pub mod abi;
pub mod event;
pub mod schema;

pub use event::{Class, Kind};
