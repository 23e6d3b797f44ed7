//! The benchmark's report for people.

use std::fmt::Write as _;

use eval::detection::confusion::Agreement;
use eval::detection::interval::Interval;
use eval::detection::methods::{Group, OURS};
use eval::detection::report::{MethodReport, Point, Report};
use eval::detection::stide::Alphabet;

use super::set::{after, pipes};
use super::text::{NONE, count, or_none, table};

/// Columns of the table of acts, after the act itself.
const BESIDE: [&str; 6] = [OURS, "by-itself", "rules-alone", "exact-profile", "cosine-0.95", "stide"];

struct Table {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// So many columns are text.
    left: usize,
}

pub fn terminal(report: &Report) -> String {
    let mut out = format!("{}\n", about(report));
    for Table { title, header, rows, left } in tables(report) {
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{title}\n{}", table(&header, &rows, left));
    }
    out
}

pub fn markdown(report: &Report) -> String {
    let mut out = format!("{}\n", about(report));
    for Table { title, header, rows, left } in tables(report) {
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let _ = write!(out, "\n{title}\n\n{}", pipes(&header, rows.into_iter(), left));
    }
    out
}

fn about(report: &Report) -> String {
    let calls = match report.stide_alphabet {
        Alphabet::SystemCalls => "system calls",
        Alphabet::EventKinds => "kinds of events, since system calls were not recorded one by one",
    };
    format!(
        "Learned from {} recordings of train, chosen on {} of validation ({:.2} container hours), reported on {} of test.\n\
         Sequences of stide: {calls}.",
        report.learned_from.len(),
        report.validation.len(),
        report.validation_container_hours,
        report.test.len(),
    )
}

fn tables(report: &Report) -> Vec<Table> {
    let allowed = report.budgets.first().map_or(0, |budget| budget.allowed);
    let mut tables = vec![
        acts("Acts, at the cut-off that each method comes with".to_owned(), report, |method| method.own.as_ref()),
        acts(
            format!("Acts, at the lowest cut-off with at most {allowed} false alerts on validation"),
            report,
            |method| method.chosen.first(),
        ),
        quality("Events and processes, at that cut-off".to_owned(), report),
    ];
    tables.extend((report.budgets.len() > 1).then(|| budgets(report)));
    tables.extend((report.seeds.len() > 1).then(|| seeds(report)));
    tables.push(by_act(report));
    tables.extend(techniques(report));
    tables
}

/// A row for each method, with the groups' titles between.
fn grouped(report: &Report, columns: usize, row: impl Fn(&MethodReport) -> Option<Vec<String>>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for group in Group::ALL {
        let of_group: Vec<Vec<String>> =
            report.methods.iter().filter(|method| method.group == group).filter_map(&row).collect();
        if !of_group.is_empty() {
            let mut title = vec![String::new(); columns];
            title[0] = format!("*{}*", group.title());
            rows.push(title);
            rows.extend(of_group);
        }
    }
    rows
}

fn acts(title: String, report: &Report, of: fn(&MethodReport) -> Option<&Point>) -> Table {
    let header =
        ["method", "cut-off", "found", "95 %", "loud", "quiet", "mimicry", "false", "an hour", "95 %", "delay"];
    let row = |method: &MethodReport| {
        let Point { cut_off, metrics, intervals, detection_rate_wilson, .. } = of(method)?;
        let stealth = |name: &str| {
            let of = metrics.by_stealth.get(name).map(|[found, all]| format!("{found}/{all}"));
            or_none(of)
        };
        Some(vec![
            method.name.to_owned(),
            number(*cut_off),
            format!("{}/{}", metrics.detected, metrics.acts),
            or_none(detection_rate_wilson.map(|[low, high]| format!("{:.0}-{:.0}", low * 100.0, high * 100.0))),
            stealth("loud"),
            stealth("quiet"),
            stealth("mimicry"),
            count(metrics.false_alerts),
            or_none(metrics.false_alerts_per_container_hour.map(|n| format!("{n:.1}"))),
            or_none(intervals.get("false_alerts_per_container_hour").map(|[low, high]| format!("{low:.1}-{high:.1}"))),
            or_none(metrics.time_to_detect.median_s.map(after)),
        ])
    };
    Table { title, header: header.map(str::to_owned).into(), rows: grouped(report, header.len(), row), left: 1 }
}

