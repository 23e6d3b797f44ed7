//! `report.html`: one file that loads nothing; light and dark, wide and narrow, by mouse, keyboard and screen reader.
//!
//! Its one script is allowed by its hash: whatever a recording holds, no browser runs it. The same results give the same
//! bytes.

mod charts;
mod edges;
mod format;
mod map;
pub mod timeline;
mod traffic;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use record_bpf::Class;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::run_json::{Run, Timings};
use super::text;
use crate::alert::{Alert, Incident};
use crate::error::{Error, Result};
use crate::gather::{Gathered, Rates};
use crate::pipeline::World;
use timeline::{Lane, Timeline};
use traffic::Traffic;

const TEMPLATES: [(&str, &str); 6] = [
    ("report.html", include_str!("../../../templates/report.html")),
    ("alert.html", include_str!("../../../templates/report/alert.html")),
    ("incidents.html", include_str!("../../../templates/report/incidents.html")),
    ("learning.html", include_str!("../../../templates/report/learning.html")),
    ("traffic.html", include_str!("../../../templates/report/traffic.html")),
    ("results.html", include_str!("../../../templates/report/results.html")),
];
const STYLE: &str = include_str!("../../../templates/report/style.css");
const SCRIPT: &str = include_str!("../../../templates/report/script.js");

/// Alerts in the page, the raised ones first: at some 4 kB each, 5,000 make 20 MB. The rest is in alerts.jsonl.
const ALERTS: usize = 5000;
/// Of these, how many are laid out before anybody asks for more.
const AT_ONCE: usize = 100;
/// Incidents in the page.
const INCIDENTS: usize = 200;
/// Images whose learning curve is drawn: those with the most observations.
const CURVES: usize = 8;
/// Points of a curve in its table.
const POINTS: usize = 12;

/// What the page shows besides the results in the other files.
pub struct Shown {
    timeline: Timeline,
    rates: Rates,
    traffic: Traffic,
}

impl Shown {
    pub fn new(timeline: Timeline, gathered: &Gathered, world: &World, alerts: &[Alert]) -> Self {
        Self { timeline, rates: gathered.rates.clone(), traffic: traffic::traffic(gathered, world, alerts) }
    }
}

/// The report.
///
/// # Errors
/// The template or a chart cannot be rendered; nothing a recording holds makes it.
pub fn render(run: &Run, alerts: &[Alert], incidents: &[Incident], shown: &Shown) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::input(format!("report.html: {error}"), "report this as a bug");
    let mut environment = Environment::new();
    environment.add_filter("count", text::count);
    environment.add_filter("fixed", |value: f64, digits: usize| format!("{value:.digits$}"));
    environment.add_filter("shorten", |value: String, max: usize| text::shorten(&value, max));
    environment.add_filter("clean", |value: String| text::clean(&value));
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).map_err(|error| failed(&error))?;
    }
    let Shown { timeline, rates, traffic } = shown;
    let by_id: BTreeMap<&str, &Alert> = alerts.iter().map(|alert| (&*alert.id, alert)).collect();
    let raised_incidents: Vec<&Incident> = incidents.iter().filter(|incident| incident.severity.is_raised()).collect();
    let mut listed: Vec<&Alert> = alerts.iter().collect();
    // In order of time within each group.
    listed.sort_by_key(|alert| ["raised", "allowed", "kept"].iter().position(|group| *group == view::group(alert)));
    let groups =
        ["raised", "kept", "allowed"].map(|group| listed.iter().filter(|alert| view::group(alert) == group).count());
    listed.truncate(ALERTS);
    let lanes = drawn_lanes(timeline);
    let epsilon = run.config.convergence.epsilon;
    let curves = lanes.iter().map(|lane| curve(lane, timeline, epsilon)).collect::<std::result::Result<Vec<_>, _>>();
    // Timings differ from run to run; the report must not.
    let run = Run { timings: Timings::default(), ..run.clone() };
    let template = environment.get_template("report.html").map_err(|error| failed(&error))?;
    template
        .render(context! {
            style => Value::from_safe_string(STYLE.to_owned()),
            script => Value::from_safe_string(SCRIPT.to_owned()),
            script_hash => STANDARD.encode(Sha256::digest(SCRIPT)),
            data => Value::from_safe_string(data(timeline, rates, &lanes, &listed)),
            run => Value::from(Serde(&run)),
            alerts => listed.iter().map(|alert| view::alert(alert)).collect::<Vec<_>>(),
            at_once => AT_ONCE,
            groups => context! { raised => groups[0], kept => groups[1], allowed => groups[2] },
            left_out => alerts.len() - listed.len(),
            choices => choices(&listed),
            entries => run.allowed.entries.iter().map(view::entry).collect::<Vec<_>>(),
            incidents => raised_incidents.iter().take(INCIDENTS).map(|one| view::incident(one, &by_id)).collect::<Vec<_>>(),
            more_incidents => raised_incidents.len().saturating_sub(INCIDENTS),
            replicated => Value::from(Serde(&run.images.iter().filter(|image| image.siblings.is_some()).collect::<Vec<_>>())),
            traffic => Value::from(Serde(traffic)),
            rates => class_rates(rates),
            width => rates.width(),
            rate_chart => charts::rates(timeline, rates).map_err(|error| failed(&error))?,
            phase_chart => charts::phases(timeline).map_err(|error| failed(&error))?,
            lanes_left_out => timeline.lanes.len().saturating_sub(charts::LANES),
            curves => curves.map_err(|error| failed(&error))?,
            curves_left_out => timeline.lanes.iter().filter(|lane| lane.learned()).count() - lanes.len(),
            length => format!("{:.1}", timeline.length()),
        })
        .map_err(|error| failed(&error))
}

