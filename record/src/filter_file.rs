//! Filters in a file, read again at SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::narrow::PodArgs;

/// `--filter-file`: the same filters as on the command line, as lists of patterns.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Patterns {
    container: Vec<String>,
    image: Vec<String>,
    cgroup: Vec<String>,
    pod: Vec<String>,
    namespace: Vec<String>,
    label: Vec<String>,
}

/// The filter that the file asks for. An empty one asks for every container, as no filter on the command line does.
///
/// # Errors
/// A file that cannot be read, is no TOML, has another key, or a bad pattern.
pub fn read(path: &Path) -> Result<Filter> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::Usage(format!("{}: cannot read: {error}", path.display())))?;
    parse(&text).map_err(|error| match error {
        Error::Usage(what) => Error::Usage(format!("{}: {what}", path.display())),
        other => other,
    })
}

fn parse(text: &str) -> Result<Filter> {
    let patterns: Patterns = toml::from_str(text).map_err(|error| Error::Usage(one_line(&error)))?;
    let Patterns { container, image, cgroup, pod, namespace, label } = patterns;
    Filter::new(&container, &image, &cgroup)?.narrowed(&PodArgs { pod, namespace, label })
}

/// What is wrong, and where.
fn one_line(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

static ASKED: AtomicBool = AtomicBool::new(false);

/// A filter file that SIGHUP reads again.
pub struct Reload {
    path: PathBuf,
}

impl Reload {
    /// SIGHUP from here on asks to read the file again; it ends the recording no more.
    ///
    /// # Errors
    /// The kernel refuses the handler.
    pub fn at_hangup(path: &Path) -> Result<Reload> {
        let refused = |source| Error::Read { path: "SIGHUP".into(), source };
        // SAFETY: a zeroed sigaction is valid; the handler only stores to an atomic.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_hangup as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGHUP, &raw const action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(refused(std::io::Error::last_os_error()));
        }
        // The recorder may change its directory's permissions, never its place; the path stays right.
        let path = std::path::absolute(path).map_err(refused)?;
        Ok(Reload { path })
    }

    /// Whether SIGHUP came since the last call.
    pub fn is_asked(&self) -> bool {
        ASKED.swap(false, Ordering::SeqCst)
    }

    pub fn read(&self) -> Result<Filter> {
        read(&self.path)
    }
}

extern "C" fn on_hangup(_: libc::c_int) {
    ASKED.store(true, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_the_command_line_says() {
        let filter = parse("container = ['shop-*']\nlabel = ['app=shop']\n").unwrap();
        assert_eq!(filter.text(), ["container = shop-*", "label = app=shop"]);
        assert_eq!(parse("").unwrap().text(), ["every container"]);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (text, part) in [
            ("containers = ['x']", "containers"),
            ("container = 'x'", "container"),
            ("container = ['web[']", "web["),
            ("label = ['x']", "KEY=VALUE"),
            ("[", "line 1"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        let error = read(Path::new("/nonexistent/filters.toml")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/filters.toml"), "{error}");
    }
}
