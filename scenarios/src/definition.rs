//! `scenario.toml` as typed values: parsing, inheritance, and the checks that a run relies on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use record_bpf::Class;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use crate::matchers::{DnsMatcher, FileMatcher, Matchers, NetworkMatcher, RootMatcher, TlsMatcher};
use crate::{Error, check, images};

/// Begins the description of a scenario whose attack was left out.
pub const WITHOUT_ATTACK: &str = "Ordinary life, without what would be the attack: ";

/// A scenario, ready to run: what its own file and the ones it extends say.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    /// The scenario whose life it takes over.
    pub extends: Option<String>,
    pub title: String,
    pub description: String,
    /// Ordinary life before the first act; the whole run where there is none.
    pub benign: Duration,
    /// Ordinary life after the last act.
    pub tail: Duration,
    /// So many seconds of real life are one second here, for what recurs by the clock.
    pub time_compression: Option<f64>,
    /// Classes that a recording of it needs beyond those a recorder takes by itself.
    pub events: Vec<Class>,
    /// SHA-256 of the file and those it extends.
    pub text_hash: [u8; 32],
    /// By name, as services refer to them.
    pub images: BTreeMap<String, Image>,
    /// In start order.
    pub services: Vec<Service>,
    pub load: Load,
    pub activities: Vec<Activity>,
    pub operations: Vec<Operation>,
    /// Empty: nothing bad happens.
    pub acts: Vec<Act>,
    pub variables: BTreeMap<String, String>,
}

impl Scenario {
    /// How long a run takes at least, the containers' start and the commands of the steps not included.
    pub fn expected_duration(&self) -> Duration {
        let acts = self.acts.iter().enumerate().map(|(i, act)| {
            let settle: u64 = act.steps.iter().map(|step| step.settle_s).sum();
            Duration::from_secs(settle + if i == 0 { 0 } else { act.after_s })
        });
        self.benign + acts.sum::<Duration>() + self.tail
    }

    /// SHA-256, hex, of the definition and of everything its images are built from: two runs with the same one differ in
    /// their seed and in package versions only.
    ///
    /// # Errors
    /// [`Error::Read`]: a file of an image cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut hash = Sha256::new().chain_update(self.text_hash);
        for (name, image) in &self.images {
            hash.update(format!("{name} {}\n", images::recipe_hash(image)?));
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Its services, load and activities alone: what is ordinary where they run.
    #[must_use]
    pub fn without_attack(mut self) -> Scenario {
        if !self.acts.is_empty() {
            self.acts.clear();
            self.description = format!("{WITHOUT_ATTACK}{}", self.description);
        }
        self
    }

    /// Matches the names of the containers that are watched, with all their replicas, and no others: what a recorder filters
    /// on. Containers that stand for the outside world (customers, the attacker, the pool) do not match, and neither do those
    /// of a scenario whose name begins with this one's.
    pub fn container_glob(&self) -> String {
        let mut names: Vec<String> =
            self.services.iter().filter(|service| !service.outside).map(|service| service.name.clone()).collect();
        for operation in self.operations.iter().filter(|operation| operation.what == Deed::Scale) {
            let replicas = format!("{}-[0-9]*", operation.service);
            if names.contains(&operation.service) && !names.contains(&replicas) {
                names.push(replicas);
            }
        }
        format!("retroscope-{}-{{{}}}", self.name, names.join(","))
    }

    /// ATT&CK ids of all steps.
    pub fn techniques(&self) -> BTreeSet<&str> {
        let steps = || self.acts.iter().flat_map(|act| &act.steps);
        let roots = steps().flat_map(|step| &step.roots).filter_map(|root| root.technique.as_deref());
        steps().map(|step| step.technique.as_str()).chain(roots).collect()
    }
}

/// An image recipe: a folder with a `Containerfile` (its argument `BASE` is the Debian base).
#[derive(Clone, Debug)]
pub struct Image {
    /// The folder beside the scenarios that holds the recipe, as `webapp`: scenarios that use it share the image.
    pub owner: String,
    /// Absolute path of the recipe's folder.
    pub recipe: PathBuf,
    /// Absolute paths of further files for the build context.
    pub with: Vec<PathBuf>,
}

/// A container that runs all the time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub name: String,
    pub image: String,
    /// Stands for the world beyond the watched host: its container has another name, and the recorder leaves it out.
    #[serde(default)]
    pub outside: bool,
    /// The name server of all containers. It gets the names in its environment.
    #[serde(default)]
    pub dns: bool,
    /// DNS names on the scenario's network.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Instead of the image's own command.
    #[serde(default)]
    pub command: Vec<String>,
    /// Run inside until it succeeds, before the next service starts.
    #[serde(default)]
    pub ready: Vec<String>,
    /// Of the run's own: two services that name the same one share it.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Capabilities beyond podman's default ones, as NET_RAW.
    #[serde(default)]
    pub caps: Vec<String>,
}

