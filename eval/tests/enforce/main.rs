//! Policies and responses on real containers and network namespaces. Needs root; what cannot run says so loudly.

mod podman;
mod respond;
mod ruleset;
mod said;
mod seccomp;
mod shape;
mod swap;
mod veth;
