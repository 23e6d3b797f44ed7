//! What was tried as a picture: acts found over false alerts. Colours hold on a light and on a dark page; the background is the page's.

use plotters::prelude::*;
use replay::output::palette::{AMBER, BLUE, GREEN, GREY};

use super::log::Trial;
use super::metrics::Metrics;
use super::sweep::Report;

const SIZE: (u32, u32) = (720, 420);

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// An SVG document.
///
/// # Errors
/// The drawing failed.
pub fn draw(report: &Report, trials: &[Trial]) -> Drawn<String> {
    let at = |metrics: &Metrics| {
        let alarms = metrics.false_alerts_per_container_hour().unwrap_or_default();
        (alarms, metrics.detection_rate().unwrap_or_default() * 100.0)
    };
    let place = |trial: &Trial| trial.metrics.as_ref().map(at);
    let mut cloud: Vec<(f64, f64)> = trials.iter().filter_map(place).collect();
    cloud.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    cloud.dedup();
    let right = cloud.iter().map(|(x, _)| *x).fold(0.0, f64::max).max(0.1) * 1.08;
    let low = cloud.iter().map(|(_, y)| *y).fold(100.0, f64::min);
    let bottom = (low - (100.0 - low) * 0.1 - 2.0).max(-2.0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .build_cartesian_2d(-right * 0.02..right, bottom..102.0)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GREY.mix(0.3))
            .light_line_style(TRANSPARENT)
            .axis_style(GREY)
            .label_style(("sans-serif", 13, &GREY))
            .x_desc(format!("false alerts per container hour, {} and above", report.found_at))
            .y_desc("acts found, %")
            .draw()?;
        chart.draw_series(cloud.iter().map(|at| Circle::new(*at, 2, GREY.mix(0.6).filled())))?;
        // Between two configurations of the front, what the one with fewer alarms finds is what can be had.
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for next in report.front.iter().filter_map(place) {
            if let Some((_, y)) = steps.last().copied() {
                steps.push((next.0, y));
            }
            steps.push(next);
        }
        chart.draw_series(LineSeries::new(steps, BLUE.stroke_width(2)))?;
        chart.draw_series(report.front.iter().filter_map(place).map(|at| Circle::new(at, 4, BLUE.filled())))?;
        for (trial, colour, size, name, below) in
            [(&report.first, AMBER, 7, "where it started", 1), (&report.chosen, GREEN, 10, "chosen", 0)]
        {
            let Some(at) = place(trial) else { continue };
            chart.draw_series([Circle::new(at, size, colour.stroke_width(2))])?;
            let style = ("sans-serif", 13).into_font().color(&colour);
            let shift = (12, if below == 1 { 8 } else { -18 });
            let label = EmptyElement::at(at) + Text::new(format!("{name}: trial {}", trial.number), shift, style);
            chart.draw_series([label])?;
        }
        root.present()?;
    }
    Ok(svg)
}
