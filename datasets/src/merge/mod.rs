//! Several recordings as one.

mod apart;
mod manifest;

use std::collections::BTreeMap;
use std::path::Path;

use crate::Result;
use crate::derive::{self, Carried};
use crate::losses::Loss;
use crate::manifest::{Accounting, Manifest};
use crate::model::{Address, Container, Event, Label, Process};
use crate::read::Recording;
use crate::write::{LABELS, RecordingWriter, account_of};
use apart::Place;

/// A merged recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    pub manifest: Manifest,
    /// Addresses that containers of different sources held at the same time, as two hosts' private networks do. Whose it was
    /// cannot be told by address and time any more.
    pub shared_addresses: Vec<String>,
}

/// Writes all rows of `sources` to `out`, which must not exist or be empty.
///
/// Each source keeps CPUs of its own (`derived.sources[].cpus` in the manifest), so that sequence numbers and incarnations
/// stay unique and every row can be told from the others' by its `cpu`; process ids are as they were, and two hosts may share one.
/// The stream of what is sampled (cpu 65535) has the sources' numbers one after the other. A container that two sources saw is one
/// row. `progress` is called with the rows read so far. Memory: the tables, and the open segments of all sources.
///
/// # Errors
/// [`Error::Merge`](crate::Error::Merge): fewer than two sources, one of them twice, scenarios of different seeds, too many CPUs;
/// [`Error::Unfinished`](crate::Error::Unfinished), [`Error::Exists`](crate::Error::Exists), [`Error::Write`](crate::Error::Write), and those of reading.
pub fn merge(sources: &[Recording], out: &Path, mut progress: impl FnMut(u64)) -> Result<Merged> {
    let carried: Vec<Carried> = sources.iter().map(derive::carry).collect::<Result<_>>()?;
    let tables: Vec<Vec<Process>> = sources.iter().map(Recording::processes).collect::<Result<_>>()?;
    let places = apart::places(sources, &tables)?;
    let mut whole = manifest::join(sources, &carried, &places)?;
    whole.accounting = accounting(&carried, &places);

    let mut writer = RecordingWriter::create_with(out, whole.manifest.clone(), derive::storage())?;
    let mut losses: Vec<Loss> = Vec::new();
    for (carried, place) in carried.iter().zip(&places) {
        losses.extend(carried.losses.iter().map(|loss| Loss { cpu: place.cpu(loss.cpu), ..*loss }));
    }
    losses.sort_by_key(|loss| (loss.from, loss.to, loss.cpu, loss.class, loss.cause));
    losses.into_iter().for_each(|loss| writer.losses().add(loss));

    let mut streams: Vec<_> = sources.iter().map(Recording::events).collect();
    let mut heads: Vec<Option<Event>> =
        streams.iter_mut().map(|stream| stream.next().transpose()).collect::<Result<_>>()?;
    let mut read = 0;
    while let Some(next) = earliest(&heads) {
        let following = streams[next].next().transpose()?;
        if let Some(mut event) = std::mem::replace(&mut heads[next], following) {
            places[next].event(&mut event)?;
            writer.push(&event)?;
        }
        read += 1;
        if read % 4096 == 0 {
            progress(read);
        }
    }

    let mut processes: Vec<Process> = Vec::new();
    for (table, place) in tables.into_iter().zip(&places) {
        processes.extend(table.into_iter().map(|row| place.process(row)));
    }
    writer.write_processes(&processes)?;
    drop(processes);
    let held: Vec<Vec<Address>> = sources.iter().map(Recording::addresses).collect::<Result<_>>()?;
    writer.write_containers(&containers(sources)?)?;
    let shared_addresses = shared(&held);
    let mut addresses: Vec<Address> = held.into_iter().flatten().collect();
    addresses.sort_by(|a, b| (a.since, &a.address, &a.container).cmp(&(b.since, &b.address, &b.container)));
    addresses.dedup();
    writer.write_addresses(&addresses)?;
    if sources.iter().any(|source| source.manifest().table(LABELS).is_some()) {
        let mut labels: Vec<Label> = Vec::new();
        for (source, place) in sources.iter().zip(&places) {
            labels.extend(source.labels()?.into_iter().map(|label| place.label(label)));
        }
        writer.write_labels(&labels)?;
    }
    Ok(Merged { manifest: derive::complete(writer, whole)?, shared_addresses })
}

/// The source whose next event comes first; of equal ones the first source.
fn earliest(heads: &[Option<Event>]) -> Option<usize> {
    let times = heads.iter().enumerate().filter_map(|(at, head)| Some((head.as_ref()?.common().ts, at)));
    times.min().map(|(_, at)| at)
}

fn accounting(carried: &[Carried], places: &[Place]) -> Accounting {
    let mut sum = Accounting::default();
    for (carried, place) in carried.iter().zip(places) {
        for account in &carried.accounting.cpus {
            let into = account_of(&mut sum, place.cpu(account.cpu));
            into.next_seq += account.next_seq;
            into.unattributed += account.unattributed;
            for (class, counts) in &account.classes {
                into.classes.entry(class.clone()).or_default().add(counts);
            }
        }
        for (name, n) in &carried.accounting.failures {
            let total = sum.failures.entry(name.clone()).or_default();
            // A distance, not a count.
            *total = if name == "clock_moved_ms" { (*total).max(*n) } else { total.saturating_add(*n) };
        }
    }
    sum.cpus.sort_by_key(|account| account.cpu);
    sum
}

/// One row for each id.
fn containers(sources: &[Recording]) -> Result<Vec<Container>> {
    let mut order: Vec<Container> = Vec::new();
    let mut at: BTreeMap<std::sync::Arc<str>, usize> = BTreeMap::new();
    for source in sources {
        for row in source.containers()? {
            match at.get(&row.id) {
                Some(seen) => {
                    let known = &mut order[*seen];
                    row.addresses.iter().for_each(|address| known.held(address));
                    for alias in row.aliases {
                        if !known.aliases.contains(&alias) {
                            known.aliases.push(alias);
                        }
                    }
                    known.first_seen = known.first_seen.min(row.first_seen);
                }
                None => {
                    at.insert(row.id.clone(), order.len());
                    order.push(row);
                }
            }
        }
    }
    Ok(order)
}

/// Addresses that different containers of different sources held at the same time.
fn shared(held: &[Vec<Address>]) -> Vec<String> {
    let mut spans: BTreeMap<&str, Vec<(usize, &Address)>> = BTreeMap::new();
    for (source, rows) in held.iter().enumerate() {
        for row in rows {
            spans.entry(&row.address).or_default().push((source, row));
        }
    }
    let overlap = |a: &Address, b: &Address| {
        a.since < b.until.unwrap_or(i64::MAX) && b.since < a.until.unwrap_or(i64::MAX) && a.container != b.container
    };
    let is_shared = |spans: &Vec<(usize, &Address)>| {
        let others = |from: &usize, row: &Address| spans.iter().any(|(to, other)| to != from && overlap(row, other));
        spans.iter().any(|(source, row)| others(source, row))
    };
    spans.into_iter().filter(|(_, spans)| is_shared(spans)).map(|(address, _)| address.to_owned()).collect()
}
