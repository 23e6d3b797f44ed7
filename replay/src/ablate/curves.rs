//! The ROC curves as one SVG. Colours are middle tones that hold on a light and on a dark page.

use plotters::prelude::*;

use super::statistics::curve;
use super::table::{flagged, scores};
use super::{Label, Outcome, Pair};

const SIZE: (u32, u32) = (760, 560);
const COLOURS: [RGBColor; 7] = [
    RGBColor(136, 136, 136),
    RGBColor(160, 120, 80),
    RGBColor(66, 133, 190),
    RGBColor(214, 162, 60),
    RGBColor(190, 90, 170),
    RGBColor(78, 154, 106),
    RGBColor(205, 60, 60),
];

/// Draws all variants; a dot is where each decides as configured.
///
/// # Errors
/// What the drawing library says, as text.
pub fn draw(pairs: &[Pair], outcomes: &[Outcome]) -> std::result::Result<String, String> {
    let mut svg = String::new();
    plot(pairs, outcomes, &mut svg).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn plot(pairs: &[Pair], outcomes: &[Outcome], svg: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let grey = RGBColor(136, 136, 136);
    let style = ("sans-serif", 14).into_font().color(&grey);
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(54)
        .build_cartesian_2d(0.0..1.0f64, 0.0..1.0f64)?;
    chart
        .configure_mesh()
        .x_desc("share of benign pairs flagged")
        .y_desc("share of malicious pairs flagged")
        .axis_style(grey)
        .bold_line_style(grey.mix(0.25))
        .light_line_style(TRANSPARENT)
        .label_style(style.clone())
        .axis_desc_style(style.clone())
        .draw()?;
    for (outcome, colour) in outcomes.iter().zip(COLOURS) {
        let points = curve(&scores(outcome, pairs, Label::Benign), &scores(outcome, pairs, Label::Malicious));
        // A curve goes right before it goes up between two thresholds only where scores are tied: a straight line.
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(outcome.variant.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        let share = |label| {
            let rate = flagged(outcome, pairs, label);
            rate.hits as f64 / rate.all.max(1) as f64
        };
        chart.draw_series([Circle::new((share(Label::Benign), share(Label::Malicious)), 5, colour.filled())])?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(style)
        .border_style(grey)
        .draw()?;
    root.present()?;
    Ok(())
}