/// The images whose curves are drawn, in order of name.
fn drawn_lanes(timeline: &Timeline) -> Vec<&Lane> {
    let learned = |lane: &Lane| -> u64 {
        lane.trees.iter().filter_map(|tree| tree.samples.last()).map(|point| point.observations).sum()
    };
    let mut lanes: Vec<&Lane> = timeline.lanes.iter().filter(|lane| lane.learned()).collect();
    lanes.sort_by_key(|lane| std::cmp::Reverse(learned(lane)));
    lanes.truncate(CURVES);
    lanes.sort_by(|a, b| a.image.cmp(&b.image));
    lanes
}

/// A learning curve, drawn and as rows.
fn curve(lane: &Lane, timeline: &Timeline, epsilon: f64) -> std::result::Result<Value, Box<dyn std::error::Error>> {
    let rows = lane.trees.iter().flat_map(|tree| {
        let (last, step) = (tree.samples.len().saturating_sub(1), tree.samples.len().div_ceil(POINTS).max(1));
        // From the end, so that the last is among them.
        let points = tree.samples.iter().enumerate().filter(move |(i, _)| (last - i).is_multiple_of(step));
        points.map(move |(i, point)| {
            context! {
                tree => tree.tree,
                at => format!("{:.1}", timeline.at(point.ts)),
                observations => text::count(point.observations),
                patterns => text::count(point.patterns),
                nodes => text::count(point.nodes),
                unseen => format!("{:.4}", point.unseen),
                locked => i == last && tree.locked.is_some(),
            }
        })
    });
    Ok(context! {
        image => text::clean(&lane.image),
        svg => charts::learning(timeline, lane, epsilon)?,
        rows => rows.collect::<Vec<_>>(),
    })
}

/// Per class: events, and how many in a second in the mean and at most.
fn class_rates(rates: &Rates) -> Vec<Value> {
    let length = (rates.buckets().count() as i64 * rates.width()).max(1);
    let classes = Class::ALL.into_iter().filter(|class| rates.total(*class) > 0);
    let row = |class: Class| {
        let most = rates.buckets().map(|(_, counts)| counts[class as usize]).max().unwrap_or(0);
        context! {
            class => class.name(),
            total => text::count(rates.total(class)),
            mean => charts::rounded(rates.total(class) as f64 / length as f64),
            most => charts::rounded(most as f64 / rates.width() as f64),
        }
    };
    classes.map(row).collect()
}

/// What an alert can be looked for by.
fn choices(alerts: &[&Alert]) -> Value {
    let distinct = |of: &dyn Fn(&Alert) -> String| -> Vec<String> {
        alerts.iter().map(|alert| of(alert)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    context! {
        images => distinct(&|alert| text::shorten(&text::clean(&alert.image), 200)),
        containers => distinct(&|alert| text::shorten(&text::clean(alert.place_name()), 80)),
        techniques => distinct(&|alert| alert.technique.as_ref().map_or("none".to_owned(), |technique| technique.id.clone())),
    }
}

/// What the script says about a moment, as JSON that no element can end.
fn data(timeline: &Timeline, rates: &Rates, lanes: &[&Lane], alerts: &[&Alert]) -> String {
    let classes: Vec<Class> = Class::ALL.into_iter().filter(|class| rates.total(*class) > 0).collect();
    let buckets: Vec<_> = rates
        .buckets()
        .map(|(_, counts)| classes.iter().map(|class| counts[*class as usize]).collect::<Vec<_>>())
        .collect();
    let first = rates.buckets().next().map_or(0, |(second, _)| second.saturating_mul(1_000_000_000));
    let milli = |seconds: f64| (seconds * 1e3).round() / 1e3;
    let trees: Vec<_> = lanes
        .iter()
        .flat_map(|lane| lane.trees.iter().map(move |tree| (lane, tree)))
        .map(|(lane, tree)| {
            let points = tree.samples.iter().map(|point| {
                json!([milli(timeline.at(point.ts)), point.patterns, point.nodes, (point.unseen * 1e4).round() / 1e4])
            });
            json!({
                "image": text::clean(&lane.image),
                "tree": tree.tree,
                "locked": tree.locked.map(|at| milli(timeline.at(at))),
                "points": points.collect::<Vec<_>>(),
            })
        })
        .collect();
    let raised = alerts.iter().filter(|alert| alert.is_raised());
    let data = json!({
        "begin": timeline.begin / 1_000_000,
        "length": timeline.length(),
        "plot": [charts::PLOT.0, charts::PLOT.1],
        "width": rates.width(),
        "first": milli(timeline.at(first)),
        "classes": classes.iter().map(|class| class.name()).collect::<Vec<_>>(),
        "rates": buckets,
        "trees": trees,
        "alerts": raised.map(|alert| json!([milli(timeline.at(alert.ts)), alert.id, alert.severity.name()])).collect::<Vec<_>>(),
    });
    data.to_string().replace('<', "\\u003c")
}
