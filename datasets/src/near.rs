//! What somebody may have meant who typed something else.

/// Levenshtein distance in characters.
pub fn distance(one: &str, other: &str) -> usize {
    strsim::levenshtein(one, other)
}

/// The nearest of the known words, if it is near enough to be meant: at most one change in three characters, where two
/// neighbours that were swapped are one change (optimal string alignment).
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = typed.chars().count() / 3;
    let (changes, word) = known.into_iter().map(|word| (strsim::osa_distance(typed, word), word)).min()?;
    (changes <= far).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_meant_and_another_word_is_not() {
        let known = ["learn", "merge", "explain", "xmrig"];
        assert_eq!(
            ["lern", "xmirg", "explian", "xmrig", "webapp", "le", ""].map(|typed| nearest(typed, known)),
            [Some("learn"), Some("xmrig"), Some("explain"), Some("xmrig"), None, None, None]
        );
        assert_eq!(nearest("learn", []), None);
    }
}
