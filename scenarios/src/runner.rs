//! A scenario's run: prepare, act, clean up.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::activity;
use crate::attendant::{Attendant, Part};
use crate::definition::{Act, LOAD_SERVICE, Scenario, Step};
use crate::error::Error;
use crate::images;
use crate::operation;
use crate::podman::{PodmanEnv, output, podman_env};
use crate::preflight::preflight;
use crate::stage::Stage;
use crate::timeline::{RunContainer, StepRun, Timeline, now_ns};

/// Succeeds in the load generator's container once it can be told to stop and will answer with its summary.
const LOAD_READY: [&str; 3] = ["test", "-e", "/tmp/ready"];

#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The same seed gives the same load and the same intervals.
    pub seed: u64,
    /// Instead of the scenario's own length of ordinary life before the first act.
    pub benign: Option<Duration>,
}

/// A scenario with its images built and its containers created. Dropping it removes the containers.
pub struct Runner {
    scenario: Scenario,
    seed: u64,
    stage: Stage,
    cleaned: bool,
}

/// Builds the images of a scenario that are missing, and returns how many it has. Nothing runs.
///
/// # Errors
/// Those of [`preflight`]; [`Error::Build`]; [`Error::Podman`].
pub fn build(scenario: &Scenario, progress: &dyn Fn(&str)) -> Result<usize, Error> {
    preflight()?;
    images::ensure(&podman_env()?, scenario, progress).map(|images| images.len())
}

impl Runner {
    /// Builds missing images (kept for the next run), and creates the network and the containers; nothing runs yet.
    ///
    /// `progress` gets a line for people now and then.
    ///
    /// # Errors
    /// Those of [`preflight`]; [`Error::Busy`] when the scenario already runs; [`Error::Build`]; [`Error::Podman`].
    pub fn prepare(scenario: Scenario, options: RunOptions, progress: &dyn Fn(&str)) -> Result<Runner, Error> {
        Runner::set_up(scenario, options, None, progress)
    }

