//! Policies on the containers of a run: given to podman when a container is made, or loaded into its network namespace or put at the
//! host's end of its veth pair before its program begins, and asked after each part of the run what they refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use replay::config::Config;
use replay::policy::allowed::Allowed;
use replay::policy::apply::{Namespace, apply};
use replay::policy::{self, Options, nftables, seccomp, tc};
use replay::profile::Profile;
use scenarios::{Attendant, Part, RunContainer};
use serde::{Deserialize, Serialize};

use super::Kind;
use super::nft::{self, Packets};
use super::shaped::{self, Held, Watched};
use super::xdp::{Call, Enforcer, host_ends};
use crate::error::{Error, Result};

/// The policies of a profile, on the containers whose image is in it.
#[derive(Debug)]
pub struct Applied {
    /// None: nothing is applied, and the run is otherwise the same.
    kind: Option<Kind>,
    profile: Arc<Profile>,
    config: Config,
    /// Files of the policies.
    dir: PathBuf,
    enforce: Call,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    addresses: nftables::Addresses,
    /// Where a ruleset is loaded: container, its namespace, table.
    loaded: Vec<(RunContainer, Namespace, String)>,
    /// Where XDP programs drop packets: container, what holds one.
    dropping: Vec<(RunContainer, Enforcer)>,
    /// Where tc shapes what is sent.
    shaped: Vec<(RunContainer, Watched)>,
    seen: Vec<Seen>,
    /// Why what was refused could not be asked for.
    unread: Option<String>,
}

/// What was seen of a part of a run.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Act and step; None: ordinary life.
    pub step: Option<(String, String)>,
    /// Why the step's command failed.
    pub failed: Option<String>,
    /// Refused, by service.
    pub packets: Vec<(String, Packets)>,
    /// Held back, by service.
    pub held: Vec<(String, Held)>,
}

/// A policy that was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    pub image: String,
    pub policy: Kind,
    /// Items of the profile that it allows, that it allows more widely, and that it leaves out.
    pub allows: u64,
    pub wider: u64,
    pub left_out: u64,
    /// Trees that were still learning.
    pub not_locked: Vec<String>,
}

impl Applied {
    /// `dir`: for files of the policies.
    pub fn new(kind: Option<Kind>, profile: Arc<Profile>, config: Config, dir: &Path, enforce: Call) -> Applied {
        Applied { kind, profile, config, dir: dir.to_owned(), enforce, state: Mutex::default() }
    }

    /// What the policies of a kind say. Those of seccomp are written.
    ///
    /// # Errors
    /// The profile does not have what they are made from; they cannot be written.
    pub fn write(&self) -> Result<Vec<Written>> {
        let Some(kind) = self.kind else { return Ok(Vec::new()) };
        fs::create_dir_all(&self.dir).map_err(|error| Error::output(&self.dir, error))?;
        let mut written = Vec::new();
        for (image, entry) in &self.profile.images {
            let allowed = Allowed::new(image, entry);
            let policy = policy::write(&allowed, kind.format(), &self.options_of(nftables::Addresses::new()))?;
            let path = self.file(kind, image);
            fs::write(&path, &policy.text).map_err(|error| Error::output(&path, error))?;
            written.push(Written {
                image: image.to_string(),
                policy: kind,
                allows: policy.account.expressed,
                wider: policy.account.widened_items(),
                left_out: policy.account.left_out_items(),
                not_locked: allowed.unlocked.iter().map(|tree| (*tree).to_owned()).collect(),
            });
        }
        Ok(written)
    }

    /// The addresses that the containers will have, by image.
    pub fn know(&self, containers: &[RunContainer]) {
        let mut addresses: nftables::Addresses = BTreeMap::new();
        for container in containers {
            let own = addresses.entry(container.image.as_str().into()).or_default();
            own.extend(container.address.parse::<std::net::IpAddr>());
        }
        self.state().addresses = addresses;
    }

    /// What was seen since the run began.
    ///
    /// # Errors
    /// The rules could not be asked what they refused, or were not in force all the time.
    pub fn seen(&self) -> Result<Vec<Seen>> {
        let state = self.state();
        match &state.unread {
            Some(why) => Err(Error::run("asking what was refused", why)),
            None => Ok(state.seen.clone()),
        }
    }

