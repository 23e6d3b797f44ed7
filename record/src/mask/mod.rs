//! Likely secrets in argument vectors, plaintext and names, replaced before anything is written.
//!
//! What is replaced says what it was, `<masked:password>`, and is always the same: a profile learned from one recording must
//! meet the same command line in the next, so nothing of the secret, not even a keyed hash, goes into the text.

pub mod rows;
pub mod table;

use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use table::Scope;

/// The patterns, compiled when they are first needed: most recordings have no plaintext, and few secrets.
pub struct Masker {
    argv: LazyLock<Patterns>,
    text: LazyLock<Patterns>,
}

/// Those of one scope.
struct Patterns {
    /// One pass over the text tells which patterns are worth a closer look; for nearly all texts, none.
    any: RegexSet,
    patterns: Vec<Compiled>,
    /// What holds a shell's substitution is not replaced.
    spare_shell: bool,
}

struct Compiled {
    mask: String,
    expression: Expression,
    unless: Option<Expression>,
}

/// Compiled when the set says that there is something to find.
struct Expression {
    text: String,
    compiled: OnceLock<Regex>,
}

impl Expression {
    fn new(text: String) -> Expression {
        Expression { text, compiled: OnceLock::new() }
    }

    fn get(&self) -> &Regex {
        self.compiled.get_or_init(|| {
            let mut builder = RegexBuilder::new(&self.text);
            builder.unicode(false).size_limit(SIZE_LIMIT).build().expect("an expression of this crate")
        })
    }
}

/// A part of a text that is replaced, and the index of the pattern that says so.
type Span = (usize, usize, usize);

/// Bytes of a compiled expression.
const SIZE_LIMIT: usize = 8 << 20;
/// Bytes of the automaton that [`Patterns::any`] builds as it goes; it is emptied when it is full.
const CACHE_LIMIT: usize = 4 << 20;

impl Default for Masker {
    fn default() -> Masker {
        Masker {
            argv: LazyLock::new(|| Patterns::new(Scope::Argv)),
            text: LazyLock::new(|| Patterns::new(Scope::Text)),
        }
    }
}

impl Masker {
    /// Every recording has argument vectors: what they need is compiled before it begins, not when the first ones wait.
    pub fn prepare(&self) {
        LazyLock::force(&self.argv);
    }

    /// The bytes of a text or of plaintext with secrets replaced; None if there are none.
    pub fn bytes(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.text.mask(text)
    }

    /// As [`Masker::bytes`], of a text.
    pub fn text(&self, text: &str) -> Option<String> {
        self.bytes(text.as_bytes()).map(lossy)
    }

    /// Replaces secrets in an argument vector, whose boundaries stay; says whether there were any.
    pub fn argv(&self, argv: &mut Vec<String>) -> bool {
        let masked = match &argv[..] {
            [] => None,
            [one] => self.argv.mask(one.as_bytes()),
            many => self.argv.mask(many.join("\0").as_bytes()),
        };
        let Some(masked) = masked else { return false };
        // No pattern takes in a NUL, so there are as many arguments as before.
        *argv = masked.split(|byte| *byte == 0).map(|argument| lossy(argument.to_vec())).collect();
        true
    }
}

impl Patterns {
    fn new(scope: Scope) -> Patterns {
        let chosen: Vec<_> = table::table().pattern.into_iter().filter(|pattern| pattern.is_for(scope)).collect();
        let any = RegexSetBuilder::new(chosen.iter().map(|pattern| &pattern.expression))
            .unicode(false)
            .size_limit(SIZE_LIMIT * 4)
            .dfa_size_limit(CACHE_LIMIT)
            .build()
            .expect("expressions of this crate");
        let compiled = chosen.into_iter().map(|pattern| Compiled {
            mask: format!("<masked:{}>", pattern.label),
            expression: Expression::new(pattern.expression),
            unless: pattern.unless.map(Expression::new),
        });
        Patterns { any, patterns: compiled.collect(), spare_shell: scope == Scope::Argv }
    }

    fn mask(&self, text: &[u8]) -> Option<Vec<u8>> {
        let spans = self.spans(text);
        if spans.is_empty() {
            return None;
        }
        let mut masked = Vec::with_capacity(text.len() + 16 * spans.len());
        let mut done = 0;
        for (start, end, pattern) in spans {
            masked.extend_from_slice(&text[done..start]);
            masked.extend_from_slice(self.patterns[pattern].mask.as_bytes());
            done = end;
        }
        masked.extend_from_slice(&text[done..]);
        Some(masked)
    }