    /// The same with somebody who applies something to the containers. Steps that fail are told to it, and the run goes on.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn attended(
        scenario: Scenario,
        options: RunOptions,
        attendant: Arc<dyn Attendant>,
        progress: &dyn Fn(&str),
    ) -> Result<Runner, Error> {
        Runner::set_up(scenario, options, Some(attendant), progress)
    }

    fn set_up(
        mut scenario: Scenario,
        options: RunOptions,
        attendant: Option<Arc<dyn Attendant>>,
        progress: &dyn Fn(&str),
    ) -> Result<Runner, Error> {
        preflight()?;
        let RunOptions { seed, benign } = options;
        if let Some(benign) = benign {
            scenario.benign = benign;
        }
        let podman = podman_env()?;
        let mut stage = Stage::claim(podman.clone(), &scenario.name)?;
        stage.attendant = attendant;
        let images = images::ensure(&podman, &scenario, progress)?;
        let mut runner = Runner { scenario, seed, stage, cleaned: false };
        progress("creating the containers");
        runner.stage.build(&runner.scenario, &images, seed)?;
        Ok(runner)
    }

    /// [`Scenario::container_glob`] of what runs.
    pub fn container_glob(&self) -> String {
        self.scenario.container_glob()
    }

    /// How to call podman to see the containers of this run.
    pub fn podman_env(&self) -> &PodmanEnv {
        &self.stage.podman
    }

    /// All containers of this run, those of the outside world included.
    pub fn containers(&self) -> Vec<RunContainer> {
        self.stage.containers()
    }

    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How long [`run`](Self::run) takes at least, the containers' start not included.
    pub fn expected_duration(&self) -> Duration {
        self.scenario.expected_duration()
    }

    /// Starts the containers and runs ordinary life and the attack. The services keep running until
    /// [`cleanup`](Self::cleanup), so that a recording does not end with their shutdown.
    ///
    /// Stops early, with [`Timeline::interrupted`] set, when `stop` becomes true.
    ///
    /// # Errors
    /// [`Error::NotReady`]; [`Error::Step`] when a step of the attack failed; [`Error::Podman`].
    pub fn run(&mut self, stop: &AtomicBool, progress: &(dyn Fn(&str) + Sync)) -> Result<Timeline, Error> {
        let stage = &self.stage;
        for service in &self.scenario.services {
            progress(&format!("starting {}", service.name));
            stage.start(&service.name, &service.ready)?;
        }
        stage.start(LOAD_SERVICE, &LOAD_READY.map(str::to_owned))?;
        let start_ns = now_ns();

        let (done, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let (played, activities, operations) = thread::scope(|scope| {
            let activities = scope.spawn(|| activity::run(stage, &self.scenario.activities, self.seed, &done));
            let operations = scope.spawn(|| {
                let run = operation::run(stage, &self.scenario.operations, self.seed, &done, progress);
                // A service that did not come back ends the run.
                failed.store(run.is_err(), Ordering::Relaxed);
                run
            });
            let played = self.play(&Stop { asked: stop, failed: &failed }, progress);
            done.store(true, Ordering::Relaxed);
            // The thread does not panic: it only counts.
            let activities = activities.join().unwrap_or_default();
            (played, activities, operations.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (operations, steps) = (operations?, played?);
        let end_ns = now_ns();
        let summary = stage.finish(LOAD_SERVICE)?;
        if let Some(dead) = stage.dead_service() {
            return Err(Error::Podman {
                command: format!("service '{}'", dead.service),
                message: format!("ended during the run: {}", stage.log_end(&dead.name)),
            });
        }
        let responses = serde_json::from_str(&summary).map_err(|_| Error::Podman {
            command: "the load generator".into(),
            message: format!("its last line is no summary: '{summary}'"),
        })?;
        Ok(Timeline {
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            start_ns,
            end_ns,
            interrupted: stop.load(Ordering::Relaxed),
            responses,
            operations,
            activities,
            steps,
            containers: stage.containers(),
        })
    }

    /// Ordinary life, the acts, and ordinary life again.
    fn play(&self, stop: &Stop<'_>, progress: &dyn Fn(&str)) -> Result<Vec<StepRun>, Error> {
        let mut steps = Vec::new();
        progress(&format!("ordinary life for {} s", self.scenario.benign.as_secs()));
        let mut going = wait(self.scenario.benign, stop);
        for (i, act) in self.scenario.acts.iter().enumerate() {
            if i > 0 && going {
                progress(&format!("ordinary life for {} s", act.after_s));
                going = wait(Duration::from_secs(act.after_s), stop);
            }
            for step in &act.steps {
                if !going {
                    return Ok(steps);
                }
                self.ended(Part::Life);
                progress(&format!("{} / {} ({}): {}", act.name, step.name, step.technique, step.description));
                steps.push(self.step(act, step, stop)?);
                going = !stop.is_set();
            }
        }
        if going && !self.scenario.tail.is_zero() {
            progress(&format!("ordinary life for {} s", self.scenario.tail.as_secs()));
            wait(self.scenario.tail, stop);
        }
        self.ended(Part::Life);
        Ok(steps)
    }

    fn ended(&self, part: Part<'_>) {
        if let Some(attendant) = &self.stage.attendant {
            attendant.ended(part);
        }
    }

    fn step(&self, act: &Act, step: &Step, stop: &Stop<'_>) -> Result<StepRun, Error> {
        let start_ns = now_ns();
        let command: Vec<String> = step.command.iter().map(|part| fill(part, &self.scenario.variables)).collect();
        let failed = self.stage.exec(&step.service, &command).and_then(output).err().map(|error| error.to_string());
        match failed {
            Some(message) if self.stage.attendant.is_none() => {
                return Err(Error::Step { step: step.name.clone(), message });
            }
            _ => {}
        }
        wait(Duration::from_secs(step.settle_s), stop);
        self.ended(Part::Step { act: &act.name, step: &step.name, failed: failed.as_deref() });

        let matchers = step.matchers();
        let victim = matchers.services().next().unwrap_or(&step.service);
        Ok(StepRun {
            act: act.name.clone(),
            step: step.name.clone(),
            technique: step.technique.clone(),
            description: step.description.clone(),
            start_ns,
            end_ns: now_ns(),
            container: self.stage.container(victim)?.name.clone(),
            attacker: self.stage.container(&step.service)?.name.clone(),
            ambiguous: act.ambiguous || step.ambiguous,
            matchers,
        })
    }

    /// Stops and removes the containers and the network of this run. Dropping the runner does the same.
    ///
    /// # Errors
    /// [`Error::Podman`]: something is left; the next run of this scenario will remove it.
    pub fn cleanup(&mut self) -> Result<(), Error> {
        self.stage.clear()?;
        self.cleaned = true;
        Ok(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.cleaned {
            // Nobody is left to tell; the next run tries again.
            let _ = self.stage.clear();
        }
    }
}

/// Replaces `{name}` by the variable's value.
fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Why a run ends before its end.
struct Stop<'a> {
    asked: &'a AtomicBool,
    failed: &'a AtomicBool,
}

impl Stop<'_> {
    fn is_set(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }
}

/// Whether the whole time has passed without `stop`.
fn wait(duration: Duration, stop: &Stop<'_>) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        if stop.is_set() {
            return false;
        }
        thread::sleep(Duration::from_millis(50).min(duration.saturating_sub(begin.elapsed())));
    }
    !stop.is_set()
}
