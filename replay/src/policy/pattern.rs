//! Paths of a profile as patterns that a policy can be made of: literal text, and places where any name may stand.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::args::mask;
use crate::args::path::has_masks;
use crate::profile::node::WILDCARD;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    Text(String),
    /// One character or more, none of them `/`.
    Any,
}

/// A path, from `/` on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

/// Stands in for [`Piece::Any`] where one pattern is compared with another; no policy has a name with it.
const SAMPLE: &str = "\u{1}";

impl Pattern {
    /// Of the path segments of a file tree (`/name`, `/*`).
    pub fn of_steps(steps: &[Arc<str>]) -> Pattern {
        let masked = steps.concat();
        let masks = has_masks(&masked);
        let mut pattern = Pattern { pieces: Vec::new() };
        for step in steps {
            pattern.push_text("/");
            match step.strip_prefix('/').unwrap_or(step) {
                _ if &**step == WILDCARD => pattern.push_any(),
                "\\*" => pattern.push_text("*"),
                name if masks => pattern.push_masked(name),
                name => pattern.push_text(name),
            }
        }
        if steps.is_empty() {
            pattern.push_text("/");
        }
        pattern
    }

    /// Of a program, which a profile holds as one step.
    pub fn of_program(masked: &str) -> Pattern {
        let mut pattern = Pattern { pieces: Vec::new() };
        if has_masks(masked) {
            pattern.push_masked(masked);
        } else {
            pattern.push_text(masked);
        }
        pattern
    }

    fn push_text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn push_any(&mut self) {
        if self.pieces.last() != Some(&Piece::Any) {
            self.pieces.push(Piece::Any);
        }
    }

    fn push_masked(&mut self, mut text: &str) {
        while let Some((before, rest)) = text.split_once('<') {
            self.push_text(before);
            match rest.split_once('>') {
                Some((name, after)) if mask::NAMES.contains(&name) || name.starts_with("ip:") => {
                    self.push_any();
                    text = after;
                }
                _ => {
                    self.push_text("<");
                    text = rest;
                }
            }
        }
        self.push_text(text);
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The path, where any name may stand nowhere in it.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text before the first place where any name may stand.
    pub fn prefix(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether it is a path that a policy can name: absolute, without `.`, `..` and empty names.
    pub fn is_absolute(&self) -> bool {
        let plain = |name: &str| !matches!(name, "" | "." | "..");
        let text = self.to_string();
        text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
    }

    pub fn matches(&self, path: &str) -> bool {
        let mut at = BTreeSet::from([0]);
        for piece in &self.pieces {
            at = match piece {
                Piece::Text(text) => at
                    .into_iter()
                    .filter(|from| path[*from..].starts_with(&**text))
                    .map(|from| from + text.len())
                    .collect(),
                Piece::Any => at.into_iter().flat_map(|from| ends(path, from)).collect(),
            };
            if at.is_empty() {
                return false;
            }
        }
        at.contains(&path.len())
    }

    /// Whether all that the other matches is matched by this one.
    pub fn covers(&self, other: &Pattern) -> bool {
        let pieces = other.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Any => SAMPLE,
        });
        self == other || self.matches(&pieces.collect::<String>())
    }
}

/// Where a name that begins at `from` may end.
fn ends(path: &str, from: usize) -> impl Iterator<Item = usize> {
    let name = path[from..].split('/').next().unwrap_or_default();
    name.char_indices().map(move |(i, c)| from + i + c.len_utf8())
}

impl fmt::Display for Pattern {
    /// For people: any name is `*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Any => f.write_str("*"),
        })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::profile::node::segment;

    /// The pattern that a file tree makes of a masked path.
    pub fn pattern(path: &str) -> Pattern {
        let steps: Vec<Arc<str>> = path
            .split('/')
            .skip(1)
            .map(|name| Arc::from(if name == "**" { WILDCARD.to_owned() } else { segment(name) }))
            .collect();
        Pattern::of_steps(&steps)
    }

    #[test]
    fn a_mask_is_any_name_and_in_a_sensitive_place_a_name() {
        let log = pattern("/var/log/app/<num>.log");
        assert_eq!(log.to_string(), "/var/log/app/*.log");
        assert!(log.matches("/var/log/app/17.log") && !log.matches("/var/log/app/.log"));
        assert!(!log.matches("/var/log/app/1/7.log") && !log.matches("/var/log/app/17.log.gz"));
        assert_eq!(pattern("/etc/<num>").literal(), Some("/etc/<num>"));
        assert_eq!(pattern("/srv/<b>").literal(), Some("/srv/<b>"));
        assert!(pattern("/proc/<pid>/stat").matches("/proc/4711/stat"));
    }

    #[test]
    fn a_wildcard_is_one_name_and_a_star_in_a_name_is_a_star() {
        let all = pattern("/srv/**/data");
        assert!(all.matches("/srv/x/data") && !all.matches("/srv/x/y/data") && !all.matches("/srv//data"));
        let star = pattern("/srv/*");
        assert!(star.matches("/srv/*") && !star.matches("/srv/a"));
        assert!(all.covers(&pattern("/srv/<num>/data")) && !pattern("/srv/a/data").covers(&all));
        assert!(!star.covers(&all));
    }

    #[test]
    fn many_places_are_no_burden_and_names_may_be_of_any_script() {
        let text = format!("/{}", "<num>-".repeat(40));
        assert!(!pattern(&text).matches(&format!("/{}", "1-".repeat(39))));
        assert!(pattern("/srv/<tmp>é").matches("/srv/ééé"));
    }

    #[test]
    fn what_is_no_absolute_path_is_told() {
        assert!(pattern("/").is_absolute() && pattern("/a/b").is_absolute());
        for path in ["/./run", "/a/../b", "/a//b"] {
            assert!(!pattern(path).is_absolute(), "{path}");
        }
        assert!(!Pattern::of_program("(unknown)").is_absolute());
    }
}
