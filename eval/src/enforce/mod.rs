//! Had last week's profile been enforced: what would it have stopped, and what would it have broken?
//!
//! A profile is learned from recorded lives, its policies are exported, and the scenario is run again with them applied by those who
//! enforce them: the kernel's seccomp, through podman, and its nftables or tc, in each container's own network namespace. The same is told
//! from the recording of a run without policies ([`replay::policy::simulate`]), and the two are compared.

pub mod applied;
mod nft;
mod refused;
mod run;
mod shaped;
mod told;
pub mod xdp;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum;
use datasets::Recording;
use replay::config::{self, Config};
use replay::policy::Format;
use replay::profile::Profile;
use replay::{learn, policy};
use scenarios::Scenario;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::{Machine, Program};
use applied::{Applied, Written};
use run::{Ran, Run};

pub use run::Health;
pub use told::{Broken, First, Found, Under};

/// A policy that can be applied here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Kind {
    /// System calls: podman run --security-opt seccomp=FILE
    Seccomp,
    /// Peers and ports: nft -f FILE in the container's network namespace
    Nftables,
    /// Peers and ports: enforce xdp at the host's end of the container's veth pair
    Xdp,
    /// How much is sent to whom: tc -batch FILE in the container's network namespace
    Tc,
}

impl Kind {
    pub const fn format(self) -> Format {
        match self {
            Kind::Seccomp => Format::Seccomp,
            Kind::Nftables => Format::Nftables,
            Kind::Xdp => Format::Bpf,
            Kind::Tc => Format::Tc,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Xdp => "xdp",
            Kind::Seccomp | Kind::Nftables | Kind::Tc => self.format().name(),
        }
    }

    /// Whose rules tell from a recording what this refuses: those of nftables are the same.
    pub const fn told_as(self) -> &'static str {
        match self {
            Kind::Seccomp => Format::Seccomp.name(),
            Kind::Nftables | Kind::Xdp => Format::Nftables.name(),
            Kind::Tc => Format::Tc.name(),
        }
    }
}

