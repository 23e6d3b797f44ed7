//! What an image does: three prefix trees, learned, merged, saved, loaded and shown.

pub mod bounds;
pub mod calls;
pub mod diff;
pub mod export;
mod grave;
pub mod image;
pub mod leaf;
pub mod node;
pub mod show;
pub mod siblings;
pub mod store;
pub mod traffic;
pub mod tuning;

pub use calls::Calls;
pub use grave::grave;
pub use image::{Departure, ImageProfile, Learned};
pub use leaf::ArgLeaf;
pub use node::Node;
pub use store::{LockedTree, Profile};
pub use traffic::{Traffic, Volume};
