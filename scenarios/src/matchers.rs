//! How the events of a step are recognised. In patterns `*` stands for any run of characters.

use serde::{Deserialize, Serialize};

/// Finds the root of a process tree that belongs to the attack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootMatcher {
    pub service: String,
    pub exe: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_exe: Option<String>,
    /// Each must be part of the command line (the arguments joined by one space).
    #[serde(default)]
    pub argv_contains: Vec<String>,
    /// Instead of the step's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technique: Option<String>,
    /// Nobody can say whether the tree is the attack's.
    #[serde(default)]
    pub ambiguous: bool,
    /// It may match nothing.
    #[serde(default)]
    pub optional: bool,
}

/// Finds file events of the attack, in whatever process, by path and operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMatcher {
    pub service: String,
    pub path: String,
    /// Values of the `op` column.
    pub ops: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Only descriptors opened for writing.
    #[serde(default)]
    pub write: bool,
    #[serde(default)]
    pub ambiguous: bool,
    #[serde(default)]
    pub optional: bool,
}

/// Finds network events of the attack, in whatever process, by peer and port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkMatcher {
    pub service: String,
    /// Values of the `op` column; empty: any.
    #[serde(default)]
    pub ops: Vec<String>,
    /// A service, one of its names, or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// On either side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The first process that the matching one forks within two seconds, and its descendants, are the attack's as well: what
    /// serves the attacker's connection.
    #[serde(default)]
    pub tree: bool,
    #[serde(default)]
    pub ambiguous: bool,
    #[serde(default)]
    pub optional: bool,
}

/// Finds DNS messages of the attack by the name asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsMatcher {
    pub service: String,
    pub question: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(default)]
    pub ambiguous: bool,
    #[serde(default)]
    pub optional: bool,
}

/// Finds TLS plaintext of the attack by what it contains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsMatcher {
    pub service: String,
    pub contains: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    #[serde(default)]
    pub ambiguous: bool,
    #[serde(default)]
    pub optional: bool,
}

/// All of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matchers {
    pub roots: Vec<RootMatcher>,
    pub files: Vec<FileMatcher>,
    pub network: Vec<NetworkMatcher>,
    pub dns: Vec<DnsMatcher>,
    pub tls: Vec<TlsMatcher>,
    /// Kinds of events, as `network.connect`, that must be among the step's labelled ones, where their class was recorded.
    pub expect: Vec<String>,
}

impl Matchers {
    /// Whether nothing can be labelled.
    pub(crate) fn is_empty(&self) -> bool {
        self.services().next().is_none()
    }

    /// The services whose events are labelled.
    pub(crate) fn services(&self) -> impl Iterator<Item = &String> {
        let Matchers { roots, files, network, dns, tls, expect: _ } = self;
        let roots = roots.iter().map(|each| &each.service).chain(files.iter().map(|each| &each.service));
        let network = network.iter().map(|each| &each.service).chain(dns.iter().map(|each| &each.service));
        roots.chain(network).chain(tls.iter().map(|each| &each.service))
    }
}

/// Whether `text` is what `pattern` says, where `*` stands for any run of characters.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').map_or((None, rest), |(middle, tail)| (Some(middle), tail));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_any_run() {
        let yes = [("/usr/bin/*sh", "/usr/bin/dash"), ("/a", "/a"), ("*", ""), ("a*b*c", "axbxbxc"), ("a**c", "ac")];
        for (pattern, text) in yes {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        let no =
            [("/usr/bin/*sh", "/bin/sh"), ("/a", "/ab"), ("a*b*c", "axc"), ("ab*ba", "aba"), ("a*", "b"), ("", "a")];
        for (pattern, text) in no {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
