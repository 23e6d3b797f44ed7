//! The long recording as a picture: memory, events, CPU time and size over time.

use plotters::style::RGBColor;
use replay::output::palette::{AMBER, BLUE, GREEN, GREY, RED};

use super::{Long, Sample};
use crate::Result;
use crate::picture::{Axis, Panel, svg};

/// Height of a panel, pixels.
const PANEL: u32 = 190;
/// Rates are means over this, s: one point of the picture.
const STEP: f64 = 30.0;

type Points = Vec<(f64, f64)>;

/// A curve with its name.
struct Curve {
    name: String,
    colour: RGBColor,
    points: Points,
}

/// An SVG document.
///
/// # Errors
/// The drawing failed.
pub fn draw(long: &Long) -> Result<String> {
    let curve = |name: &str, colour, points| Curve { name: name.to_owned(), colour, points };
    let level = |of: fn(&Sample) -> f64| long.samples.iter().map(|sample| (sample.at / 60.0, of(sample))).collect();
    let rate = |of: fn(&Sample) -> f64| rates(&long.samples, of);
    let panels = [
        (
            "MiB",
            vec![
                curve("resident, with the mapped ring", GREY, level(|s| s.resident)),
                curve("own memory", BLUE, level(|s| s.memory)),
            ],
        ),
        (
            "events/s",
            vec![curve("stored", BLUE, rate(|s| s.stored as f64)), curve("lost", RED, rate(|s| s.dropped as f64))],
        ),
        (
            "% of a core",
            vec![
                curve("containers", GREY, percent(rate(|s| s.cpu.containers))),
                curve("recorder", BLUE, percent(rate(|s| s.cpu.recorder))),
                curve("BPF programs", AMBER, percent(rate(|s| s.cpu.bpf.seconds))),
            ],
        ),
        ("MB on disk", vec![curve("recording, with its journal", GREEN, level(|s| s.bytes as f64 / 1e6))]),
    ];
    let length = long.samples.last().map_or(1.0, |last| last.at / 60.0).max(0.1);
    svg(PANEL * panels.len() as u32, |root| {
        for (area, (unit, curves)) in root.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            let highest = curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y);
            // Room for the names above the curves.
            let mut panel =
                Panel::on(area, Axis::linear(0.0, length, "minutes").ticks(10), Axis::over(highest, 0.3, unit))?;
            for (i, curve) in curves.iter().enumerate() {
                panel.line(&curve.points, curve.colour)?;
                panel.text((0.01 + 0.3 * i as f64, 0.97), &curve.name, curve.colour)?;
            }
        }
        Ok(())
    })
}

/// Of a cumulative quantity: its rate per second over each step, at the step's middle in minutes.
fn rates(samples: &[Sample], of: fn(&Sample) -> f64) -> Points {
    let mut points = Points::new();
    let mut from: Option<&Sample> = None;
    for sample in samples {
        let Some(first) = from else {
            from = Some(sample);
            continue;
        };
        let time = sample.at - first.at;
        if time >= STEP {
            points.push(((first.at + sample.at) / 120.0, (of(sample) - of(first)) / time));
            from = Some(sample);
        }
    }
    points
}

fn percent(mut points: Points) -> Points {
    points.iter_mut().for_each(|(_, y)| *y *= 100.0);
    points
}
