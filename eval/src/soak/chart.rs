//! The long recording as a picture: memory, events, CPU time and size over time. Colours are middle tones that hold on a light and
//! on a dark page; the background is the page's.

use plotters::prelude::*;
use replay::output::palette::{AMBER, BLUE, GREEN, GREY, RED};

use super::{Long, Sample};

const WIDTH: u32 = 960;
const PANEL: u32 = 190;
/// Rates are means over this, s: one point of the picture.
const STEP: f64 = 30.0;

type Points = Vec<(f64, f64)>;
type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

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
pub fn draw(long: &Long) -> Drawn<String> {
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
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, PANEL * panels.len() as u32)).into_drawing_area();
        for (area, (unit, curves)) in root.split_evenly((panels.len(), 1)).iter().zip(&panels) {
            panel(area, unit, curves, length)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    unit: &str,
    curves: &[Curve],
    length: f64,
) -> Drawn<()> {
    let highest = curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y).fold(0.0, f64::max);
    // Room for the names above the curves.
    let top = if highest > 0.0 { highest * 1.3 } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..length, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GREY.mix(0.3))
        .light_line_style(TRANSPARENT)
        .y_labels(5)
        .axis_style(GREY)
        .label_style(("sans-serif", 13, &GREY))
        .x_label_formatter(&|value| value.to_string())
        .y_label_formatter(&|value| value.to_string())
        .x_desc("minutes")
        .y_desc(unit)
        .draw()?;
    for (i, curve) in curves.iter().enumerate() {
        chart.draw_series(LineSeries::new(curve.points.iter().copied(), curve.colour.stroke_width(2)))?;
        let at = (length * (0.01 + 0.3 * i as f64), top * 0.97);
        let style = ("sans-serif", 13).into_font().color(&curve.colour);
        chart.draw_series(std::iter::once(Text::new(curve.name.clone(), at, style)))?;
    }
    Ok(())
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
