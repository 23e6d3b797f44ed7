//! Forecasts as SVG: a panel for each way, what was learned, the interval, what came, and what of it was outside.

use plotters::prelude::*;

use super::{Forecasts, Line};
use crate::error::{Error, Result};
use crate::output::palette::{BLUE, GREY, RED, YELLOW};
use crate::services::short_end;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 180;
/// Panels: those that moved the most bytes.
const PANELS: usize = 12;

/// # Errors
/// The drawing library fails; nothing a forecast holds makes it.
pub fn draw(forecasts: &Forecasts) -> Result<String> {
    drawn(forecasts).map_err(|error| Error::input(format!("forecast, picture: {error}"), "report this as a bug"))
}

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn drawn(forecasts: &Forecasts) -> Drawn<String> {
    let mut lines: Vec<&Line> = forecasts.lines.iter().filter(|line| line.unfit.is_none()).collect();
    // Those with something outside first, then by bytes; a stable sort keeps the order of names.
    lines.sort_by(|a, b| (b.outside().1 > 0).cmp(&(a.outside().1 > 0)).then(b.bytes().total_cmp(&a.bytes())));
    lines.truncate(PANELS);
    let mut svg = String::new();
    {
        let rows = lines.len().max(1);
        let root = SVGBackend::with_string(&mut svg, (WIDTH, rows as u32 * HEIGHT)).into_drawing_area();
        if lines.is_empty() {
            root.draw(&Text::new("no way has a forecast", (8, 8), ("sans-serif", 14).into_font().color(&GREY)))?;
        }
        for (area, line) in root.split_evenly((rows, 1)).iter().zip(lines) {
            panel(area, forecasts, line)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn panel(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, forecasts: &Forecasts, line: &Line) -> Drawn<()> {
    // Hours since the begin, at the middle of a bucket.
    let hour = |ns: i64| ((ns - forecasts.from) as f64 / 1e9 + forecasts.bucket_s / 2.0) / 3600.0;
    let begins = |at: usize| forecasts.from + (at as f64 * forecasts.bucket_s * 1e9) as i64;
    let learned = line.learned.iter().enumerate().filter_map(|(at, bytes)| Some((hour(begins(at)), (*bytes)?)));
    let learned: Vec<(f64, f64)> = learned.collect();
    let came: Vec<(f64, f64)> =
        line.held_back.iter().filter_map(|held| Some((hour(held.begin), held.bytes?))).collect();
    let band: Vec<_> = line.held_back.iter().filter_map(|held| Some((hour(held.begin), held.expected?))).collect();
    let highest = learned.iter().chain(&came).map(|(_, bytes)| *bytes).chain(band.iter().map(|(_, e)| e.high));
    let top = highest.fold(1.0, f64::max) * 1.05;
    let end = (forecasts.to - forecasts.from) as f64 / 3.6e12;
    let pair = &line.pair;
    let port = pair.port.map_or_else(String::new, |port| format!("/{port}"));
    let caption = format!(
        "{} ({}) and {} {}{port}, {}: bytes in {} s",
        pair.container,
        short_end(&pair.image),
        short_end(&pair.peer),
        pair.protocol,
        line.way.name(),
        forecasts.bucket_s
    );
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .caption(caption, ("sans-serif", 13, &GREY))
        .x_label_area_size(22)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(GREY)
        .label_style(("sans-serif", 11, &GREY))
        .x_labels(8)
        .y_labels(4)
        .x_label_formatter(&|hours: &f64| {
            if end < 1.0 { format!("{:.0} s", hours * 3600.0) } else { format!("{hours:.0} h") }
        })
        .y_label_formatter(&|bytes: &f64| indicatif::HumanBytes(*bytes as u64).to_string())
        .draw()?;
    let around = band.iter().map(|(at, e)| (*at, e.high)).chain(band.iter().rev().map(|(at, e)| (*at, e.low)));
    chart.draw_series([Polygon::new(around.collect::<Vec<_>>(), YELLOW.mix(0.35))])?;
    chart.draw_series(LineSeries::new(band.iter().map(|(at, e)| (*at, e.point)), YELLOW))?;
    chart.draw_series(LineSeries::new(learned, GREY))?;
    chart.draw_series(LineSeries::new(came, BLUE))?;
    let outside = line.held_back.iter().filter(|held| held.beyond().is_some());
    let outside = outside.filter_map(|held| Some((hour(held.begin), held.bytes?)));
    chart.draw_series(outside.map(|at| Circle::new(at, 3, RED.filled())))?;
    Ok(())
}
