//! `record --scenario NAME`: runs it in real containers, records them, and labels the attack.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use datasets::Recording;
use record_bpf::Class;
use scenarios::{RunOptions, Runner, Timeline};

use crate::cli::RecordArgs;
use crate::error::Result;
use crate::filter::Filter;
use crate::identity::Podman;
use crate::live::Live;
use crate::run;
use crate::session::{Finished, Session};

pub fn record(args: &RecordArgs, name: &str, output: &Path, stop: &Arc<AtomicBool>) -> Result<Finished> {
    let mut scenario = scenarios::load(name)?;
    if args.no_attack {
        scenario = scenario.without_attack();
    }
    let options = RunOptions { seed: args.seed, benign: args.benign.map(Duration::from_secs) };
    let say = |line: &str| {
        if !args.quiet {
            eprintln!("{line}");
        }
    };
    let mut runner = Runner::prepare(scenario, options, &say)?;
    let podman = Podman::from(runner.podman_env().clone());
    let filter = Filter::new(&[runner.container_glob()], &[], &[])?;
    let mut live = Live::start(&args.live, args.quiet, Some(runner.expected_duration()), stop)?;
    let mut options = run::options(args, output, filter, podman)?;
    options.classes = with_needed(&options.classes, &runner.scenario().events);
    let mut session = Session::begin(options)?;

    let (timeline, recorded) = play(&mut runner, &mut session, &mut live, stop);
    // The recording ends before its containers do: their removal is not part of the scenario.
    let finished = run::close(session, &mut live, recorded);
    let cleaned = runner.cleanup();
    let (timeline, mut finished) = (timeline?, finished?);
    cleaned?;

    let labels = scenarios::label(&Recording::open(output)?, &timeline)?;
    let manifest = datasets::add_labels(output, &labels, scenarios::describe(runner.scenario(), &timeline)?)?;
    finished.manifest = args.signing.sign_again(output, manifest)?;
    finished.labels = Some(labels.len());
    Ok(finished)
}

/// Runs the scenario on a thread of its own while this one records. Either one's failure ends the other.
fn play(
    runner: &mut Runner,
    session: &mut Session,
    live: &mut Live,
    stop: &AtomicBool,
) -> (Result<Timeline, scenarios::Error>, Result<()>) {
    let (notes, incoming) = mpsc::channel::<String>();
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            runner.run(stop, &|line| {
                let _ = notes.send(line.to_owned()); // the recorder may have failed
            })
        });
        let recorded = session.run(live, |live| {
            if let Some(note) = incoming.try_iter().last() {
                live.note(note);
            }
            running.is_finished()
        });
        if recorded.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        (running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), recorded)
    })
}

/// The classes asked for and those that the scenario needs, in their own order.
fn with_needed(asked: &[Class], needed: &[Class]) -> Vec<Class> {
    Class::ALL.into_iter().filter(|class| asked.contains(class) || needed.contains(class)).collect()
}
