//! The costs as a picture: a column of panels over the rate, one over the length, both axes logarithmic, with the fitted powers.

use replay::output::palette::{AMBER, BLUE, GREY};

use super::{COSTS, Cost, Growth, Series};
use crate::Result;
use crate::picture::{Area, Axis, Drawn, Panel, svg};

/// Height of a panel, pixels.
const PANEL: u32 = 190;

/// An SVG document.
///
/// # Errors
/// The drawing failed.
pub fn draw(found: &Growth) -> Result<String> {
    svg(PANEL * COSTS.len() as u32, |root| {
        for (row, (at, cost)) in root.split_evenly((COSTS.len(), 1)).iter().zip(COSTS.iter().enumerate()) {
            for (area, series) in row.split_evenly((1, found.series.len())).iter().zip(&found.series) {
                draw_panel(area, series, at, cost)?;
            }
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, series: &Series, at: usize, cost: &Cost) -> Drawn<()> {
    let points: Vec<(f64, f64)> = series.points.iter().map(|point| (series.over.of(point), (cost.of)(point))).collect();
    let ends = |values: Vec<f64>| {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max))
    };
    let (left, right) = ends(points.iter().map(|(x, _)| *x).collect());
    let (low, high) = ends(points.iter().map(|(_, y)| *y).collect());
    // Without any there is nothing to draw but the axes.
    let (left, right) = if right > 0.0 { (left, right) } else { (1.0, 10.0) };
    let (low, high) = if high > 0.0 { (low, high) } else { (1.0, 10.0) };
    let mut panel = Panel::on(
        area,
        Axis::logarithmic(left * 0.8, right * 1.25, series.over.name()),
        // Room for the words.
        Axis::logarithmic(low / 2.0, high * 6.0, cost.name),
    )?;
    let shown: Vec<_> = points.into_iter().filter(|(_, y)| *y > 0.0).collect();
    panel.dots(&shown, BLUE)?;
    let Some(power) = series.fits.get(at).and_then(|fit| fit.power) else {
        return panel.text((0.02, 0.98), "no power", GREY);
    };
    let line = [left, right].map(|x| (x, power.factor * x.powf(power.exponent)));
    panel.line(&line, AMBER)?;
    let words = format!("exponent {:.2} [{:.2}, {:.2}]", power.exponent, power.low, power.high);
    panel.text((0.02, 0.98), &words, AMBER)
}
