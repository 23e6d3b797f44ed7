//! What a host must have before a scenario can run.

use crate::error::Error;
use crate::podman::find_program;

/// Programs, the Debian packages they come from, and the hint for each.
const PROGRAMS: &[(&str, &str)] = &[
    ("podman", "apt-get install podman"),
    ("conmon", "apt-get install conmon"),
    ("runc", "apt-get install runc"),
    ("netavark", "apt-get install netavark"),
    ("iptables", "apt-get install iptables"),
    ("mmdebstrap", "apt-get install mmdebstrap"),
];

/// Whether a scenario can run here: root, and every program it needs.
///
/// # Errors
/// [`Error::NotRoot`] or [`Error::Missing`], whose [`hint`](Error::hint) says what to install.
pub fn preflight() -> Result<(), Error> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    for (program, hint) in PROGRAMS {
        if find_program(program).is_none() {
            return Err(Error::Missing { what: (*program).to_owned(), hint });
        }
    }
    Ok(())
}
