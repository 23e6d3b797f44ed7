//! What recorders cost.

use super::view::{Figure, Part, Quantity, Section, Table, compared, number};
use crate::Result;
use crate::overhead::{Overhead, Recorded, chart};

pub fn section(inputs: &[(&str, &Overhead)]) -> Result<Option<Section>> {
    if inputs.is_empty() {
        return Ok(None);
    }
    let parts = inputs.iter().map(|(name, found)| part(name, found)).collect::<Result<_>>()?;
    Ok(Some(Section {
        id: "overhead",
        title: "Overhead",
        about: "Time of a workload with a recorder over its time without, done in turns: the ratio of medians with its 95 % \
                bootstrap interval.",
        compared: side_by_side(inputs).into_iter().collect(),
        parts,
    }))
}

fn results(found: &Overhead) -> impl Iterator<Item = (String, &Recorded)> {
    found.recorders.iter().flat_map(|recorder| {
        let name = |result: &Recorded| format!("{}, {}", recorder.marked_name(), result.workload.name());
        recorder.results.iter().map(move |result| (name(result), result))
    })
}

fn side_by_side(inputs: &[(&str, &Overhead)]) -> Option<Table> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in inputs.iter().flat_map(|(_, found)| results(found)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let quantity = |name: String| Quantity {
        values: inputs
            .iter()
            .map(|(_, found)| results(found).find(|(other, _)| *other == name).map(|(_, result)| result.ratio))
            .collect(),
        name,
    };
    let quantities: Vec<_> = names.into_iter().map(quantity).collect();
    compared("Side by side: ratios", &inputs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &quantities)
}

fn part(name: &str, found: &Overhead) -> Result<Part> {
    let mut notes = vec![format!("{} rounds, {} times the usual amount of work.", found.rounds, found.scale)];
    notes.extend(found.absent.iter().map(|absent| format!("Not measured: {}: {}", absent.name, absent.why)));
    let apart = found.recorders.iter().filter_map(|recorder| Some((recorder.marked_name(), recorder.apart.as_ref()?)));
    notes.extend(apart.map(|(name, how)| format!("{name}: measured in another run: {how}.")));
    let row = |(name, result): (String, &Recorded)| {
        vec![
            name,
            number(Some(result.ratio)),
            format!("[{:.3}, {:.3}]", result.low, result.high),
            number(result.events),
            number(result.stored_share()),
            number(result.bytes_per_event),
            number(Some(result.cpu_seconds)),
            number(Some(result.memory_mib)),
        ]
    };
    let header = [
        "recorder, workload",
        "ratio",
        "95 %",
        "events",
        "share stored",
        "bytes per event",
        "CPU of the recorder, s",
        "memory at most, MiB",
    ];
    let bare = found.bare.iter().map(|bare| {
        vec![bare.workload.name().to_owned(), number(Some(bare.median)), format!("{:.1}", bare.spread * 100.0)]
    });
    let tables = vec![
        Table::new("Workloads under recorders; medians over the rounds", &header, results(found).map(row).collect()),
        Table::new("Workloads by themselves", &["workload", "median, s", "spread (MAD), %"], bare.collect()),
    ];
    let svg = chart::draw(found)?;
    let alt = "a bar with its interval for each recorder, a panel for each workload".to_owned();
    Ok(Part { name: name.to_owned(), notes, figures: vec![Figure { title: "Ratios".to_owned(), alt, svg, tables }] })
}
