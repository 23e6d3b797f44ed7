//! A detection benchmark: curves, and what each method found of each scenario.

use std::collections::BTreeMap;

use super::charts::{self, Line};
use super::read::{Detection, Method, Point};
use super::view::{Figure, Part, Quantity, Section, Table, between, compared, dash, number};
use crate::Result;
use crate::detection::curve::MethodCurve;
use crate::overhead::stats::median;

/// Whose scores are distances, 1 − cosine of the embedding.
const COSINE: &str = "cosine-0.95";
/// The cosine that its cut-off stands for.
const MARK: f64 = 0.95;

pub fn section(inputs: &[(&str, &Detection)]) -> Result<Option<Section>> {
    if inputs.is_empty() {
        return Ok(None);
    }
    let parts = inputs.iter().map(|(name, found)| part(name, found)).collect::<Result<_>>()?;
    Ok(Some(Section {
        id: "detection",
        title: "Detection",
        about: "Learned on train, cut-offs chosen on validation, reported on test. 95 % intervals in brackets: of shares of acts \
                after Wilson, else a bootstrap over recordings.",
        compared: side_by_side(inputs).into_iter().collect(),
        parts,
    }))
}

/// The cut-off of the first budget, which every method has.
fn first(method: &Method) -> Option<&Point> {
    method.chosen.first().or(method.own.as_ref())
}

fn side_by_side(inputs: &[(&str, &Detection)]) -> Option<Table> {
    let mut methods: Vec<&str> = Vec::new();
    for method in inputs.iter().flat_map(|(_, found)| &found.results.methods) {
        if !methods.contains(&&*method.name) {
            methods.push(&method.name);
        }
    }
    type Of = fn(&Point) -> Option<f64>;
    let figures: [(&str, Of); 4] = [
        ("share of acts found", |point| point.metrics.detection_rate),
        ("false alerts per container hour", |point| point.metrics.false_alerts_per_container_hour),
        ("F1 of events", |point| point.metrics.events.f1),
        ("area under PR of events", |point| point.metrics.events.pr_auc),
    ];
    let quantity = |method: &str, (what, of): (&str, Of)| Quantity {
        name: format!("{method}: {what}"),
        values: inputs
            .iter()
            .map(|(_, found)| {
                found.results.methods.iter().find(|other| other.name == method).and_then(first).and_then(of)
            })
            .collect(),
    };
    let quantities: Vec<_> = methods.iter().flat_map(|method| figures.map(|figure| quantity(method, figure))).collect();
    let names: Vec<_> = inputs.iter().map(|(name, _)| *name).collect();
    compared(
        "Side by side, at the cut-off chosen on validation for the first budget of false alerts",
        &names,
        &quantities,
    )
}

fn part(name: &str, found: &Detection) -> Result<Part> {
    let results = &found.results;
    let mut notes = vec![format!(
        "{} recordings to learn from, {} to choose on, {} to report on; model: {}.",
        results.learned_from.len(),
        results.validation.len(),
        results.test.len(),
        found.model.as_deref().unwrap_or("none")
    )];
    let mut figures = vec![methods(found)];
    figures.push(grid(found));
    if found.curves.is_empty() {
        notes.push(
            "This run.json holds no points of curves, so that none are drawn: `eval rerun run.json -o DIR` writes one that does."
                .to_owned(),
        );
    } else {
        figures.extend(curves(found)?);
    }
    Ok(Part { name: name.to_owned(), notes, figures })
}

fn methods(found: &Detection) -> Figure {
    let mut rows = Vec::new();
    for method in &found.results.methods {
        let own = method.own.iter().map(|point| ("its own".to_owned(), point));
        let budgets = found.results.budgets.iter().map(|budget| format!("{} false/h", budget.per_container_hour));
        for (of, point) in own.chain(budgets.zip(&method.chosen)) {
            let metrics = &point.metrics;
            let interval = |name: &str| point.intervals.get(name);
            rows.push(vec![
                method.name.clone(),
                of,
                number(Some(point.cut_off)),
                format!("{}/{}", metrics.detected, metrics.acts),
                between(metrics.detection_rate, point.detection_rate_wilson.as_ref()),
                between(metrics.false_alerts_per_container_hour, interval("false_alerts_per_container_hour")),
                between(metrics.alert_precision, interval("alert_precision")),
                between(metrics.events.f1, interval("event_f1")),
                between(metrics.events.pr_auc, interval("event_pr_auc")),
                number(metrics.events.roc_auc),
                number(metrics.adp),
                number(metrics.time_to_detect.median_s),
            ]);
        }
    }
    let header = [
        "method",
        "cut-off of",
        "cut-off",
        "acts",
        "share of acts",
        "false alerts per container hour",
        "precision of alerts",
        "F1 of events",
        "PR area",
        "ROC area",
        "ADP",
        "median delay, s",
    ];
    Figure {
        title: "Methods".to_owned(),
        tables: vec![Table::new("Each method at its own cut-off and at those chosen on validation", &header, rows)],
        ..Figure::default()
    }
}

/// Acts found, all of them, and the delays of those found, s.
type ByMethod<'a> = BTreeMap<&'a str, (u64, u64, Vec<f64>)>;

