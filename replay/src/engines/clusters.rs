//! Deviations that are the same one, wherever they happen: clusters over what, when and where.
//!
//! **What.** Two deviations can be the same only if they left the same tree in the same way at the same place: tree, kind and
//! the known part of the path are equal. Within such a block the first unknown element is compared. Equal elements are the same
//! thing, always. Of those that are not, two kinds are also the same if DBSCAN puts them into one cluster by the distance below:
//!
//! - names of files and directories;
//! - programs of one base name at one depth, numbers aside, as in a directory for each version;
//!
//! but nothing in a directory where the very name is the risk (`/etc`, `/usr`, `/root`; [`is_sensitive`]). Peers and ports are compared
//! by equality alone: another destination is another thing, however alike the two are written. So are arguments: their
//! canonical form has masked what varies, and keeps what is the risk.
//!
//! An element is a point in [`DIMENSIONS`] dimensions: every run of digits becomes one `0` (a version, a port of a worker),
//! the characters' trigrams are counted into dimensions by hash with a sign, and the vector is brought to unit length (feature
//! hashing: Weinberger et al., ICML 2009). Between unit vectors the Euclidean distance is √(2 - 2·cosine), so the radius follows
//! from the cosine that is asked for. DBSCAN (Ester et al., KDD 1996; crate `petal-clustering`) needs [`CROWD`] variants near one
//! another: a release with a name of its own on each replica is such a crowd, two names that happen to be alike are none.
//!
//! **When.** What is the same thing falls apart where nobody did it for longer than the gap: a rollout that goes from replica to
//! replica is one, and what one replica did hours before is not part of it.
//!
//! **Where** separates nothing: containers and images are what is counted in a cluster.
//!
//! **Cost.** All is sorted, O(n log n), but for the comparison of a block's distinct elements, which is quadratic at worst: so
//! [`PAIRS`] are compared at most, and what comes after them, in the order of the blocks, is the same only if it is equal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ndarray::Array2;
use petal_clustering::{Dbscan, Fit};

use crate::args::path::is_sensitive;
use crate::deviation::{Deviation, DeviationKind, Tree};

/// Dimensions of an element's vector: with signs, unlike elements have a cosine of 0 ± 1/√128.
const DIMENSIONS: usize = 128;

/// Variants that must be near one another (DBSCAN's `min_samples`).
const CROWD: usize = 3;

/// Pairs of elements that are compared: a thousand names, each with each.
const PAIRS: usize = 1_000_000;

/// What makes two deviations the same one, where nothing but equality counts.
pub type What<'a> = (Tree, DeviationKind, &'a [Arc<str>]);

pub fn what(deviation: &Deviation) -> What<'_> {
    // The path begins with the image, which is not part of what happened.
    let end = deviation.path.len().min(deviation.at + 1).max(1);
    (deviation.tree, deviation.kind, deviation.path.get(1..end).unwrap_or_default())
}

/// One thing that happened, in one stretch of time.
#[derive(Debug, Default, PartialEq)]
pub struct Cluster<'a> {
    /// Containers by image.
    pub containers: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// In how many spellings.
    pub variants: usize,
    /// First event of the first and of the last deviation; Unix time, ns.
    pub first: i64,
    pub last: i64,
}

/// All clusters, and which one each deviation is in, in the order of the deviations.
#[derive(Debug)]
pub struct Clusters<'a> {
    pub clusters: Vec<Cluster<'a>>,
    pub of: Vec<usize>,
}

