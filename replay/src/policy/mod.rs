//! Policies made from learned profiles: exported in the formats of those who enforce them, compared, looked over, and tried out on
//! recordings.
//!
//! A profile is taken apart into items ([`allowed`]) that know no format. Each format says of them what it can; what it says wider
//! and what it leaves out is in its [`account`]. What [`simulate`] decides with are the same rules that the files are
//! written from, after widening and leaving out, and not the profile.

pub mod account;
pub mod allowed;
pub mod apparmor;
pub mod apply;
pub mod bpf;
pub mod cilium;
pub mod cli;
pub mod cli_apply;
pub mod diff;
pub mod falco;
pub mod guards;
pub mod kubernetes;
pub mod lint;
mod lint_files;
pub mod names;
pub mod net;
pub mod net_rules;
pub mod nftables;
pub mod paths;
pub mod pattern;
pub mod seccomp;
pub mod simulate;
pub mod tc;
pub mod tetragon;

use clap::ValueEnum;
use serde::Serialize;

use crate::config::Config;
use crate::error::Result;
use account::Account;
use allowed::Allowed;

/// Who a policy is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Format {
    /// OCI seccomp profile (JSON): runc, crun, podman, Docker, Kubernetes
    Seccomp,
    /// Kubernetes NetworkPolicy (networking.k8s.io/v1)
    NetworkPolicy,
    /// CiliumNetworkPolicy (cilium.io/v2)
    Cilium,
    /// AppArmor profile
    Apparmor,
    /// Falco rules: they report and refuse nothing
    Falco,
    /// Tetragon TracingPolicy: reports, or kills with --enforce
    Tetragon,
    /// nftables ruleset for the container's own network namespace
    Nftables,
    /// What BPF programs are told (JSON): enforce
    Bpf,
    /// tc(8) batch that shapes what is sent, in the container's own network namespace
    Tc,
}

impl Format {
    pub const ALL: [Format; 9] = [
        Format::Seccomp,
        Format::NetworkPolicy,
        Format::Cilium,
        Format::Apparmor,
        Format::Falco,
        Format::Tetragon,
        Format::Nftables,
        Format::Bpf,
        Format::Tc,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Format::Seccomp => "seccomp",
            Format::NetworkPolicy => "networkpolicy",
            Format::Cilium => "cilium",
            Format::Apparmor => "apparmor",
            Format::Falco => "falco",
            Format::Tetragon => "tetragon",
            Format::Nftables => "nftables",
            Format::Bpf => "bpf",
            Format::Tc => "tc",
        }
    }

    /// Of a file with such a policy, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Format::Seccomp => "seccomp.json",
            Format::NetworkPolicy => "networkpolicy.yaml",
            Format::Cilium => "cilium.yaml",
            Format::Apparmor => "apparmor",
            Format::Falco => "falco.yaml",
            Format::Tetragon => "tetragon.yaml",
            Format::Nftables => "nft",
            Format::Bpf => "bpf.json",
            Format::Tc => "tc",
        }
    }

    /// What of a profile the format cannot say at all.
    pub const fn limits(self) -> &'static [&'static str] {
        match self {
            Format::Seccomp => seccomp::LIMITS,
            Format::NetworkPolicy => kubernetes::LIMITS,
            Format::Cilium => cilium::LIMITS,
            Format::Apparmor => apparmor::LIMITS,
            Format::Falco => falco::LIMITS,
            Format::Tetragon => tetragon::LIMITS,
            Format::Nftables => nftables::LIMITS,
            Format::Bpf => bpf::LIMITS,
            Format::Tc => tc::LIMITS,
        }
    }
}

/// How a policy is to be written, where there is a choice.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    pub config: &'a Config,
    /// The label by which Kubernetes finds the pods of an image.
    pub label: String,
    /// Tetragon: kill instead of report.
    pub enforce: bool,
    /// nftables, bpf, tc: addresses that containers of an image have.
    pub addresses: nftables::Addresses,
    /// tc: the interface that is shaped.
    pub interface: String,
}

/// A policy, written.
#[derive(Clone, Debug)]
pub struct Policy {
    pub text: String,
    pub account: Account,
}

/// Writes the policy of one image.
///
/// # Errors
/// The profile does not have what the format is made from.
pub fn write(allowed: &Allowed<'_>, format: Format, options: &Options<'_>) -> Result<Policy> {
    Ok(match format {
        Format::Seccomp => seccomp::write(allowed)?,
        Format::NetworkPolicy => kubernetes::write(allowed, options),
        Format::Cilium => cilium::write(allowed, options),
        Format::Apparmor => apparmor::write(allowed),
        Format::Falco => falco::write(allowed),
        Format::Tetragon => tetragon::write(allowed, options),
        Format::Nftables => nftables::write(allowed, options),
        Format::Bpf => bpf::write(allowed, options),
        Format::Tc => tc::write(allowed, options),
    })
}
