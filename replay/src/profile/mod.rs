//! What an image does: three prefix trees, learned, merged, saved, loaded and shown.

pub mod export;
pub mod image;
pub mod leaf;
pub mod node;
pub mod show;
pub mod store;

pub use image::{Departure, ImageProfile, Learned};
pub use leaf::ArgLeaf;
pub use node::Node;
pub use store::{LockedTree, Profile};
