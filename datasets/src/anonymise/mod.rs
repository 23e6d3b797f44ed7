//! A recording with pseudonyms in the place of names: fit to be given away, and to be replayed.

mod address;
mod key;
mod known;
mod names;
mod rows;
mod tables;
mod text;

use std::path::Path;

use crate::Result;
use crate::derive::{self, Derived, Source};
use crate::manifest::Manifest;
use crate::read::Recording;
use crate::write::{LABELS, RecordingWriter};
use names::Names;

pub use key::Key;

/// Writes `recording` to `out`, which must not exist or be empty, with pseudonyms for what tells people, hosts and networks apart.
///
/// All rows stay, with their times, numbers, sizes and sequence numbers, and so does the account. The same value gets the same
/// pseudonym in every column and in every recording that is anonymised with this key. `datasets/TOOLS.md` lists what is changed
/// and what is kept. `progress` is called with the rows read so far. Memory: the tables, 65,536 texts and the open segments.
///
/// # Errors
/// [`Error::Unfinished`](crate::Error::Unfinished), [`Error::Exists`](crate::Error::Exists),
/// [`Error::Write`](crate::Error::Write), and those of reading.
pub fn anonymise(recording: &Recording, out: &Path, key: &Key, mut progress: impl FnMut(u64)) -> Result<Manifest> {
    let mut containers = recording.containers()?;
    let mut names = Names::new(key.clone(), &containers);
    let mut carried = derive::carry(recording)?;
    names.manifest(&mut carried.manifest);
    // What it was derived from before is in the source's note.
    let mut source = Source::of(recording.manifest());
    source.derived = carried.manifest.derived.take().map(Box::new);
    carried.manifest.derived = Some(Derived::new("anonymise", vec![source]));

    let mut writer = RecordingWriter::create_with(out, carried.manifest.clone(), derive::storage())?;
    carried.losses.iter().for_each(|loss| writer.losses().add(*loss));
    for (read, event) in (1_u64..).zip(recording.events()) {
        let mut event = event?;
        names.event(&mut event);
        writer.push(&event)?;
        if read % 4096 == 0 {
            progress(read);
        }
    }
    let mut processes = recording.processes()?;
    processes.iter_mut().for_each(|row| names.process(row));
    writer.write_processes(&processes)?;
    containers.iter_mut().for_each(|row| names.container_row(row));
    writer.write_containers(&containers)?;
    let mut addresses = recording.addresses()?;
    addresses.iter_mut().for_each(|row| names.address_row(row));
    writer.write_addresses(&addresses)?;
    if recording.manifest().table(LABELS).is_some() {
        writer.write_labels(&recording.labels()?)?;
    }
    derive::complete(writer, carried)
}
