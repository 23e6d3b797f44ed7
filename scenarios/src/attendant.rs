//! Who applies something to the containers of a run, and looks at what becomes of it.

use std::fmt::Debug;

use crate::timeline::RunContainer;

/// A stretch of a run that has ended.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Ordinary life.
    Life,
    /// A step of the attack; with why its command failed, if it did.
    Step { act: &'a str, step: &'a str, failed: Option<&'a str> },
}

/// Gets the watched containers of a run in hand; those that stand for the outside world are none of its business.
///
/// An attended run goes on where a step of the attack fails: that may be what the attendant is for.
pub trait Attendant: Debug + Send + Sync {
    /// More options for `podman create`. `image`: its reference.
    fn options(&self, image: &str) -> Vec<String>;

    /// A container is set up, with its namespaces, and none of its own programs runs yet. `pid`: of the process that holds them.
    ///
    /// # Errors
    /// What went wrong: the container is not started, and the run ends.
    fn starting(&self, container: &RunContainer, pid: u32) -> Result<(), String>;

    /// Called after each part, the containers still running.
    fn ended(&self, part: Part<'_>);
}
