//! Carrying a recording's manifest and account on to a new one.

use std::time::Duration;

use record_bpf::{Class, schema};

use crate::losses::{Cause, Loss};
use crate::manifest::{Accounting, Manifest, State};
use crate::read::Recording;
use crate::write::{RecordingWriter, Rotation, Storage};
use crate::{Error, Result, manifest_file};

/// What a new recording takes over from its source.
pub(crate) struct Carried {
    /// Without segments, tables, account and signature, which are the new one's own.
    pub(crate) manifest: Manifest,
    /// `pruned` rows of the source are `filtered` ones here: nobody pruned them from the new one.
    pub(crate) accounting: Accounting,
    /// By `from`.
    pub(crate) losses: Vec<Loss>,
    /// Unix time, ns.
    pub(crate) ended: i64,
    state: State,
}

impl Carried {
    /// With the same manifest and times, and an account to be made.
    pub(crate) fn like(&self) -> Carried {
        let (manifest, losses) = (self.manifest.clone(), Vec::new());
        Carried { manifest, accounting: Accounting::default(), losses, ended: self.ended, state: self.state }
    }

    /// If either was recovered, so is what is made of both; the earlier moment until when all is known holds.
    pub(crate) fn recovered_too(&mut self, other: &Carried) {
        if other.state != State::Recovered {
            return;
        }
        let until = |carried: &Carried| {
            let recovered = carried.manifest.recovered.as_ref();
            recovered.map(|recovered| recovered.known_until.as_ref().map_or(i64::MIN, |moment| moment.ns))
        };
        if self.state != State::Recovered || until(other) < until(self) {
            self.manifest.recovered.clone_from(&other.manifest.recovered);
        }
        self.state = State::Recovered;
    }
}

/// # Errors
/// [`Error::Unfinished`]; a table that cannot be read.
pub(crate) fn carry(recording: &Recording) -> Result<Carried> {
    let source = recording.manifest();
    let unfinished = || Error::Unfinished { path: recording.dir().to_owned() };
    if source.state == State::Recording {
        return Err(unfinished());
    }
    let mut accounting = source.accounting.clone().ok_or_else(unfinished)?;
    let mut losses = recording.losses()?;
    for account in &mut accounting.cpus {
        for (name, counts) in &mut account.classes {
            let pruned = std::mem::take(&mut counts.pruned);
            counts.filtered = counts.filtered.saturating_add(pruned);
            if let (Some(class), Some(times)) = (Class::from_name(name), &source.pruned)
                && pruned > 0
            {
                let (from, to) = (times.first_ts, times.last_ts);
                losses.push(Loss { cpu: account.cpu, class, cause: Cause::Filtered, from, to, count: pruned });
            }
        }
    }
    losses.sort_by_key(|loss| (loss.from, loss.to, loss.cpu, loss.class, loss.cause));
    let last = source.segments.iter().map(|segment| segment.last_ts).max();
    let ended = source.ended.as_ref().map(|ended| ended.ns).or(last).unwrap_or(source.started.ns);
    let mut manifest = source.clone();
    schema::VERSION.clone_into(&mut manifest.schema_version);
    manifest.segments = Default::default();
    manifest.tables.clear();
    (manifest.accounting, manifest.pruned, manifest.signature, manifest.memory) = (None, None, None, None);
    manifest.ended = None;
    Ok(Carried { manifest, accounting, losses, ended, state: source.state })
}

/// How a derived recording is written: the same rows give the same files, whatever the clock says.
pub(crate) fn storage() -> Storage {
    let rotation = Rotation { time: Duration::MAX, bytes: 16 << 20, ..Rotation::default() };
    Storage { rotation, background: true, ..Storage::default() }
}

/// Finishes it; what was recovered stays so.
pub(crate) fn complete(writer: RecordingWriter, carried: Carried) -> Result<Manifest> {
    let dir = writer.dir().to_owned();
    let mut manifest = writer.finish(carried.accounting, carried.ended)?;
    if carried.state == State::Recovered {
        manifest.state = State::Recovered;
        manifest_file::store(&dir, &mut manifest)?;
    }
    Ok(manifest)
}
