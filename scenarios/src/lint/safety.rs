//! What the files of a folder say: nothing leads outside, nothing is a binary, nothing is left to chance.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::definition::Scenario;
use crate::error::Error;
use crate::images::context;

/// No source of a scenario comes near it; bytes.
const LARGEST_FILE: u64 = 256 * 1024;
/// A longer line is data in disguise; characters.
const LONGEST_LINE: usize = 2_000;
/// The variable that gives a load generator its seed.
const SEED: &str = "RETROSCOPE_SEED";
/// Installers that fetch from elsewhere than Debian.
const INSTALLERS: [&str; 8] = [
    "pip install",
    "pip3 install",
    "npm install",
    "npm ci",
    "gem install",
    "cargo install",
    "go install",
    "git clone http",
];

pub(super) fn check(root: &Path, folder: &Path, scenario: &Scenario, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let names = known_names(scenario);
    // What stands in the folder, and what its images take from elsewhere.
    let mut files = BTreeSet::new();
    collect(folder, folder == root.join("common"), &mut files)?;
    for image in scenario.images.values() {
        files.extend(context(image)?.into_values());
    }
    for path in &files {
        check_file(path, &names, findings)?;
    }
    check_seed(folder, scenario, findings)
}

/// Every name that a program of the scenario may ask for.
fn known_names(scenario: &Scenario) -> BTreeSet<&str> {
    let services = scenario.services.iter();
    let mut names: BTreeSet<&str> = services.clone().flat_map(|s| s.aliases.iter().map(String::as_str)).collect();
    names.extend(services.map(|service| service.name.as_str()));
    names.extend(["client", "localhost"]);
    names
}

/// The files of a folder; folders with a scenario of their own are that one's.
fn collect(folder: &Path, top: bool, files: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        if path.is_dir() {
            if !top && !path.join("scenario.toml").is_file() {
                collect(&path, false, files)?;
            }
        } else if path.extension().is_none_or(|extension| extension != "md") {
            files.insert(path);
        }
    }
    Ok(())
}

fn check_file(path: &Path, names: &BTreeSet<&str>, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let mut find = |line: usize, rule, message: String| {
        findings.push(Finding { path: path.to_owned(), place: line.to_string(), rule, message });
    };
    let size = std::fs::metadata(path).map_err(Error::read(path))?.len();
    if size > LARGEST_FILE {
        find(1, "binary", format!("it has {size} bytes; scenarios are made of sources, {LARGEST_FILE} bytes at most"));
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(Error::read(path))?;
    let Some(text) = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) else {
        find(1, "binary", "it is no text; stand-ins are built from sources".into());
        return Ok(());
    };
    let recipe = path.file_name().is_some_and(|name| name == "Containerfile");
    let mut stages = BTreeSet::from(["${BASE}".to_owned()]);
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        if line.chars().count() > LONGEST_LINE {
            find(at, "binary", format!("a line of more than {LONGEST_LINE} characters"));
        }
        if is_comment(line) {
            continue;
        }
        for address in public_addresses(line) {
            find(at, "outside", format!("{address} is a public address: use a name of the scenario's own network"));
        }
        for host in hosts(line) {
            if !names.contains(host) && host.parse::<Ipv4Addr>().is_err() {
                find(at, "outside", format!("'{host}' is no service or alias of the scenario"));
            }
        }
        if recipe {
            if let Some(image) = line.trim().strip_prefix("FROM ") {
                let words: Vec<&str> = image.split_whitespace().collect();
                if !words.first().is_some_and(|first| stages.contains(*first)) {
                    find(at, "build", format!("images are layers on ${{BASE}}, not on '{image}'"));
                }
                stages.extend(words.last().map(|last| (*last).to_owned()));
            }
            if let Some(installer) = INSTALLERS.iter().find(|installer| line.contains(*installer)) {
                find(at, "build", format!("'{installer}' fetches from elsewhere: images hold Debian packages only"));
            }
        }
    }
    let python = path.extension().is_some_and(|extension| extension == "py");
    if let Some(line) = python.then(|| unseeded(&text)).flatten() {
        find(line, "seed", format!("random numbers without a seed: use random.Random(...) with {SEED}"));
    }
    Ok(())
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["#", "//", "*", "/*", "--"].iter().any(|start| line.starts_with(start))
}

