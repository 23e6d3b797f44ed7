//! Events of each class over time, the attack's steps shaded.
//!
//! Colours are middle tones that hold on a light and on a dark page; the background is the page's.

use datasets::Manifest;
use plotters::prelude::*;
use replay::output::palette::{self, GREY};

use super::Counts;
use crate::{Error, Result};

const EVENTS: RGBColor = palette::BLUE;
const ATTACK: RGBColor = palette::RED;

const WIDTH: u32 = 960;
/// Height of one class's lane, and of the time axis below the last.
const LANE: u32 = 110;
const AXIS: u32 = 40;
/// Points of a curve, which bounds the size of the picture; longer recordings are summed to fit.
const POINTS: usize = 240;

/// An SVG.
pub(super) fn rates(counts: &Counts, manifest: &Manifest) -> Result<String> {
    draw(counts, manifest)
        .map_err(|error| Error::Run { what: "drawing the picture".to_owned(), reason: error.to_string() })
}

fn draw(counts: &Counts, manifest: &Manifest) -> std::result::Result<String, Box<dyn std::error::Error>> {
    let lanes = counts.per_second.len().max(1) as u32;
    let begin = counts.span.0;
    let seconds = |ts: i64| (ts - begin) as f64 / 1e9;
    let length = seconds(counts.span.1).max(1.0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, lanes * LANE + AXIS)).into_drawing_area();
        for (i, (class, per_second)) in counts.per_second.iter().enumerate() {
            let last = i + 1 == counts.per_second.len();
            let top = i as u32 * LANE;
            let height = if last { LANE + AXIS } else { LANE };
            let area = root.clone().shrink((0, top), (WIDTH, height));
            let curve = curve(per_second);
            let most = curve.iter().map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
            let mut chart = ChartBuilder::on(&area)
                .margin(8)
                .x_label_area_size(if last { AXIS } else { 0 })
                .y_label_area_size(72)
                .build_cartesian_2d(0.0..length, 0.0..most)?;
            let mut mesh = chart.configure_mesh();
            mesh.disable_mesh().axis_style(GREY).label_style(("sans-serif", 12, &GREY)).y_labels(3);
            mesh.y_label_formatter(&|rate: &f64| format!("{rate:.0}")).x_label_formatter(&|s: &f64| format!("{s:.0}"));
            mesh.y_desc(format!("{class}/s"));
            if last {
                mesh.x_desc("seconds from the first event");
            }
            mesh.draw()?;
            for step in manifest.scenario.iter().flat_map(|scenario| &scenario.steps) {
                let window = [(seconds(step.start_ns), 0.0), (seconds(step.end_ns), most)];
                chart.draw_series(std::iter::once(Rectangle::new(window, ATTACK.mix(0.18).filled())))?;
            }
            let ends = curve.first().into_iter().chain(curve.last()).map(|(x, _)| (*x, 0.0));
            let (begin, end) = (ends.clone().take(1), ends.skip(1));
            let area: Vec<_> = begin.chain(curve.iter().copied()).chain(end).collect();
            chart.draw_series(std::iter::once(Polygon::new(area, EVENTS.mix(0.3).filled())))?;
            chart.draw_series(LineSeries::new(curve, EVENTS))?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// Events per second, summed to at most [`POINTS`] points.
fn curve(per_second: &[u64]) -> Vec<(f64, f64)> {
    let step = per_second.len().div_ceil(POINTS).max(1);
    let point = |(i, part): (usize, &[u64])| ((i * step) as f64, part.iter().sum::<u64>() as f64 / part.len() as f64);
    per_second.chunks(step).enumerate().map(point).collect()
}
