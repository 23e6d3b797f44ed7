//! The ratios as a picture: a panel for each workload, a bar with its interval for each recorder.

use replay::output::palette::{AMBER, BLUE, GREY, RED};

use super::{Bare, Overhead, Recorded};
use crate::Result;
use crate::picture::{Area, Axis, Drawn, Panel, svg};

/// Panels side by side.
const COLUMNS: usize = 2;
/// Height of a bar with the space to the next, and of a panel without bars, pixels.
const BAR: u32 = 17;
const FRAME: u32 = 74;
/// Where the axis begins: a recorder does not make work faster, but a measurement may say so.
const LEAST: f64 = 0.8;

/// An SVG document.
///
/// # Errors
/// The drawing failed.
pub fn draw(found: &Overhead) -> Result<String> {
    let rows = found.bare.len().div_ceil(COLUMNS).max(1);
    let height = FRAME + BAR * found.recorders.len() as u32;
    let results = || found.recorders.iter().flat_map(|recorder| &recorder.results);
    // Room for the number beside the longest bar.
    let most = results().map(|result| result.high).fold(2.0, f64::max) * 1.9;
    svg(height * rows as u32, |root| {
        for (area, bare) in root.split_evenly((rows, COLUMNS)).iter().zip(&found.bare) {
            draw_panel(area, bare, found, most)?;
        }
        Ok(())
    })
}

fn draw_panel(area: &Area<'_>, bare: &Bare, found: &Overhead, most: f64) -> Drawn<()> {
    let names = found.recorders.iter().map(|recorder| recorder.marked_name()).collect();
    let title = format!("{}: times the bare run of {:.3} s", bare.workload.unit(), bare.median);
    let mut panel = Panel::on(area, Axis::logarithmic(LEAST, most, &title), Axis::rows(names))?;
    for (at, recorder) in found.recorders.iter().enumerate() {
        let middle = panel.row(at);
        let is_this = |result: &&Recorded| result.workload == bare.workload;
        let Some(result) = recorder.results.iter().find(is_this) else {
            panel.text_at((1.0, middle), "not measured", GREY)?;
            continue;
        };
        let colour = if recorder.name.starts_with("retroscope") { BLUE } else { AMBER };
        panel.bar((1.0, middle - 0.32), (result.ratio, middle + 0.32), colour)?;
        panel.line(&[(result.low, middle), (result.high, middle)], RED)?;
        panel.text_at((result.high.max(1.0) * 1.06, middle), &format!("{:.2}", result.ratio), GREY)?;
    }
    Ok(())
}
