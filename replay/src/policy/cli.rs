//! `replay policy ...`: the command line, and what each command does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::json;

use super::account::Account;
use super::allowed::Allowed;
use super::cli_apply::{self, Apply, Place};
use super::{Format, Options, Policy, diff, lint, lint_files, names, nftables, simulate, write};
use crate::cli::ProfileFormat;
use crate::config;
use crate::error::{Error, Result, exit};
use crate::observe::peers::image_of;
use crate::profile::Profile;
use crate::{input, run};

const AFTER: &str = "\
Examples:
  replay policy export shop.json --format seccomp --image app > app.json
  podman run --security-opt seccomp=app.json ...
  replay policy export shop.json --format networkpolicy -o policies/
  replay policy diff last-week.json shop.json
  replay policy lint shop.json
  replay policy simulate shop.json xmrig-21 webapp-21
  replay policy apply shop.json --image app --pid 4242
Formats, what each can say, and how it was checked: replay/POLICY.md";

#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Write a profile as the policy of those who enforce it
    Export(Export),
    /// Print what a second profile's policy allows more or less than the first's; exits with 1 if there is anything
    #[command(after_help = "Examples:\n  \
    replay policy diff last-week.json shop.json")]
    Diff {
        /// A profile.json, or a directory that holds one
        old: PathBuf,
        /// The one it is compared with
        new: PathBuf,
        /// Only images whose name contains this; where each profile has one such image, these two are compared
        #[arg(long, value_name = "PART-OF-NAME")]
        image: Option<String>,
        /// What goes to stdout
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Print what is broader than it should be, with why and what to do; exits with 1 if there is anything
    #[command(after_help = "Examples:\n  \
    replay policy lint shop.json\n  \
    replay policy lint app-seccomp.json --format json")]
    Lint {
        /// A profile.json or a directory that holds one; or a policy: seccomp, NetworkPolicy, CiliumNetworkPolicy, AppArmor
        #[arg(value_name = "FILE|PROFILE")]
        policy: PathBuf,
        /// Only images of a profile whose name contains this
        #[arg(long, value_name = "PART-OF-NAME")]
        image: Option<String>,
        /// What goes to stdout
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Tell from recordings alone what a profile's policies would have stopped, and what they would have broken
    #[command(after_help = "Examples:\n  \
    replay policy simulate shop.json xmrig-21 webapp-21")]
    Simulate {
        /// A profile.json, or a directory that holds one
        profile: PathBuf,
        /// Recordings, by directory or name
        #[arg(required = true, value_name = "RECORDING")]
        recordings: Vec<String>,
        /// Only images whose name contains this
        #[arg(long, value_name = "PART-OF-NAME")]
        image: Option<String>,
        #[command(flatten)]
        configured: Configured,
        /// What goes to stdout
        #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
        format: ProfileFormat,
    },
    /// Put an image's nftables policy into the network namespace of a container that runs, or a new one in its place
    ///
    /// All of it is one transaction: every packet meets the old rules or the new ones, and what had been counted stays. Exchanges
    /// that were begun under the old rules go on. Needs root. The machine's own network namespace is left alone.
    Apply(Apply),
    /// Take the policies that `apply` put there out of a network namespace again
    #[command(after_help = "Examples:\n  \
    replay policy remove --pid 4242\n  \
    replay policy remove --netns probe --dry-run")]
    Remove {
        #[command(flatten)]
        place: Place,
        /// Only say what there is to remove
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub struct Configured {
    /// TOML file over the defaults, as the profile was learned with
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration value, as network.ephemeral_from=49152; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    replay policy export shop.json --format seccomp --image app > app.json\n  \
    replay policy export shop.json --format networkpolicy -o policies/\n  \
    replay policy export shop.json --format falco --image app --explain\n  \
    replay policy export shop.json --format tc --image app --addresses shop-recording/ > app.tc")]
pub struct Export {
    /// A profile.json, or a directory that holds one
    pub profile: PathBuf,
    /// Whom the policy is for
    #[arg(long, value_enum)]
    pub format: Format,
    /// Only images whose name contains this
    #[arg(long, value_name = "PART-OF-NAME")]
    pub image: Option<String>,
    /// File for the policy of one image, or directory for those of all [default: stdout, for one image]
    #[arg(short, long, value_name = "FILE|DIR")]
    pub output: Option<PathBuf>,
    /// Print what is said, widened and left out instead of the policy, or beside it with -o
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "table")]
    pub explain: Option<ProfileFormat>,
    /// Kubernetes: label that tells the pods of an image; its value is the image's name without registry and tag
    #[arg(long, value_name = "KEY", default_value = "app.kubernetes.io/name")]
    pub label: String,
    /// Tetragon: kill the process instead of reporting it
    #[arg(long)]
    pub enforce: bool,
    /// nftables, bpf, tc: take the addresses of images from this recording; may be repeated
    #[arg(long, value_name = "RECORDING")]
    pub addresses: Vec<String>,
    /// tc: interface of the container that is shaped
    #[arg(long, value_name = "NAME", default_value = "eth0", value_parser = interface)]
    pub interface: String,
    #[command(flatten)]
    pub configured: Configured,
}

/// As the kernel names interfaces, without what tc(8) takes for something else.
fn interface(text: &str) -> std::result::Result<String, String> {
    let fits = (1..16).contains(&text.len()) && !text.starts_with(['.', '-']);
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if fits && plain { Ok(text.to_owned()) } else { Err("no name of an interface".to_owned()) }
}

/// What a command says on stdout, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub text: String,
    pub code: u8,
}

impl Said {
    pub(super) fn ok(text: String) -> Said {
        Said { text, code: 0 }
    }

    /// 1 if something was found.
    fn found(text: String, found: bool) -> Said {
        Said { text, code: if found { exit::CHECK_FAILED } else { 0 } }
    }
}

/// # Errors
/// Unreadable input, an image that is not in the profile, a file that cannot be written.
pub fn run(command: PolicyCommand) -> Result<Said> {
    match command {
        PolicyCommand::Export(options) => export(&options),
        PolicyCommand::Apply(options) => cli_apply::apply(&options),
        PolicyCommand::Remove { place, dry_run } => cli_apply::remove(&place, dry_run),
        PolicyCommand::Diff { old, new, image, format } => {
            let found = diff::diff(&load(&old, image.as_deref())?, &load(&new, image.as_deref())?);
            let text = match format {
                ProfileFormat::Table => found.render(),
                ProfileFormat::Json => pretty(&found),
            };
            Ok(Said::found(text, !found.is_empty()))
        }
        PolicyCommand::Lint { policy, image, format } => {
            let found = lint(&policy, image.as_deref())?;
            let text = match format {
                ProfileFormat::Table => lint::render(&found),
                ProfileFormat::Json => pretty(&found),
            };
            Ok(Said::found(text, !found.is_empty()))
        }
        PolicyCommand::Simulate { profile, recordings, image, configured, format } => {
            let config = config::load(configured.config.as_deref(), &configured.sets)?;
            let profile = load(&profile, image.as_deref())?;
            let bar = run::progress_bar(recordings.len() as u64, "trying");
            let mut trials = Vec::new();
            for name in &recordings {
                let recording = input::recording(name)?;
                let name = run::base_name(recording.dir());
                trials.push(simulate::simulate(&name, &recording, &profile, &config)?);
                bar.inc(1);
            }
            bar.finish_and_clear();
            Ok(Said::ok(match format {
                ProfileFormat::Table => simulate::render(&trials),
                ProfileFormat::Json => pretty(&trials),
            }))
        }
    }
}

pub(super) fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("string keys and plain values serialize");
    text.push('\n');
    text
}

