//! What the platform does to services as a whole: restarts, crashes, deploys, more replicas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::activity::SplitMix;
use crate::definition::{Deed, Operation};
use crate::error::Error;
use crate::stage::Stage;
use crate::timeline::{OperationRun, now_ns};

/// How long a platform takes to notice that a container has died.
const NOTICED: Duration = Duration::from_secs(2);

/// Keeps the intervals of activities and the moments of operations apart, which come from one seed.
const STREAM: u64 = 0x6f70_6572_6174_6f72;

/// A moment's work on a service.
enum Part<'a> {
    Begin(&'a Operation),
    /// The further replicas go.
    End(&'a Operation),
}

/// Carries out every operation at its moment until `done`.
///
/// # Errors
/// [`Error::Podman`] or [`Error::NotReady`]: the service did not come back, so that the run is not the scenario's.
pub(crate) fn run(
    stage: &Stage,
    operations: &[Operation],
    seed: u64,
    done: &AtomicBool,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Vec<OperationRun>, Error> {
    let mut random = SplitMix(seed ^ STREAM);
    let mut due: Vec<(f64, Part<'_>)> = Vec::new();
    for operation in operations {
        let at = operation.at_s * (1.0 + operation.jitter * (2.0 * random.unit() - 1.0));
        due.push((at, Part::Begin(operation)));
        if let Some(seconds) = operation.for_s {
            due.push((at + seconds, Part::End(operation)));
        }
    }
    due.sort_by(|a, b| a.0.total_cmp(&b.0));
    let begin = Instant::now();
    let mut runs = Vec::new();
    for (at, part) in due {
        while begin.elapsed().as_secs_f64() < at {
            if done.load(Ordering::Relaxed) {
                return Ok(runs);
            }
            sleep(Duration::from_millis(50));
        }
        let (Part::Begin(operation) | Part::End(operation)) = part;
        let name = match part {
            Part::Begin(_) => operation.name.clone(),
            Part::End(_) => format!("{}: the end", operation.name),
        };
        progress(&name);
        let start_ns = now_ns();
        carry_out(stage, &part)?;
        runs.push(OperationRun { name, service: operation.service.clone(), start_ns, end_ns: now_ns() });
    }
    Ok(runs)
}

fn carry_out(stage: &Stage, part: &Part<'_>) -> Result<(), Error> {
    let (Part::Begin(operation) | Part::End(operation)) = part;
    let service = operation.service.as_str();
    let replicas = || (2..=operation.replicas.unwrap_or(1)).map(|number| format!("{service}-{number}"));
    match (part, operation.what) {
        (Part::End(_), _) => replicas().try_for_each(|replica| stage.remove(&replica)),
        (_, Deed::Restart) => {
            stage.stop(service)?;
            stage.start(service, &stage.ready(service))
        }
        (_, Deed::Crash) => {
            stage.kill(service)?;
            sleep(NOTICED);
            stage.start(service, &stage.ready(service))
        }
        (_, Deed::Deploy) => {
            stage.remove(service)?;
            stage.create(service, operation.image.as_deref())?;
            stage.start(service, &stage.ready(service))
        }
        (_, Deed::Scale) => replicas().try_for_each(|replica| {
            stage.create(&replica, None)?;
            stage.start(&replica, &stage.ready(&replica))
        }),
    }
}
