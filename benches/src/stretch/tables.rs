//! The dimension tables of all copies.

use std::iter::from_fn;
use std::sync::Arc;

use datasets::{Address, Label, Loss, Process, RecordingWriter, Step};

use super::{Repeat, Result, Source};

/// Rows of a row group of the tables that grow with every copy.
const GROUP: usize = 1 << 16;

pub(super) fn write(writer: &mut RecordingWriter, source: &Source<'_>) -> Result<()> {
    let recording = source.recording;
    let processes = recording.processes()?;
    writer.write_processes_from(|| groups(source, &processes, |process, copy| one_process(process, copy, source)))?;
    let containers = recording.containers()?;
    let containers: Vec<_> =
        source.names.iter().flat_map(|names| containers.iter().map(|container| names.container(container))).collect();
    writer.write_containers(&containers)?;
    let addresses = recording.addresses()?;
    if !addresses.is_empty() {
        let held: Vec<Address> = source
            .copies()
            .flat_map(|copy| addresses.iter().filter_map(move |row| address(row, copy, source)))
            .collect();
        writer.write_addresses(&held)?;
    }
    let labels = recording.labels()?;
    if recording.manifest().table("labels.parquet").is_some() {
        writer.write_labels_from(|| groups(source, &labels, |label, copy| one_label(label, copy, source)))?;
    }
    let losses = recording.losses()?;
    for copy in source.copies() {
        for row in &losses {
            let cpu = source.census.cpu(row.cpu, copy);
            writer.losses().add(Loss { cpu, from: row.from + copy.shift, to: row.to + copy.shift, ..*row });
        }
    }
    if let Some(mut scenario) = recording.manifest().scenario.clone() {
        let steps = std::mem::take(&mut scenario.steps);
        scenario.steps =
            source.copies().flat_map(|copy| steps.iter().map(move |step| later(step, copy, source))).collect();
        writer.set_scenario(scenario);
    }
    Ok(())
}

/// The rows of every copy, copy after copy, in groups.
fn groups<'a, T>(
    source: &'a Source<'_>,
    rows: &'a [T],
    own: impl Fn(&T, Repeat) -> T + 'a,
) -> impl Iterator<Item = Vec<T>> + 'a {
    let mut all = source.copies().flat_map(move |copy| rows.iter().map(move |row| (row, copy)));
    from_fn(move || {
        let group: Vec<T> = all.by_ref().take(GROUP).map(|(row, copy)| own(row, copy)).collect();
        (!group.is_empty()).then_some(group)
    })
}

fn one_process(process: &Process, copy: Repeat, source: &Source<'_>) -> Process {
    let (census, names) = (&source.census, &source.names[usize::from(copy.replica)]);
    // What outlived the recording ends with its copy, when its container is started again.
    let restarted = (copy.at + 1 < source.plan.times).then(|| source.recording.manifest().ended.as_ref()).flatten();
    let end = process.end.or(restarted.map(|ended| ended.ns));
    Process {
        exec_id: census.incarnation(process.exec_id, copy),
        parent_exec_id: process.parent_exec_id.map(|id| census.incarnation(id, copy)),
        prev_exec_id: process.prev_exec_id.map(|id| census.incarnation(id, copy)),
        container: process.container.as_deref().map(|id| Arc::from(names.id(id))),
        pid: census.pid(process.pid, copy),
        start: process.start.map(|start| start + copy.shift),
        end: end.map(|end| end + copy.shift),
        ..process.clone()
    }
}

/// None: of an address that is held to the end there is one row, not one for each copy.
fn address(row: &Address, copy: Repeat, source: &Source<'_>) -> Option<Address> {
    let names = &source.names[usize::from(copy.replica)];
    (copy.at == 0 || row.until.is_some()).then(|| Address {
        address: names.address(&row.address),
        container: Arc::from(names.id(&row.container)),
        net_ns: row.net_ns,
        since: row.since + copy.shift,
        until: row.until.map(|until| until + copy.shift),
    })
}

fn one_label(label: &Label, copy: Repeat, source: &Source<'_>) -> Label {
    Label {
        cpu: source.census.cpu(label.cpu, copy),
        seq: label.seq + source.census.seq_after(label.cpu, copy),
        ..label.clone()
    }
}

fn later(step: &Step, copy: Repeat, source: &Source<'_>) -> Step {
    let names = &source.names[usize::from(copy.replica)];
    Step {
        start_ns: step.start_ns + copy.shift,
        end_ns: step.end_ns + copy.shift,
        container: step.container.as_ref().map(|name| names.id(name)),
        ..step.clone()
    }
}
