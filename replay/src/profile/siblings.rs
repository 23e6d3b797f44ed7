//! Replicas of one image against each other: which one does what none of its siblings does.
//!
//! Each replica has a profile of all that it was seen doing. What it knows and no sibling knows is counted by *branches*: the
//! steps up to the first that no sibling has. A program that one replica alone ran is one branch, whatever it then did with it
//! below that point. An outlier is a replica of three or more with too many branches of its own to be chance: if each of all
//! U such branches had come to a replica with a probability equal to its share w of the observations, it would have k or more
//! with the probability P(Bin(U, w) ≥ k); times the number of replicas (Bonferroni) that must be below `convergence.delta`.
//! Branches of one intrusion or one release are not independent, so read δ as a dial. Of two replicas neither is the outlier.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ImageProfile, Node};
use crate::args::tiers::accepted_without_model;
use crate::config::Config;
use crate::deviation::Tree;
use crate::observe::Observation;
use crate::output::text::{clean, count, shorten};

/// Branches named of one replica; the rest are counted.
const NAMED: usize = 20;

/// Branches shown on a terminal, and characters of each before it is cut.
const SHOWN: usize = 5;
const LONG: usize = 160;

/// Fewest replicas among which one can stand out.
const FEWEST: usize = 3;

/// What each replica of an image was seen doing.
#[derive(Default)]
pub struct Replicas {
    by_container: BTreeMap<Arc<str>, Replica>,
}

/// One of them.
#[derive(Clone, Default)]
pub struct Replica {
    pub profile: ImageProfile,
    pub observations: u64,
}

/// The replicas of an image, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Siblings {
    pub image: Arc<str>,
    pub replicas: Vec<Sibling>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sibling {
    pub container: Arc<str>,
    pub name: String,
    pub observations: u64,
    /// Branches that no sibling has.
    pub own: u64,
    /// Probability of as many by chance, 0 to 1, corrected for the number of replicas; null with fewer than three.
    pub p_value: Option<f64>,
    pub outlier: bool,
    /// The branches, those of most events first; at most 20.
    pub branches: Vec<Branch>,
}

/// What one replica does alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Branch {
    pub tree: Tree,
    /// Steps below the image; the last is the first that no sibling has.
    pub path: Vec<Arc<str>>,
    pub events: u64,
}

impl Replicas {
    pub fn see(&mut self, observation: &Observation, config: &Config) {
        let replica = match self.by_container.get_mut(&observation.container) {
            Some(replica) => replica,
            None => self.by_container.entry(Arc::clone(&observation.container)).or_default(),
        };
        replica.observations += 1;
        replica.profile.learn(observation, config);
    }

    /// A replica that is known did something further times that its profile knows.
    pub fn count(&mut self, container: &Arc<str>, tree: Tree, steps: &[Arc<str>], events: u64) {
        if let Some(replica) = self.by_container.get_mut(container) {
            replica.observations += events;
            replica.profile.count(tree, steps, events);
        }
    }

    /// None with fewer than two replicas that did anything. `name`: of a container, for people.
    pub fn compare(&self, image: &Arc<str>, config: &Config, name: &dyn Fn(&str) -> String) -> Option<Siblings> {
        compare(image, &self.by_container, config, name)
    }
}

/// As [`Replicas::compare`], of profiles that came from anywhere.
pub fn compare(
    image: &Arc<str>,
    replicas: &BTreeMap<Arc<str>, Replica>,
    config: &Config,
    name: &dyn Fn(&str) -> String,
) -> Option<Siblings> {
    if replicas.len() < 2 {
        return None;
    }
    let branches: BTreeMap<&Arc<str>, Vec<Branch>> = replicas
        .iter()
        .map(|(container, replica)| {
            let others = replicas.iter().filter(|(other, _)| *other != container);
            let others: Vec<&ImageProfile> = others.map(|(_, replica)| &replica.profile).collect();
            (container, alone(&replica.profile, &others, config))
        })
        .collect();
    let all: u64 = branches.values().map(|branches| branches.len() as u64).sum();
    let observations: u64 = replicas.values().map(|replica| replica.observations).sum();
    let sibling = |(container, replica): (&Arc<str>, &Replica)| {
        let mut branches = branches[container].clone();
        let own = branches.len() as u64;
        let share = replica.observations as f64 / observations.max(1) as f64;
        let p_value = (replicas.len() >= FEWEST)
            .then(|| (tail(all, own, share) * replicas.len() as f64).min(1.0))
            .map(|p| (p * 1e6).round() / 1e6);
        branches.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.cmp(b)));
        branches.truncate(NAMED);
        Sibling {
            container: Arc::clone(container),
            name: name(container),
            observations: replica.observations,
            own,
            p_value,
            outlier: own > 0 && p_value.is_some_and(|p| p < config.convergence.delta),
            branches,
        }
    };
    Some(Siblings { image: Arc::clone(image), replicas: replicas.iter().map(sibling).collect() })
}

