//! Several recordings replayed as one: their events in one order of time, and numbers that stay apart.
//!
//! What a recorder numbers is unique within its recording: rows by (class, CPU, sequence number), process incarnations by
//! `exec_id`. Of several recordings, the recording's own number, from 1, goes into bits that no recorder reaches: the 16 highest
//! of the sequence number, which counts the events of one CPU, and bits 36 to 47 of the `exec_id`, below the CPU and above a
//! count of the incarnations that began on it. So everything between reading and writing handles one recording or many in the same
//! way. What is written has the recorder's own numbers again, and the recording beside them.
//!
//! The order is (time, recording, CPU, sequence number). What recordings share, they share by name: a container that is in two of
//! them, by its id, is one container, with what the first says of it; what ran outside containers is one `host`.

use std::cmp::Reverse;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datasets::{Event, Given, Manifest, Process, Recording, store};
use record_bpf::Class;

use crate::alert::{Alert, Incident};
use crate::error::{Error, Result};
use crate::pipeline::columns;
use crate::run::base_name;

/// Bits of a sequence number below the recording's.
const SEQ: u32 = 48;
/// The recording's bits in an `exec_id`.
const INCARNATION: u32 = 36;
/// Most recordings at once: what those bits hold.
pub const MOST: usize = (1 << 12) - 1;

/// Which of several recordings a row is of, from 1; 0 where there is one only.
pub const fn of_row(seq: u64) -> usize {
    (seq >> SEQ) as usize
}

/// The recorder's own sequence number.
pub const fn own_seq(seq: u64) -> u64 {
    seq & ((1 << SEQ) - 1)
}

/// The sequence number of a row of recording `number`.
pub const fn seq_in(number: usize, own: u64) -> u64 {
    own | (number as u64) << SEQ
}

/// The recorder's own `exec_id`, of one of several recordings.
pub const fn own_exec_id(id: u64) -> u64 {
    id & !((MOST as u64) << INCARNATION)
}

/// As they are numbered in a replay: 0 for the only one, else from 1.
pub fn numbers(recordings: &[Recording]) -> impl Iterator<Item = (usize, &Recording)> {
    let first = usize::from(recordings.len() > 1);
    recordings.iter().enumerate().map(move |(i, recording)| (i + first, recording))
}

/// Fails with more recordings than can be told apart, or the same one twice.
///
/// # Errors
/// As said.
pub fn check(recordings: &[Recording]) -> Result<()> {
    if recordings.len() > MOST {
        return Err(Error::config(
            format!("{} recordings at once; {MOST} can be told apart", recordings.len()),
            "replay them in groups, with a profile learned from all: replay learn, then --learn",
        ));
    }
    let mut seen: BTreeMap<String, &Path> = BTreeMap::new();
    for recording in recordings.iter().filter(|recording| recording.manifest().rows() > 0) {
        if let Some(first) = seen.insert(recording.manifest().chain_head(), recording.dir()) {
            let (first, second) = (first.display(), recording.dir().display());
            return Err(Error::input(
                format!("{second}: the same recording as {first}"),
                "name each recording once: its events would count twice",
            ));
        }
    }
    Ok(())
}

/// Names that tell recordings apart: the last part of each path, and where these are the same as many parts before it as it takes.
pub fn names(recordings: &[Recording]) -> Vec<String> {
    if let [only] = recordings {
        return vec![base_name(only.dir())];
    }
    let parts: Vec<Vec<String>> = recordings
        .iter()
        .map(|recording| {
            let path = store::absolute(recording.dir());
            let parts = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
            parts.filter(|part| part != "/").collect()
        })
        .collect();
    let deepest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let tail = |parts: &[String], depth: usize| parts[parts.len().saturating_sub(depth)..].join("/");
    let mut depth = 1;
    loop {
        let names: Vec<String> = parts.iter().map(|parts| tail(parts, depth)).collect();
        let distinct: BTreeSet<&String> = names.iter().collect();
        if distinct.len() == names.len() || depth >= deepest {
            return names;
        }
        depth += 1;
    }
}

/// What stands for all of them in one word: their names, of many the first ones and how many more.
pub fn joined(names: &[String]) -> String {
    const NAMED: usize = 3;
    if let [only] = names {
        return only.clone();
    }
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join("+");
    // A name that has directories in it is no name of a file.
    let named = named.replace('/', "_");
    if names.len() > NAMED { format!("{named}+{}", names.len() - NAMED) } else { named }
}

/// Names the recording of each alert, and gives incarnations the recorder's own numbers back: the last thing that is done with
/// alerts of several recordings.
pub fn name(alerts: &mut [Alert], incidents: &mut [Incident], names: &[Arc<str>]) {
    for alert in alerts {
        let number = alert.rows().find_map(|row| row.recording());
        alert.recording = number.and_then(|number| names.get(number - 1)).cloned();
        alert.exec_id = alert.exec_id.map(own_exec_id);
        alert.ancestry.iter_mut().for_each(|process| process.exec_id = own_exec_id(process.exec_id));
    }
    for node in incidents.iter_mut().flat_map(|incident| &mut incident.tree) {
        node.exec_id = node.exec_id.map(own_exec_id);
    }
}

/// The processes of recording `number`, numbered for the replay.
///
/// # Errors
/// Its numbers leave no room for the recording's.
pub fn processes(number: usize, recording: &Recording) -> Result<Vec<Process>> {
    let mut rows = recording.processes()?;
    if number == 0 {
        return Ok(rows);
    }
    for row in &mut rows {
        renumber(row, number).map_err(|id| {
            Error::input(
                format!("{}: process incarnation {id} has a number that no recorder gives", recording.dir().display()),
                "it can be replayed alone; several are told apart by bits of that number",
            )
        })?;
    }
    Ok(rows)
}

