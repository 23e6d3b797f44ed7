//! What tells nobody apart and is kept: words, endings of file names, top-level domains.

use std::collections::HashSet;
use std::sync::LazyLock;

static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| lines(include_str!("words.txt")));
static SUFFIXES: LazyLock<HashSet<&str>> = LazyLock::new(|| lines(include_str!("suffixes.txt")));
static TLDS: LazyLock<HashSet<&str>> = LazyLock::new(|| lines(include_str!("tlds.txt")));

/// Digits that a well-known word may have behind it, as in eth0 or python3.
const COUNTED: usize = 3;

/// Digits of a number that is kept: ports, modes, sizes in rows and columns, small counts.
const NUMBER: usize = 5;

fn lines(text: &'static str) -> HashSet<&'static str> {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
}

/// A word of the list, whatever its case, with a few digits behind it or not; or a small number.
pub(super) fn is_known(word: &str) -> bool {
    if word.len() <= NUMBER && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    let lower = word.to_ascii_lowercase();
    if WORDS.contains(lower.as_str()) {
        return true;
    }
    let stem = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    // One letter and digits is a name of its own, as x4711.
    stem.len() > 1 && lower.len() - stem.len() <= COUNTED && WORDS.contains(stem)
}

/// The ending of a file name, as `log`, or a small number, as in `libc.so.6`.
pub(super) fn is_suffix(ending: &str) -> bool {
    let number = (1..=COUNTED).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_digit());
    number || SUFFIXES.contains(ending.to_ascii_lowercase().as_str())
}

pub(super) fn is_tld(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    TLDS.contains(lower.as_str()) || (lower.len() == 2 && lower.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Twelve hex digits or more: an id of a container, an image, a layer.
pub(super) fn is_id(word: &str) -> bool {
    word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_with_a_few_digits_and_names_are_not() {
        for word in ["nginx", "NGINX", "eth0", "python3", "GET", "0644", "", "8080", "x86_64", "passwd"] {
            assert!(is_known(word), "{word}");
        }
        for word in ["acme", "alice", "x4711", "1234567", "web12345", "nginx-acme", "é"] {
            assert!(!is_known(word), "{word}");
        }
        assert!(is_suffix("so") && is_suffix("6") && !is_suffix("acme") && !is_suffix("4711"));
        assert!(is_tld("com") && is_tld("de") && !is_tld("acme") && !is_tld("d2"));
        assert!(is_id("0123456789ab") && !is_id("0123456789a") && !is_id("0123456789AB") && !is_id("xyzxyzxyzxyz"));
    }
}
