//! Replays a recording through profile learning and three-engine alert scoring.
pub mod deviation;
