//! Names from a profile as names of another system: short, of few characters, and still different where they were.

use sha2::{Digest, Sha256};

use crate::input::hex;

/// Digits of the hash that is appended to a name that had to be changed: 32 bits, so that two images of one profile do not meet.
const DIGITS: usize = 8;

/// As a DNS label (RFC 1123), which names of Kubernetes objects and files may be: lower case letters, digits and `-`. A name that
/// is changed gets a hash of what it was.
pub fn dns(name: &str) -> String {
    let kept: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    shortened(name, kept.trim_matches('-'), '-')
}

/// As a value of a Kubernetes label: letters, digits, `-`, `_` and `.`, from and to a letter or digit.
pub fn label(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    shortened(name, kept.trim_matches(|c: char| !c.is_ascii_alphanumeric()), '-')
}

/// As an identifier of nftables: a letter, then letters, digits and `_`.
pub fn identifier(name: &str) -> String {
    let kept: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let kept = kept.trim_matches('_');
    let kept = if kept.starts_with(|c: char| c.is_ascii_alphabetic()) { kept.to_owned() } else { format!("i_{kept}") };
    shortened(name, &kept, '_')
}

fn shortened(name: &str, kept: &str, joint: char) -> String {
    // Longest DNS label: 63.
    const LONGEST: usize = 63;
    if kept == name && (1..=LONGEST).contains(&kept.len()) {
        return kept.to_owned();
    }
    let hash = &hex(&Sha256::digest(name))[..DIGITS];
    let room = LONGEST - DIGITS - 1;
    let kept = kept.get(..room).unwrap_or(kept).trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if kept.is_empty() { format!("i{hash}") } else { format!("{kept}{joint}{hash}") }
}

/// The name of an image for people and files: the last part of its reference, without digest or tag.
pub fn short(image: &str) -> &str {
    let last = image.split('@').next().unwrap_or(image).rsplit('/').next().unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

/// Whether it is a domain that policies may name: labels of letters, digits, `-` and `_`, up to 253 characters, no wildcard.
pub fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay_apart() {
        assert_eq!(dns("redis"), "redis");
        let hostile = ["a\n- b", "a: {b", "A/b", "a-b", "..", "", "é", &"x".repeat(200)];
        for make in [dns, label, identifier] {
            let made: std::collections::BTreeSet<String> = hostile.iter().map(|name| make(name)).collect();
            assert_eq!(made.len(), hostile.len(), "{made:?}");
            for name in made {
                assert!(!name.is_empty() && name.len() <= 63, "{name}");
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{name}");
                assert!(name.starts_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
                assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
            }
        }
    }

    #[test]
    fn an_image_is_called_by_its_last_part() {
        assert_eq!(short("registry.example:5000/shop/app:1@sha256:ab"), "app");
        assert_eq!(short("redis"), "redis");
    }

    #[test]
    fn only_a_domain_is_one() {
        assert!(is_domain("api.example") && is_domain("_sip._tcp.example"));
        for name in ["", "*", "*.example", "a..b", "a b", "a\nb", "a\"", "é.example", &"a".repeat(64)] {
            assert!(!is_domain(name), "{name}");
        }
    }
}
