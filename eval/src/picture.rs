//! Pictures: panels with axes, and curves, dots, bars and words in them. Colours are middle tones that hold on a light and on a dark
//! page; the background is the page's.

use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use replay::output::palette::GREY;

use crate::{Error, Result};

/// Pixels.
pub const WIDTH: u32 = 960;
/// Of text, pixels.
const FONT: u32 = 12;

pub type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An SVG document of [`WIDTH`] and some height, in pixels, that `draw` fills.
///
/// # Errors
/// The drawing failed.
pub fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn<()>) -> Result<String> {
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&root).and_then(|()| Ok(root.present()?))
    };
    drawn.map_err(|error| Error::run("drawing the picture", error))?;
    Ok(svg)
}

/// Writes what a command found to files in a directory, which is made.
///
/// # Errors
/// It cannot be written to.
pub fn write(dir: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|source| Error::output(dir, source))?;
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|source| Error::output(&path, source))?;
    }
    Ok(())
}

/// A side of a panel.
pub struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    name: String,
    /// Instead of numbers: a name for the middle of each whole.
    rows: Vec<String>,
    /// About as many numbers.
    ticks: usize,
    /// For them, pixels.
    room: u32,
}

impl Axis {
    pub fn linear(from: f64, to: f64, name: &str) -> Axis {
        Axis { from, to, logarithmic: false, name: name.to_owned(), rows: Vec::new(), ticks: 5, room: 0 }
    }

    /// From 0 to above all of these values, by `room` of the highest for words above it.
    pub fn over(values: impl IntoIterator<Item = f64>, room: f64, name: &str) -> Axis {
        let highest = values.into_iter().fold(0.0, f64::max);
        Axis::linear(0.0, if highest > 0.0 { highest * (1.0 + room) } else { 1.0 }, name)
    }

    /// Values that are not above 0 are drawn at the begin.
    pub fn logarithmic(from: f64, to: f64, name: &str) -> Axis {
        Axis { logarithmic: true, ..Axis::linear(from, to.max(from * 1.01), name) }
    }

    /// A row for each name, the first at the top.
    pub fn rows(names: Vec<String>) -> Axis {
        Axis { rows: names, room: 132, ..Axis::linear(0.0, 1.0, "") }.fitted()
    }

    fn fitted(self) -> Axis {
        Axis { to: self.rows.len().max(1) as f64, ..self }
    }

    /// About as many numbers beside it.
    pub fn ticks(self, ticks: usize) -> Axis {
        Axis { ticks, ..self }
    }

    fn at(&self, value: f64) -> f64 {
        if self.logarithmic { value.max(self.from).log10() } else { value }
    }

    /// The value at a share of its length.
    fn share(&self, share: f64) -> f64 {
        self.at(self.from) + share * (self.at(self.to) - self.at(self.from))
    }

    fn numbers(&self) -> Vec<f64> {
        if !self.rows.is_empty() {
            return (0..self.rows.len()).map(|row| row as f64 + 0.5).collect();
        }
        let (from, to) = (self.at(self.from), self.at(self.to));
        if !self.logarithmic {
            return RangedCoordf64::from(from..to).key_points(self.ticks);
        }
        let powers = from.floor() as i32..=to.ceil() as i32;
        // Three in a power of ten where there are few, and not all powers where there are many.
        let within = if to - from < 2.5 { &[1.0, 2.0, 5.0][..] } else { &[1.0][..] };
        let step = ((to - from) as usize).div_ceil(self.ticks.max(1)).max(1);
        let numbers =
            powers.step_by(step).flat_map(|power| within.iter().map(move |n: &f64| n.log10() + f64::from(power)));
        numbers.filter(|number| (from..=to).contains(number)).collect()
    }

    fn label(&self, number: f64) -> String {
        match self.rows.len() {
            0 if self.logarithmic => short(10f64.powf(number)),
            0 => short(number),
            rows => self.rows[(rows - 1).saturating_sub(number as usize)].clone(),
        }
    }
}

/// A side with the numbers that it names.
struct Side {
    inner: RangedCoordf64,
    numbers: Vec<f64>,
}

impl Ranged for Side {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.inner.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // The light ones are those between them, of which there are none.
        if hint.weight().allow_light_points() { Vec::new() } else { self.numbers.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.inner.range()
    }
}

/// A pair of axes that things are drawn between.
pub struct Panel<'a> {
    chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<Side, Side>>,
    x: Axis,
    y: Axis,
}

