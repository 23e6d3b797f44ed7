//! Holds a running container to a policy that `replay policy export --format bpf` wrote: what the profile does not know is refused
//! by BPF programs, and counted. A policy is replaced while it is in force, through the programs' maps.

pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod error;
pub mod interface;
pub mod known;
pub mod lsm;
pub mod policy;
pub mod refused;
pub mod selftest;
pub mod signals;
pub mod tries;
pub mod watch;
pub mod xdp;

/// Set it to see what libbpf and the kernel's verifier say.
pub const DEBUG_VARIABLE: &str = "RETROSCOPE_BPF_DEBUG";

/// libbpf writes the verifier's log to stderr, thousands of lines; it is kept for who asks for it.
fn quiet() {
    if std::env::var_os(DEBUG_VARIABLE).is_none() {
        libbpf_rs::set_print(None);
    }
}
