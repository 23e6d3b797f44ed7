//! The curves as a picture: for each class what was stored and lost of what was made, the recorder's CPU time, and how old rows
//! were.

use replay::output::palette::{AMBER, BLUE, GREY, RED};

use super::{Curve, Point};
use crate::Result;
use crate::picture::{Area, Axis, Drawn, Panel, svg};
use crate::storm::deed::Deed;

/// Height of a row of panels, pixels.
const ROW: u32 = 210;

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
pub fn draw(curve: &Curve) -> Result<String> {
    let deeds: Vec<Deed> =
        Deed::ALL.into_iter().filter(|deed| curve.points.iter().any(|point| point.deed == *deed)).collect();
    let mut sets: Vec<&[usize]> = curve.points.iter().map(|point| &*point.cpus).collect();
    sets.sort_by_key(|set| (set.len(), set.to_vec()));
    sets.dedup();
    svg(ROW * deeds.len() as u32, |root| {
        for (row, deed) in root.split_evenly((deeds.len(), 1)).iter().zip(&deeds) {
            for (area, quantity) in row.split_evenly((1, QUANTITIES.len())).iter().zip(&QUANTITIES) {
                draw_panel(area, *deed, quantity, curve, &sets)?;
            }
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, deed: Deed, quantity: &Quantity, curve: &Curve, sets: &[&[usize]]) -> Drawn<()> {
    let all: Vec<&Point> = curve.points.iter().filter(|point| point.deed == deed).collect();
    let made: fn(&Point) -> f64 = |point| point.storm.calls_per_second;
    let values = |of: fn(&Point) -> f64| all.iter().map(move |point| of(point));
    let highest = values(quantity.of).chain(quantity.lost.into_iter().flat_map(values));
    let mut panel = Panel::on(
        area,
        Axis::over(values(made), 0.05, &format!("{} made a second", deed.name())).ticks(4),
        Axis::over(highest, 0.25, "").ticks(4),
    )?;
    panel.text((0.02, 0.98), quantity.title, GREY)?;
    for (at, set) in sets.iter().enumerate() {
        let mut points: Vec<&&Point> = all.iter().filter(|point| *point.cpus == **set).collect();
        points.sort_by(|a, b| made(a).total_cmp(&made(b)));
        let colour = if at == 0 { BLUE } else { AMBER };
        let curves = [Some((quantity.of, colour)), quantity.lost.map(|lost| (lost, RED))];
        for (of, colour) in curves.into_iter().flatten() {
            let points: Vec<_> = points.iter().map(|point| (made(point), of(point))).collect();
            panel.line(&points, colour)?;
            panel.dots(&points, colour)?;
        }
        if sets.len() > 1 {
            panel.text((0.02, 0.87 - 0.1 * at as f64), &format!("made on CPU {}", cpus(set)), colour)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn cpus_are_listed() {
        assert_eq!(super::cpus(&[0, 1]), "0,1");
    }
}
