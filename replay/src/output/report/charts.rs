//! SVG charts over event time: events per second by class, what each tree learned, and how long.
//!
//! Colours are those of the palette; the page's style sheet puts a lighter or darker one in the place of each where its
//! contrast asks for it, and gives all words the colour of the page's own.

use plotters::coord::Shift;
use plotters::prelude::*;
use record_bpf::Class;

use super::timeline::{Lane, Timeline};
use crate::engines::Severity;
use crate::gather::Rates;
use crate::output::palette::{self, GREY};
use crate::output::text::{clean, shorten};

const EVENTS: RGBColor = palette::BLUE;
const LEARNING: RGBColor = palette::YELLOW;
const LOCKED: RGBColor = palette::GREEN;
const CRITICAL: RGBColor = palette::RED;
const HIGH: RGBColor = palette::PURPLE;
const MEDIUM: RGBColor = palette::AMBER;
/// Of the process, the file and the network tree.
const TREES: [RGBColor; 3] = [palette::BLUE, palette::GREEN, palette::PURPLE];

const WIDTH: u32 = 960;
/// Height of one class of events, of one image's lane, and of the axis below them.
const STRIP: u32 = 52;
const LANE: u32 = 54;
const AXIS: u32 = 44;
/// Heights of the two panels of a learning curve.
const PATTERNS: u32 = 150;
const BOUND: u32 = 150;
/// Room left of every chart for its labels, and around it. The page's script knows where the plots begin and end from
/// [`PLOT`].
const LABELS: u32 = 64;
const MARGIN: u32 = 8;
/// Where plots begin and end, in the chart's own units.
pub const PLOT: (u32, u32) = (MARGIN + LABELS, WIDTH - MARGIN);
/// Lanes drawn; the rest is in the table of profiles.
pub const LANES: usize = 24;
/// The lowest bound of the unseen mass that is drawn.
const LEAST: f64 = 1e-4;

type Drawn<T> = Result<T, Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn colour(severity: Severity) -> Option<RGBColor> {
    match severity {
        Severity::Critical => Some(CRITICAL),
        Severity::High => Some(HIGH),
        Severity::Medium => Some(MEDIUM),
        Severity::Low => None,
    }
}

/// Axis labels without needless decimals.
fn whole(value: &f64) -> String {
    value.to_string()
}

/// An SVG of that height, drawn by `draw`.
fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn<()>) -> Drawn<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&root)?;
        root.present()?;
    }
    Ok(svg)
}

/// Places where raised alerts are marked: one for each pixel, of the highest severity there.
fn marks<'a>(timeline: &'a Timeline, image: Option<&'a str>) -> Vec<(f64, RGBColor)> {
    let pixel = timeline.length() / f64::from(PLOT.1 - PLOT.0);
    let of_image = timeline.alerts.iter().filter(|mark| image.is_none_or(|image| mark.image == image));
    let mut at: Vec<(i64, Severity)> =
        of_image.map(|mark| ((timeline.at(mark.ts) / pixel).round() as i64, mark.severity)).collect();
    at.sort_by_key(|(x, severity)| (*x, std::cmp::Reverse(*severity)));
    at.dedup_by_key(|(x, _)| *x);
    at.into_iter().filter_map(|(x, severity)| Some((x as f64 * pixel, colour(severity)?))).collect()
}

/// Events per second: a strip per class that there is, each with its own scale, and a line for every raised alert.
pub fn rates(timeline: &Timeline, rates: &Rates) -> Drawn<String> {
    let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| rates.total(*class) > 0).collect();
    let height = classes.len().max(1) as u32 * STRIP + AXIS;
    svg(height, |root| {
        let mut rest = root.clone();
        for (i, class) in classes.iter().enumerate() {
            let is_last = i + 1 == classes.len();
            let (strip, below) = if is_last { (rest.clone(), rest) } else { rest.split_vertically(STRIP) };
            rest = below;
            let curve: Vec<(f64, f64)> = rates
                .buckets()
                .map(|(second, counts)| {
                    let x = timeline.at(second.saturating_mul(1_000_000_000)).max(0.0);
                    (x, counts[*class as usize] as f64 / rates.width() as f64)
                })
                .collect();
            let top = curve.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
            let mut chart = ChartBuilder::on(&strip)
                .margin_left(MARGIN)
                .margin_right(MARGIN)
                .margin_top(6)
                .margin_bottom(if is_last { MARGIN } else { 0 })
                .x_label_area_size(if is_last { AXIS - MARGIN } else { 2 })
                .y_label_area_size(LABELS)
                .build_cartesian_2d(0.0..timeline.length(), 0.0..top * 1.25)?;
            let mut mesh = chart.configure_mesh();
            mesh.disable_mesh().axis_style(GREY).label_style(("sans-serif", 13, &GREY)).y_labels(2);
            mesh.x_labels(if is_last { 10 } else { 0 }).x_label_formatter(&whole).y_label_formatter(&whole);
            if is_last {
                mesh.x_desc("seconds of event time");
            }
            mesh.draw()?;
            chart.draw_series(AreaSeries::new(curve, 0.0, EVENTS.mix(0.3)).border_style(EVENTS))?;
            let name = format!("{}, at most {} in a second", class.name(), rounded(top));
            words(&mut chart, (timeline.length() * 0.005, top * 1.25), &name)?;
            for (x, colour) in marks(timeline, None) {
                let line = PathElement::new([(x, 0.0), (x, top * 1.25)], colour.stroke_width(2));
                chart.draw_series(std::iter::once(line))?;
            }
        }
        Ok(())
    })
}

