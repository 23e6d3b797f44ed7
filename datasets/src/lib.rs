//! What a recording is on disk.
pub mod model;
pub use model::*;
