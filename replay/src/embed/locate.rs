//! Finds the model folder and the ONNX Runtime library that set-up left in the project.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::EmbedError;

/// Names a model folder.
pub const MODEL_VAR: &str = "RETROSCOPE_MODEL";
/// Names the ONNX Runtime library; the variable is ort's own.
pub const LIBRARY_VAR: &str = "ORT_DYLIB_PATH";
/// Where set-up builds the default model, below the project's root.
pub const DEFAULT_MODEL: &str = ".models/all-minilm-l6-v2";

/// Its owner is the effective user.
pub(super) const OURS: &str = "/proc/self";

/// Where set-up's Python environment keeps the library: any Python version, any library version.
const LIBRARY_ROOT: &str = ".venv/lib";
const LIBRARY_BELOW: &str = "site-packages/onnxruntime/capi";

pub(super) fn model(explicit: Option<&Path>) -> Result<PathBuf, EmbedError> {
    let named = explicit.map(Path::to_path_buf).or_else(|| from_env(MODEL_VAR));
    if let Some(folder) = named {
        return match folder.join("config.json").is_file() {
            true => Ok(folder),
            false => Err(EmbedError::NoModel { looked_for: folder.join("config.json").display().to_string() }),
        };
    }
    roots()
        .map(|root| root.join(DEFAULT_MODEL))
        .find(|folder| folder.join("config.json").is_file())
        .ok_or_else(|| EmbedError::NoModel { looked_for: above(DEFAULT_MODEL) })
}

pub(super) fn library() -> Result<PathBuf, EmbedError> {
    if let Some(path) = from_env(LIBRARY_VAR) {
        return Ok(path);
    }
    roots().find_map(|root| library_below(&root)).ok_or_else(|| EmbedError::NoLibrary {
        looked_for: above(&format!("{LIBRARY_ROOT}/python3.*/{LIBRARY_BELOW}")),
    })
}

fn from_env(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn above(what: &str) -> String {
    format!("{what} in the directories above the executable and the working directory")
}

/// Every directory above the executable, then above the working directory, nearest first.
fn roots() -> impl Iterator<Item = PathBuf> {
    let starts = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    starts.into_iter().flatten().flat_map(|start| start.ancestors().map(Path::to_path_buf).collect::<Vec<_>>())
}

fn library_below(root: &Path) -> Option<PathBuf> {
    let mut pythons: Vec<_> = entries(&root.join(LIBRARY_ROOT)).collect();
    pythons.sort();
    pythons.into_iter().find_map(|python| {
        let mut libraries: Vec<_> = entries(&python.join(LIBRARY_BELOW)).filter(|path| is_library(path)).collect();
        libraries.sort();
        libraries.pop()
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_library(path: &Path) -> bool {
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"));
    named && is_trusted(path)
}

/// Loading a library runs its code, and this one was found by walking up from the working directory: it is only taken
/// from root or from the user who runs us, never because somebody else put a `.venv` into a shared directory.
fn is_trusted(path: &Path) -> bool {
    let us = std::fs::metadata(OURS).map(|metadata| metadata.uid());
    let owner = std::fs::metadata(path).map(|metadata| metadata.uid());
    match (us, owner) {
        (Ok(us), Ok(owner)) => owner == 0 || owner == us,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_below_any_python_and_other_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(library_below(root.path()), None);
        let capi = root.path().join(LIBRARY_ROOT).join("python3.12").join(LIBRARY_BELOW);
        std::fs::create_dir_all(&capi).unwrap();
        std::fs::write(capi.join("libonnxruntime_providers_shared.so"), "").unwrap();
        assert_eq!(library_below(root.path()), None);
        std::fs::write(capi.join("libonnxruntime.so.1.31.1"), "").unwrap();
        assert_eq!(library_below(root.path()), Some(capi.join("libonnxruntime.so.1.31.1")));
    }

    #[test]
    fn a_folder_without_a_config_is_not_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let error = model(Some(folder.path())).unwrap_err();
        assert!(matches!(error, EmbedError::NoModel { .. }), "{error}");
        assert!(error.hint().unwrap().contains("./dev setup"));
    }
}