impl<'a> Clusters<'a> {
    /// `similar`: cosine from which two elements may be the same; above 1, none that is not equal. `gap`: ns.
    pub fn new(deviations: &[&'a Deviation], similar: f32, gap: i64) -> Clusters<'a> {
        let families = families(deviations, similar);
        let mut by_family: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, deviation) in deviations.iter().enumerate() {
            by_family.entry(families[&what(deviation)]).or_default().push(i);
        }
        let mut clusters: Vec<Cluster<'a>> = Vec::new();
        let mut of = vec![0; deviations.len()];
        for mut members in by_family.into_values() {
            members.sort_by_key(|i| deviations[*i].ts);
            let mut spellings: BTreeSet<What<'_>> = BTreeSet::new();
            for (position, &i) in members.iter().enumerate() {
                let deviation = deviations[i];
                let begins = position == 0 || deviation.ts.saturating_sub(deviations[members[position - 1]].ts) > gap;
                if begins {
                    clusters.push(Cluster { first: deviation.ts, ..Cluster::default() });
                    spellings.clear();
                }
                of[i] = clusters.len() - 1;
                spellings.insert(what(deviation));
                if let Some(cluster) = clusters.last_mut() {
                    cluster.containers.entry(&deviation.image).or_default().insert(&deviation.container);
                    cluster.variants = spellings.len();
                    cluster.last = deviation.ts;
                }
            }
        }
        Clusters { clusters, of }
    }
}

/// The family of each distinct behaviour, by number.
fn families<'a>(deviations: &[&'a Deviation], similar: f32) -> BTreeMap<What<'a>, usize> {
    let mut families: BTreeMap<What<'a>, usize> = BTreeMap::new();
    // Elements that may be compared, by the block: tree, kind, the known part of the path, what else must be equal.
    let mut blocks: BTreeMap<(What<'a>, String), BTreeMap<&'a str, What<'a>>> = BTreeMap::new();
    for deviation in deviations {
        let (tree, kind, path) = what(deviation);
        families.insert((tree, kind, path), 0);
        if let Some((element, known)) = path.split_last()
            && similar <= 1.0
            && let Some(stem) = stem(tree, kind, known, element)
        {
            blocks.entry(((tree, kind, known), stem)).or_default().insert(element, (tree, kind, path));
        }
    }
    for (number, family) in families.values_mut().enumerate() {
        *family = number;
    }
    let mut pairs = PAIRS;
    for behaviours in blocks.into_values() {
        let elements: Vec<&str> = behaviours.keys().copied().collect();
        let Some(rest) = pairs.checked_sub(elements.len() * elements.len()).filter(|_| elements.len() >= CROWD) else {
            continue;
        };
        pairs = rest;
        // A crowd goes by the number of its first element.
        let mut first: BTreeMap<usize, usize> = BTreeMap::new();
        for (behaviour, crowd) in behaviours.into_values().zip(crowds(&elements, similar)) {
            if let (Some(family), Some(crowd)) = (families.get_mut(&behaviour), crowd) {
                *family = *first.entry(crowd).or_insert(*family);
            }
        }
    }
    families
}

/// What must be equal for an element to be compared by likeness at all; `None`: only equal ones are the same.
fn stem(tree: Tree, kind: DeviationKind, known: &[Arc<str>], element: &str) -> Option<String> {
    match (tree, kind) {
        (Tree::Process, DeviationKind::NewProcess | DeviationKind::NewParent) if !is_sensitive(element) => {
            let (directory, name) = element.rsplit_once('/')?;
            let name: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
            Some(format!("{} {name}", directory.matches('/').count()))
        }
        // The program comes before the segments.
        (Tree::File, DeviationKind::NewPath) => {
            let directory: String = known.iter().skip(1).map(|segment| &**segment).collect();
            let path = format!("{directory}/{}", element.trim_start_matches('/'));
            (!is_sensitive(&path)).then(String::new)
        }
        _ => None,
    }
}

/// The crowd that each element is in, by number; `None` for one that is alone.
fn crowds(elements: &[&str], similar: f32) -> Vec<Option<usize>> {
    let mut points = Array2::<f32>::zeros((elements.len(), DIMENSIONS));
    for (mut row, element) in points.rows_mut().into_iter().zip(elements) {
        row.iter_mut().zip(vector(element)).for_each(|(slot, value)| *slot = value);
    }
    let mut dbscan = Dbscan { min_samples: CROWD, eps: (2.0 - 2.0 * similar).max(0.0).sqrt(), ..Dbscan::default() };
    let (found, _alone) = dbscan.fit(&points, None);
    // The library's numbers follow the points' order; a point on the border of two crowds is of the lower one.
    let mut of = vec![None; elements.len()];
    for (number, members) in found.into_iter().collect::<BTreeMap<_, _>>() {
        for member in members {
            of[member].get_or_insert(number);
        }
    }
    of
}