/// What to do.
pub struct Plan {
    pub scenarios: Vec<Scenario>,
    pub kinds: Vec<Kind>,
    /// Instead of learning one.
    pub profile: Option<PathBuf>,
    /// Seeds of the lives that are learned from, and how long each is.
    pub learn_seeds: Vec<u64>,
    pub life: Duration,
    /// Seeds of what is run under policies: lives, and attacks.
    pub seeds: Vec<u64>,
    /// Of a life that is tried.
    pub benign: Duration,
    /// Ordinary life before an attack.
    pub before: Duration,
    pub record: PathBuf,
    /// For XDP.
    pub enforce: xdp::Call,
    /// More options for the recorder.
    pub options: Vec<String>,
    /// Configuration of learning and policies: `KEY=VALUE`.
    pub sets: Vec<String>,
    /// For recordings, profiles and policies.
    pub dir: PathBuf,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Enforced {
    #[serde(flatten)]
    pub machine: Machine,
    pub recorder: Option<Program>,
    pub policies: Vec<Kind>,
    pub lives: Vec<Life>,
}

/// Scenarios whose watched services are the same, with one profile.
#[derive(Debug, Serialize, Deserialize)]
pub struct Life {
    /// The scenario whose life was run.
    pub name: String,
    /// What the profile was learned from.
    pub learned: Learned,
    pub written: Vec<Written>,
    /// By seed.
    pub benign: Vec<Benign>,
    pub attacks: Vec<Attack>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Learned {
    /// The file that was given.
    pub profile: Option<PathBuf>,
    pub seeds: Vec<u64>,
    pub seconds: f64,
    pub events: u64,
}

/// Ordinary life of a seed, without policies and under each.
#[derive(Debug, Serialize, Deserialize)]
pub struct Benign {
    pub seed: u64,
    pub free: Health,
    pub under: BTreeMap<Kind, Under>,
}

/// An attack, without policies and under each.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attack {
    pub scenario: String,
    pub seed: u64,
    pub free: Health,
    pub steps: Vec<Step>,
    pub under: BTreeMap<Kind, Under>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    pub act: String,
    pub step: String,
    pub technique: String,
    /// Labelled events of the run without policies.
    pub events: u64,
    /// Why its command failed there.
    pub failed: Option<String>,
    pub under: BTreeMap<Kind, Found>,
}

/// Learns, applies and runs. Needs root.
///
/// # Errors
/// A scenario or the recorder cannot be run; the profile has no policies.
pub fn enforce(plan: &Plan, stop: &AtomicBool, say: &(dyn Fn(&str) + Sync)) -> Result<Enforced> {
    let machine = Machine::look();
    if plan.kinds.contains(&Kind::Xdp) && !plan.enforce.program.is_file() {
        return Err(Error::run(
            &plan.enforce.program.display().to_string(),
            "there is no such program; it belongs beside record",
        ));
    }
    let config = config::load(None, &plan.sets)?;
    let mut lives: Vec<(String, Vec<&Scenario>)> = Vec::new();
    for scenario in &plan.scenarios {
        let services = watched(scenario);
        match lives.iter_mut().find(|(known, _)| *known == services) {
            Some((_, same)) => same.push(scenario),
            None => lives.push((services, vec![scenario])),
        }
    }
    let lives = lives.iter().map(|(_, same)| live(plan, &config, same, stop, say)).collect::<Result<_>>()?;
    Ok(Enforced { machine: machine.done(), recorder: Program::look(&plan.record), policies: plan.kinds.clone(), lives })
}

/// What runs in the watched containers: scenarios in which it is the same share a life.
fn watched(scenario: &Scenario) -> String {
    let services = scenario.services.iter().filter(|service| !service.outside);
    let each: BTreeSet<String> = services
        .map(|service| {
            let image = scenario.images.get(&service.image).map(|image| image.recipe.display().to_string());
            format!("{} {} {:?} {:?}", service.name, image.unwrap_or_default(), service.command, service.caps)
        })
        .collect();
    each.into_iter().collect::<Vec<_>>().join("\n")
}

fn live(
    plan: &Plan,
    config: &Config,
    same: &[&Scenario],
    stop: &AtomicBool,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Life> {
    let name = same[0].name.clone();
    let bench = Bench { plan, config, dir: plan.dir.join(&name), profile: Arc::default(), stop, say };
    fs::create_dir_all(&bench.dir).map_err(|error| Error::output(&bench.dir, error))?;
    let (profile, learned) = match &plan.profile {
        Some(file) => {
            let learned = Learned { profile: Some(file.clone()), ..Learned::default() };
            (Profile::load(file)?, learned)
        }
        None => bench.learn(same[0])?,
    };
    let bench = Bench { profile: Arc::new(profile), ..bench };
    let written: Vec<Vec<Written>> =
        plan.kinds.iter().map(|kind| bench.applied(Some(*kind)).write()).collect::<Result<_>>()?;
    let mut benign = Vec::new();
    for seed in &plan.seeds {
        let free = bench.run(same[0], *seed, None, true)?;
        let trial = bench.told(&free.recording)?;
        let mut under = BTreeMap::new();
        for kind in &plan.kinds {
            let ran = bench.run(same[0], *seed, Some(*kind), true)?;
            under.insert(*kind, told::under(*kind, &ran, &bench.refused(*kind, &ran, &[])?, &trial));
        }
        benign.push(Benign { seed: *seed, free: free.health, under });
    }
    let mut attacks = Vec::new();
    for scenario in same.iter().filter(|scenario| !scenario.acts.is_empty()) {
        for seed in &plan.seeds {
            attacks.push(bench.attack(scenario, *seed)?);
        }
    }
    Ok(Life { name, learned, written: written.concat(), benign, attacks })
}

/// What the runs of one life share.
struct Bench<'a> {
    plan: &'a Plan,
    config: &'a Config,
    dir: PathBuf,
    profile: Arc<Profile>,
    stop: &'a AtomicBool,
    say: &'a (dyn Fn(&str) + Sync),
}

impl Bench<'_> {
    fn learn(&self, scenario: &Scenario) -> Result<(Profile, Learned)> {
        let mut recordings = Vec::new();
        for seed in &self.plan.learn_seeds {
            (self.say)(&format!("{}: ordinary life of seed {seed}, to learn from", scenario.name));
            let name = format!("learn-{seed}");
            let ran =
                self.carry_out(scenario.clone().without_attack(), *seed, self.plan.life, None, "bitmap", &name)?;
            if let Some(why) = ran.health.ended {
                return Err(Error::run("the life that is learned from", why));
            }
            recordings.push((name, ran.recording));
        }
        let learned = learn::learn(recordings, self.config, 0)?;
        let path = self.dir.join("profile.json");
        fs::write(&path, learned.profile.to_json()).map_err(|error| Error::output(&path, error))?;
        let sources = &learned.report.recordings;
        let learned_from = Learned {
            profile: None,
            seeds: self.plan.learn_seeds.clone(),
            seconds: sources.iter().map(|source| source.seconds).sum(),
            events: sources.iter().map(|source| source.events).sum(),
        };
        Ok((learned.profile, learned_from))
    }

