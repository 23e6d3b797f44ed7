//! The benchmark: every method on every recording, with what they have in common done once.
//!
//! Profiles are learned once for all methods that learn alike. Each recording of validation and test is then read once, streamed
//! once for all methods that compare alike, and judged once for all that differ in the engines' points alone.

use std::collections::BTreeMap;
use std::rc::Rc;

use datasets::{Recording, Split, Splits};
use replay::args::vectors::LazyModel;
use replay::config::Config;
use replay::profile::Profile;

use super::methods::{How, Method, Origin, Scoring};
use super::outcome::Outcome;
use super::scored::{Scored, by_count, by_distance, by_engines};
use super::stage::{self, Learning, Setup};
use super::stide::{Alphabet, Stide};
use super::truth::Loaded;
use super::{rules, threads};
use crate::{Error, Result};

/// What to do.
pub struct Plan<'a> {
    pub recordings: &'a [(String, Recording)],
    pub splits: &'a Splits,
    /// Of test, recordings of these scenarios alone; empty: all.
    pub only: &'a [String],
    pub methods: &'a [&'static Method],
    pub config: &'a Config,
}

/// The recordings of a plan, by what they are for.
pub struct Parts<'a> {
    pub lives: Vec<&'a (String, Recording)>,
    pub validation: Vec<&'a (String, Recording)>,
    pub test: Vec<&'a (String, Recording)>,
}

/// What every method says.
pub struct Results {
    /// By method, in the order of the plan.
    pub validation: Vec<Vec<Outcome>>,
    pub test: Vec<Vec<Outcome>>,
    pub alphabet: Alphabet,
    /// The embedding model, if it was needed.
    pub model: Option<String>,
}

/// Is told how far the work is.
pub trait Watch {
    /// How many events there are to go through, counted as often as they are gone through.
    fn begin(&self, events: u64);
    fn doing(&self, what: &str);
    fn done(&self, events: u64);
}

impl<'a> Plan<'a> {
    /// # Errors
    /// [`Error::Set`]: nothing to learn from, choose on or try it on; [`Error::Snooped`].
    pub fn parts(&self) -> Result<Parts<'a>> {
        let recordings: &'a [(String, Recording)] = self.recordings;
        let of = |split: Split| {
            let is =
                |(_, recording): &&(String, Recording)| self.splits.of_recording(recording.manifest()) == Some(split);
            recordings.iter().filter(is).collect::<Vec<_>>()
        };
        let scenario = |recording: &Recording| recording.manifest().scenario.clone().unwrap_or_default();
        let mut parts = Parts { lives: of(Split::Train), validation: of(Split::Validation), test: of(Split::Test) };
        parts.lives.retain(|(_, life)| scenario(life).steps.is_empty());
        parts.test.retain(|(_, tried)| self.only.is_empty() || self.only.contains(&scenario(tried).name));
        let none = |what: &str| Error::Set { reason: what.to_owned() };
        if parts.lives.is_empty() {
            return Err(none("nothing to learn from: it has no recording of train without an attack"));
        }
        if parts.validation.is_empty() {
            return Err(none("nothing to choose a cut-off on: it has no recording of validation"));
        }
        if parts.test.is_empty() {
            return Err(none("none of those asked for is of test"));
        }
        for (name, life) in &parts.lives {
            for (_, tried) in parts.validation.iter().chain(&parts.test) {
                let may = self.splits.may_learn(life.manifest(), tried.manifest());
                may.map_err(|reason| Error::Snooped { baseline: name.clone(), reason })?;
            }
        }
        Ok(parts)
    }
}

/// A configuration with further values, as of `--set`.
///
/// # Errors
/// A key or a value that is not one.
pub fn over(config: &Config, sets: &[&str]) -> Result<Config> {
    if sets.is_empty() {
        return Ok(config.clone());
    }
    let file = tempfile::NamedTempFile::new().map_err(|error| Error::output("a temporary file".as_ref(), error))?;
    let text = toml::to_string(config).map_err(|error| Error::Set { reason: format!("the configuration: {error}") })?;
    std::fs::write(file.path(), text).map_err(|error| Error::output(file.path(), error))?;
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Ok(replay::config::load(Some(file.path()), &sets)?)
}

/// What is streamed once.
struct Stream<'a> {
    key: String,
    origin: Origin,
    setup: Setup<'a>,
    baseline: Option<Rc<Profile>>,
}

/// A method, ready.
struct Ready<'a> {
    method: &'a Method,
    config: Config,
    /// Place of its stream.
    stream: Option<usize>,
}