/// The hosts of addresses like `http://host:port/path`; what a program puts together at run time is left out.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    let namespaces = line.contains("xmlns") || line.contains("<!DOCTYPE");
    line.match_indices("://").filter(move |_| !namespaces).filter_map(|(at, _)| {
        let rest = &line[at + 3..];
        let rest = &rest[..rest.find(['/', '"', '\'', ' ', '?', ')', '`', '>', ';', ',']).unwrap_or(rest.len())];
        let rest = rest.rsplit('@').next().unwrap_or(rest);
        let host = rest.split(':').next().unwrap_or(rest);
        let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_');
        (plain && !host.is_empty()).then_some(host)
    })
}

/// IPv4 addresses that are neither private, loopback, link-local, documentation nor of any other special kind.
fn public_addresses(line: &str) -> Vec<Ipv4Addr> {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '/' || c == '_'));
    let words = words.flat_map(|word| {
        // `Browser/1.2.3.4` is a version.
        let version = word.split_once('/').is_some_and(|(head, _)| head.starts_with(|c: char| c.is_ascii_alphabetic()));
        word.split('/').filter(move |_| !version)
    });
    words.filter_map(|word| word.parse::<Ipv4Addr>().ok()).filter(|address| is_public(*address)).collect()
}

fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || a == 0
        // Netmasks and the like, and the shared space of RFC 6598.
        || a >= 240
        || (a == 100 && (64..128).contains(&b)))
}

/// The first line that takes from Python's own generator, where nothing seeds it.
fn unseeded(text: &str) -> Option<usize> {
    const CALLS: [&str; 10] = [
        "random(",
        "choice(",
        "choices(",
        "randint(",
        "randrange(",
        "uniform(",
        "shuffle(",
        "sample(",
        "expovariate(",
        "randbytes(",
    ];
    if text.contains("random.seed(") {
        return None;
    }
    let takes = |line: &str| {
        line.match_indices("random.").any(|(at, found)| {
            let alone = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
            let rest = &line[at + found.len()..];
            alone && CALLS.iter().any(|call| rest.starts_with(call))
        })
    };
    text.lines().position(|line| !is_comment(line) && takes(line)).map(|at| at + 1)
}

/// The load generator must take the seed, or two runs of the same seed have nothing in common.
fn check_seed(folder: &Path, scenario: &Scenario, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let Some(image) = scenario.images.get(&scenario.load.image) else { return Ok(()) };
    for path in context(image)?.values() {
        if std::fs::read_to_string(path).is_ok_and(|text| text.contains(SEED)) {
            return Ok(());
        }
    }
    findings.push(Finding {
        path: folder.join("scenario.toml"),
        place: "load".into(),
        rule: "seed",
        message: format!("no file of the image '{}' reads {SEED}", scenario.load.image),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_world_are_told_from_those_of_a_laboratory() {
        let found = |line: &str| public_addresses(line).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("curl http://8.8.8.8:80/x; ping 1.1.1.1"), ["8.8.8.8", "1.1.1.1"]);
        for fine in [
            "10.89.0.1/24",
            "127.0.0.1",
            "169.254.169.254",
            "Chrome/120.0.0.0",
            "0.0.0.0",
            "v1.2.3",
            "203.0.113.7",
            "1.2.3.4.5",
        ] {
            assert!(found(fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn hosts_are_found_where_they_are_written_out() {
        let found = |line: &'static str| hosts(line).collect::<Vec<_>>();
        assert_eq!(found("get('https://user:pw@example.org:80/x') # stratum+tcp://pool"), ["example.org", "pool"]);
        for fine in ["f\"http://{host}/\"", "http://$HOST/", "<svg xmlns=\"http://www.w3.org/2000/svg\">", "a:b"] {
            assert!(found(fine).is_empty(), "{fine}");
        }
    }

    #[test]
    fn chance_needs_a_seed() {
        assert_eq!(unseeded("import random\nx = random.random()\n"), Some(2));
        assert_eq!(unseeded("rng = random.Random(1)\nx = rng.random()\n# random.choice(\n"), None);
        assert_eq!(unseeded("random.seed(3)\nx = random.choice([1])\n"), None);
    }
}
