//! SVG charts: events over time with alerts, and how long each tree learned.
//!
//! Colours are middle tones that hold on a light and on a dark page; the background is the page's.

use plotters::prelude::*;

use crate::convergence::seconds;
use crate::engines::Severity;
use crate::output::palette::{self, GREY};

const EVENTS: RGBColor = palette::BLUE;
const LEARNING: RGBColor = palette::YELLOW;
const LOCKED: RGBColor = palette::GREEN;
const CRITICAL: RGBColor = palette::RED;
const HIGH: RGBColor = palette::PURPLE;
const MEDIUM: RGBColor = palette::AMBER;

const WIDTH: u32 = 960;
const RATE_HEIGHT: u32 = 240;
/// Height of one image's lane, and of the axis below them.
const LANE: u32 = 54;
const AXIS: u32 = 50;
/// Points of the event curve; longer recordings are summed to fit.
const POINTS: usize = 480;

/// What the charts show. Times are Unix ns.
pub struct Timeline {
    pub begin: i64,
    pub end: i64,
    /// (Unix second, events)
    pub per_second: Vec<(i64, u64)>,
    pub lanes: Vec<Lane>,
    /// (time, severity, image)
    pub alerts: Vec<(i64, Severity, String)>,
}

/// One image: its name, and per tree its name and when it was locked (`None`: never; before the begin: a baseline).
pub struct Lane {
    pub image: String,
    pub trees: Vec<(&'static str, Option<i64>)>,
}

impl Timeline {
    fn at(&self, ts: i64) -> f64 {
        seconds(ts.saturating_sub(self.begin))
    }

    fn length(&self) -> f64 {
        self.at(self.end).max(1.0)
    }

    /// Events per second, summed to at most [`POINTS`] points, seconds without events at zero.
    fn curve(&self) -> Vec<(f64, f64)> {
        let first = self.begin.div_euclid(1_000_000_000);
        let length = (self.end.div_euclid(1_000_000_000) - first + 1).max(1) as usize;
        let step = length.div_ceil(POINTS);
        let mut sums = vec![0u64; length.div_ceil(step)];
        for (second, events) in &self.per_second {
            let bucket = (second - first).max(0) as usize / step;
            if let Some(sum) = sums.get_mut(bucket) {
                *sum += events;
            }
        }
        let point = |(i, sum): (usize, u64)| ((i * step) as f64, sum as f64 / step as f64);
        sums.into_iter().enumerate().map(point).collect()
    }
}

fn colour(severity: Severity) -> Option<RGBColor> {
    match severity {
        Severity::Critical => Some(CRITICAL),
        Severity::High => Some(HIGH),
        Severity::Medium => Some(MEDIUM),
        _ => None,
    }
}

/// Axis labels without decimals, where they are whole.
fn whole(value: &f64) -> String {
    value.to_string()
}

type Drawn = Result<String, Box<dyn std::error::Error>>;

/// Events per second, a line for every raised alert.
pub fn rate(timeline: &Timeline) -> Drawn {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, RATE_HEIGHT)).into_drawing_area();
        let curve = timeline.curve();
        let top = curve.iter().map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..timeline.length(), 0.0..top)?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(GREY)
            .label_style(("sans-serif", 13, &GREY))
            .x_label_formatter(&whole)
            .y_label_formatter(&whole)
            .x_desc("seconds of event time")
            .y_desc("events/s")
            .draw()?;
        chart.draw_series(AreaSeries::new(curve, 0.0, EVENTS.mix(0.3)).border_style(EVENTS))?;
        for (ts, severity, _) in &timeline.alerts {
            if let Some(colour) = colour(*severity) {
                let x = timeline.at(*ts);
                chart.draw_series(std::iter::once(PathElement::new([(x, 0.0), (x, top)], colour.stroke_width(2))))?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

/// A lane per image: a bar per tree, learning then locked, and a mark for every raised alert.
pub fn phases(timeline: &Timeline) -> Drawn {
    let mut svg = String::new();
    {
        let lanes = timeline.lanes.len().max(1) as u32;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, lanes * LANE + AXIS)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..timeline.length(), 0.0..f64::from(lanes))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_y_axis()
            .axis_style(GREY)
            .label_style(("sans-serif", 13, &GREY))
            .x_label_formatter(&whole)
            .x_desc("seconds of event time")
            .draw()?;
        for (i, lane) in timeline.lanes.iter().enumerate() {
            let base = f64::from(lanes) - i as f64 - 1.0;
            let name = (timeline.length() * 0.005, base + 0.92);
            let style = ("sans-serif", 13).into_font().color(&GREY);
            chart.draw_series(std::iter::once(Text::new(lane.image.clone(), name, style)))?;
            for (k, (_, locked)) in lane.trees.iter().enumerate() {
                let bottom = base + 0.48 - k as f64 * 0.2;
                let locked = locked.map_or(timeline.length(), |at| timeline.at(at).clamp(0.0, timeline.length()));
                let mut bar = |from: f64, to: f64, colour: RGBColor| {
                    let element = Rectangle::new([(from, bottom), (to, bottom + 0.14)], colour.filled());
                    chart.draw_series(std::iter::once(element)).map(|_| ())
                };
                bar(0.0, locked, LEARNING)?;
                if locked < timeline.length() {
                    bar(locked, timeline.length(), LOCKED)?;
                }
            }
            for (ts, severity, image) in &timeline.alerts {
                if let Some(colour) = colour(*severity).filter(|_| *image == lane.image) {
                    let mark = Circle::new((timeline.at(*ts), base + 0.35), 6, colour.filled());
                    chart.draw_series(std::iter::once(mark))?;
                }
            }
        }
        root.present()?;
    }
    Ok(svg)
}