/// A volume, empty at first and removed with the run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    pub name: String,
    /// Absolute path in the container.
    pub at: String,
}

/// The load generator, an `outside` container.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    pub image: String,
    /// Instead of the image's own command.
    #[serde(default)]
    pub command: Vec<String>,
    /// As a service's.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// They repeat until the scenario ends.
    pub phases: Vec<Phase>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub name: String,
    /// s
    pub seconds: f64,
    /// Requests per second of each customer.
    pub rate: f64,
    /// Chance that a request is followed by a burst, 0 to 1.
    pub burst: f64,
}

/// A command that the platform or an operator runs in a container again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    pub name: String,
    pub service: String,
    /// Mean interval, s.
    pub every_s: f64,
    /// Each interval is `every_s` times 1 ± this share.
    #[serde(default = "default_jitter")]
    pub jitter: f64,
    pub command: Vec<String>,
}

/// Something that the platform does to a service at one moment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub name: String,
    pub service: String,
    /// When, from the first request on, s; times 1 ± `jitter`, by the seed.
    pub at_s: f64,
    #[serde(default = "default_jitter")]
    pub jitter: f64,
    #[serde(rename = "do")]
    pub what: Deed,
    /// Deploy: the new image's name.
    pub image: Option<String>,
    /// Scale: so many containers in all, 2 or more.
    pub replicas: Option<u32>,
    /// Scale: until the others are taken down again, s.
    pub for_s: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// SIGTERM, and a start of the same container.
    Restart,
    /// SIGKILL to all of it, and the platform starts it again after a while.
    Crash,
    /// The container is replaced by one of another image, under the same name and address.
    Deploy,
    /// More containers of the same kind, named SERVICE-2 and so on, for a time.
    Scale,
}

fn default_jitter() -> f64 {
    0.2
}

/// A part of the attack that stands by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    pub name: String,
    pub title: String,
    /// How close it stays to what is ordinary.
    #[serde(default)]
    pub stealth: Option<Stealth>,
    /// Nobody can say of any of its events whether they are the attack's.
    #[serde(default)]
    pub ambiguous: bool,
    /// Ordinary life since the act before, s; the first act starts after the benign part.
    #[serde(default)]
    pub after_s: u64,
    pub steps: Vec<Step>,
}

/// How much an act tries not to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stealth {
    /// Not at all.
    Loud,
    /// It avoids what is conspicuous.
    Quiet,
    /// It does what the service does anyway, as far as it can.
    Mimicry,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    /// MITRE ATT&CK id.
    pub technique: String,
    pub description: String,
    /// The service in whose container the command runs.
    pub service: String,
    pub command: Vec<String>,
    /// How long the step's window stays open after the command, s.
    #[serde(default)]
    pub settle_s: u64,
    /// Nobody can say of any of its events whether they are the attack's.
    #[serde(default)]
    pub ambiguous: bool,
    /// The processes this step brings about.
    #[serde(default)]
    pub roots: Vec<RootMatcher>,
    /// Events it brings about in processes that live on as before.
    #[serde(default)]
    pub files: Vec<FileMatcher>,
    #[serde(default)]
    pub network: Vec<NetworkMatcher>,
    #[serde(default)]
    pub dns: Vec<DnsMatcher>,
    #[serde(default)]
    pub tls: Vec<TlsMatcher>,
    /// As `network.connect`: kinds of events that must be among its labelled ones.
    #[serde(default)]
    pub expect: Vec<String>,
}

