//! `report.html`: one file, no script, nothing loaded from elsewhere; light and dark, wide and narrow.

mod charts;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::run_json::Run;
use super::text;
use crate::alert::allow::Applied;
use crate::alert::{Alert, Incident};
use crate::engines::Severity;
use crate::error::{Error, Result};

pub use charts::{Lane, Timeline};

const TEMPLATE: &str = include_str!("../../../templates/report.html");

/// The report.
///
/// # Errors
/// The template or a chart cannot be rendered; nothing a recording holds makes it.
pub fn render(run: &Run, alerts: &[Alert], incidents: &[Incident], timeline: &Timeline) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::input(format!("report.html: {error}"), "report this as a bug");
    let mut environment = Environment::new();
    environment.add_filter("count", text::count);
    environment.add_filter("time", text::time);
    environment.add_filter("fixed", |value: f64, digits: usize| format!("{value:.digits$}"));
    environment.add_filter("shorten", |value: String, max: usize| text::shorten(&value, max));
    environment.add_filter("clean", |value: String| text::clean(&value));
    environment.add_filter("short_id", |id: String| text::short_id(&id).to_owned());
    environment.add_template("report.html", TEMPLATE).map_err(|error| failed(&error))?;
    let template = environment.get_template("report.html").map_err(|error| failed(&error))?;
    let raised: Vec<_> = alerts.iter().filter(|alert| alert.is_raised()).map(view).collect();
    let allowed: Vec<_> = alerts.iter().filter(|alert| alert.allowed.is_some()).map(view).collect();
    let kept: Vec<_> =
        alerts.iter().filter(|alert| alert.severity < Severity::Medium && alert.allowed.is_none()).map(view).collect();
    let incidents: Vec<_> = incidents.iter().filter(|incident| incident.severity.is_raised()).map(told).collect();
    // Timings differ from run to run; the report must not.
    let run = Run { timings: super::run_json::Timings::default(), ..run.clone() };
    template
        .render(context! {
            run => Value::from(Serde(&run)),
            raised => raised,
            kept => kept,
            allowed => allowed,
            entries => run.allowed.entries.iter().map(entry).collect::<Vec<_>>(),
            incidents => incidents,
            replicated => Value::from(Serde(&run.images.iter().filter(|image| image.siblings.is_some()).collect::<Vec<_>>())),
            rate_chart => charts::rate(timeline).map_err(|error| failed(&error))?,
            phase_chart => charts::phases(timeline).map_err(|error| failed(&error))?,
        })
        .map_err(|error| failed(&error))
}

/// An incident with what the template cannot work out by itself.
fn told(incident: &Incident) -> Value {
    context! {
        incident => Value::from(Serde(incident)),
        severity => incident.severity.name(),
        length => incident.length(),
        techniques => incident.techniques.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }
}

/// An entry of the allow-list, the same way.
fn entry(applied: &Applied) -> Value {
    context! {
        entry => Value::from(Serde(applied)),
        describe => applied.describe(),
        nothing => applied.matched_nothing(),
    }
}

/// An alert with what the template cannot work out by itself.
fn view(alert: &Alert) -> Value {
    let findings: Vec<_> = alert
        .deviations
        .iter()
        .map(|found| {
            context! {
                what => found.what(),
                tier => found.tier_name(),
                text => &*found.text,
                host_path => found.host_path.as_deref(),
                before => Value::from(Serde(&found.path[..found.at])),
                at => &*found.path[found.at],
                after => Value::from(Serde(&found.path[found.at + 1..])),
                risk => found.risk.map(|risk| format!("{risk:.2}")),
                changes => found.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                novelty => found.token_novelty.map(|share| format!("{:.0} %", share * 100.0)),
                nearest => Value::from(Serde(&found.nearest)),
                count => found.count,
                time => text::time(found.ts),
                rows => Value::from(Serde(&found.rows)),
            }
        })
        .collect();
    context! {
        alert => Value::from(Serde(alert)),
        severity => alert.severity.name(),
        score => format!("{:.1}", alert.score),
        technique => alert.technique.as_ref().map(super::table::technique),
        pod => alert.pod_name(),
        findings => findings,
    }
}
