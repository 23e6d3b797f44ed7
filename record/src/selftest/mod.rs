//! `record selftest`: does each thing the recorder should see, and looks for exactly its row, every field right.
//!
//! A [`Case`] is two functions. Its *trigger* makes real system calls in a process and a directory of its own, and returns
//! what it did as JSON facts. Its *check* gets the facts and the rows that were recorded of that process and its
//! descendants. Cases live in one file per class. This is a whole one:
//!
//! ```
//! use record::expect;
//! use record::selftest::{Case, Checked, Facts, Rows, Scratch, Stop};
//! use datasets::FileEvent;
//! use record_bpf::Kind;
//! use serde_json::{Value, json};
//! use std::os::fd::AsRawFd;
//!
//! pub fn cases() -> Vec<Case> {
//!     vec![Case::new("open", &[Kind::Open], open, check_open)]
//! }
//!
//! fn open(scratch: &Scratch) -> Result<Value, Stop> {
//!     let path = scratch.path("data");
//!     let file = std::fs::File::create(&path)?; // an io::Error fails the case; Stop::skip("why") skips it
//!     Ok(json!({ "path": path, "fd": file.as_raw_fd() }))
//! }
//!
//! fn check_open(rows: &Rows, facts: &Facts) -> Checked {
//!     let row = rows.one(Kind::Open, |row: &FileEvent| row.path.as_deref() == Some(facts.text("path")))?;
//!     expect!(row.ret, facts.number("fd")); // "row.ret: expected 4, found -2" fails the case
//!     Ok(())
//! }
//! ```
//!
//! A pid in the facts is that of the trigger's own pid namespace: `rows.host_pid(pid)` is the one in the rows. A case that
//! needs another recording than the default of its class says so: [`Case::options`] gives the recorder options,
//! [`Case::arrange`] prepares something before the recording begins (an interface, say) and takes it away after it.
//! [`sys`] has the system calls that `std` lacks.

use std::path::{Path, PathBuf};

use record_bpf::Kind;
use serde_json::Value;

mod dns;
mod exec;
mod facts;
mod file;
mod file_changes;
mod file_names;
mod flow;
mod judge;
mod network;
mod process;
mod report;
mod resource;
mod rows;
mod run;
mod security;
pub mod sys;
mod syscall;
mod tcp;
mod tls;
mod trigger;

pub use facts::Facts;
pub use judge::{Outcome, Verdict, judge};
pub use report::{Report, table};
pub use rows::{Row, Rows};
pub use run::run;
pub use trigger::{FACTS_FILE, run_here, trigger};

/// Every case of every class.
pub fn cases() -> Vec<Case> {
    [
        process::cases(),
        exec::cases(),
        security::cases(),
        file::cases(),
        file_changes::cases(),
        file_names::cases(),
        network::cases(),
        tcp::cases(),
        dns::cases(),
        flow::cases(),
        syscall::cases(),
        resource::cases(),
        tls::cases(),
    ]
    .concat()
}

pub type Trigger = fn(&Scratch) -> Result<Value, Stop>;
pub type Check = fn(&Rows, &Facts) -> Checked;
pub type Arrange = fn(&Path) -> Result<Arranged, Stop>;

/// Err: what is wrong, in words: field, expected, found.
pub type Checked = Result<(), String>;

/// One thing to do and to find.
#[derive(Clone, Copy)]
pub struct Case {
    /// Unique; also the name of its scratch directory.
    pub name: &'static str,
    pub kinds: &'static [Kind],
    pub trigger: Trigger,
    pub check: Check,
    pub options: &'static [&'static str],
    pub arrange: Option<Arrange>,
}

impl Case {
    pub const fn new(name: &'static str, kinds: &'static [Kind], trigger: Trigger, check: Check) -> Case {
        Case { name, kinds, trigger, check, options: &[], arrange: None }
    }

    /// Options of `record` that this case needs, as `&["--ring", "1"]`. Cases with the same options share a recording.
    #[must_use]
    pub const fn options(mut self, options: &'static [&'static str]) -> Case {
        self.options = options;
        self
    }

    /// Something to make before the recording begins; such a case has a recording of its own.
    #[must_use]
    pub const fn arrange(mut self, arrange: Arrange) -> Case {
        self.arrange = Some(arrange);
        self
    }

    /// Whether it can be recorded together with others, and in a container.
    pub fn is_plain(&self) -> bool {
        self.options.is_empty() && self.arrange.is_none()
    }
}

/// What [`Case::arrange`] made.
#[derive(Default)]
pub struct Arranged {
    /// More options for `record`, as the name of the interface that was made.
    pub options: Vec<String>,
    /// Taken away when it is dropped, after the recording.
    pub guard: Option<Box<dyn std::any::Any>>,
}

/// A directory for one case alone.
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    pub fn new(dir: PathBuf) -> Scratch {
        Scratch { dir }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Of a file in it, as text: the facts are JSON.
    pub fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// Why a trigger did not do its thing.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// This machine lacks something that the case needs.
    #[error("{0}")]
    Skip(String),
    #[error("{0}")]
    Fail(String),
}

impl Stop {
    pub fn skip(why: impl Into<String>) -> Stop {
        Stop::Skip(why.into())
    }

    pub fn fail(why: impl Into<String>) -> Stop {
        Stop::Fail(why.into())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        Stop::Fail(error.to_string())
    }
}

/// `expect!(row.ret, 3)`: returns "row.ret: expected 3, found -2" from a check unless they are equal. Both are of one type.
#[macro_export]
macro_rules! expect {
    ($found:expr, $expected:expr $(,)?) => {
        $crate::selftest::same(stringify!($found), &$found, &$expected)?
    };
}

pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Checked {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_case_and_names_are_unique() {
        let cases = cases();
        let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !cases.iter().any(|c| c.kinds.contains(kind))).collect();
        assert!(missing.is_empty(), "no case in record/src/selftest for {missing:?}");
        for (i, case) in cases.iter().enumerate() {
            assert!(!case.kinds.is_empty(), "{} covers a kind", case.name);
            assert!(cases[i + 1..].iter().all(|other| other.name != case.name), "{} is there twice", case.name);
        }
    }
}
