//! Text from recordings, made safe and short enough for people.

use std::fmt::Write;

/// Control characters escaped: a recorded command line must not move the reader's cursor.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Marks of direction, overrides and isolates would reorder what is read; what has no width would hide in it.
        let deceives = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || deceives {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// The first `max` characters, with an ellipsis where something was cut.
pub fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some(_) => {
            let end = text.char_indices().nth(max.saturating_sub(1)).map_or(text.len(), |(i, _)| i);
            format!("{}…", &text[..end])
        }
        None => text.to_owned(),
    }
}

/// The first twelve digits of a container id.
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Unix ns as RFC 3339 in UTC with milliseconds.
pub fn time(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(ns.into()).map_or_else(|_| format!("{ns} ns"), |ts| format!("{ts:.3}"))
}

/// A count with thousands separators.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Text for a terminal of that width: longer lines are broken at spaces, and go on four columns further in than they began.
/// `None` is no terminal, and nothing is broken.
pub fn fit(text: &str, width: Option<u16>) -> String {
    let Some(width) = width.map(|width| usize::from(width.max(20))) else { return text.to_owned() };
    let begin = |line: &str| line.chars().take_while(|letter| *letter == ' ').count();
    text.lines().map(|line| fold(line, width, (begin(line) + 4).min(width / 2))).collect()
}

/// A line broken at spaces, and in words that are longer than a line; further lines are indented.
pub fn fold(line: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if column > indent && column + length > width {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        for letter in word.chars() {
            if column >= width && letter != ' ' {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            }
            out.push(letter);
            column += 1;
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_show_instead_of_acting() {
        assert_eq!(clean("a\x1b[2Jb\n\u{202e}c"), "a\\x1b[2Jb\\x0a\\x202ec");
        assert_eq!(clean("größe"), "größe");
    }

    #[test]
    fn short_means_at_most_that_many() {
        assert_eq!(shorten("größe", 5), "größe");
        assert_eq!(shorten("größen", 5), "größ…");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(time(1_700_000_000_123_000_000), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn long_lines_are_folded_on_a_terminal_alone() {
        let text = "  a long line of words\nshort\n";
        assert_eq!(fit(text, None), text);
        assert_eq!(fit(text, Some(20)), "  a long line of\n      words\nshort\n");
        assert_eq!(
            fit(&"x".repeat(45), Some(20)),
            format!("{0}\n    {1}\n    {2}\n", "x".repeat(20), "x".repeat(16), "x".repeat(9))
        );
        assert_eq!(fold("", 20, 4), "\n");
    }
}