    fn applied(&self, kind: Option<Kind>) -> Arc<Applied> {
        let dir = self.dir.join("policies");
        Arc::new(Applied::new(kind, Arc::clone(&self.profile), self.config.clone(), &dir, self.plan.enforce.clone()))
    }

    /// `ordinary`: without the attack.
    fn run(&self, scenario: &Scenario, seed: u64, kind: Option<Kind>, ordinary: bool) -> Result<Ran> {
        let under = kind.map_or("no policy", Kind::name);
        let what = if ordinary { "ordinary life" } else { "the attack" };
        (self.say)(&format!("{}: {what} of seed {seed} under {under}", scenario.name));
        let name = format!("{}-{}-{seed}-{}", scenario.name, what.replace(' ', "-"), under.replace(' ', "-"));
        let (scenario, benign) = match ordinary {
            true => (scenario.clone().without_attack(), self.plan.benign),
            false => (scenario.clone(), self.plan.before),
        };
        self.carry_out(scenario, seed, benign, kind, "calls", &name)
    }

    fn carry_out(
        &self,
        scenario: Scenario,
        seed: u64,
        benign: Duration,
        kind: Option<Kind>,
        calls: &'static str,
        name: &str,
    ) -> Result<Ran> {
        let run = Run {
            scenario,
            seed,
            benign,
            applied: self.applied(kind),
            calls,
            record: &self.plan.record,
            options: &self.plan.options,
            output: self.dir.join(name),
        };
        run.carry_out(self.stop, self.say)
    }

    fn told(&self, recording: &Recording) -> Result<policy::simulate::Trial> {
        Ok(policy::simulate::simulate("", recording, &self.profile, self.config)?)
    }

    /// `ends`: of the attack in other runs.
    fn refused(&self, kind: Kind, ran: &Ran, ends: &[&refused::Ends]) -> Result<Vec<refused::Refused>> {
        match kind {
            Kind::Seccomp => refused::calls(ran, &self.applied(None).rules()),
            Kind::Nftables | Kind::Xdp | Kind::Tc => {
                let own = refused::ends(ran)?;
                Ok(refused::packets(ran, &[ends, &[&own]].concat()))
            }
        }
    }

    fn attack(&self, scenario: &Scenario, seed: u64) -> Result<Attack> {
        let free = self.run(scenario, seed, None, false)?;
        let trial = self.told(&free.recording)?;
        let Some(timeline) = &free.timeline else {
            return Err(Error::run(&scenario.name, free.health.ended.clone().unwrap_or_default()));
        };
        let ends = refused::ends(&free)?;
        let mut steps: Vec<Step> = timeline
            .steps
            .iter()
            .map(|step| Step {
                act: step.act.clone(),
                step: step.step.clone(),
                technique: step.technique.clone(),
                events: free.events.get(&(step.act.clone(), step.step.clone())).map_or(0, |(count, _)| *count),
                failed: told::failed(&free, &step.act, &step.step),
                under: BTreeMap::new(),
            })
            .collect();
        let mut under = BTreeMap::new();
        for kind in &self.plan.kinds {
            let ran = self.run(scenario, seed, Some(*kind), false)?;
            let refused = self.refused(*kind, &ran, &[&ends])?;
            for step in &mut steps {
                step.under.insert(*kind, told::found(*kind, step, &ran, &refused, &trial));
            }
            under.insert(*kind, told::under(*kind, &ran, &refused, &trial));
        }
        Ok(Attack { scenario: scenario.name.clone(), seed, free: free.health.clone(), steps, under })
    }
}

/// Removes the recordings and what else was made for a measurement; profiles and policies stay.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_recordings(dir: &Path) -> Result<()> {
    let failed = |error| Error::output(dir, error);
    for life in fs::read_dir(dir).map_err(failed)? {
        let life = life.map_err(failed)?.path();
        if !life.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&life).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join("manifest.json").is_file() {
                fs::remove_dir_all(&path).map_err(failed)?;
            }
        }
    }
    Ok(())
}
