//! A replay in parts, each of which works on some of the images, on whatever machine; and what joins them.
//!
//! ```text
//! plan(recordings, n)         which images are of which part: a function of the recordings alone
//! run(sources, config, k/n)   one part, to a Partial
//! merge(sources, config, all) the Outcome, that of `run::run`, byte for byte
//! learn(recordings, .., k/n)  what a part learns, as `replay learn`; union(all) is the whole profile
//! ```
//!
//! What images share is dealt with as follows.
//!
//! | shared | in a part | at the merge |
//! |---|---|---|
//! | names, addresses, process tables, numbers of replicas | read from the recordings, whole | the same |
//! | order and time (chunks, span, events per second, begins of labelled acts) | all events are read, in their order; events of other images are let go before anything looks at them | must be the same in all parts |
//! | correlations over containers | the hits that take part are kept, in their place ([`pipeline::apart`](crate::pipeline::apart)) | all parts' hits are correlated in the order of events, and what is met is folded in its place |
//! | slow tuning, replicas of an image against each other | an image is in one part, with all its containers | |
//! | statistics over containers and images, clusters, semantics, alerts, incidents, allow-list, numbers | | done here, once, on the deviations of all |
//!
//! Deviations of all images are in memory at the merge, as at the end of a replay on one machine. A part costs the reading
//! of all events and the work on its own; so more parts than it takes for reading to be the most of it gain nothing.

mod file;
mod identity;
mod learn;
mod merge;
mod plan;
mod run;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::Error;
use crate::gather::Gathered;
use crate::pipeline::Images;
use crate::pipeline::apart::{Abroad, Apart};
use crate::pipeline::ended::EndedImage;

pub use file::FILE;
use identity::Identity;
pub(crate) use learn::images_to_learn;
pub use learn::{learn, union};
pub use merge::merge;
pub use plan::{PlannedImage, plan};
pub use run::run;
pub use table::{render, to_json};

/// Part `index` of `of`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    pub index: u32,
    pub of: u32,
}

impl Part {
    /// # Errors
    /// An index that is not from 1 to `of`.
    pub fn new(index: u32, of: u32) -> crate::error::Result<Self> {
        if (1..=of).contains(&index) {
            return Ok(Self { index, of });
        }
        Err(Error::config(format!("no part {index} of {of}"), "parts are numbered from 1: as 2/3"))
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let (index, of) = numbers.ok_or("it is written K/N, as 2/3")?;
        Part::new(index, of).map_err(|error| format!("{error}; parts are numbered from 1"))
    }
}

/// What one part found, for [`merge`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial {
    part: Part,
    identity: Identity,
    /// By image.
    images: Vec<PartImage>,
    /// Hits for correlations over containers.
    abroad: Vec<Abroad>,
    whole: Whole,
    /// Name of the embedding model, if it was needed.
    model: Option<String>,
}

/// An image of a part.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PartImage {
    ended: EndedImage,
    apart: Apart,
}

/// What was seen of all events: the same in each part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Whole {
    /// Events per second of event time, by Unix second.
    per_second: BTreeMap<i64, u64>,
    /// First and last event; Unix time, ns.
    span: Option<(i64, i64)>,
    /// When each labelled act began; Unix time, ns.
    acts: BTreeMap<Arc<str>, i64>,
    /// What the report shows of traffic and the like.
    gathered: Gathered,
}

impl Partial {
    pub fn part(&self) -> Part {
        self.part
    }

    /// The images that it worked on, in order of their names.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|image| &*image.ended.image)
    }

    /// The recordings, as they were given.
    pub fn recordings(&self) -> impl Iterator<Item = &str> {
        self.identity.recordings.iter().map(|source| source.address.as_str())
    }

    /// The baseline, as it was given.
    pub fn learn(&self) -> Option<&str> {
        self.identity.baseline.as_ref().map(|source| source.address.as_str())
    }

    /// What it was made with; sinks are no part of it.
    pub fn config(&self) -> &Config {
        &self.identity.config
    }
}

/// The images of one part.
fn images_of(planned: &[PlannedImage]) -> Arc<Images> {
    Arc::new(planned.iter().map(|planned| Arc::clone(&planned.image)).collect::<BTreeSet<_>>())
}