/// The unit vector of an element.
fn vector(element: &str) -> [f32; DIMENSIONS] {
    let mut text = vec!['^'];
    for c in element.chars() {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if !(c == '0' && text.last() == Some(&'0')) {
            text.push(c);
        }
    }
    text.push('$');
    let mut vector = [0f32; DIMENSIONS];
    for trigram in text.windows(3) {
        let hash = fnv(trigram);
        vector[(hash >> 1) as usize % DIMENSIONS] += if hash & 1 == 0 { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// FNV-1a over the characters, its high half folded in: the same on every machine and in every version.
fn fnv(text: &[char]) -> u64 {
    let bytes = text.iter().flat_map(|c| u32::from(*c).to_le_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(elements: &[&str]) -> Vec<Option<usize>> {
        let mut sorted = elements.to_vec();
        sorted.sort_unstable();
        let crowds = crowds(&sorted, 0.45);
        elements.iter().map(|element| crowds[sorted.binary_search(element).unwrap()]).collect()
    }

    #[test]
    fn names_that_differ_a_little_are_a_crowd_and_a_stranger_among_them_is_not() {
        let names = [
            "/opt/shop/releases/2.4.1-alpine/bin/migrate",
            "/opt/shop/releases/2.4.12-alpine/bin/migrate",
            "/opt/shop/releases/2.5.0-debian/bin/migrate",
            "/var/tmp/.font/x/y/migrate",
        ];
        assert_eq!(same(&names), [Some(0), Some(0), Some(0), None]);
        let temporary =
            ["deploy-QwErTy.sock", "deploy-pLoKij.sock", "deploy-mNbVcX.sock", "access.log", "error.log", "data"];
        assert_eq!(same(&temporary), [Some(0), Some(0), Some(0), None, None, None]);
        assert_eq!(same(&["deploy-QwErTy", "deploy-pLoKij", "deploy-mNbVcX"]), [Some(0); 3]);
        // Two are no crowd.
        assert_eq!(same(&["deploy-QwErTy.sock", "deploy-pLoKij.sock", "data"]), [None; 3]);
    }

    #[test]
    fn what_the_name_is_the_risk_of_is_compared_by_equality() {
        let known = |path: &[&str]| path.iter().map(|step| Arc::from(*step)).collect::<Vec<Arc<str>>>();
        let program = |exe| stem(Tree::Process, DeviationKind::NewProcess, &known(&["/bin/sh"]), exe);
        assert_eq!(program("/srv/shop/2.4.1/migrate"), program("/srv/shop/2.4.2/migrate"));
        assert_ne!(program("/srv/shop/2.4.1/migrate"), program("/srv/shop/2.4.1/helper"));
        assert_ne!(program("/srv/shop/2.4.1/migrate"), program("/srv/migrate"));
        assert_eq!(program("/usr/bin/cat"), None);
        let file = |path: &[&str], name| stem(Tree::File, DeviationKind::NewPath, &known(path), name);
        assert!(file(&["/usr/bin/python3", "/srv", "/app"], "/deploy-x").is_some());
        assert_eq!(file(&["/usr/bin/python3", "/etc"], "/deploy-x"), None);
        assert_eq!(file(&["/usr/bin/python3"], "/etc"), None);
        assert_eq!(stem(Tree::Network, DeviationKind::NewPeer, &known(&["curl", "connect tcp"]), "public a"), None);
        assert_eq!(stem(Tree::Process, DeviationKind::NewArguments, &known(&["sh", "sh"]), "-c id"), None);
    }

    #[test]
    fn a_vector_is_of_unit_length_and_blind_to_digits() {
        let cosine = |a, b| vector(a).iter().zip(vector(b)).map(|(x, y)| x * y).sum::<f32>();
        assert!((cosine("app-1.2.3", "app-10.22.333") - 1.0).abs() < 1e-6);
        assert!(cosine("app-1.2.3", "nginx.conf") < 0.3);
        assert!(vector("").iter().all(|value| value.is_finite()));
    }
}