/// With one decimal where it is below ten.
pub fn rounded(rate: f64) -> String {
    if rate < 10.0 && rate.fract() != 0.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

type Chart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>;

/// Words whose top left is at a place.
fn words<Y: Ranged<ValueType = f64>>(chart: &mut Chart<'_, '_, Y>, at: (f64, f64), text: &str) -> Drawn<()> {
    let style = ("sans-serif", 13).into_font().color(&GREY);
    chart.draw_series(std::iter::once(Text::new(text.to_owned(), at, style)))?;
    Ok(())
}

/// How an image's trees grew, and below it the bound of the unseen mass that the stopping rule compares with `epsilon`.
/// A dot is the lock.
pub fn learning(timeline: &Timeline, lane: &Lane, epsilon: f64) -> Drawn<String> {
    svg(PATTERNS + BOUND + AXIS, |root| {
        let (above, below) = root.split_vertically(PATTERNS);
        let most = lane.trees.iter().flat_map(|tree| &tree.samples).map(|sample| sample.patterns).max();
        let top = most.unwrap_or(1).max(1) as f64 * 1.15;
        let mut chart = ChartBuilder::on(&above)
            .margin_left(MARGIN)
            .margin_right(MARGIN)
            .margin_top(6)
            .x_label_area_size(6)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(0.0..timeline.length(), 0.0..top)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh().axis_style(GREY).label_style(("sans-serif", 13, &GREY)).x_labels(0).y_labels(4);
        mesh.y_label_formatter(&whole).y_desc("patterns").draw()?;
        curves(&mut chart, timeline, lane, |sample| sample.patterns as f64)?;
        for (x, colour) in marks(timeline, Some(&lane.image)) {
            // Of another width than a curve: the style sheet dashes those.
            chart.draw_series(std::iter::once(PathElement::new([(x, 0.0), (x, top)], colour.stroke_width(3))))?;
        }

        let floor = LEAST.min(epsilon / 2.0).max(1e-9);
        let mut chart = ChartBuilder::on(&below)
            .margin_left(MARGIN)
            .margin_right(MARGIN)
            .margin_top(6)
            .margin_bottom(MARGIN)
            .x_label_area_size(AXIS - MARGIN)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(0.0..timeline.length(), (floor..1.3).log_scale())?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh().axis_style(GREY).label_style(("sans-serif", 13, &GREY)).y_labels(4);
        mesh.x_label_formatter(&whole).y_label_formatter(&whole).y_desc("unseen, at most");
        mesh.x_desc("seconds of event time").draw()?;
        let rule = PathElement::new([(0.0, epsilon), (timeline.length(), epsilon)], GREY.stroke_width(1));
        chart.draw_series(std::iter::once(rule))?;
        words(&mut chart, (timeline.length() * 0.005, epsilon * 0.95), &format!("ε = {epsilon}"))?;
        curves(&mut chart, timeline, lane, |sample| sample.unseen.clamp(floor, 1.0))
    })
}

fn curves<Y: Ranged<ValueType = f64>>(
    chart: &mut Chart<'_, '_, Y>,
    timeline: &Timeline,
    lane: &Lane,
    value: impl Fn(&super::timeline::Point) -> f64,
) -> Drawn<()> {
    for (tree, colour) in lane.trees.iter().zip(TREES) {
        let points: Vec<(f64, f64)> =
            tree.samples.iter().map(|sample| (timeline.at(sample.ts), value(sample))).collect();
        let end = points.last().copied();
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        if let Some(end) = end.filter(|_| tree.locked.is_some()) {
            chart.draw_series(std::iter::once(Circle::new(end, 5, colour.filled())))?;
        }
    }
    Ok(())
}

/// A lane per image: a bar per tree, learning then locked, and a mark for every raised alert.
pub fn phases(timeline: &Timeline) -> Drawn<String> {
    let lanes = &timeline.lanes[..timeline.lanes.len().min(LANES)];
    let rows = lanes.len().max(1) as u32;
    svg(rows * LANE + AXIS, |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(MARGIN)
            .x_label_area_size(36)
            .y_label_area_size(LABELS)
            .build_cartesian_2d(0.0..timeline.length(), 0.0..f64::from(rows))?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_mesh().disable_y_axis().axis_style(GREY).label_style(("sans-serif", 13, &GREY));
        mesh.x_label_formatter(&whole).x_desc("seconds of event time").draw()?;
        for (i, lane) in lanes.iter().enumerate() {
            let base = f64::from(rows) - i as f64 - 1.0;
            words(&mut chart, (timeline.length() * 0.005, base + 0.92), &shorten(&clean(&lane.image), 100))?;
            for (k, tree) in lane.trees.iter().enumerate() {
                let bottom = base + 0.48 - k as f64 * 0.2;
                let locked = tree.locked.map_or(timeline.length(), |at| timeline.at(at).clamp(0.0, timeline.length()));
                let mut bar = |from: f64, to: f64, colour: RGBColor| {
                    let element = Rectangle::new([(from, bottom), (to, bottom + 0.14)], colour.filled());
                    chart.draw_series(std::iter::once(element)).map(|_| ())
                };
                bar(0.0, locked, LEARNING)?;
                if locked < timeline.length() {
                    bar(locked, timeline.length(), LOCKED)?;
                }
            }
            for (x, colour) in marks(timeline, Some(&lane.image)) {
                chart.draw_series(std::iter::once(Circle::new((x, base + 0.35), 6, colour.filled())))?;
            }
        }
        Ok(())
    })
}