/// The profile with the images whose name contains `image`.
pub(super) fn load(path: &Path, image: Option<&str>) -> Result<Profile> {
    let file = if path.is_dir() { path.join("profile.json") } else { path.to_owned() };
    let mut profile = Profile::load(&file)?;
    let all: Vec<String> = profile.images.keys().map(ToString::to_string).collect();
    profile.images.retain(|name, _| image.is_none_or(|wanted| name.contains(wanted)));
    if profile.images.is_empty() {
        let known = if all.is_empty() { "it has none".to_owned() } else { format!("it has {}", all.join(", ")) };
        return Err(Error::input(format!("{}: no such image in the profile", file.display()), known));
    }
    Ok(profile)
}

fn lint(path: &Path, image: Option<&str>) -> Result<Vec<lint::Finding>> {
    if path.is_dir() {
        return Ok(lint::profile(&load(path, image)?));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::input(format!("{}: cannot read: {error}", path.display()), "give a profile.json or a policy's file")
    })?;
    let value: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    if value.is_some_and(|value| value.get("images").is_some()) {
        return Ok(lint::profile(&load(path, image)?));
    }
    lint_files::lint(path, &text)
}

fn export(options: &Export) -> Result<Said> {
    let Export { profile, format, image, output, explain, label, enforce, addresses, interface, configured } = options;
    let config = config::load(configured.config.as_deref(), &configured.sets)?;
    let profile = load(profile, image.as_deref())?;
    if !is_label_key(label) {
        return Err(Error::config(
            format!("--label {label:?} is no label of Kubernetes"),
            "letters, digits, '-', '_' and '.', with a DNS prefix and '/' before it if wanted",
        ));
    }
    let options = Options {
        config: &config,
        label: label.clone(),
        enforce: *enforce,
        addresses: addresses_of(addresses)?,
        interface: interface.clone(),
    };
    let mut written: Vec<(Arc<str>, Vec<&'static str>, Policy)> = Vec::new();
    for (image, entry) in &profile.images {
        let allowed = Allowed::new(image, entry);
        let policy = write(&allowed, *format, &options)?;
        warn_of(&allowed);
        written.push((Arc::clone(image), allowed.unlocked, policy));
    }
    let mut text = String::new();
    let shown = explain.is_some();
    match (output, written.as_slice()) {
        (None, [(_, _, policy)]) if !shown => text.clone_from(&policy.text),
        (None, _) if !shown => return Err(several(&profile, "name one with --image, or a directory with -o")),
        (None, _) => {}
        (Some(path), [(_, _, policy)]) if !path.is_dir() => {
            std::fs::write(path, &policy.text).map_err(|error| Error::output(path, error))?;
        }
        (Some(directory), _) => save(directory, *format, &written)?,
    }
    match explain {
        None => {}
        Some(ProfileFormat::Json) => {
            let accounts = written.iter().map(|(image, unlocked, policy)| {
                json!({ "image": image, "format": format, "not_locked": unlocked, "account": policy.account, "cannot_say": format.limits() })
            });
            text.push_str(&pretty(&accounts.collect::<Vec<_>>()));
        }
        Some(ProfileFormat::Table) => {
            for (image, unlocked, Policy { account, .. }) in &written {
                account.lines(image, *format, unlocked).iter().for_each(|line| text.push_str(&format!("{line}\n")));
                text.push('\n');
            }
        }
    }
    if !shown && output.is_some() {
        for (image, _, Policy { account, .. }) in &written {
            text.push_str(&summary(image, account));
        }
    }
    Ok(Said::ok(text))
}

pub(super) fn warn_of(allowed: &Allowed<'_>) {
    if !allowed.unlocked.is_empty() {
        let (image, trees) = (&allowed.image, allowed.unlocked.join(", "));
        eprintln!(
            "warning: {image}: still learning when the profile was saved: {trees}: the policy refuses what it has not seen"
        );
    }
}

pub(super) fn several(profile: &Profile, hint: &str) -> Error {
    let names: Vec<&str> = profile.images.keys().map(|image| &**image).collect();
    Error::config(format!("the profile has {} images: {}", names.len(), names.join(", ")), hint)
}

fn summary(image: &str, account: &Account) -> String {
    let (widened, left_out) = (account.widened_items(), account.left_out_items());
    format!("{image}: {} items allowed, {widened} widened, {left_out} left out\n", account.expressed)
}

/// A file for each image.
fn save(directory: &Path, format: Format, written: &[(Arc<str>, Vec<&'static str>, Policy)]) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(|error| Error::output(directory, error))?;
    for (image, _, policy) in written {
        let path = directory.join(format!("{}.{}", names::dns(image), format.extension()));
        std::fs::write(&path, &policy.text).map_err(|error| Error::output(&path, error))?;
    }
    Ok(())
}

/// Which addresses the containers of each image had in recordings.
pub(super) fn addresses_of(recordings: &[String]) -> Result<nftables::Addresses> {
    let mut addresses: nftables::Addresses = BTreeMap::new();
    for name in recordings {
        for container in input::recording(name)?.containers()? {
            let own = container.addresses.iter().filter_map(|address| address.parse::<std::net::IpAddr>().ok());
            addresses.entry(image_of(&container)).or_default().extend(own);
        }
    }
    Ok(addresses)
}

/// `[prefix/]name` of a Kubernetes label.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    names::label(name) == name && prefix.is_none_or(names::is_domain)
}
