//! The costs over the number of events, both axes logarithmic, with the fitted powers.

use plotters::prelude::*;
use replay::output::palette::{AMBER, BLUE, GREY};

use super::{COSTS, Cost, Error, Point, Scaling};

/// Of a panel, pixels.
const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
/// Of text, pixels.
const FONT: u32 = 12;

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// An SVG document. The background is the page's.
///
/// # Errors
/// The drawing failed.
pub fn draw(found: &Scaling) -> Result<String, Error> {
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, (WIDTH * COSTS.len() as u32, HEIGHT)).into_drawing_area();
        let panels = root.split_evenly((1, COSTS.len()));
        let mut each = panels.iter().zip(COSTS.iter().enumerate());
        each.try_for_each(|(area, (at, cost))| panel(area, found, at, cost)).and_then(|()| Ok(root.present()?))
    };
    drawn.map_err(|error| Error::Picture(error.to_string()))?;
    Ok(svg)
}

fn panel(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, found: &Scaling, at: usize, cost: &Cost) -> Drawn {
    let place = |point: &Point| (point.events as f64, (cost.of)(point));
    let points: Vec<(f64, f64)> = found.points.iter().map(place).filter(|(_, y)| *y > 0.0).collect();
    let ends = |values: &dyn Fn(&(f64, f64)) -> f64| {
        let values = || points.iter().map(values);
        (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
    };
    let (left, right) = ends(&|(x, _)| *x);
    let (low, high) = ends(&|(_, y)| *y);
    if points.is_empty() {
        return Ok(());
    }
    let power = found.fits.get(at).and_then(|fit| fit.power);
    let words = power.map_or_else(
        || format!("{}: no power", cost.name),
        |power| format!("{}: exponent {:.3} [{:.3}, {:.3}]", cost.name, power.exponent, power.low, power.high),
    );
    let mut chart = ChartBuilder::on(area)
        .caption(words, ("sans-serif", FONT).into_font().color(&GREY))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(52)
        .build_cartesian_2d((left * 0.8..right * 1.25).log_scale(), (low * 0.5..high * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("events")
        .x_labels(4)
        .y_labels(5)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .axis_style(GREY)
        .label_style(("sans-serif", FONT).into_font().color(&GREY))
        .draw()?;
    if let Some(power) = power {
        let line = [left, right].map(|x| (x, power.factor * x.powf(power.exponent)));
        chart.draw_series(LineSeries::new(line, AMBER))?;
    }
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, BLUE.filled())))?;
    Ok(())
}

/// 2500000 as 2.5M.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = if scaled >= 10.0 || scaled.fract() == 0.0 { 0 } else { 1 };
    format!("{scaled:.digits$}{unit}")
}
