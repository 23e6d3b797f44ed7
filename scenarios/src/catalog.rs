//! Where scenarios are found, and by which names.

use std::path::{Path, PathBuf};

use crate::definition::{self, Scenario};
use crate::error::Error;

/// Every scenario of the catalog, by name.
///
/// # Errors
/// [`Error::NoCatalog`], or [`Error::Definition`] with the first file that is not a scenario.
pub fn list() -> Result<Vec<Scenario>, Error> {
    let root = root()?;
    names(&root)?.iter().map(|name| definition::read(&root, name)).collect()
}

/// The scenario of that name.
///
/// # Errors
/// [`Error::Unknown`] lists the known names.
pub fn load(name: &str) -> Result<Scenario, Error> {
    load_from(&root()?, name)
}

/// As [`load`], from a folder of one's own.
pub fn load_from(root: &Path, name: &str) -> Result<Scenario, Error> {
    let known = names(root)?;
    if known.iter().any(|each| each == name) {
        definition::read(root, name)
    } else {
        Err(Error::Unknown { name: name.to_owned(), known })
    }
}

/// The folder that holds the scenario folders: `$RETROSCOPE_SCENARIOS`, else `scenarios/` beside or above the program,
/// else the one of the source tree it was built from.
fn root() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("RETROSCOPE_SCENARIOS") {
        let path = PathBuf::from(path);
        return if is_catalog(&path) { Ok(path) } else { Err(Error::NoCatalog) };
    }
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|path| path.ancestors().skip(1)).map(|folder| folder.join("scenarios"));
    above.chain([PathBuf::from(env!("CARGO_MANIFEST_DIR"))]).find(|path| is_catalog(path)).ok_or(Error::NoCatalog)
}

fn is_catalog(path: &Path) -> bool {
    names(path).is_ok_and(|names| !names.is_empty())
}

fn names(root: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).map_err(Error::io(root))? {
        let entry = entry.map_err(Error::io(root))?;
        if entry.path().join("scenario.toml").is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