impl<'a> Panel<'a> {
    /// # Errors
    /// The drawing failed.
    pub fn on(area: &Area<'a>, x: Axis, y: Axis) -> Drawn<Panel<'a>> {
        let side = |axis: &Axis| Side { inner: (axis.at(axis.from)..axis.at(axis.to)).into(), numbers: axis.numbers() };
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(if y.room > 0 { y.room } else { 58 })
            .build_cartesian_2d(side(&x), side(&y))?;
        let (x_label, y_label) = (|number: &f64| x.label(*number), |number: &f64| y.label(*number));
        {
            let mut mesh = chart.configure_mesh();
            mesh.disable_x_mesh().bold_line_style(GREY.mix(0.3)).light_line_style(TRANSPARENT).axis_style(GREY);
            mesh.label_style(("sans-serif", FONT, &GREY)).x_label_formatter(&x_label).y_label_formatter(&y_label);
            if !y.rows.is_empty() {
                mesh.disable_y_mesh();
            }
            mesh.x_desc(x.name.as_str()).y_desc(y.name.as_str()).draw()?;
        }
        Ok(Panel { chart, x, y })
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }

    /// # Errors
    /// The drawing failed.
    pub fn line(&mut self, points: &[(f64, f64)], colour: RGBColor) -> Drawn<()> {
        let points: Vec<_> = points.iter().map(|point| self.place(*point)).collect();
        self.chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        Ok(())
    }

    /// # Errors
    /// The drawing failed.
    pub fn dots(&mut self, points: &[(f64, f64)], colour: RGBColor) -> Drawn<()> {
        let dots: Vec<_> = points.iter().map(|point| Circle::new(self.place(*point), 2, colour.filled())).collect();
        self.chart.draw_series(dots)?;
        Ok(())
    }

    /// The area between points, shaded.
    ///
    /// # Errors
    /// The drawing failed.
    pub fn shade(&mut self, corners: &[(f64, f64)], colour: RGBColor, strength: f64) -> Drawn<()> {
        let corners: Vec<_> = corners.iter().map(|point| self.place(*point)).collect();
        self.chart.draw_series(std::iter::once(Polygon::new(corners, colour.mix(strength).filled())))?;
        Ok(())
    }

    /// A filled rectangle from a corner to the one opposite.
    ///
    /// # Errors
    /// The drawing failed.
    pub fn bar(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn<()> {
        let corners = [self.place(from), self.place(to)];
        self.chart.draw_series(std::iter::once(Rectangle::new(corners, colour.filled())))?;
        Ok(())
    }

    /// The middle of a row of [`Axis::rows`].
    pub fn row(&self, row: usize) -> f64 {
        self.y.to - row as f64 - 0.5
    }

    /// Words that begin at a place, which is half-way up.
    ///
    /// # Errors
    /// The drawing failed.
    pub fn text_at(&mut self, place: (f64, f64), text: &str, colour: RGBColor) -> Drawn<()> {
        let at = self.place(place);
        self.words(at, text, colour, VPos::Center)
    }

    /// Words whose top left is at shares of the width, from the left, and of the height, from the bottom.
    ///
    /// # Errors
    /// The drawing failed.
    pub fn text(&mut self, (x, y): (f64, f64), text: &str, colour: RGBColor) -> Drawn<()> {
        let at = (self.x.share(x), self.y.share(y));
        self.words(at, text, colour, VPos::Top)
    }

    fn words(&mut self, at: (f64, f64), text: &str, colour: RGBColor, down: VPos) -> Drawn<()> {
        let style = ("sans-serif", FONT).into_font().color(&colour).pos(Pos::new(HPos::Left, down));
        self.chart.draw_series(std::iter::once(Text::new(text.to_owned(), at, style)))?;
        Ok(())
    }
}

/// 1250000 as 1.25M, 0.0004 as 0.0004.
pub fn short(value: f64) -> String {
    let trim = |value: f64, digits: usize| {
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match value.abs() {
        v if v >= 1e9 => trim(value / 1e9, 2) + "G",
        v if v >= 1e6 => trim(value / 1e6, 2) + "M",
        v if v >= 1e3 => trim(value / 1e3, 2) + "k",
        v if v >= 0.1 || v == 0.0 => trim(value, 2),
        // Two digits that are not 0.
        v => trim(value, (1.0 - v.log10().floor()) as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [2.5e9, 1_250_000.0, 20_000.0, 3.5, 0.0, 0.25, 0.0004, 0.012, 100.0, -2.0];
        assert_eq!(numbers.map(short), ["2.5G", "1.25M", "20k", "3.5", "0", "0.25", "0.0004", "0.012", "100", "-2"]);
    }

    #[test]
    fn a_logarithmic_axis_names_powers_of_ten() {
        let axis = Axis::logarithmic(0.9, 40.0, "");
        let labels: Vec<String> = axis.numbers().into_iter().map(|number| axis.label(number)).collect();
        assert_eq!(labels, ["1", "2", "5", "10", "20"]);
        let axis = Axis::logarithmic(1.0, 1e6, "");
        let labels: Vec<String> = axis.numbers().into_iter().map(|number| axis.label(number)).collect();
        assert_eq!(labels, ["1", "100", "10k", "1M"]);
        assert_eq!(axis.at(0.0), 0.0, "what has no logarithm is at the begin");
    }

    #[test]
    fn rows_are_named_from_the_top() {
        let axis = Axis::rows(vec!["first".to_owned(), "second".to_owned()]);
        let labels: Vec<String> = axis.numbers().into_iter().map(|number| axis.label(number)).collect();
        assert_eq!(labels, ["second", "first"]);
    }

    #[test]
    fn what_is_drawn_is_in_the_document() {
        let text = svg(200, |area| {
            let mut panel =
                Panel::on(area, Axis::linear(0.0, 10.0, "seconds"), Axis::over([2.0, 4.0], 0.25, "things"))?;
            panel.line(&[(0.0, 1.0), (10.0, 4.0)], GREY)?;
            panel.text((0.1, 0.9), "a curve", GREY)
        });
        let text = text.unwrap();
        assert!(text.starts_with("<svg") && ["seconds", "things", "a curve"].iter().all(|word| text.contains(word)));
    }
}
