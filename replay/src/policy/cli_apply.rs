//! `replay policy apply` and `remove`: the command line.

use std::path::PathBuf;

use clap::Args;

use super::allowed::Allowed;
use super::apply::{self, Namespace};
use super::cli::{Configured, Said, addresses_of, load, pretty, several, warn_of};
use super::{Format, Options, nftables, write};
use crate::cli::ProfileFormat;
use crate::config;
use crate::error::{Error, Result};

/// A network namespace.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Place {
    /// That of this process, as podman inspect --format {{.State.Pid}} NAME prints it
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// A file that holds one, or a name of ip netns
    #[arg(long, value_name = "FILE|NAME")]
    pub netns: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<Namespace> {
        match (self.pid, &self.netns) {
            (Some(pid), _) => Namespace::of_process(pid),
            (None, Some(name)) => Namespace::named(name),
            (None, None) => Err(Error::config("no network namespace", "give --pid or --netns")),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    replay policy apply shop.json --image app --pid 4242 --addresses rec/\n  \
    replay policy apply shop.json --image app --netns probe --dry-run")]
pub struct Apply {
    /// A profile.json, or a directory that holds one
    pub profile: PathBuf,
    /// The image whose name contains this; needed where the profile has several
    #[arg(long, value_name = "PART-OF-NAME")]
    pub image: Option<String>,
    #[command(flatten)]
    pub place: Place,
    /// Take the addresses of images from this recording; may be repeated
    #[arg(long, value_name = "RECORDING")]
    pub addresses: Vec<String>,
    /// Change nothing; print the transaction behind what would be done
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub configured: Configured,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = ProfileFormat::Table)]
    pub format: ProfileFormat,
}

/// # Errors
/// As [`super::cli::run`]; what nsenter or nft said.
pub fn apply(options: &Apply) -> Result<Said> {
    let Apply { profile, image, place, addresses, dry_run, configured, format } = options;
    let config = config::load(configured.config.as_deref(), &configured.sets)?;
    let profile = load(profile, image.as_deref())?;
    let Some((image, entry)) = profile.images.first_key_value().filter(|_| profile.images.len() == 1) else {
        return Err(several(&profile, "name one with --image"));
    };
    let namespace = place.open()?;
    let allowed = Allowed::new(image, entry);
    let options = Options {
        config: &config,
        label: String::new(),
        enforce: true,
        addresses: addresses_of(addresses)?,
        interface: String::new(),
    };
    let policy = write(&allowed, Format::Nftables, &options)?;
    warn_of(&allowed);
    let applied = apply::apply(&namespace, image, &nftables::table(image), &policy.text, *dry_run)?;
    Ok(Said::ok(match format {
        ProfileFormat::Json => pretty(&applied),
        ProfileFormat::Table if *dry_run => format!("{}\n{}", applied.render(), applied.transaction),
        ProfileFormat::Table => applied.render(),
    }))
}

/// # Errors
/// No network namespace of a container; what nsenter or nft said.
pub fn remove(place: &Place, dry_run: bool) -> Result<Said> {
    let verb = if dry_run { "would be removed" } else { "removed" };
    let tables = apply::remove(&place.open()?, dry_run)?;
    let lines = tables.iter().map(|table| format!("{table}: {verb}\n"));
    Ok(Said::ok(if tables.is_empty() { "no policy is there\n".to_owned() } else { lines.collect() }))
}