fn renumber(row: &mut Process, number: usize) -> std::result::Result<(), u64> {
    row.exec_id = tag(number, row.exec_id)?;
    row.parent_exec_id = row.parent_exec_id.map(|id| tag(number, id)).transpose()?;
    row.prev_exec_id = row.prev_exec_id.map(|id| tag(number, id)).transpose()?;
    Ok(())
}

/// Labels refer to rows; of several recordings, acts to their recording.
///
/// # Errors
/// The labels cannot be read.
pub fn labels(recordings: &[Recording], names: &[String]) -> Result<Vec<datasets::Label>> {
    let mut all = Vec::new();
    for ((number, recording), name) in numbers(recordings).zip(names) {
        let mut labels = recording.labels()?;
        if number > 0 {
            for label in &mut labels {
                label.seq = seq_in(number, label.seq);
                label.act = format!("{name}: {}", label.act).into();
            }
        }
        all.append(&mut labels);
    }
    Ok(all)
}

fn tag(number: usize, id: u64) -> std::result::Result<u64, u64> {
    if id == own_exec_id(id) { Ok(id | (number as u64) << INCARNATION) } else { Err(id) }
}

/// A number that a recorder does not give.
type Foreign = (&'static str, u64);

/// The events of all recordings, in their order.
pub struct Merged<'a> {
    streams: Vec<Stream<'a>>,
    /// The next event of each: time, recording, CPU, sequence number.
    heap: BinaryHeap<Reverse<(i64, usize, u16, u64)>>,
    begun: bool,
    failed: bool,
}

struct Stream<'a> {
    number: usize,
    dir: &'a Path,
    events: datasets::Events,
    next: Option<Event>,
}

/// The events of the given classes, with what a replay looks at of them. Of one recording they are as they come; of several, numbered for the replay.
pub fn events<'a>(recordings: &'a [Recording], classes: &[Class]) -> Merged<'a> {
    let stream = |(number, recording): (usize, &'a Recording)| Stream {
        number,
        dir: recording.dir(),
        events: recording.events_with(classes, columns::of),
        next: None,
    };
    Merged { streams: numbers(recordings).map(stream).collect(), heap: BinaryHeap::new(), begun: false, failed: false }
}

/// Rows that the recordings say they have.
pub fn rows(recordings: &[Recording]) -> u64 {
    recordings.iter().map(Recording::manifest).map(Manifest::rows).fold(0, u64::saturating_add)
}

impl Stream<'_> {
    /// Reads the next event, and says where it stands.
    fn read(&mut self) -> datasets::Result<Option<(i64, usize, u16, u64)>> {
        self.next = self.events.next().transpose()?;
        let Some(event) = &mut self.next else { return Ok(None) };
        number(event, self.number).map_err(|(column, value)| datasets::Error::Value {
            path: self.dir.to_owned(),
            column: column.to_owned(),
            reason: format!("{value} leaves no room to tell several recordings apart"),
        })?;
        let common = event.common();
        Ok(Some((common.ts, self.number, common.cpu, common.seq)))
    }
}

/// Numbers an event of recording `number` for the replay.
fn number(event: &mut Event, number: usize) -> std::result::Result<(), Foreign> {
    let tagged = |id: Option<u64>| id.map(|id| tag(number, id)).transpose().map_err(|id| ("exec_id", id));
    let common = event.common_mut();
    if own_seq(common.seq) != common.seq {
        return Err(("seq", common.seq));
    }
    common.seq = seq_in(number, common.seq);
    common.exec_id = tagged(common.exec_id)?;
    if let Event::Process(process) = event {
        process.parent_exec_id = tagged(process.parent_exec_id)?;
        process.child_exec_id = tagged(process.child_exec_id)?;
    }
    Ok(())
}

impl Merged<'_> {
    fn step(&mut self) -> datasets::Result<Option<Event>> {
        if !self.begun {
            self.begun = true;
            for stream in &mut self.streams {
                self.heap.extend(stream.read()?.map(Reverse));
            }
        }
        let Some(mut top) = self.heap.peek_mut() else { return Ok(None) };
        let stream = &mut self.streams[top.0.1 - 1];
        let event = stream.next.take();
        match stream.read()? {
            Some(key) => top.0 = key,
            None => {
                PeekMut::pop(top);
            }
        }
        Ok(event)
    }
}

impl Iterator for Merged<'_> {
    type Item = datasets::Result<Given>;

    fn next(&mut self) -> Option<Self::Item> {
        // The only one is its own order.
        if let [only] = &mut self.streams[..] {
            return only.events.next_given();
        }
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.map(|event| event.map(Given::from)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_in_and_come_out_again() {
        // The largest CPU that a recorder numbers incarnations of, and a count of 2^36 - 1 of them.
        let id = (0x3fff << 48) | ((1 << 36) - 1);
        for number in [1, 2, MOST] {
            assert_eq!(own_exec_id(tag(number, id).unwrap()), id);
            let seq = seq_in(number, 12_345);
            assert_eq!((of_row(seq), own_seq(seq)), (number, 12_345));
        }
        assert_eq!((of_row(7), own_seq(7)), (0, 7));
        assert_ne!(tag(1, id), tag(2, id));
        assert_eq!(tag(1, 1 << 36), Err(1 << 36), "no room");
    }
}
