//! Capture over rates, long recordings, latency and growth: the pictures of these commands, with their numbers.

use super::view::{Figure, Part, Quantity, Section, Table, compared, number};
use crate::Result;
use crate::curve::{self, Curve, Point};
use crate::growth::{self, COSTS, Growth};
use crate::latency::ages::Stage;
use crate::latency::{self, Latency};
use crate::soak::{self, Long, Soak};

/// Quantities by their names.
type Named = Vec<(String, Option<f64>)>;
/// Notes, and pictures.
type Content = (Vec<String>, Vec<Figure>);

/// A kind of result: how to compare inputs of it and how to show one.
struct Shown<'a, T> {
    id: &'static str,
    title: &'static str,
    about: &'static str,
    inputs: &'a [(&'a str, &'a T)],
    quantities: fn(&T) -> Named,
    part: fn(&T) -> Result<Content>,
}

fn section<T>(shown: &Shown<'_, T>) -> Result<Option<Section>> {
    if shown.inputs.is_empty() {
        return Ok(None);
    }
    let all: Vec<Named> = shown.inputs.iter().map(|(_, found)| (shown.quantities)(found)).collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in all.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let value = |of: &[(String, Option<f64>)], name: &str| of.iter().find(|(other, _)| other == name)?.1;
    let quantities: Vec<Quantity> = names
        .into_iter()
        .map(|name| Quantity { name: name.clone(), values: all.iter().map(|of| value(of, name)).collect() })
        .collect();
    let inputs: Vec<&str> = shown.inputs.iter().map(|(name, _)| *name).collect();
    let part = |(name, found): &(&str, &T)| {
        let (notes, figures) = (shown.part)(found)?;
        Ok(Part { name: (*name).to_owned(), notes, figures })
    };
    Ok(Some(Section {
        id: shown.id,
        title: shown.title,
        about: shown.about,
        compared: compared("Side by side", &inputs, &quantities).into_iter().collect(),
        parts: shown.inputs.iter().map(part).collect::<Result<_>>()?,
    }))
}

/// What a point is of.
fn place(point: &Point) -> String {
    let rate = if point.rate == 0 { "the most".to_owned() } else { point.rate.to_string() };
    format!("{} on CPU {}, {rate} a second and CPU", point.deed.name(), curve::chart::cpus(&point.cpus))
}

pub fn capture(inputs: &[(&str, &Curve)]) -> Result<Option<Section>> {
    section(&Shown {
        id: "capture",
        title: "Capture over rates",
        about: "What was stored and lost of what was made, the recorder's CPU time and how old rows were, as events come faster.",
        inputs,
        quantities: |found| {
            let of = |point: &Point| (format!("{}: share stored", place(point)), Some(point.storm.stored_share));
            found.points.iter().map(of).collect()
        },
        part: |found: &Curve| {
            let row = |point: &Point| {
                let storm = &point.storm;
                let mut row = vec![place(point)];
                let numbers = [
                    storm.calls_per_second,
                    storm.stored as f64,
                    storm.stored_share,
                    storm.dropped as f64,
                    storm.accounted_share,
                    storm.bytes_per_event,
                    point.cpu_share() * 100.0,
                    storm.lag_p50 * 1e3,
                    storm.lag_p99 * 1e3,
                ];
                row.extend(numbers.map(|n| number(Some(n))));
                row
            };
            let header = [
                "class",
                "made a second",
                "stored",
                "share stored",
                "lost",
                "share accounted for",
                "bytes per event",
                "recorder, % of a core",
                "kernel to row, 50 %, ms",
                "99 %, ms",
            ];
            let rows = found.points.iter().map(row).collect();
            let figure = Figure {
                title: "Stored, lost, late".to_owned(),
                alt: "for each class, what was stored and lost a second, the recorder's CPU time and the lag over events made".to_owned(),
                svg: curve::chart::draw(found)?,
                tables: vec![Table::new(format!("Points of {} s each", found.seconds), &header, rows)],
            };
            Ok((Vec::new(), vec![figure]))
        },
    })
}

/// Its figures by name and unit.
fn of_long(long: &Long) -> Named {
    let spent = &long.spent;
    let slope = long.memory.slope;
    let figures = [
        ("length, s", Some(long.seconds)),
        ("own memory, median, MiB", Some(long.memory.median)),
        ("own memory at most, MiB", Some(long.memory.most)),
        ("it grows by, MiB an hour", slope.map(|slope| slope.0)),
        ("at least, of its 95 % interval", slope.map(|slope| slope.1)),
        ("at most, of its 95 % interval", slope.map(|slope| slope.2)),
        ("resident at most, MiB", Some(long.resident.most)),
        ("events stored", Some(long.stored as f64)),
        ("lost", Some(long.dropped as f64)),
        ("left out on purpose", Some(long.left_out as f64)),
        ("verified (1: yes)", Some(f64::from(u8::from(long.verified)))),
        ("bytes per event", Some(long.bytes_per_event)),
        ("recorder, % of a core", Some(spent.recorder_share() * 100.0)),
        ("recorder, % of the containers' CPU time", Some(spent.recorder_of_load() * 100.0)),
        ("BPF programs, % of all CPU time", Some(spent.bpf_of_all() * 100.0)),
        ("kernel to row, 99 %, median, ms", Some(long.lag_p99_median * 1e3)),
        ("kernel to row at most, ms", Some(long.lag_max * 1e3)),
        ("answers, 99 %, ms", long.asked.map(|asked| asked.p99 * 1e3)),
    ];
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}