    /// The parts to replace, in order and apart from each other.
    fn spans(&self, text: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        for index in self.any.matches(text) {
            let Compiled { mask: _, expression, unless } = &self.patterns[index];
            for found in expression.get().captures_iter(text) {
                let whole = found.get(0).map_or(&[][..], |whole| whole.as_bytes());
                if unless.as_ref().is_some_and(|unless| unless.get().is_match(whole)) {
                    continue;
                }
                // What is masked already stays as it is.
                let fresh = found.iter().skip(1).flatten().filter(|part| {
                    let part = part.as_bytes();
                    !(part.is_empty() || is_mask(part) || self.spare_shell && substitutes(part))
                });
                spans.extend(fresh.map(|part| (part.start(), part.end(), index)));
            }
        }
        spans.sort_unstable();
        spans.dedup_by(|later, earlier| {
            let overlaps = later.0 < earlier.1;
            if overlaps {
                earlier.1 = earlier.1.max(later.1);
            }
            overlaps
        });
        spans
    }
}

fn is_mask(part: &[u8]) -> bool {
    part.strip_prefix(b"<masked:")
        .is_some_and(|rest| rest.iter().position(|byte| *byte == b'>') == Some(rest.len() - 1))
}

/// Whether a shell would run something to get at it.
fn substitutes(part: &[u8]) -> bool {
    part.contains(&b'`') || part.windows(2).any(|pair| pair == b"$(")
}

/// The groups end at ASCII characters, so text stays text; a group that did not would show.
fn lossy(bytes: Vec<u8>) -> String {
    match String::from_utf8_lossy(&bytes) {
        Cow::Owned(repaired) => repaired,
        Cow::Borrowed(_) => String::from_utf8(bytes).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::table::{Example, table};
    use super::*;

    fn masked(masker: &Masker, example: &Example) -> Example {
        match example {
            Example::Text(text) => Example::Text(masker.text(text).unwrap_or_else(|| text.clone())),
            Example::Argv(argv) => {
                let mut argv = argv.clone();
                masker.argv(&mut argv);
                Example::Argv(argv)
            }
        }
    }

    #[test]
    fn every_example_of_the_table_is_true() {
        let masker = Masker::default();
        let mut wrong = Vec::new();
        for pattern in table().pattern {
            assert!(!pattern.masks.is_empty() && !pattern.keeps.is_empty(), "{}: no example", pattern.what);
            let kept = pattern.keeps.iter().map(|example| (example, example));
            let twice = pattern.masks.iter().map(|(_, after)| (after, after));
            for (before, after) in pattern.masks.iter().map(|(before, after)| (before, after)).chain(twice).chain(kept)
            {
                let found = masked(&masker, before);
                if found != *after {
                    wrong.push(format!("{}:\n   {found:?}\n   {after:?}", pattern.what));
                }
            }
        }
        assert!(wrong.is_empty(), "found, expected:\n{}", wrong.join("\n"));
    }

    #[test]
    fn every_pattern_finds_an_example_of_its_own() {
        for pattern in table().pattern {
            let expression = RegexBuilder::new(&pattern.expression).unicode(false).build().unwrap();
            let found = pattern.masks.iter().all(|(before, _)| match before {
                Example::Text(text) => expression.is_match(text.as_bytes()),
                Example::Argv(argv) => expression.is_match(argv.join("\0").as_bytes()),
            });
            assert!(found, "{}", pattern.what);
        }
    }

    #[test]
    fn arguments_keep_their_boundaries_and_what_is_not_text_its_bytes() {
        let masker = Masker::default();
        let mut argv = ["x", "", "--password", "s", ""].map(str::to_owned).to_vec();
        assert!(masker.argv(&mut argv));
        assert_eq!(argv, ["x", "", "--password", "<masked:password>", ""]);
        let mut one = vec!["password=a\u{e9}b".to_owned()];
        assert!(masker.argv(&mut one));
        assert_eq!(one, ["password=<masked:password>"]);
        assert_eq!(masker.bytes(b"\xff\xfepassword=abc&x=\xff").unwrap(), b"\xff\xfepassword=<masked:password>&x=\xff");
        assert_eq!(masker.bytes(&[0xff; 4096]), None);
        assert!(!masker.argv(&mut Vec::new()));
    }

    #[test]
    fn a_secret_that_is_cut_off_is_masked_to_the_end() {
        let masker = Masker::default();
        let cut = masker.text("GET / HTTP/1.1\r\nAuthorization: Bearer abc").unwrap();
        assert!(cut.ends_with("Bearer <masked:credentials>"), "{cut}");
        assert_eq!(masker.text("{\"password\": \"hun").unwrap(), "{\"password\": \"<masked:password>");
        assert_eq!(masker.text("-----BEGIN PRIVATE KEY-----\nMII").unwrap(), "-----BEGIN PRIVATE KEY-----<masked:key>");
    }
}
