//! Curves of a detection benchmark.

use plotters::style::RGBColor;
use replay::output::palette::{AMBER, BLUE, GREEN, GREY, PURPLE, RED};

use crate::Result;
use crate::detection::curve::MethodCurve;
use crate::picture::{Axis, Panel, svg};

/// Pixels.
const HEIGHT: u32 = 380;
const COLOURS: [RGBColor; 6] = [BLUE, GREEN, AMBER, PURPLE, RED, GREY];

/// As many as there are colours.
pub const MOST: usize = COLOURS.len();

pub type Line = (String, Vec<(f64, f64)>);

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// Share of benign events flagged, and of malicious ones.
pub fn roc(curve: &MethodCurve) -> Vec<(f64, f64)> {
    let [malicious, benign] = curve.events;
    let points = curve.points.iter().map(|point| (share(point.events[1], benign), share(point.events[0], malicious)));
    std::iter::once((0.0, 0.0)).chain(points).chain([(1.0, 1.0)]).collect()
}

/// Recall and precision of events. Where everything is flagged, precision is the share of what is malicious.
pub fn pr(curve: &MethodCurve) -> Vec<(f64, f64)> {
    let [malicious, benign] = curve.events;
    let flagged = curve.points.iter().filter(|point| point.events[0] + point.events[1] > 0);
    let points = flagged.map(|point| {
        let [tp, fp] = point.events;
        (share(tp, malicious), share(tp, tp + fp))
    });
    points.chain([(1.0, share(malicious, malicious + benign))]).collect()
}

/// Lines from 0 to 1 on both axes. `diagonal`: what guessing comes to.
pub fn unit_square(lines: &[Line], x: &str, y: &str, diagonal: bool) -> Result<String> {
    svg(HEIGHT, |area| {
        let mut panel = Panel::on(area, Axis::linear(0.0, 1.0, x), Axis::linear(0.0, 1.02, y))?;
        if diagonal {
            panel.line(&[(0.0, 0.0), (1.0, 1.0)], GREY)?;
        }
        for (at, ((name, points), colour)) in lines.iter().zip(COLOURS).enumerate() {
            panel.line(points, colour)?;
            panel.text((0.72, 0.48 - 0.07 * at as f64), name, colour)?;
        }
        Ok(())
    })
}

/// What is found and what false alerts there are over a cut-off, the cut-off marked that the method comes with.
pub fn threshold(
    found: &[(f64, f64)],
    falsely: &[(f64, f64)],
    mark: Option<f64>,
    name: &str,
    digits: usize,
) -> Result<String> {
    let places = || found.iter().map(|(x, _)| *x).chain(mark);
    let (from, to) = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
    let (from, to) = if from < to { (from, to) } else { (from.min(1.0) - 0.5, to.max(0.0) + 0.5) };
    svg(HEIGHT, |area| {
        let halves = area.split_evenly((2, 1));
        let panels = [(found, BLUE, "acts found, %"), (falsely, AMBER, "false/container h")];
        for (half, (points, colour, title)) in halves.iter().zip(panels) {
            let y = Axis::over(points.iter().map(|(_, y)| *y), 0.15, title).ticks(4);
            let highest = points.iter().map(|(_, y)| *y).fold(0.0, f64::max).max(0.01);
            let mut panel = Panel::on(half, Axis::linear(from, to, name), y)?;
            panel.line(points, colour)?;
            panel.dots(points, colour)?;
            if let Some(mark) = mark {
                panel.line(&[(mark, 0.0), (mark, highest)], RED)?;
                panel.text_at((mark, highest * 1.07), &format!("{mark:.digits$}"), RED)?;
            }
        }
        Ok(())
    })
}
