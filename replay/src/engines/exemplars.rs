//! Labelled behaviours that the knn judge compares with. Format and provenance: `replay/exemplars/`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

const FORMAT: u32 = 1;
const BUILT_IN: &str = include_str!("../../exemplars/exemplars.toml");

/// What an exemplar is an example of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// An ATT&CK technique, as T1059.004.
    Malicious(String),
    /// What an ordinary service does it for.
    Benign(String),
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Label::Malicious(technique) => write!(f, "malicious, {technique}"),
            Label::Benign(purpose) => write!(f, "benign, {purpose}"),
        }
    }
}

/// One labelled line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub text: String,
    pub label: Label,
}

/// Why an exemplar file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ExemplarError {
    #[error("cannot read exemplars from {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("bad exemplar file {}: {reason}", path.display())]
    Bad { path: PathBuf, reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    #[serde(default)]
    malicious: Vec<Malicious>,
    #[serde(default)]
    benign: Vec<Benign>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Malicious {
    technique: String,
    texts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Benign {
    purpose: String,
    texts: Vec<String>,
}

/// The built-in exemplars, followed by those of `extra`, a file of the same format.
pub fn load(extra: Option<&Path>) -> Result<Vec<Exemplar>, ExemplarError> {
    let mut exemplars = parse(Path::new("exemplars.toml"), BUILT_IN)?;
    if let Some(path) = extra {
        let text =
            std::fs::read_to_string(path).map_err(|source| ExemplarError::Read { path: path.to_path_buf(), source })?;
        exemplars.extend(parse(path, &text)?);
    }
    Ok(exemplars)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Exemplar>, ExemplarError> {
    let bad = |reason: String| ExemplarError::Bad { path: path.to_path_buf(), reason };
    // The parser's message shows the line in several; ours is one line.
    let one_line = |error: toml::de::Error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let file: File = toml::from_str(text).map_err(|error| bad(one_line(error)))?;
    if file.format != FORMAT {
        return Err(bad(format!("format {} is not known, only {FORMAT}", file.format)));
    }
    let mut exemplars = Vec::new();
    for group in file.malicious {
        if !is_technique(&group.technique) {
            return Err(bad(format!("'{}' is no ATT&CK technique id", group.technique)));
        }
        let label = Label::Malicious(group.technique);
        exemplars.extend(group.texts.into_iter().map(|text| Exemplar { text, label: label.clone() }));
    }
    for group in file.benign {
        let label = Label::Benign(group.purpose);
        exemplars.extend(group.texts.into_iter().map(|text| Exemplar { text, label: label.clone() }));
    }
    match exemplars.iter().find(|exemplar| exemplar.text.trim().is_empty()) {
        Some(_) => Err(bad("an empty text".to_owned())),
        None => Ok(exemplars),
    }
}

/// T1234 or T1234.001.
fn is_technique(id: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let (technique, sub) = id.split_once('.').map_or((id, None), |(technique, sub)| (technique, Some(sub)));
    technique.strip_prefix('T').is_some_and(|number| digits(number, 4)) && sub.is_none_or(|sub| digits(sub, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_built_in_set_is_broad_distinct_and_apart_from_the_test_data() {
        let all = load(None).unwrap();
        let texts: BTreeSet<_> = all.iter().map(|exemplar| &exemplar.text).collect();
        assert_eq!(texts.len(), all.len(), "no line twice");
        let techniques: BTreeSet<_> = all
            .iter()
            .filter_map(|exemplar| match &exemplar.label {
                Label::Malicious(technique) => Some(technique),
                Label::Benign(_) => None,
            })
            .collect();
        let malicious = all.iter().filter(|exemplar| matches!(exemplar.label, Label::Malicious(_))).count();
        assert!(techniques.len() >= 12 && malicious >= 60 && all.len() - malicious >= 60);
        // What the recordings of datasets/ have of their own.
        for telling in ["minexmr", "/tmp/.x", "cdn.updates", "Retroscope", "diag", "srv/app/bin/worker"] {
            assert!(all.iter().all(|exemplar| !exemplar.text.contains(telling)), "{telling}");
        }
    }

    #[test]
    fn a_users_file_is_added_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "format = 1\n[[benign]]\npurpose = \"x\"\ntexts = [\"a b\"]\n").unwrap();
        let all = load(Some(&path)).unwrap();
        let mine = Exemplar { text: "a b".to_owned(), label: Label::Benign("x".to_owned()) };
        assert_eq!(all.last(), Some(&mine));
        for bad in [
            "format = 2",
            "nonsense",
            "format = 1\n[[malicious]]\ntechnique = \"T14\"\ntexts = [\"a\"]\n",
            "format = 1\n[[malicious]]\ntechnique = \"T1059.4\"\ntexts = [\"a\"]\n",
            "format = 1\n[[benign]]\npurpose = \"x\"\ntexts = [\" \"]\n",
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = load(Some(&path)).unwrap_err().to_string();
            assert!(error.contains("mine.toml") && !error.contains('\n'), "{error}");
        }
        assert!(load(Some(Path::new("/nonexistent"))).is_err());
    }
}