    /// The rules of seccomp by image, of those that have any.
    pub fn rules(&self) -> BTreeMap<Arc<str>, seccomp::Rules> {
        let rules = |(image, entry)| {
            let rules = seccomp::rules(&Allowed::new(image, entry), &mut policy::account::Account::default());
            rules.ok().map(|rules| (Arc::clone(image), rules))
        };
        self.profile.images.iter().filter_map(rules).collect()
    }

    fn options_of(&self, addresses: nftables::Addresses) -> Options<'_> {
        Options {
            config: &self.config,
            label: String::new(),
            enforce: true,
            addresses,
            interface: shaped::INTERFACE.to_owned(),
        }
    }

    fn file(&self, kind: Kind, image: &str) -> PathBuf {
        self.dir.join(format!("{}.{}", policy::names::dns(image), kind.format().extension()))
    }

    /// Whoever panicked left each list whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attendant for Applied {
    fn options(&self, image: &str) -> Vec<String> {
        if self.kind != Some(Kind::Seccomp) || !self.profile.images.contains_key(image) {
            return Vec::new();
        }
        vec![format!("--security-opt=seccomp={}", self.file(Kind::Seccomp, image).display())]
    }

    fn starting(&self, container: &RunContainer, pid: u32) -> Result<(), String> {
        let kind = self.kind.filter(|kind| matches!(kind, Kind::Nftables | Kind::Xdp | Kind::Tc));
        let entry = self.profile.images.get_key_value(container.image.as_str());
        let (Some(kind), Some((image, entry))) = (kind, entry) else { return Ok(()) };
        let mut state = self.state();
        let allowed = Allowed::new(image, entry);
        let options = self.options_of(state.addresses.clone());
        let text = policy::write(&allowed, kind.format(), &options).map_err(|error| error.to_string())?.text;
        let path = self.file(kind, image);
        fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        if kind == Kind::Xdp {
            for interface in host_ends(pid)? {
                let enforcer = Enforcer::begin(&self.enforce, &path, &interface)?;
                state.dropping.push((container.clone(), enforcer));
            }
            return Ok(());
        }
        let namespace = Namespace::of_process(pid).map_err(|error| error.to_string())?;
        if kind == Kind::Tc {
            let shape = tc::Shape::of(&allowed, &self.config, &mut policy::account::Account::default());
            state.shaped.retain(|(known, _)| known.id != container.id);
            state.shaped.push((container.clone(), Watched::begin(namespace, shape, &text)?));
            return Ok(());
        }
        apply(&namespace, image, &nftables::table(image), &text, false).map_err(|error| error.to_string())?;
        state.loaded.retain(|(known, ..)| known.id != container.id);
        state.loaded.push((container.clone(), namespace, nftables::table(image)));
        Ok(())
    }

    fn ended(&self, part: Part<'_>) {
        let (step, failed) = match part {
            Part::Life => (None, None),
            Part::Step { act, step, failed } => (Some((act.to_owned(), step.to_owned())), failed.map(str::to_owned)),
        };
        let mut state = self.state();
        let (mut packets, mut unread) = (Vec::new(), None);
        for (container, namespace, table) in &state.loaded {
            // The namespace is there as long as it is held, the container's end or not.
            match nft::take_refused(namespace, table) {
                Ok(found) => packets.extend(found.into_iter().map(|each| (container.service.clone(), each))),
                Err(error) => unread = Some(format!("{}: {error}", container.name)),
            }
        }
        let mut dropping = std::mem::take(&mut state.dropping);
        dropping.retain_mut(|(container, enforcer)| match enforcer.take_refused() {
            Ok((found, goes_on)) => {
                packets.extend(found.into_iter().map(|each| (container.service.clone(), each)));
                goes_on
            }
            Err(why) => {
                unread = Some(format!("{}: enforce: {why}", container.name));
                false
            }
        });
        state.dropping = dropping;
        let mut held = Vec::new();
        for (container, watched) in &mut state.shaped {
            match watched.take_held() {
                Ok(found) => held.extend(found.into_iter().map(|each| (container.service.clone(), each))),
                Err(why) => unread = Some(format!("{}: {why}", container.name)),
            }
        }
        state.unread = state.unread.take().or(unread);
        state.seen.push(Seen { step, failed, packets, held });
    }
}