impl Siblings {
    /// Whether any replica does what no sibling does.
    pub fn differ(&self) -> bool {
        self.replicas.iter().any(|replica| replica.own > 0)
    }

    /// A line per replica that does what no sibling does, and its branches; nothing where none does.
    pub fn render(&self, indent: &str) -> String {
        let mut out = String::new();
        for replica in self.replicas.iter().filter(|replica| replica.own > 0) {
            let verdict = match (replica.outlier, replica.p_value) {
                (true, Some(p)) => format!("outlier (p = {p:.4})"),
                (false, Some(p)) => format!("p = {p:.4}"),
                (_, None) => "of two, neither is the outlier".to_owned(),
            };
            let name = clean(&replica.name);
            out.push_str(&format!("{indent}replica {name} alone: {} branches, {verdict}\n", count(replica.own)));
            for branch in replica.branches.iter().take(SHOWN) {
                out.push_str(&format!("{indent}  {}  ×{}\n", shorten(&clean(&branch.text()), LONG), branch.events));
            }
            if replica.own > SHOWN as u64 {
                out.push_str(&format!("{indent}  and {} more\n", count(replica.own - SHOWN as u64)));
            }
        }
        out
    }

    pub fn outliers(&self) -> impl Iterator<Item = &Sibling> {
        self.replicas.iter().filter(|replica| replica.outlier)
    }
}

impl Branch {
    /// As `process /usr/bin/python3 → /usr/bin/id`; path segments of files are joined.
    pub fn text(&self) -> String {
        let mut text = self.tree.name().to_owned();
        for (i, step) in self.path.iter().enumerate() {
            let joined = self.tree == Tree::File && i > 1 && step.starts_with('/');
            text.push_str(if joined {
                ""
            } else if i == 0 {
                " "
            } else {
                " → "
            });
            text.push_str(step);
        }
        text
    }
}

