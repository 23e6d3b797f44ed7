//! A part of a recording as a recording: what was cut is counted, so that the account holds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use record_bpf::Class;

use crate::Result;
use crate::derive::{self, Derived, Source};
use crate::losses::{Cause, Loss};
use crate::manifest::{Manifest, Moment};
use crate::model::{Event, Label, Process};
use crate::read::Recording;
use crate::select::Selection;
use crate::write::RecordingWriter;

/// Writes what `selection` has of `recording` to `out`, which must not exist or be empty.
///
/// Every row that is left out is `filtered` in the account, and named with its time in the losses; the manifest's `derived` says
/// by which conditions, and of which source. Labels of the rows that are kept are kept, and of the processes those that rows
/// name, with their ancestors. The tables of containers and addresses stay whole: they say who the peers of the kept ones are.
/// `progress` is called with the rows read so far. Memory: the process table, and the open segments.
///
/// # Errors
/// [`Error::Selection`](crate::Error::Selection), [`Error::Unfinished`](crate::Error::Unfinished),
/// [`Error::Exists`](crate::Error::Exists), [`Error::Write`](crate::Error::Write), and those of reading.
pub fn slice(
    recording: &Recording,
    selection: &Selection,
    out: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Manifest> {
    let chosen = selection.resolve(recording)?;
    let mut carried = derive::carry(recording)?;
    let (processes, labels) = (recording.processes()?, recording.labels()?);
    let labelled: HashSet<(Class, u16, u64)> = labels.iter().map(key).collect();
    narrow(&mut carried.manifest, selection);
    carried.ended = selection.to.map_or(carried.ended, |to| carried.ended.min(to)).max(carried.manifest.started.ns);
    let mut derived = Derived::new("slice", vec![Source::of(recording.manifest())]);
    derived.conditions = selection.conditions();
    carried.manifest.derived = Some(derived.clone());

    let mut writer = RecordingWriter::create_with(out, carried.manifest.clone(), derive::storage())?;
    let mut used: HashSet<u64> = HashSet::new();
    let mut kept_labels: HashSet<(Class, u16, u64)> = HashSet::new();
    let mut cut: BTreeMap<(u16, Class), u64> = BTreeMap::new();
    let mut losses = carried.losses.iter().copied().peekable();
    for (read, event) in (1_u64..).zip(recording.events()) {
        let event = event?;
        let common = event.common();
        if chosen.keeps(&event) {
            used.extend(incarnations(&event));
            let key = (event.class(), common.cpu, common.seq);
            if labelled.contains(&key) {
                kept_labels.insert(key);
            }
            writer.push(&event)?;
        } else {
            // In the order of time, so that losses that continue stay one entry.
            while let Some(loss) = losses.next_if(|loss| loss.from <= common.ts) {
                writer.losses().add(loss);
            }
            *cut.entry((common.cpu, event.class())).or_default() += 1;
            let (cpu, class, ts) = (common.cpu, event.class(), common.ts);
            writer.losses().add(Loss { cpu, class, cause: Cause::Filtered, from: ts, to: ts, count: 1 });
        }
        if read % 4096 == 0 {
            progress(read);
        }
    }
    losses.for_each(|loss| writer.losses().add(loss));

    for account in &mut carried.accounting.cpus {
        for (name, counts) in &mut account.classes {
            let n = Class::from_name(name).and_then(|class| cut.get(&(account.cpu, class))).copied().unwrap_or(0);
            counts.filtered = counts.filtered.saturating_add(n);
        }
    }
    for ((_, class), n) in cut {
        *derived.cut.entry(class.name().to_owned()).or_default() += n;
    }
    writer.set_derived(derived);
    writer.write_processes(&with_ancestors(&processes, used))?;
    writer.write_containers(&recording.containers()?)?;
    writer.write_addresses(&recording.addresses()?)?;
    if recording.manifest().table(crate::write::LABELS).is_some() {
        let kept: Vec<Label> = labels.into_iter().filter(|label| kept_labels.contains(&key(label))).collect();
        writer.write_labels(&kept)?;
    }
    derive::complete(writer, carried)
}

fn key(label: &Label) -> (Class, u16, u64) {
    (label.class, label.cpu, label.seq)
}

/// What the manifest says of the whole, made to fit the part.
fn narrow(manifest: &mut Manifest, selection: &Selection) {
    if let Some(from) = selection.from.filter(|from| *from > manifest.started.ns) {
        manifest.started = Moment::from_ns(from);
    }
    if !selection.classes.is_empty() {
        manifest.classes.retain(|name| selection.classes.iter().any(|class| class.name() == name));
        manifest.hooks.retain(|name, _| selection.classes.iter().any(|class| class.name() == name));
    }
    if let Some(scenario) = &mut manifest.scenario {
        scenario.steps.retain(|step| {
            selection.from.is_none_or(|from| step.end_ns >= from) && selection.to.is_none_or(|to| step.start_ns < to)
        });
    }
}

/// The incarnations of processes that an event names.
fn incarnations(event: &Event) -> impl Iterator<Item = u64> {
    let others = match event {
        Event::Process(event) => [event.child_exec_id, event.parent_exec_id],
        _ => [None, None],
    };
    [event.common().exec_id].into_iter().chain(others).flatten()
}

/// The rows of these, of what they were before, and of all above them, in the order of the table.
fn with_ancestors(table: &[Process], used: HashSet<u64>) -> Vec<Process> {
    let by_id: HashMap<u64, &Process> = table.iter().map(|row| (row.exec_id, row)).collect();
    let mut kept: HashSet<u64> = HashSet::new();
    let mut todo: Vec<u64> = used.into_iter().collect();
    while let Some(id) = todo.pop() {
        if let Some(row) = by_id.get(&id)
            && kept.insert(id)
        {
            todo.extend([row.parent_exec_id, row.prev_exec_id].into_iter().flatten());
        }
    }
    table.iter().filter(|row| kept.contains(&row.exec_id)).cloned().collect()
}