pub fn soak(inputs: &[(&str, &Soak)]) -> Result<Option<Section>> {
    section(&Shown {
        id: "soak",
        title: "Long recordings",
        about: "The recorder over a scenario's ordinary life, watched from outside.",
        inputs,
        quantities: |found| found.long.as_ref().map(of_long).unwrap_or_default(),
        part: |found: &Soak| {
            let mut notes = vec![format!("Scenario: {}.", found.scenario)];
            if let Some(turns) = &found.turns {
                let ratio = &turns.containers;
                notes.push(format!(
                    "CPU time of the containers with the recorder over that without, {} pairs of {} s: {:.3} [{:.3}, {:.3}].",
                    turns.pairs, turns.seconds, ratio.ratio, ratio.low, ratio.high
                ));
            }
            let Some(long) = &found.long else {
                notes.push("No long recording.".to_owned());
                return Ok((notes, Vec::new()));
            };
            let rows = of_long(long).into_iter().map(|(name, value)| vec![name, number(value)]).collect();
            // A sample a minute says what the picture says.
            let mut minute = f64::NEG_INFINITY;
            let mut samples = Vec::new();
            for sample in &long.samples {
                if sample.at - minute >= 60.0 {
                    minute = sample.at;
                    let numbers = [
                        sample.at,
                        sample.memory,
                        sample.resident,
                        sample.stored as f64,
                        sample.dropped as f64,
                        sample.bytes as f64,
                        sample.cpu.containers,
                        sample.cpu.recorder,
                        sample.cpu.bpf.seconds,
                    ];
                    samples.push(numbers.map(|n| number(Some(n))).into());
                }
            }
            let header = [
                "s",
                "own memory, MiB",
                "resident, MiB",
                "stored",
                "lost",
                "bytes",
                "CPU of containers, s",
                "of the recorder, s",
                "of BPF programs, s",
            ];
            let tables = vec![
                Table::new("The whole recording", &["", "value"], rows),
                Table::new("Over time, a sample a minute; sums since the begin", &header, samples),
            ];
            let alt = "memory, events a second, CPU time and size over time".to_owned();
            Ok((notes, vec![Figure { title: "Over time".to_owned(), alt, svg: soak::chart::draw(long)?, tables }]))
        },
    })
}

pub fn latency(inputs: &[(&str, &Latency)]) -> Result<Option<Section>> {
    section(&Shown {
        id: "latency",
        title: "Latency",
        about: "How old events are in memory, in the journal, in a finished segment and in the line of an alert.",
        inputs,
        quantities: |found| {
            let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
            let of = |stage: &Stage| {
                [
                    (format!("to {}, 50 %, ms", stage.name), ms(stage.p50)),
                    (format!("to {}, 99 %, ms", stage.name), ms(stage.p99)),
                ]
            };
            found.stages.iter().flat_map(of).collect()
        },
        part: |found: &Latency| {
            let ms = |seconds: Option<f64>| number(seconds.map(|seconds| seconds * 1e3));
            let row = |stage: &Stage| {
                let ages = [stage.p50, stage.p90, stage.p99, stage.max].map(ms);
                [format!("{}: {}", stage.name, stage.place), stage.count.to_string()].into_iter().chain(ages).collect()
            };
            let rows = found.stages.iter().map(row).collect();
            let mut tables = vec![Table::new("Ages, ms", &["to", "events", "50 %", "90 %", "99 %", "most"], rows)];
            for stage in &found.stages {
                let rows = stage.histogram.iter().map(|(bound, n)| vec![ms(Some(*bound)), n.to_string()]).collect();
                tables.push(Table::new(format!("Histogram: {}", stage.name), &["up to, ms", "events"], rows));
            }
            let alt = "a histogram of ages for each stage, on the same axis".to_owned();
            let notes = vec![format!(
                "{} events, {} lost; {} attacks of {} told.",
                found.events, found.dropped, found.told, found.attacks
            )];
            Ok((notes, vec![Figure { title: "Ages".to_owned(), alt, svg: latency::chart::draw(found)?, tables }]))
        },
    })
}

pub fn growth(inputs: &[(&str, &Growth)]) -> Result<Option<Section>> {
    section(&Shown {
        id: "growth",
        title: "Growth of cost",
        about: "Cost against the rate of events and the length of a recording, with fitted powers: 1 is in proportion, 0 is constant.",
        inputs,
        quantities: |found| {
            let of = |series: &growth::Series| {
                let over = series.over.name();
                let fits = series.fits.iter();
                fits.map(move |fit| {
                    (format!("{} over {over}: exponent", fit.cost), fit.power.map(|power| power.exponent))
                })
                .collect::<Vec<_>>()
            };
            found.series.iter().flat_map(of).collect()
        },
        part: |found: &Growth| {
            let mut tables = Vec::new();
            for series in &found.series {
                let over = series.over.name();
                let fits = series.fits.iter().map(|fit| {
                    let power = fit.power.as_ref();
                    let numbers = [power.map(|p| p.exponent), power.map(|p| p.low), power.map(|p| p.high)];
                    std::iter::once(fit.cost.clone()).chain(numbers.map(number)).collect()
                });
                let header = ["cost", "exponent", "at least (95 %)", "at most (95 %)"];
                tables.push(Table::new(format!("Powers over {over}"), &header, fits.collect()));
                let points = series.points.iter().map(|point| {
                    let costs = COSTS.iter().map(|cost| (cost.of)(point));
                    std::iter::once(series.over.of(point)).chain(costs).map(|n| number(Some(n))).collect()
                });
                let header: Vec<&str> = std::iter::once(over).chain(COSTS.iter().map(|cost| cost.name)).collect();
                tables.push(Table::new(format!("Recordings over {over}"), &header, points.collect()));
            }
            let alt =
                "costs over the rate and over the length, both axes logarithmic, with the fitted powers".to_owned();
            Ok((Vec::new(), vec![Figure { title: "Costs".to_owned(), alt, svg: growth::chart::draw(found)?, tables }]))
        },
    })
}
