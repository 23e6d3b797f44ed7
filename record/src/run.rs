//! The three ways to record: containers, a command, a scenario.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use record_bpf::Class;

use crate::check;
use crate::cli::{FileIo, RecordArgs};
use crate::command::{Held, Status};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::filter_file::{self, Reload};
use crate::identity::Podman;
use crate::live::Live;
use crate::privileges::{self, When};
use crate::session::{Finished, Options, Session};

/// Records as asked; returns the recording's directory and what it came to.
pub fn record(args: &RecordArgs) -> Result<(PathBuf, Finished)> {
    if args.classes().contains(&Class::Flow) && args.interface.is_empty() {
        return Err(Error::Usage(
            "flows are counted at interfaces, and none was given: add --interface IFACE".to_owned(),
        ));
    }
    args.storage.storage()?;
    args.signing.signer()?;
    check::require()?;
    args.privacy.user.as_deref().map(privileges::find).transpose()?;
    let output = args.output.clone().unwrap_or_else(|| default_output(args.scenario.as_deref()));
    // The command is forked first, while this process has one thread; handling signals starts another.
    let held = if args.command.is_empty() { None } else { Some(Held::spawn(&args.command)?) };
    let stop = stop_on_signal()?;
    let finished = match (&args.scenario, held) {
        (Some(name), _) => crate::scenario::record(args, name, &output, &stop),
        (None, Some(held)) => command(args, held, &output, &stop),
        (None, None) => containers(args, &output, &stop),
    }?;
    Ok((output, finished))
}

fn containers(args: &RecordArgs, output: &Path, stop: &Arc<AtomicBool>) -> Result<Finished> {
    let (filter, reload) = match &args.filter_file {
        Some(file) => (filter_file::read(file)?, Some(Reload::at_hangup(file)?)),
        None => (Filter::new(&args.container, &args.image, &args.cgroup)?.narrowed(&args.pods)?, None),
    };
    let mut live = Live::start(&args.live, args.quiet, args.duration, stop)?;
    let mut session = Session::begin(options(args, output, filter, Podman::default())?)?;
    session.reload = reload;
    drop_privileges(args, output)?;
    let end = args.duration.map(|duration| Instant::now() + duration);
    let result =
        session.run(&mut live, |_| stop.load(Ordering::Relaxed) || end.is_some_and(|end| end <= Instant::now()));
    close(session, &mut live, result)
}

fn command(args: &RecordArgs, mut held: Held, output: &Path, stop: &Arc<AtomicBool>) -> Result<Finished> {
    let filter = Filter::command(format!("command = {}", args.command[0]));
    let mut live = Live::start(&args.live, args.quiet, args.duration, stop)?;
    let mut session = Session::begin(options(args, output, filter, Podman::default())?)?;
    session.follow(held.pid())?;
    session.expect_command(held.pid(), &args.command[0]);
    drop_privileges(args, output)?;
    held.release()?;
    let end = args.duration.map(|duration| Instant::now() + duration);
    let mut asked = false;
    let result = session.run(&mut live, |_| {
        let over = stop.load(Ordering::Relaxed) || end.is_some_and(|end| end <= Instant::now());
        if over && !std::mem::replace(&mut asked, true) {
            held.interrupt();
        }
        over || held.ended().is_some()
    });
    let finished = close(session, &mut live, result)?;
    match held.ended() {
        Some(Status::Exited(0)) => {}
        Some(Status::Exited(code)) => eprintln!("the command exited with code {code}"),
        Some(Status::Signalled(signal)) => eprintln!("the command was ended by signal {signal}"),
        None => eprintln!("the command (pid {}) is still running", held.pid()),
    }
    Ok(finished)
}

/// What is left to do needs little. A scenario starts containers, and keeps what that needs.
fn drop_privileges(args: &RecordArgs, output: &Path) -> Result<()> {
    if args.privacy.keep_privileges {
        return Ok(());
    }
    let classes = args.classes();
    let keep = privileges::mask(|when| match when {
        When::Always => true,
        When::Tls => classes.contains(&Class::Tls),
        When::TlsAdmin => classes.contains(&Class::Tls) && !privileges::perfmon_is_enough(),
        When::Flow => classes.contains(&Class::Flow),
        When::Command => !args.command.is_empty(),
        When::ForeignOutput => args.privacy.user.is_none() && privileges::is_foreign(output),
    });
    privileges::drop_all_but(keep, args.privacy.user.as_deref(), output)
}

/// Completes the recording even when writing to it failed: what came before is worth having.
pub fn close(session: Session, live: &mut Live, result: Result<()>) -> Result<Finished> {
    live.finish();
    let finished = session.finish();
    result.and(finished)
}

pub fn options(args: &RecordArgs, output: &Path, filter: Filter, podman: Podman) -> Result<Options> {
    Ok(Options {
        output: output.to_owned(),
        filter,
        classes: args.classes(),
        file_io_calls: args.file_io == FileIo::Calls,
        ring_bytes: args.ring,
        wakeup_batch: args.batch,
        tls_bytes: args.tls_bytes,
        wakeup_deadline: Duration::from_millis(args.deadline),
        podman,
        flow: args.flow(),
        syscalls: args.syscalls,
        mask: !args.privacy.no_mask,
        sample: args.thin.sample.clone(),
        known: args.thin.known.clone(),
        storage: args.storage.storage()?,
        signer: args.signing.signer()?,
    })
}

fn default_output(scenario: Option<&str>) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    PathBuf::from(format!("{}-{now}", scenario.unwrap_or("recording")))
}

/// Sets `stop` on Ctrl-C and SIGTERM; a second one ends the program at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Error::Usage(format!("cannot handle signals: {error}")))?;
    Ok(stop)
}
