//! Replays a recording through profile learning and three-engine alert scoring.
//!
//! One way through: events → [`observe`] → [`profile`] (learned until [`convergence`], then compared, arguments by
//! [`args`]) → [`deviation`] → [`engines`] → score → [`alert`] → [`output`].
pub mod ablate;
pub mod alert;
pub mod args;
pub mod cli;
pub mod config;
pub mod convergence;
pub mod deviation;
pub mod embed;
pub mod engines;
pub mod error;
pub mod explain;
pub mod follow;
pub mod forecast;
pub mod gather;
pub mod input;
pub mod judge;
pub mod lacking;
pub mod learn;
pub mod many;
pub mod observe;
pub mod output;
pub mod partition;
pub mod pipeline;
pub mod policy;
pub mod profile;
pub mod respond;
pub mod rules_hits;
pub mod rules_table;
pub mod run;
pub mod services;
pub mod sink;
pub mod summary;
pub mod timing;
