//! Finding a recording by name.

use std::env;
use std::path::{Path, PathBuf};

use crate::read::Recording;
use crate::{Error, Result, manifest_file, near};

/// Overrides where recordings are looked for by name.
pub const DATASETS_VARIABLE: &str = "RETROSCOPE_DATASETS";

impl Recording {
    /// Opens a recording that ships with the project, by its name (as `xmrig`).
    ///
    /// Those of a set are called SCENARIO-SEED; where there is one of a scenario alone, the scenario's name is enough.
    ///
    /// Looked for in `$RETROSCOPE_DATASETS`, then in `datasets/recordings` of the working directory, of the program's own
    /// directory and of every directory above them, then in the source tree this was built from.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the names there are, and those of [`Recording::open`].
    pub fn shipped(name: &str) -> Result<Recording> {
        let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let open = |name: &str| {
            let found = folders().into_iter().map(|folder| folder.join(name)).find(|dir| plain && is_recording(dir));
            found.map(Recording::open)
        };
        if let Some(opened) = open(name) {
            return opened;
        }
        let known = shipped_names();
        let seeds: Vec<&String> = known.iter().filter(|other| is_seed_of(other, name)).collect();
        match seeds.as_slice() {
            [only] => open(only).unwrap_or_else(|| Err(unknown(name, &known))),
            _ => Err(unknown(name, &known)),
        }
    }

    /// Opens a recording by path, or by name where there is no such path.
    pub fn find(name_or_path: &str) -> Result<Recording> {
        resolve(name_or_path).and_then(Recording::open)
    }
}

/// Whether one is called like the other with a seed behind it: `port-scan-21` is of `port-scan`, and `port-scan-slow-21` is not.
fn is_seed_of(one: &str, other: &str) -> bool {
    let seed = one.strip_prefix(other).and_then(|rest| rest.strip_prefix('-'));
    seed.is_some_and(|seed| !seed.is_empty() && seed.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Names that are shown when there is none like the one asked for.
const SHOWN: usize = 12;

/// With the name that was meant, the names that begin like it, or else with the first of all.
fn unknown(name: &str, known: &[String]) -> Error {
    let alike: Vec<&String> = known.iter().filter(|other| !name.is_empty() && other.starts_with(name)).collect();
    let scenarios = known.iter().filter_map(|known| known.rsplit_once('-')).map(|(scenario, _)| scenario);
    let nearest = || near::nearest(name, known.iter().map(String::as_str).chain(scenarios)).map(str::to_owned);
    let meant = if alike.is_empty() { nearest() } else { None };
    let all: Vec<&String> = if alike.is_empty() { known.iter().collect() } else { alike };
    let mut shown: Vec<String> = all.iter().take(SHOWN).map(|name| (*name).clone()).collect();
    if all.len() > SHOWN {
        shown.push(format!("and {} more", all.len() - SHOWN));
    }
    Error::UnknownName { name: name.to_owned(), meant, known: shown }
}

/// The directory that a name or path stands for; not yet opened.
///
/// # Errors
/// [`Error::UnknownName`], for what is neither.
pub fn resolve(name_or_path: &str) -> Result<PathBuf> {
    let path = Path::new(name_or_path);
    if path.exists() || name_or_path.contains('/') {
        return Ok(path.to_owned());
    }
    Recording::shipped(name_or_path).map(|recording| recording.dir().to_owned())
}

/// Names of the recordings that can be opened by name, sorted.
pub fn shipped_names() -> Vec<String> {
    let mut names: Vec<String> = folders()
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .flatten()
        .filter(|entry| is_recording(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn is_recording(dir: &Path) -> bool {
    manifest_file::path(dir).is_file()
}

fn folders() -> Vec<PathBuf> {
    let here = env::current_dir().ok();
    let program = env::current_exe().ok();
    let above = |start: &Option<PathBuf>| {
        let ancestors = start.iter().flat_map(|path| path.ancestors());
        ancestors.map(|dir| dir.join("datasets/recordings")).collect::<Vec<_>>()
    };
    let mut folders: Vec<PathBuf> = env::var_os(DATASETS_VARIABLE).map(PathBuf::from).into_iter().collect();
    folders.extend(above(&here));
    folders.extend(above(&program));
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings"));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_behind_the_name() {
        let of = |one| is_seed_of(one, "port-scan");
        assert_eq!(
            ["port-scan-21", "port-scan-slow-21", "port-scan-", "port-scan"].map(of),
            [true, false, false, false]
        );
    }

    #[test]
    fn of_many_names_those_alike_are_shown_or_the_first() {
        let known: Vec<String> =
            (0..20).map(|n| format!("life-{n:02}")).chain(["web-1".to_owned(), "web-2".to_owned()]).collect();
        let text = |name| unknown(name, &known).to_string();
        assert_eq!(text("web"), "no recording called \"web\"; known: web-1, web-2");
        assert!(text("x").ends_with("life-11, and 10 more"), "{}", text("x"));
        assert_eq!(text("lief-07"), "no recording called \"lief-07\"; did you mean life-07?");
        assert_eq!(text("liff"), "no recording called \"liff\"; did you mean life?");
    }
}
