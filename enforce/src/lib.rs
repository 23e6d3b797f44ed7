//! Holds a running container to a policy that `replay policy export --format bpf` wrote: what the profile does not know is refused
//! by BPF programs, and counted. A policy is replaced while it is in force, through the programs' maps.

pub mod cli;
pub mod error;
pub mod policy;
