//! Command lines: what stays the same when a program is run again, and how unlike a learned one a new one is.

pub mod address;
pub mod canonical;
pub mod grammar;
pub mod knowledge;
pub mod mask;
pub mod path;
pub mod shell;
pub mod tiers;
pub mod url;
pub mod vectors;

pub use canonical::Canonical;
pub use grammar::Grammar;
pub use tiers::{Comparison, Tiers};