impl Step {
    /// How its events are recognised.
    pub fn matchers(&self) -> Matchers {
        Matchers {
            roots: self.roots.clone(),
            files: self.files.clone(),
            network: self.network.clone(),
            dns: self.dns.clone(),
            tls: self.tls.clone(),
            expect: self.expect.clone(),
        }
    }
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: String,
    description: String,
    extends: Option<String>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    benign: RawBenign,
    #[serde(default)]
    images: BTreeMap<String, RawImage>,
    #[serde(default)]
    services: Vec<Service>,
    load: Option<Load>,
    #[serde(default)]
    activities: Vec<Activity>,
    #[serde(default)]
    operations: Vec<Operation>,
    #[serde(default)]
    acts: Vec<Act>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBenign {
    duration_s: Option<u64>,
    tail_s: Option<u64>,
    compression: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage {
    recipe: PathBuf,
    #[serde(default)]
    with: Vec<PathBuf>,
}

/// Inheritance deeper than this is a circle.
const MAX_DEPTH: usize = 8;

/// Reads `<root>/<name>/scenario.toml` and what it extends.
pub(crate) fn read(root: &Path, name: &str) -> Result<Scenario, Error> {
    let scenario = read_level(root, name, 0)?;
    check::check(&scenario).map_err(|(place, message)| Error::Definition { path: file(root, name), place, message })?;
    Ok(scenario)
}

fn file(root: &Path, name: &str) -> PathBuf {
    root.join(name).join("scenario.toml")
}

fn read_level(root: &Path, name: &str, depth: usize) -> Result<Scenario, Error> {
    let path = file(root, name);
    let text = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
    let raw: Raw = toml::from_str(&text).map_err(|error| Error::Definition {
        path: path.clone(),
        place: error.span().map_or_else(|| "1:1".to_owned(), |span| line_and_column(&text, span.start)),
        message: error.message().replace('\n', " "),
    })?;
    let complain =
        |place: &str, message: String| Error::Definition { path: path.clone(), place: place.into(), message };

    let folder = root.join(name);
    let images = raw.images.into_iter().map(|(key, image)| {
        let with = image.with.iter().map(|file| plain(&folder.join(file))).collect();
        let recipe = plain(&folder.join(image.recipe));
        let owner = recipe.strip_prefix(plain(root)).ok().and_then(|below| below.components().next());
        let owner = owner.map_or(name.to_owned(), |first| first.as_os_str().to_string_lossy().into_owned());
        (key, Image { owner, recipe, with })
    });
    let extends = raw.extends.clone();
    let mut scenario = match raw.extends {
        Some(_) if depth == MAX_DEPTH => return Err(complain("extends", "the scenarios extend each other".into())),
        Some(parent) => {
            if !file(root, &parent).is_file() {
                return Err(complain("extends", format!("there is no scenario '{parent}'")));
            }
            let mut scenario = read_level(root, &parent, depth + 1)?;
            if let Some(load) = raw.load {
                scenario.load = load;
            }
            scenario
        }
        None => Scenario {
            name: String::new(),
            extends: None,
            title: String::new(),
            description: String::new(),
            benign: Duration::ZERO,
            tail: Duration::ZERO,
            time_compression: None,
            events: Vec::new(),
            text_hash: [0; 32],
            images: BTreeMap::new(),
            services: Vec::new(),
            load: raw.load.ok_or_else(|| complain("load", "a scenario that extends no other needs a load".into()))?,
            activities: Vec::new(),
            operations: Vec::new(),
            acts: Vec::new(),
            variables: BTreeMap::new(),
        },
    };
    scenario.name = name.rsplit('/').next().unwrap_or(name).to_owned();
    scenario.extends = extends;
    scenario.title = raw.title;
    scenario.description = raw.description.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(seconds) = raw.benign.duration_s {
        scenario.benign = Duration::from_secs(seconds);
    }
    if let Some(seconds) = raw.benign.tail_s {
        scenario.tail = Duration::from_secs(seconds);
    }
    scenario.time_compression = raw.benign.compression.or(scenario.time_compression);
    for name in &raw.events {
        let class = Class::from_name(name).ok_or_else(|| complain("events", format!("'{name}' is no event class")))?;
        if !scenario.events.contains(&class) {
            scenario.events.push(class);
        }
    }
    scenario.text_hash = Sha256::new().chain_update(scenario.text_hash).chain_update(&text).finalize().into();
    scenario.images.extend(images);
    scenario.services.extend(raw.services);
    scenario.activities.extend(raw.activities);
    scenario.operations.extend(raw.operations);
    scenario.acts.extend(raw.acts);
    scenario.variables.extend(raw.variables);
    Ok(scenario)
}

/// The path without `.` and `..`, by its text alone.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// 1-based, as editors count.
fn line_and_column(text: &str, offset: usize) -> String {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{line}:{column}")
}

/// The load generator's name among the services.
pub(crate) const LOAD_SERVICE: &str = "client";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_columns_from_one() {
        assert_eq!(line_and_column("a\nbé c", 6), "2:4");
        assert_eq!(line_and_column("", 0), "1:1");
        // In the middle of é, past the end: the nearest place, never a panic.
        assert_eq!(line_and_column("é", 1), "1:1");
        assert_eq!(line_and_column("ab", 99), "1:3");
    }
}
