//! Recordings made from recordings: what they have in common. A new recording has segments, a chain and an account of its own;
//! its manifest says what it was made from.

mod note;
mod writer;

pub use note::{CpuRange, Derived, Source};
pub(crate) use writer::{Carried, carry, complete, storage};
