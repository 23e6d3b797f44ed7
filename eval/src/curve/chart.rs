//! The curves as a picture: for each class what was stored and lost of what was made, the recorder's CPU time, and how old rows
//! were. Colours are middle tones that hold on a light and on a dark page; the background is the page's.

use plotters::coord::Shift;
use plotters::prelude::*;
use replay::output::palette::{AMBER, BLUE, GREY, RED};

use super::{Curve, Point};
use crate::storm::deed::Deed;

const WIDTH: u32 = 960;
const PANEL: u32 = 210;

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A quantity over the rate of events made, in one panel.
struct Quantity {
    title: &'static str,
    of: fn(&Point) -> f64,
    /// In another colour, of the same unit.
    lost: Option<fn(&Point) -> f64>,
}

const QUANTITIES: [Quantity; 3] = [
    Quantity {
        title: "stored, lost (red), a second",
        of: |point| point.storm.stored as f64 / point.storm.callers.seconds,
        lost: Some(Point::lost_per_second),
    },
    Quantity { title: "recorder, % of a core", of: |point| point.cpu_share() * 100.0, lost: None },
    Quantity { title: "kernel to row, 99 %, ms", of: |point| point.storm.lag_p99 * 1e3, lost: None },
];

/// As 0 and 1: "0,1".
pub fn cpus(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// An SVG document.
///
/// # Errors
/// The drawing failed.
pub fn draw(curve: &Curve) -> Drawn<String> {
    let deeds: Vec<Deed> =
        Deed::ALL.into_iter().filter(|deed| curve.points.iter().any(|point| point.deed == *deed)).collect();
    let mut sets: Vec<&[usize]> = curve.points.iter().map(|point| &*point.cpus).collect();
    sets.sort_by_key(|set| (set.len(), set.to_vec()));
    sets.dedup();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, PANEL * deeds.len() as u32)).into_drawing_area();
        for (row, deed) in root.split_evenly((deeds.len(), 1)).iter().zip(&deeds) {
            for (area, quantity) in row.split_evenly((1, QUANTITIES.len())).iter().zip(&QUANTITIES) {
                panel(area, *deed, quantity, curve, &sets)?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

fn panel(area: &Area<'_>, deed: Deed, quantity: &Quantity, curve: &Curve, sets: &[&[usize]]) -> Drawn<()> {
    let all: Vec<&Point> = curve.points.iter().filter(|point| point.deed == deed).collect();
    let most = |of: fn(&Point) -> f64| all.iter().map(|point| of(point)).fold(0.0, f64::max);
    let made: fn(&Point) -> f64 = |point| point.storm.calls_per_second;
    let right = most(made).max(1.0) * 1.05;
    let highest = most(quantity.of).max(quantity.lost.map_or(0.0, most));
    let top = if highest > 0.0 { highest * 1.25 } else { 1.0 };
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(54)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GREY.mix(0.3))
        .light_line_style(TRANSPARENT)
        .x_labels(4)
        .y_labels(4)
        .axis_style(GREY)
        .label_style(("sans-serif", 12, &GREY))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .x_desc(format!("{} made a second", deed.name()))
        .draw()?;
    let title = ("sans-serif", 13).into_font().color(&GREY);
    chart.draw_series(std::iter::once(Text::new(quantity.title, (right * 0.02, top * 0.98), title)))?;
    for (at, set) in sets.iter().enumerate() {
        let mut points: Vec<&&Point> = all.iter().filter(|point| *point.cpus == **set).collect();
        points.sort_by(|a, b| made(a).total_cmp(&made(b)));
        let line = |of: fn(&Point) -> f64| points.iter().map(|point| (made(point), of(point))).collect::<Vec<_>>();
        let colour = if at == 0 { BLUE } else { AMBER };
        let curves = [Some((quantity.of, colour)), quantity.lost.map(|lost| (lost, RED))];
        for (of, colour) in curves.into_iter().flatten() {
            chart.draw_series(LineSeries::new(line(of), colour.stroke_width(2)))?;
            chart.draw_series(line(of).into_iter().map(|at| Circle::new(at, 2, colour.filled())))?;
        }
        if sets.len() > 1 {
            let style = ("sans-serif", 12).into_font().color(&colour);
            let place = (right * 0.02, top * (0.87 - 0.1 * at as f64));
            chart.draw_series(std::iter::once(Text::new(format!("made on CPU {}", cpus(set)), place, style)))?;
        }
    }
    Ok(())
}

/// 1250000 as 1.25M.
fn short(value: f64) -> String {
    let trim = |value: f64| format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned();
    match value {
        v if v >= 1e6 => trim(v / 1e6) + "M",
        v if v >= 1e3 => trim(v / 1e3) + "k",
        v => trim(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([1_250_000.0, 20_000.0, 3.5, 0.0].map(short), ["1.25M", "20k", "3.5", "0"]);
        assert_eq!(cpus(&[0, 1]), "0,1");
    }
}
