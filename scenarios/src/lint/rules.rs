//! What a definition says: texts, ATT&CK ids, labels, names.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;
use crate::attack::technique;
use crate::check::is_plain_name;
use crate::definition::{Scenario, Step};
use crate::error::Error;

/// A title that fits a line of a table.
const LONGEST_TITLE: usize = 90;
/// Less tells nobody anything.
const SHORTEST_DESCRIPTION: usize = 60;
/// A run that takes longer is a dataset, not a scenario; s.
const LONGEST_RUN: u64 = 900;
/// Headings of an attack's README.
const HEADINGS: [&str; 2] = ["Stand-ins", "Evidence"];

/// `is_base`: it is there to be extended, and not listed.
pub(super) fn check(
    folder: &Path,
    scenario: &Scenario,
    is_base: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let path = folder.join("scenario.toml");
    let mut find = |place: &str, rule, message: String| {
        findings.push(Finding { path: path.clone(), place: place.to_owned(), rule, message });
    };
    let title = scenario.title.chars().count();
    if title == 0 || title > LONGEST_TITLE || scenario.title.ends_with('.') {
        find("title", "text", format!("it has {title} characters; 1 to {LONGEST_TITLE} and no full stop are good"));
    }
    if scenario.description.chars().count() < SHORTEST_DESCRIPTION {
        find("description", "text", format!("fewer than {SHORTEST_DESCRIPTION} characters do not describe it"));
    }
    if !is_plain_name(&scenario.name) {
        find("name", "name", "a folder's name is made of lower-case letters, digits and '-'".into());
    }
    let length = scenario.expected_duration().as_secs();
    if length > LONGEST_RUN {
        find("benign", "name", format!("it takes {length} s; {LONGEST_RUN} are the most"));
    }
    let mut acts = BTreeSet::new();
    for act in &scenario.acts {
        let place = format!("acts.{}", act.name);
        if !is_plain_name(&act.name) || !acts.insert(&act.name) {
            find(&place, "name", "each act has a name of its own, of lower-case letters, digits and '-'".into());
        }
        if act.title.trim().is_empty() || act.steps.is_empty() {
            find(&place, "text", "an act has a title and steps".into());
        }
        let mut steps = BTreeSet::new();
        for step in &act.steps {
            let place = format!("acts.{}.{}", act.name, step.name);
            if !is_plain_name(&step.name) || !steps.insert(&step.name) {
                find(&place, "name", "each step has a name of its own, of lower-case letters, digits and '-'".into());
            }
            if step.description.trim().is_empty() {
                find(&place, "text", "it has no description".into());
            }
            for message in step_findings(scenario, step) {
                find(&place, message.0, message.1);
            }
        }
    }
    let readme = folder.join("README.md");
    if !is_base {
        let text = match std::fs::read_to_string(&readme) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::read(&readme)(error)),
        };
        let wanted = if scenario.acts.is_empty() { &[][..] } else { &HEADINGS[..] };
        for message in readme_findings(&text, wanted) {
            findings.push(Finding { path: readme.clone(), place: "1".into(), rule: "readme", message });
        }
    }
    Ok(())
}

fn step_findings(scenario: &Scenario, step: &Step) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let own = step.roots.iter().filter_map(|root| root.technique.as_ref());
    for id in own.chain([&step.technique]) {
        if technique(id).is_none() {
            found.push(("attack-id", format!("{id} is not a technique of MITRE ATT&CK (Enterprise, version 17)")));
        }
    }
    for service in step.matchers().services() {
        if scenario.services.iter().any(|other| other.name == *service && other.outside) {
            found.push((
                "label",
                format!("'{service}' is outside, where nothing is recorded, so nothing can be labelled"),
            ));
        }
    }
    for root in &step.roots {
        if root.exe.trim_matches(['*', '/']).is_empty() {
            found.push(("label", format!("a root with exe '{}' matches every program", root.exe)));
        }
    }
    found
}

/// What is missing in a README.
fn readme_findings(text: &str, headings: &[&str]) -> Vec<String> {
    if text.trim().is_empty() {
        return vec!["there is no README.md, or it is empty".to_owned()];
    }
    let has = |wanted: &str| text.lines().any(|line| line.strip_prefix("##").is_some_and(|rest| rest.trim() == wanted));
    headings.iter().filter(|wanted| !has(wanted)).map(|wanted| format!("it lacks the heading '## {wanted}'")).collect()
}
