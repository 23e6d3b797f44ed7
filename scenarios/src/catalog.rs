//! Where scenarios are found, and by which names.

use std::path::{Path, PathBuf};

use crate::definition::{self, Scenario};
use crate::error::Error;

/// Every scenario of the catalog, by name.
///
/// # Errors
/// [`Error::NoCatalog`], or [`Error::Definition`] with the first file that is not a scenario.
pub fn list() -> Result<Vec<Scenario>, Error> {
    list_from(&folder()?)
}

/// As [`list`], from a folder of one's own.
pub fn list_from(root: &Path) -> Result<Vec<Scenario>, Error> {
    let names = names(root)?;
    if names.is_empty() {
        return Err(Error::NoCatalog { path: root.to_owned() });
    }
    names.iter().map(|name| definition::read(root, name)).collect()
}

/// The scenario of that name.
///
/// # Errors
/// [`Error::Unknown`] lists the known names.
pub fn load(name: &str) -> Result<Scenario, Error> {
    load_from(&folder()?, name)
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
///
/// # Errors
/// [`Error::NoCatalog`]
pub fn folder() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os("RETROSCOPE_SCENARIOS") {
        let path = PathBuf::from(path);
        return if is_catalog(&path) { Ok(path) } else { Err(Error::NoCatalog { path }) };
    }
    let program = std::env::current_exe().ok();
    let missing = Error::NoCatalog { path: PathBuf::from("scenarios") };
    let above = program.iter().flat_map(|path| path.ancestors().skip(1)).map(|folder| folder.join("scenarios"));
    above.chain([PathBuf::from(env!("CARGO_MANIFEST_DIR"))]).find(|path| is_catalog(path)).ok_or(missing)
}

fn is_catalog(path: &Path) -> bool {
    names(path).is_ok_and(|names| !names.is_empty())
}

/// Bases lie one level deeper, as `common/shop`: they are there to be extended, and are not listed.
pub(crate) fn names_and_bases(root: &Path) -> Result<Vec<String>, Error> {
    let mut all = names(root)?;
    for entry in std::fs::read_dir(root).map_err(Error::read(root))? {
        let path = entry.map_err(Error::read(root))?.path();
        if path.is_dir() && !path.join("scenario.toml").is_file() {
            let above = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            all.extend(names(&path)?.into_iter().map(|name| format!("{above}/{name}")));
        }
    }
    all.sort();
    Ok(all)
}

/// The root and the name of a scenario's folder; `None` where there is no `scenario.toml` in it.
pub(crate) fn root_of(folder: &Path) -> Option<(PathBuf, String)> {
    if !folder.join("scenario.toml").is_file() {
        return None;
    }
    let name = folder.file_name()?.to_str()?.to_owned();
    let above = folder.parent()?;
    // A base lies in a folder of its catalog that is no scenario, beside others that are.
    match above.parent() {
        Some(root) if is_catalog(root) => Some((root.to_owned(), format!("{}/{name}", above.file_name()?.to_str()?))),
        _ => Some((above.to_owned(), name)),
    }
}

fn names(root: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).map_err(Error::read(root))? {
        let entry = entry.map_err(Error::read(root))?;
        if entry.path().join("scenario.toml").is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
