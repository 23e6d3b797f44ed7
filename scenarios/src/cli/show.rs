//! `scenarios show`

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use scenarios::definition::Step;
use scenarios::{Scenario, technique};

use super::load;
use super::text::{clock, command_line, table};
use crate::Outcome;

const EXAMPLES: &str = "Examples:\n  \
    scenarios show xmrig";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Name of the scenario
    scenario: String,
}

pub fn run(from: Option<&Path>, args: &Args) -> anyhow::Result<Outcome> {
    Ok(Outcome { text: render(&load(from, &args.scenario)?), code: 0 })
}

fn render(scenario: &Scenario) -> String {
    let mut out = format!("{}: {}\n\n", scenario.name, scenario.title);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {}", scenario.description);
    if let Some(base) = &scenario.extends {
        let _ = writeln!(out, "  Extends {base}.");
    }
    let _ = write!(out, "\nServices\n{}", services(scenario));
    let phases = scenario.load.phases.iter().map(|phase| {
        vec![phase.name.clone(), phase.seconds.to_string(), phase.rate.to_string(), phase.burst.to_string()]
    });
    let header = ["load phase", "s", "requests/s of a customer", "chance of a burst"];
    let _ = write!(out, "\nLoad (the phases repeat)\n{}", table(&header, &phases.collect::<Vec<_>>()));
    if !scenario.activities.is_empty() {
        let rows = scenario.activities.iter().map(|activity| {
            let every = format!("{} s ± {:.0} %", activity.every_s, activity.jitter * 100.0);
            vec![activity.name.clone(), activity.service.clone(), every, command_line(&activity.command)]
        });
        let header = ["activity", "service", "every", "command"];
        let _ = write!(out, "\nActivities\n{}", table(&header, &rows.collect::<Vec<_>>()));
    }
    if !scenario.operations.is_empty() {
        let rows = scenario.operations.iter().map(|operation| {
            let mut what = format!("{:?}", operation.what).to_lowercase();
            if let Some(image) = &operation.image {
                let _ = write!(what, " of image {image}");
            }
            if let (Some(replicas), Some(seconds)) = (operation.replicas, operation.for_s) {
                let _ = write!(what, " to {replicas} for {seconds} s");
            }
            let at = format!("{} s ± {:.0} %", operation.at_s, operation.jitter * 100.0);
            vec![operation.name.clone(), operation.service.clone(), at, what]
        });
        let header = ["operation", "service", "at", "what"];
        let _ = write!(out, "\nOperations\n{}", table(&header, &rows.collect::<Vec<_>>()));
    }
    let _ = write!(out, "\nTimeline (from the first request; commands take their own time)\n{}", timeline(scenario));
    if !scenario.acts.is_empty() {
        let _ = write!(out, "\nLabels\n{}", labels(scenario));
    }
    out
}

fn services(scenario: &Scenario) -> String {
    let rows = scenario.services.iter().map(|service| {
        let place = if service.outside { "outside" } else { "watched" };
        let command = command_line(&service.command);
        vec![service.name.clone(), place.to_owned(), service.image.clone(), service.aliases.join(" "), command]
    });
    table(&["service", "", "image", "names", "command"], &rows.collect::<Vec<_>>())
}

fn timeline(scenario: &Scenario) -> String {
    let mut rows = Vec::new();
    let mut at = Duration::ZERO;
    let mut row = |length: Duration, cells: [String; 4]| {
        let [what, technique, command, description] = cells;
        let from = clock(at);
        at += length;
        rows.push(vec![from, clock(at), what, technique, command, description]);
    };
    let life = || ["ordinary life".to_owned(), String::new(), String::new(), String::new()];
    row(scenario.benign, life());
    for (i, act) in scenario.acts.iter().enumerate() {
        if i > 0 && act.after_s > 0 {
            row(Duration::from_secs(act.after_s), life());
        }
        for step in &act.steps {
            let command = format!("{}: {}", step.service, command_line(&step.command));
            let what = format!("{} / {}", act.name, step.name);
            row(Duration::from_secs(step.settle_s), [what, techniques(step), command, step.description.clone()]);
        }
    }
    if !scenario.tail.is_zero() {
        row(scenario.tail, life());
    }
    table(&["from", "to", "what", "technique", "command", ""], &rows)
}

/// The step's technique, and those of its roots that have their own.
fn techniques(step: &Step) -> String {
    let mut ids: Vec<&str> = vec![&step.technique];
    ids.extend(step.roots.iter().filter_map(|root| root.technique.as_deref()));
    ids.dedup();
    let named = |id: &str| technique(id).map_or(id.to_owned(), |technique| format!("{id} {}", technique.name));
    ids.into_iter().map(named).collect::<Vec<_>>().join(", ")
}

fn labels(scenario: &Scenario) -> String {
    let mut rows = Vec::new();
    for (act, step) in scenario.acts.iter().flat_map(|act| act.steps.iter().map(move |step| (act, step))) {
        let place = format!("{} / {}", act.name, step.name);
        let by = |exe: &Option<String>| exe.as_ref().map_or(String::new(), |exe| format!(" by {exe}"));
        let row = |service: &String, what: String, ambiguous: bool| {
            let doubt = if ambiguous || step.ambiguous || act.ambiguous { " (ambiguous)" } else { "" };
            vec![place.clone(), service.clone(), what + doubt]
        };
        for root in &step.roots {
            let mut what = format!("the tree of {}", root.exe);
            if let Some(parent) = &root.parent_exe {
                let _ = write!(what, " below {parent}");
            }
            for part in &root.argv_contains {
                let _ = write!(what, " with '{part}'");
            }
            rows.push(row(&root.service, what, root.ambiguous));
        }
        for file in &step.files {
            let write = if file.write { " for writing" } else { "" };
            let what = format!("{} of {}{}{write}", file.ops.join(", "), file.path, by(&file.exe));
            rows.push(row(&file.service, what, file.ambiguous));
        }
        for network in &step.network {
            let mut what = if network.ops.is_empty() { "network".to_owned() } else { network.ops.join(", ") };
            let _ = write!(what, " with {}", network.peer.as_deref().unwrap_or("any peer"));
            if let Some(port) = network.port {
                let _ = write!(what, ", port {port}");
            }
            what.push_str(by(&network.exe).as_str());
            if network.tree {
                what.push_str(", and what it forks to serve it");
            }
            rows.push(row(&network.service, what, network.ambiguous));
        }
        for dns in &step.dns {
            rows.push(row(&dns.service, format!("questions for {}{}", dns.question, by(&dns.exe)), dns.ambiguous));
        }
        for tls in &step.tls {
            rows.push(row(&tls.service, format!("plaintext with '{}'{}", tls.contains, by(&tls.exe)), tls.ambiguous));
        }
    }
    table(&["step", "service", "what is the attack's"], &rows)
}