fn quality(title: String, report: &Report) -> Table {
    let header =
        ["method", "precision", "recall", "F1", "95 %", "MCC", "PR-AUC", "95 %", "proc. F1", "95 %", "PR-AUC", "ADP"];
    let row = |method: &MethodReport| {
        let Point { metrics, intervals, .. } = method.chosen.first()?;
        let interval = |name: &str| or_none(intervals.get(name).map(both));
        Some(vec![
            method.name.to_owned(),
            two(metrics.events.precision),
            two(metrics.events.recall),
            two(metrics.events.f1),
            interval("event_f1"),
            two(metrics.events.mcc),
            two(metrics.events.pr_auc),
            interval("event_pr_auc"),
            two(metrics.processes.f1),
            interval("process_f1"),
            two(metrics.processes.pr_auc),
            two(metrics.adp),
        ])
    };
    Table { title, header: header.map(str::to_owned).into(), rows: grouped(report, header.len(), row), left: 1 }
}

fn budgets(report: &Report) -> Table {
    let title =
        "Acts found, and false alerts a container hour, where validation may have so many false alerts".to_owned();
    let mut header = vec!["method".to_owned()];
    for budget in &report.budgets {
        header.extend([format!("{}: cut-off", budget.allowed), "found".to_owned(), "false".to_owned()]);
    }
    let row = |method: &MethodReport| {
        let mut cells = vec![method.name.to_owned()];
        for Point { cut_off, metrics, .. } in &method.chosen {
            cells.push(number(*cut_off));
            cells.push(metrics.detected.to_string());
            cells.push(or_none(metrics.false_alerts_per_container_hour.map(|n| format!("{n:.1}"))));
        }
        Some(cells)
    };
    Table { title, rows: grouped(report, header.len(), row), header, left: 1 }
}

/// Mean and standard deviation.
fn seeds(report: &Report) -> Table {
    let title = format!("Over the {} seeds of test: mean and standard deviation", report.seeds.len());
    let header = ["method", "found, %", "±", "false an hour", "±"];
    let row = |method: &MethodReport| {
        let spread = method.chosen.first()?.spread.as_ref()?;
        let ([found, found_sd], [wrong, wrong_sd]) = (spread.detection_rate, spread.false_alerts_per_container_hour);
        let cells = [found * 100.0, found_sd * 100.0, wrong, wrong_sd].map(|n| format!("{n:.1}"));
        Some(std::iter::once(method.name.to_owned()).chain(cells).collect())
    };
    Table { title, header: header.map(str::to_owned).into(), rows: grouped(report, header.len(), row), left: 1 }
}

fn by_act(report: &Report) -> Table {
    let methods: Vec<(&str, &Point)> = BESIDE
        .iter()
        .filter_map(|name| report.methods.iter().find(|method| method.name == *name))
        .filter_map(|method| Some((method.name, method.chosen.first()?)))
        .collect();
    let mut header = vec!["recording".to_owned(), "act".to_owned(), "how".to_owned()];
    header.extend(methods.iter().map(|(name, _)| (*name).to_owned()));
    let acts = methods.first().map_or(&[][..], |(_, point)| &point.acts);
    let rows = acts.iter().enumerate().map(|(at, act)| {
        let mut cells = vec![act.recording.clone(), act.act.clone(), act.stealth.unwrap_or(NONE).to_owned()];
        cells.extend(methods.iter().map(|(_, point)| or_none(point.acts[at].after_s.map(after))));
        cells
    });
    Table {
        title: "Time to detect of each act, at that cut-off; - it was missed".to_owned(),
        rows: rows.collect(),
        header,
        left: 3,
    }
}

fn techniques(report: &Report) -> Option<Table> {
    let ours = report.methods.iter().find(|method| method.name == OURS)?;
    let confusion = &ours.chosen.first()?.confusion;
    let of = |agreement| confusion.agreement.get(&agreement).copied().unwrap_or(0);
    let title = format!(
        "Techniques of the {} acts that {OURS} found\n\
         The alert names the labelled one for {}, another of the same parent for {}, one that shares a tactic for {},\n\
         another for {}, none for {}. Those that do not agree:",
        confusion.detected,
        of(Agreement::Same),
        of(Agreement::SameParent),
        of(Agreement::SameTactic),
        of(Agreement::Other),
        of(Agreement::None),
    );
    let apart = confusion.pairs.iter().filter(|pair| pair.agreement >= Agreement::SameTactic);
    let row = |pair: &eval::detection::confusion::Pair| {
        let agreement = match pair.agreement {
            Agreement::SameTactic => "shares a tactic",
            _ => "",
        };
        vec![pair.labelled.clone(), or_none(pair.alert.clone()), agreement.to_owned(), count(pair.acts)]
    };
    let header = ["labelled", "alert", "", "acts"].map(str::to_owned).into();
    Some(Table { title, header, rows: apart.map(row).collect(), left: 3 })
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.4}").trim_end_matches('0').to_owned() }
}

fn two(value: Option<f64>) -> String {
    or_none(value.map(|value| format!("{value:.2}")))
}

fn both([low, high]: &Interval) -> String {
    format!("{low:.2}-{high:.2}")
}
