//! Paths for those who compare whole names and beginnings, and know no pattern.

use std::collections::BTreeSet;

use serde::Serialize;

use super::account::Account;
use super::pattern::Pattern;

const PREFIX: &str = "a pattern: all names with its beginning stand for it";
const UNSAFE_NAME: &str = "a name with a character that is not printed, or longer than can be compared: not known";

/// Known paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Paths {
    pub exact: BTreeSet<String>,
    /// All that begins so is known.
    pub prefixes: BTreeSet<String>,
}

impl Paths {
    /// `longest`: bytes of a path that can be compared.
    pub fn of<'a>(patterns: impl Iterator<Item = &'a Pattern>, longest: usize, account: &mut Account) -> Paths {
        let mut paths = Paths::default();
        for pattern in patterns {
            let text = pattern.prefix();
            if text.len() > longest || !text.chars().all(|c| matches!(c, ' '..='~')) {
                account.leave_out(UNSAFE_NAME, pattern);
                continue;
            }
            account.expressed += 1;
            if pattern.literal().is_some() {
                paths.exact.insert(text.to_owned());
            } else {
                account.widen(PREFIX, pattern);
                paths.prefixes.insert(text.to_owned());
            }
        }
        paths
    }
}
