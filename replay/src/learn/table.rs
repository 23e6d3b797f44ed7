//! What was learned, for the terminal: a line per image and tree, with its curve drawn small.

use std::fmt::Write;

use comfy_table::{Table, presets};

use super::{Image, LearnedTree, Report};
use crate::convergence::curve::Sample;
use crate::output::text::{clean, count, shorten};

/// Columns of a small curve.
const COLUMNS: usize = 20;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Powers of ten over which the bound is drawn, from 1 down.
const DECADES: f64 = 4.0;
/// Characters of a command line before it is cut.
const LONG: usize = 100;

/// Columns that a line with both curves takes.
const WIDE: u16 = 118;

/// The report as text. On a terminal too narrow for them (`width`, columns) the curves are left out: they are in a file, too.
pub fn render(report: &Report, width: Option<u16>) -> String {
    let curves = width.is_none_or(|width| width >= WIDE);
    let mut out = String::new();
    // Writing to a String cannot fail.
    for source in &report.recordings {
        let _ = writeln!(
            out,
            "{}: {} events in {:.0} s{}",
            clean(&source.name),
            count(source.events),
            source.seconds,
            if source.hit > 0 { format!("; rules hit {} processes", count(source.hit)) } else { String::new() }
        );
    }
    for image in &report.images {
        let _ = render_image(image, curves, &mut out);
    }
    let _ = writeln!(out, "\nrule: {}", report.rule);
    out += if curves {
        "curves, from the first event to the last: new patterns in each twentieth of the time; the bound from 1 (█) to 0.0001 (▁)\n"
    } else {
        "curves: in the picture below, and here on a terminal of 118 columns\n"
    };
    out
}

fn render_image(image: &Image, curves: bool, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{}", clean(&image.image))?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    let header =
        ["tree", "observations", "patterns", "nodes", "converged", "unseen mass", "bound", "new patterns", "bound"];
    let columns = if curves { header.len() } else { header.len() - 2 };
    table.set_header(&header[..columns]);
    for tree in &image.trees {
        table.add_row(&row(tree)[..columns]);
    }
    for line in table.lines() {
        writeln!(out, " {}", line.trim_end())?;
    }
    if image.withheld > 0 {
        writeln!(
            out,
            "  not learned: {} observations of what rules hit, and of what it started",
            count(image.withheld)
        )?;
    }
    for hit in &image.hits {
        let why = hit.reasons.first().map_or("", String::as_str);
        writeln!(out, "    {} ×{}: {}", shorten(&clean(why), LONG), hit.count, shorten(&clean(&hit.text), LONG))?;
    }
    if let Some(siblings) = &image.siblings {
        out.push_str(&siblings.render("  "));
    }
    Ok(())
}

fn row(tree: &LearnedTree) -> Vec<String> {
    let converged = match (&tree.converged, tree.locked) {
        (Some(converged), true) => format!("after {:.0} s", converged.after_s),
        (Some(converged), false) => format!("after {:.0} s, not now", converged.after_s),
        (None, true) => "at the end".to_owned(),
        (None, false) => "no".to_owned(),
    };
    let (unseen, bound) = match tree.curve.last() {
        Some(last) => (format!("{:.4}", last.window.unseen_mass), format!("{:.4}", last.window.upper_bound)),
        None => (String::new(), String::new()),
    };
    vec![
        tree.tree.name().to_owned(),
        count(tree.observations),
        count(tree.patterns),
        count(tree.nodes),
        converged,
        unseen,
        bound,
        arrivals(&tree.curve),
        bounds(&tree.curve),
    ]
}

/// New patterns in each part of the time, the tallest bar the most; a dot for none.
fn arrivals(curve: &[Sample]) -> String {
    let Some(last) = curve.last() else { return String::new() };
    let until = |part: usize| {
        let at = last.at_s * part as f64 / COLUMNS as f64;
        let before = curve.partition_point(|sample| sample.at_s <= at + 1e-9);
        before.checked_sub(1).map_or(0, |i| curve[i].new_patterns)
    };
    let parts: Vec<u64> = (1..=COLUMNS).map(|part| until(part) - until(part - 1)).collect();
    let most = parts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |new: &u64| {
        if *new == 0 { '·' } else { BARS[((new * 8).div_ceil(most) as usize).clamp(1, 8) - 1] }
    };
    parts.iter().map(bar).collect()
}

/// The bound at the end of each part of the time, in decades.
fn bounds(curve: &[Sample]) -> String {
    let Some(last) = curve.last() else { return String::new() };
    let bar = |part: usize| {
        let at = last.at_s * part as f64 / COLUMNS as f64;
        let before = curve.partition_point(|sample| sample.at_s <= at + 1e-9);
        let bound = before.checked_sub(1).map_or(1.0, |i| curve[i].window.upper_bound);
        let height = 1.0 + bound.max(1e-300).log10() / DECADES;
        BARS[((height * 7.0).round().clamp(0.0, 7.0)) as usize]
    };
    (1..=COLUMNS).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convergence::Estimate;

    fn sample(at_s: f64, new_patterns: u64, upper_bound: f64) -> Sample {
        let window = Estimate { events: 1, singletons: 0, new_patterns: 0, unseen_mass: 0.0, upper_bound };
        Sample { at_s, observations: 1, new_patterns, patterns: 1, nodes: 1, window }
    }

    #[test]
    fn small_curves_show_when_new_patterns_came_and_how_the_bound_fell() {
        let curve: Vec<Sample> = (1..=20)
            .map(|i| {
                sample(f64::from(i), if i < 3 { 8 * u64::from(i as u32) } else { 17 }, 10f64.powf(-f64::from(i) / 5.0))
            })
            .collect();
        assert_eq!(arrivals(&curve), "██▁·················");
        let drawn = bounds(&curve);
        assert!(drawn.starts_with('█') && drawn.ends_with("▁"), "{drawn}");
        assert_eq!((arrivals(&[]), bounds(&[])), (String::new(), String::new()));
    }
}
