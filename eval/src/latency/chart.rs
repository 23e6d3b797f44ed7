//! The ages as a picture: a histogram for each stage, on the same axis.

use replay::output::palette::{BLUE, GREY, RED};

use super::Latency;
use super::ages::Stage;
use crate::Result;
use crate::picture::{Area, Axis, Drawn, Panel, short, svg};

/// Height of a panel, pixels.
const PANEL: u32 = 150;

/// An SVG document.
///
/// # Errors
/// The drawing failed.
pub fn draw(found: &Latency) -> Result<String> {
    let bounds = || found.stages.iter().flat_map(|stage| &stage.histogram).map(|(bound, _)| *bound * 1e3);
    let (least, most) = (bounds().fold(1.0, f64::min).max(1e-3), bounds().fold(10.0, f64::max));
    svg(PANEL * found.stages.len() as u32, |root| {
        for (area, stage) in root.split_evenly((found.stages.len(), 1)).iter().zip(&found.stages) {
            draw_panel(area, stage, (least * 0.7, most * 1.4))?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, stage: &Stage, (least, most): (f64, f64)) -> Drawn<()> {
    let share = |count: u64| count as f64 / stage.count.max(1) as f64 * 100.0;
    let shares = || stage.histogram.iter().map(|(_, count)| share(*count));
    // Room for the words.
    let highest = Axis::over(shares(), 0.35, "% of events").ticks(4);
    let mut panel = Panel::on(area, Axis::logarithmic(least, most, "ms").ticks(8), highest)?;
    for (bound, count) in &stage.histogram {
        // A step is a quarter of a power of two.
        let (from, to) = (bound * 1e3 / 0.25f64.exp2(), bound * 1e3);
        panel.bar((from, 0.0), (to, share(*count)), BLUE)?;
    }
    for (value, colour) in [(stage.p50, GREY), (stage.p99, RED)] {
        let Some(at) = value.map(|seconds| seconds * 1e3) else { continue };
        panel.line(&[(at, 0.0), (at, shares().fold(0.0, f64::max))], colour)?;
    }
    let value = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |s| short(s * 1e3));
    let title = format!("to {}: {}, n = {}", stage.name, stage.place, stage.count);
    panel.text((0.01, 0.98), &title, GREY)?;
    panel.text((0.62, 0.98), &format!("50 %: {} ms", value(stage.p50)), GREY)?;
    panel.text((0.80, 0.98), &format!("99 %: {} ms", value(stage.p99)), RED)
}