/// P(Bin(n, p) ≥ k).
fn tail(n: u64, k: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if p <= 0.0 || k > n {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    // ln of the binomial's terms from i = 0 on, each from the one before.
    let (ln_p, ln_q) = (p.ln(), (1.0 - p).ln());
    let mut term = n as f64 * ln_q;
    let mut sum = 0.0;
    for i in 0..=n {
        if i >= k {
            sum += term.exp();
        }
        term += ((n - i) as f64).ln() - ((i + 1) as f64).ln() + ln_p - ln_q;
    }
    sum.min(1.0)
}

/// The branches of a profile that none of the others has.
fn alone(profile: &ImageProfile, others: &[&ImageProfile], config: &Config) -> Vec<Branch> {
    let mut found: BTreeMap<(Tree, Vec<Arc<str>>), u64> = BTreeMap::new();
    for (parent, programs) in &profile.process {
        for (program, leaf) in programs {
            let leaves: Vec<_> = others.iter().filter_map(|other| other.process.get(parent)?.get(program)).collect();
            let some = others.iter().any(|other| other.process.contains_key(parent));
            for (pattern, count) in leaf.patterns() {
                let path = if !leaves.is_empty() {
                    if leaves.iter().any(|leaf| accepted_without_model(program, &pattern, leaf, &config.args)) {
                        continue;
                    }
                    vec![Arc::clone(parent), Arc::clone(program), pattern.text().into()]
                } else if some {
                    vec![Arc::clone(parent), Arc::clone(program)]
                } else {
                    vec![Arc::clone(parent)]
                };
                *found.entry((Tree::Process, path)).or_default() += count;
            }
        }
    }
    for (tree, node) in [(Tree::File, &profile.file), (Tree::Network, &profile.network)] {
        let others: Vec<&Node> =
            others.iter().map(|other| if tree == Tree::File { &other.file } else { &other.network }).collect();
        node.each_leaf(&mut |path, count| {
            let matches = others.iter().map(|other| other.matched(path));
            let Some(best) = matches.max_by_key(|found| (found.known, found.steps)) else { return };
            if !best.known {
                let branch = path[..(best.steps + 1).min(path.len())].to_vec();
                *found.entry((tree, branch)).or_default() += count;
            }
        });
    }
    found.into_iter().map(|((tree, path), events)| Branch { tree, path, events }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(paths: &[&[&str]], observations: u64) -> Replica {
        let mut profile = ImageProfile::default();
        for path in paths {
            let steps: Vec<Arc<str>> = path.iter().map(|step| Arc::from(*step)).collect();
            profile.file.insert(&steps, 50);
        }
        Replica { profile, observations }
    }

    fn compared(replicas: &[(&str, Replica)]) -> Siblings {
        let config = crate::config::load(None, &[]).unwrap();
        let replicas = replicas.iter().map(|(id, replica)| (Arc::from(*id), replica.clone())).collect();
        compare(&Arc::from("web"), &replicas, &config, &|id| format!("web-{id}")).unwrap()
    }

    const COMMON: &[&str] = &["/bin/app", "/srv", "/a", "read"];

    #[test]
    fn the_tail_of_the_binomial() {
        // By hand: P(Bin(5, 1/3) >= 5) = 1/243; P(Bin(4, 1/2) >= 3) = 5/16.
        assert!((tail(5, 5, 1.0 / 3.0) - 1.0 / 243.0).abs() < 1e-12);
        assert!((tail(4, 3, 0.5) - 5.0 / 16.0).abs() < 1e-12);
        assert_eq!((tail(4, 0, 0.5), tail(4, 5, 0.5), tail(3, 1, 0.0)), (1.0, 0.0, 0.0));
        assert!((tail(5000, 2400, 0.5) - 0.997_8).abs() < 1e-3, "{}", tail(5000, 2400, 0.5));
    }

    #[test]
    fn the_one_that_does_what_no_other_does_is_named() {
        let implant: Vec<[&str; 4]> =
            ["/a1", "/b1", "/c1", "/d1", "/e1"].map(|name| ["/bin/app", "/srv", name, "write"]).to_vec();
        let mut paths: Vec<&[&str]> = implant.iter().map(|path| &path[..]).collect();
        paths.push(COMMON);
        let found =
            compared(&[("1", replica(&[COMMON], 100)), ("2", replica(&paths, 100)), ("3", replica(&[COMMON], 100))]);
        let named: Vec<_> = found.outliers().map(|replica| (replica.name.as_str(), replica.own)).collect();
        assert_eq!(named, [("web-2", 5)]);
        assert_eq!(found.replicas[1].branches[0].text(), "file /bin/app → /srv/a1");
        assert!(found.replicas[1].p_value.unwrap() < 0.05);
    }

    #[test]
    fn a_program_of_its_own_is_one_branch_and_chance_is_no_outlier() {
        let own: &[&[&str]] = &[COMMON, &["/bin/id", "/etc", "/a", "read"], &["/bin/id", "/etc", "/b", "read"]];
        let found =
            compared(&[("1", replica(own, 100)), ("2", replica(&[COMMON], 90)), ("3", replica(&[COMMON], 110))]);
        assert_eq!(found.replicas[0].branches.len(), 1);
        assert_eq!(found.replicas[0].branches[0].events, 2);
        assert!(found.differ() && found.outliers().next().is_none());
    }

    #[test]
    fn of_two_neither_is_the_outlier() {
        let found = compared(&[("1", replica(&[&["/bin/x", "/a", "read"]], 9)), ("2", replica(&[COMMON], 9))]);
        assert!(found.differ());
        assert!(found.replicas.iter().all(|replica| replica.p_value.is_none() && !replica.outlier));
    }
}
