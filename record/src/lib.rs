//! Records kernel event streams of containers to Parquet.
//!
//! The pipeline is [`session`]: ring → [`decode`] → [`enrich`] → batches → segments. [`run`] drives it for containers,
//! for a command, and for a scenario.

pub mod accounting;
pub mod bpf;
pub mod cgroup;
pub mod check;
pub mod cli;
pub mod clock;
pub mod command;
pub mod decode;
pub mod drain;
pub mod enrich;
pub mod error;
pub mod filter;
pub mod filter_file;
pub mod hooks;
pub mod identity;
pub mod lag;
pub mod live;
pub mod losses;
pub mod mask;
pub mod memory;
mod mounts;
pub mod names;
pub mod narrow;
pub mod privacy;
pub mod privileges;
pub mod probe;
pub mod processes;
pub mod protocol;
pub mod ring;
pub mod run;
pub mod sample;
pub mod scenario;
pub mod selftest;
pub mod session;
pub mod signing;
pub mod storage;
pub mod summary;
mod taken;
pub mod thin;
pub mod tls;
pub mod verifier;