/// Runs the plan.
///
/// # Errors
/// Damaged input; a model that is needed and missing.
pub fn run(plan: &Plan<'_>, parts: &Parts<'_>, watch: &dyn Watch) -> Result<Results> {
    let model = LazyModel::new(&plan.config.model, threads());
    let (mut streams, methods) = prepare(plan, &model)?;
    let uses_stide = methods.iter().any(|ready| ready.method.how == How::Stide);
    let uses_rules = methods.iter().any(|ready| ready.method.how == How::RulesAlone);
    watch.begin(work(parts, &streams, u64::from(uses_stide), u64::from(uses_rules)));

    learn(&mut streams, parts, watch)?;
    let all = || parts.lives.iter().chain(&parts.validation).chain(&parts.test);
    let alphabet = Alphabet::of(all().map(|(_, recording)| recording));
    let mut stide = Stide::default();
    for (name, life) in parts.lives.iter().filter(|_| uses_stide) {
        watch.doing(&format!("sequences of {name}"));
        stide.learn(life, alphabet)?;
        watch.done(life.manifest().rows());
    }
    let plain = Setup::new(plan.config.clone(), true, &model)?;

    let mut results = Results {
        validation: vec![Vec::new(); methods.len()],
        test: vec![Vec::new(); methods.len()],
        alphabet,
        model: None,
    };
    let tried = parts.validation.iter().map(|tried| (tried, false)).chain(parts.test.iter().map(|tried| (tried, true)));
    for ((name, recording), is_test) in tried {
        watch.doing(name);
        let loaded = Loaded::open(name, recording)?;
        let rows = loaded.events.len() as u64;
        let mut by_stream: Vec<Vec<(usize, Vec<Scored>)>> = Vec::new();
        for (at, stream) in streams.iter().enumerate() {
            let users = methods.iter().enumerate().filter(|(_, ready)| ready.stream == Some(at));
            by_stream.push(replay_once(&loaded, stream, users)?);
            watch.done(rows);
        }
        let mut scored: BTreeMap<usize, Vec<Scored>> = by_stream.into_iter().flatten().collect();
        for (at, ready) in methods.iter().enumerate() {
            match ready.method.how {
                How::RulesAlone => scored.insert(at, rules::alone(&loaded, &plain)?),
                How::Stide => scored.insert(at, stide.score(&loaded, alphabet)?),
                How::Replay { .. } => continue,
            };
            watch.done(rows);
        }
        for (at, scored) in scored {
            let outcome = Outcome::new(&loaded.truth, &scored);
            if is_test { results.test[at].push(outcome) } else { results.validation[at].push(outcome) }
        }
    }
    results.model = model.name();
    Ok(results)
}

fn prepare<'a>(plan: &Plan<'a>, model: &'a LazyModel) -> Result<(Vec<Stream<'a>>, Vec<Ready<'a>>)> {
    let default = replay::config::load(None, &[])?;
    let mut streams: Vec<Stream<'a>> = Vec::new();
    let mut methods = Vec::new();
    for method in plan.methods {
        let config = over(plan.config, method.sets)?;
        let stream = match method.how {
            How::Replay { origin, rules, .. } => {
                // Points and severities come after the stream, and all engines are asked for all methods.
                let mut shared = config.clone();
                shared.engines.weights = default.engines.weights.clone();
                shared.severity = default.severity.clone();
                let key = format!("{origin:?} {rules} {shared:?}");
                let known = streams.iter().position(|stream| stream.key == key);
                Some(match known {
                    Some(at) => at,
                    None => {
                        let setup = Setup::new(shared, rules, model)?;
                        streams.push(Stream { key, origin, setup, baseline: None });
                        streams.len() - 1
                    }
                })
            }
            How::RulesAlone | How::Stide => None,
        };
        methods.push(Ready { method, config, stream });
    }
    Ok((streams, methods))
}

/// What a profile of the lives depends on; streams with the same have the same profile. `None`: it has none.
fn learning(stream: &Stream<'_>) -> Option<String> {
    let Origin::Lives(learning) = stream.origin else { return None };
    let config = &stream.setup.config;
    let (rules, profile, network) = (stream.setup.rules, &config.profile, &config.network);
    let own = &config.engines.rules;
    let raw = config.args.canonical;
    Some(match learning {
        Learning::All => format!("all {rules} {profile:?} {network:?} {own} {raw} {:?}", config.tuning),
        Learning::UntilLocked => format!("until locked {rules} {config:?}"),
    })
}

fn learn(streams: &mut [Stream<'_>], parts: &Parts<'_>, watch: &dyn Watch) -> Result<()> {
    let lives: Vec<&Recording> = parts.lives.iter().map(|(_, life)| life).collect();
    for life in &lives {
        replay::input::verify(life)?;
    }
    let mut learned: BTreeMap<String, Rc<Profile>> = BTreeMap::new();
    for stream in streams {
        let (Some(key), Origin::Lives(how)) = (learning(stream), stream.origin) else { continue };
        let profile = match learned.get(&key) {
            Some(profile) => Rc::clone(profile),
            None => {
                watch.doing("learning");
                let profile = Rc::new(stage::learn(&lives, &stream.setup, how, &|events| watch.done(events))?);
                learned.insert(key, Rc::clone(&profile));
                profile
            }
        };
        stream.baseline = Some(profile);
    }
    Ok(())
}

/// Events that are gone through in all.
fn work(parts: &Parts<'_>, streams: &[Stream<'_>], stide: u64, rules: u64) -> u64 {
    let rows = |recordings: &[&(String, Recording)]| -> u64 {
        recordings.iter().map(|(_, recording)| recording.manifest().rows()).sum()
    };
    let profiles: std::collections::BTreeSet<String> = streams.iter().filter_map(learning).collect();
    let passes = streams.len() as u64 + stide + rules;
    rows(&parts.lives) * (profiles.len() as u64 + stide) + (rows(&parts.validation) + rows(&parts.test)) * passes
}

/// What the methods that share a stream say of a recording, by their places.
fn replay_once<'a>(
    loaded: &Loaded,
    stream: &Stream<'_>,
    users: impl Iterator<Item = (usize, &'a Ready<'a>)>,
) -> Result<Vec<(usize, Vec<Scored>)>> {
    let departed = stage::compare(loaded, stream.baseline.as_deref(), &stream.setup)?;
    let mut judged = None;
    let mut said = Vec::new();
    for (at, Ready { method, config, .. }) in users {
        let How::Replay { scoring, .. } = method.how else { continue };
        let scored = match scoring {
            Scoring::Count => by_count(&departed.folded),
            Scoring::Distance => by_distance(&departed.folded),
            Scoring::Engines => {
                let judged = match &judged {
                    Some(judged) => judged,
                    None => judged.insert(stage::judge(&departed, &stream.setup)?),
                };
                by_engines(judged, &stage::weights(config))
            }
        };
        said.push((at, scored));
    }
    Ok(said)
}
