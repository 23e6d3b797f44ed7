//! Replays a recording through profile learning and three-engine alert scoring.
//!
//! One way through: events → [`observe`] → [`profile`] (learned until [`convergence`], then compared, arguments by
//! [`args`]) → [`deviation`] → engines → score → alert → files.
pub mod args;
pub mod config;
pub mod convergence;
pub mod deviation;
pub mod embed;
pub mod error;
pub mod observe;
pub mod profile;
