//! The learning curves as SVG: a row per image, a panel per tree; nodes from below, the bound of the unseen mass in decades.
//!
//! Colours are middle tones that hold on a light and on a dark page; the background is the page's.

use plotters::prelude::*;

use super::{Image, LearnedTree, Report};
use crate::error::{Error, Result};
use crate::output::palette::{self, GREY};

const NODES: RGBColor = palette::BLUE;
const BOUND: RGBColor = palette::YELLOW;
const CONVERGED: RGBColor = palette::GREEN;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 200;
const TITLE: u32 = 22;
/// The bound is drawn from this, in powers of ten, to 1.
const DECADES: f64 = -4.0;

/// # Errors
/// The drawing library fails; nothing a report holds makes it.
pub fn draw(report: &Report) -> Result<String> {
    drawn(report).map_err(|error| Error::input(format!("learning curve, picture: {error}"), "report this as a bug"))
}

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn drawn(report: &Report) -> Drawn<String> {
    let mut svg = String::new();
    {
        let rows = report.images.len().max(1) as u32;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, rows * (HEIGHT + TITLE))).into_drawing_area();
        for (area, image) in root.split_evenly((rows as usize, 1)).iter().zip(&report.images) {
            let (title, panels) = area.split_vertically(TITLE);
            let style = ("sans-serif", 14).into_font().color(&GREY);
            title.draw(&Text::new(image.image.to_string(), (8, 4), style))?;
            for (panel, tree) in panels.split_evenly((1, image.trees.len().max(1))).iter().zip(&image.trees) {
                draw_tree(panel, image, tree, report.convergence.epsilon)?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_tree(area: &Area<'_>, image: &Image, tree: &LearnedTree, epsilon: f64) -> Drawn<()> {
    let end = image.trees.iter().filter_map(|tree| tree.curve.last()).map(|sample| sample.at_s).fold(1.0, f64::max);
    let top = tree.curve.iter().map(|sample| sample.nodes).max().unwrap_or(1).max(1) as f64 * 1.1;
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .caption(format!("{}: nodes, and bound", tree.tree.name()), ("sans-serif", 13, &GREY))
        .x_label_area_size(24)
        .y_label_area_size(40)
        .right_y_label_area_size(36)
        .build_cartesian_2d(0.0..end, 0.0..top)?
        .set_secondary_coord(0.0..end, DECADES..0.0);
    let whole = |value: &f64| format!("{value:.0}");
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(GREY)
        .label_style(("sans-serif", 11, &NODES))
        .x_labels(4)
        .y_labels(4)
        .x_label_formatter(&|value: &f64| format!("{value:.0} s"))
        .y_label_formatter(&whole)
        .draw()?;
    chart
        .configure_secondary_axes()
        .axis_style(GREY)
        .label_style(("sans-serif", 11, &BOUND))
        .y_labels(5)
        .y_label_formatter(&|value: &f64| format!("1e{value:.0}"))
        .draw()?;
    let points = || tree.curve.iter();
    let decade = |value: f64| value.max(1e-300).log10().clamp(DECADES, 0.0);
    chart.draw_series(
        AreaSeries::new(points().map(|s| (s.at_s, s.nodes as f64)), 0.0, NODES.mix(0.25)).border_style(NODES),
    )?;
    let bound = points().map(|sample| (sample.at_s, decade(sample.window.upper_bound)));
    chart.draw_secondary_series(LineSeries::new(bound, BOUND.stroke_width(2)))?;
    let level = decade(epsilon);
    chart.draw_secondary_series(LineSeries::new([(0.0, level), (end, level)], BOUND.mix(0.5)))?;
    if let Some(converged) = &tree.converged {
        let at = converged.after_s;
        chart.draw_series(LineSeries::new([(at, 0.0), (at, top)], CONVERGED.stroke_width(2)))?;
    }
    Ok(())
}