/// Found of all, and the median delay.
fn grid(found: &Detection) -> Figure {
    let methods: Vec<(&Method, &Point)> =
        found.results.methods.iter().filter_map(|method| Some((method, first(method)?))).collect();
    let mut cells: BTreeMap<&str, ByMethod<'_>> = BTreeMap::new();
    for (method, point) in &methods {
        for act in &point.acts {
            let scenario = act.scenario.as_deref().unwrap_or(&act.recording);
            let (hits, all, delays) = cells.entry(scenario).or_default().entry(&method.name).or_default();
            *hits += u64::from(act.detected);
            *all += 1;
            delays.extend(act.after_s);
        }
    }
    let row = |(scenario, by_method): (&&str, &ByMethod<'_>)| {
        let cell = |(method, _): &(&Method, &Point)| match by_method.get(&*method.name) {
            None => dash(),
            Some((hits, all, delays)) if delays.is_empty() => format!("{hits}/{all}"),
            Some((hits, all, delays)) => format!("{hits}/{all}, {:.1} s", median(delays)),
        };
        std::iter::once((*scenario).to_owned()).chain(methods.iter().map(cell)).collect()
    };
    let rows = cells.iter().map(row).collect();
    let header: Vec<&str> =
        std::iter::once("scenario").chain(methods.iter().map(|(method, _)| &*method.name)).collect();
    let caption = "Acts found of all, and the median delay of those found, at the cut-off chosen for the first budget";
    Figure { title: "Scenarios".to_owned(), tables: vec![Table::new(caption, &header, rows)], ..Figure::default() }
}

/// The detector and the baselines; if the run has neither, the first methods.
fn drawn(found: &Detection) -> Vec<&MethodCurve> {
    let group = |curve: &&MethodCurve| {
        let method = found.results.methods.iter().find(|method| method.name == curve.name);
        method.is_some_and(|method| ["detector", "baselines"].contains(&&*method.group.to_lowercase()))
    };
    let chosen: Vec<_> = found.curves.iter().filter(group).take(charts::MOST).collect();
    if chosen.is_empty() { found.curves.iter().take(charts::MOST).collect() } else { chosen }
}

fn curves(found: &Detection) -> Result<Vec<Figure>> {
    let drawn = drawn(found);
    let lines = |of: fn(&MethodCurve) -> Vec<(f64, f64)>| -> Vec<Line> {
        drawn.iter().map(|curve| (curve.name.clone(), of(curve))).collect()
    };
    let names = drawn.iter().map(|curve| &*curve.name).collect::<Vec<_>>().join(", ");
    let table = |lines: &[Line], x: &str, y: &str| -> Vec<Table> {
        let of = |(name, points): &Line| {
            let rows = points.iter().map(|(x, y)| vec![format!("{x:.5}"), format!("{y:.5}")]).collect();
            Table::new(name.clone(), &[x, y], rows)
        };
        lines.iter().map(of).collect()
    };
    let (roc, pr) = (lines(charts::roc), lines(charts::pr));
    let (flagged, recall) = ("share of benign events flagged", "share of malicious events flagged");
    let mut figures = vec![
        Figure {
            title: "ROC curves of events".to_owned(),
            alt: format!("{recall} over {flagged}: {names}"),
            svg: charts::unit_square(&roc, flagged, recall, true)?,
            tables: table(&roc, flagged, recall),
        },
        Figure {
            title: "Precision-recall curves of events".to_owned(),
            alt: format!("precision over recall: {names}"),
            svg: charts::unit_square(&pr, "recall", "precision", false)?,
            tables: table(&pr, "recall", "precision"),
        },
    ];
    for curve in drawn.iter().filter(|curve| !curve.points.is_empty()) {
        figures.push(threshold(found, curve)?);
    }
    Ok(figures)
}

fn threshold(found: &Detection, curve: &MethodCurve) -> Result<Figure> {
    let is_cosine = curve.name == COSINE;
    let place = |cut_off: f64| if is_cosine { 1.0 - cut_off } else { cut_off };
    let rate = |part: u64, whole: f64| if whole > 0.0 { part as f64 / whole } else { 0.0 };
    let points = || curve.points.iter().map(|point| (place(point.cut_off), point));
    let acts: Vec<_> = points().map(|(x, point)| (x, rate(point.detected, curve.acts as f64) * 100.0)).collect();
    let falsely: Vec<_> = points().map(|(x, point)| (x, rate(point.false_alerts, curve.container_hours))).collect();
    let method = found.results.methods.iter().find(|method| method.name == curve.name);
    let own = method.and_then(|method| method.own.as_ref()).map(|point| point.cut_off);
    let (x, mark, digits) =
        if is_cosine { ("cosine similarity to the nearest", Some(MARK), 2) } else { ("cut-off", own, 1) };
    let rows = points().zip(&acts).zip(&falsely).map(|(((x, point), (_, found)), (_, falsely))| {
        vec![
            format!("{x:.4}"),
            point.detected.to_string(),
            format!("{found:.2}"),
            point.false_alerts.to_string(),
            format!("{falsely:.3}"),
            point.events[0].to_string(),
            point.events[1].to_string(),
            point.processes[0].to_string(),
            point.processes[1].to_string(),
        ]
    });
    let header = [
        x,
        "acts found",
        "%",
        "false alerts",
        "per container hour",
        "malicious events flagged",
        "benign events flagged",
        "malicious processes flagged",
        "benign processes flagged",
    ];
    let marked = mark.map_or_else(String::new, |mark| format!(", {mark:.digits$} marked"));
    Ok(Figure {
        title: format!("Threshold curve of {}{marked}", curve.name),
        alt: format!("acts found and false alerts per container hour of {} over its {x}{marked}", curve.name),
        svg: charts::threshold(&acts, &falsely, mark, x, digits)?,
        tables: vec![Table::new(format!("{}, of {} acts", curve.name, curve.acts), &header, rows.collect())],
    })
}
