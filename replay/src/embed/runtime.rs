//! Loads the ONNX Runtime library once per process.
//!
//! ort loads its library on the first use of any of its functions, and panics if it cannot. So [`start`] loads it by
//! path first ([`ort::init_from`] returns an error instead), and nothing else here touches ort before it succeeded.

use std::path::Path;
use std::sync::Mutex;

use ort::environment::Environment;

use super::error::one_line;
use super::{EmbedError, locate};

/// ONNX Runtime allows one environment per process, and it must outlive every session.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The process's ONNX Runtime environment. The first library that loads stays for the life of the process.
pub(super) fn start() -> Result<Environment, EmbedError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    let found = locate::library()?;
    // ort looks for a relative path beside the executable first; what the user named is relative to where they are.
    let path = found.canonicalize().map_err(|error| bad(&found, error))?;
    let started = ort::init_from(&path)
        .map_err(|error| bad(&path, error))?
        .with_name("retroscope")
        .with_telemetry(false)
        .build()
        .map_err(|error| bad(&path, error))?;
    Ok(environment.insert(started).clone())
}

fn bad(path: &Path, error: impl std::fmt::Display) -> EmbedError {
    EmbedError::Library { path: path.to_path_buf(), reason: one_line(error) }
}
