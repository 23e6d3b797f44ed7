//! What engines have nothing to look at in a recording: classes that were not recorded, and what the source of an imported log cannot tell.
//!
//! It follows from the manifest: of a class that was recorded nothing is lacking, whether or not anything happened.

use datasets::{Derived, Manifest};
use record_bpf::{Class, Kind};
use serde::Serialize;

use crate::engines::rules_load::{Listed, State};
use crate::engines::sigma_fields::Category;

/// What one of the engines, or the profile, goes without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// `profile`, `rules`, `statistics` or `semantics`.
    pub engine: &'static str,
    pub what: String,
}

impl Lack {
    /// In one line.
    pub fn describe(&self) -> String {
        format!("{}: {}", self.engine, self.what)
    }
}

/// What engines go without in a recording. `rules`: all documents; `containers`: whether it has any.
pub fn lacks(manifest: &Manifest, rules: &[Listed], containers: bool) -> Vec<Lack> {
    let told = Told::of(manifest);
    let mut found = Vec::new();
    let mut lack = |engine, what: &str| found.push(Lack { engine, what: what.to_owned() });
    if !told.any(&[Kind::Exec]) {
        lack("profile", "no process tree, for no exec is recorded");
    }
    if !told.any(&[Kind::Open, Kind::Rename, Kind::Unlink, Kind::Rmdir, Kind::Chmod]) {
        lack("profile", "no file tree, for nothing is recorded of files");
    }
    if !told.any(&[Kind::Connect, Kind::Accept]) {
        lack("profile", "no network tree, for no connection is recorded");
    } else if !told.any(&[Kind::DnsAnswer]) {
        lack("profile", "peers outside have addresses and no names, for no DNS answer is recorded");
    }
    if let Some(what) = silent_rules(&told, rules) {
        lack("rules", &what);
    }
    if !containers {
        lack("statistics", "no replicas to compare, for no container is recorded: all is of one image, host");
    }
    if !told.any(&[Kind::NetClose]) {
        lack("statistics", "no volumes to compare, for no connection's bytes are recorded");
    }
    if !told.any(&[Kind::Exec]) {
        lack("semantics", "no command lines to judge, for no exec is recorded");
    }
    found
}

/// How many rules ask for events that the recording cannot have, by their category.
fn silent_rules(told: &Told<'_>, rules: &[Listed]) -> Option<String> {
    let speak = |category: Category| {
        let own = rules.iter().filter(|rule| rule.category == category.name());
        own.filter(|rule| !matches!(rule.state, State::Skipped { .. })).count()
    };
    let all: usize = Category::ALL.iter().copied().map(speak).sum();
    let lacks_events = |category: &Category| !Kind::ALL.iter().any(|kind| category.is_of(*kind) && told.any(&[*kind]));
    let silent: Vec<(&str, usize)> = Category::ALL
        .iter()
        .copied()
        .filter(lacks_events)
        .map(|category| (category.name(), speak(category)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let sum: usize = silent.iter().map(|(_, count)| count).sum();
    let each: Vec<String> = silent.iter().map(|(name, count)| format!("{name} {count}")).collect();
    (sum > 0).then(|| format!("{sum} of {all} have no events to look at: {}", each.join(", ")))
}

/// What a recording can tell.
struct Told<'a> {
    manifest: &'a Manifest,
    import: Option<&'a Derived>,
}

impl<'a> Told<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let mut import = manifest.derived.as_ref();
        // A slice of an imported log tells no more than that.
        while let Some([only]) = import.map(|derived| derived.sources.as_slice()) {
            import = only.derived.as_deref();
        }
        Told { manifest, import: import.filter(|derived| derived.sources.is_empty()) }
    }

    fn any(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.has(kind.class()) && self.import.is_none_or(|import| import.tells(*kind)))
    }

    fn has(&self, class: Class) -> bool {
        let recorded = self.manifest.classes.iter().any(|name| name == class.name());
        // Of a log nobody knows what its writer was asked for.
        recorded && (self.import.is_none() || self.manifest.class_segments(class).next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Judges;

    fn of(classes: &[&str], containers: bool) -> Vec<String> {
        let manifest = Manifest {
            classes: classes.iter().map(|name| (*name).to_owned()).collect(),
            ..datasets::Recording::shipped("webapp").unwrap().manifest().clone()
        };
        let judges = Judges::open(&crate::config::load(None, &[]).unwrap()).unwrap();
        lacks(&manifest, judges.listed(), containers).iter().map(Lack::describe).collect()
    }

    #[test]
    fn what_was_recorded_lacks_nothing_and_what_was_not_is_named_with_its_rules() {
        let all: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
        assert_eq!(of(&all, true), Vec::<String>::new());
        let without = |one: &str| of(&all.iter().copied().filter(|name| *name != one).collect::<Vec<_>>(), true);
        let security = without("security");
        assert!(security.len() == 1 && security[0].contains("have no events to look at: security "), "{security:?}");
        let file = without("file");
        assert!(file.iter().any(|line| line.starts_with("profile: no file tree")), "{file:?}");
        assert!(file.iter().any(|line| line.contains("file_event ") && line.contains("file_delete ")), "{file:?}");
        let network = without("network");
        assert!(network.iter().any(|line| line.starts_with("statistics: no volumes")), "{network:?}");
        assert!(without("dns").iter().any(|line| line.contains("addresses and no names")));
        assert!(without("process").iter().any(|line| line.starts_with("semantics: no command lines")));
        let alone = of(&all, false);
        assert!(alone.len() == 1 && alone[0].starts_with("statistics: no replicas"), "{alone:?}");
    }
}
