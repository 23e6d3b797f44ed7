//! What a sweep may look at: never what results are reported on.

use std::path::Path;

use datasets::{Recording, Split, Splits};

use crate::{Error, Result};

/// A recording with its name.
pub type Named = (String, Recording);

/// What is learned from, and what is tried.
pub struct Chosen {
    /// Of train, without an attack.
    pub lives: Vec<Named>,
    pub tried: Vec<(String, Option<Split>, Recording)>,
    /// Of the split test in a folder: left alone.
    pub left_out: usize,
}

/// From recordings and folders of recordings by path or name; none: the ones that ship. What is of validation is tried, and what is
/// of train and shows an attack; ordinary life of train is learned from. A recording of no split is tried, and said not to be.
///
/// # Errors
/// [`Error::Snooped`]: a recording of test was named, or one that shows the same moments as another split's.
/// [`Error::Set`]: nothing to try.
pub fn choose(named: &[String], splits: &Splits) -> Result<Chosen> {
    let mut all: Vec<(Named, bool)> = Vec::new();
    if named.is_empty() {
        for name in datasets::shipped_names() {
            all.push(((name.clone(), Recording::shipped(&name)?), false));
        }
    }
    for name in named {
        match folder(Path::new(name))? {
            Some(inside) => all.extend(inside.into_iter().map(|one| (one, false))),
            None => all.push(((replay::run::base_name(Path::new(name)), Recording::find(name)?), true)),
        }
    }
    let split_of = |recording: &Recording| splits.of_recording(recording.manifest());
    let mut chosen = Chosen { lives: Vec::new(), tried: Vec::new(), left_out: 0 };
    for ((name, recording), explicit) in all {
        let split = split_of(&recording);
        let attacked = recording.manifest().scenario.as_ref().is_some_and(|scenario| !scenario.steps.is_empty());
        match split {
            Some(Split::Test) if explicit => {
                return Err(Error::Tuned {
                    recording: name,
                    reason: "it is of the split test, and what is chosen on it cannot be reported on it".to_owned(),
                });
            }
            Some(Split::Test) => chosen.left_out += 1,
            Some(Split::Train) if !attacked => chosen.lives.push((name, recording)),
            split => chosen.tried.push((name, split, recording)),
        }
    }
    if chosen.tried.is_empty() {
        let of = if named.is_empty() { "those that ship".to_owned() } else { named.join(", ") };
        return Err(Error::Set { reason: format!("{of}: none is of validation, or of train with an attack") });
    }
    for (name, life) in &chosen.lives {
        for (_, _, recording) in &chosen.tried {
            let may = splits.may_learn(life.manifest(), recording.manifest());
            may.map_err(|reason| Error::Snooped { baseline: name.clone(), reason })?;
        }
    }
    Ok(chosen)
}

/// The recordings in a folder that is none itself.
fn folder(path: &Path) -> Result<Option<Vec<Named>>> {
    if !path.is_dir() || path.join("manifest.json").exists() {
        return Ok(None);
    }
    let unreadable = |error| Error::Set { reason: format!("{}: {error}", path.display()) };
    let mut found = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().join("manifest.json").is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), Recording::open(entry.path())?));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_taken_without_test() {
        let chosen = choose(&[], &Splits::shipped().unwrap()).unwrap();
        assert!(chosen.left_out > 0 && chosen.lives.iter().all(|(name, _)| !name.ends_with("-21")));
        assert!(chosen.tried.iter().all(|(_, split, _)| *split != Some(Split::Test)));
        assert!(chosen.tried.iter().any(|(name, ..)| name == "xmrig"), "train with an attack is tried");
    }

    #[test]
    fn a_recording_of_test_is_refused_with_a_way_out() {
        let error =
            choose(&["webapp-11".to_owned(), "batch-21".to_owned()], &Splits::shipped().unwrap()).err().unwrap();
        assert!(error.to_string().contains("batch-21") && error.to_string().contains("split test"), "{error}");
        assert!(error.hint().contains("validation") && error.exit_code() == 2);
    }
}
