//! Text of a recording, made fit to stand in a prompt: what it says may be judged, and must not steer.
//!
//! - It stands between two lines with a token that is derived from it by SHA-256 and does not occur in it, so that no text
//!   can contain the line that ends it.
//! - Each of its own lines is one: line breaks, control characters, invisible and reordering characters are written as
//!   `\u{..}`, and so are the brackets that begin what chat templates and reasoning models take for marks of their own
//!   (`<|im_start|>`, `</think>`, `[INST]`).
//! - It has a length that is bounded; what is left out is in the middle, and counted.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::deviation::Deviation;

/// The part of a text that is kept in front of what is left out, in quarters.
const HEAD_QUARTERS: usize = 3;

/// What a prompt shows of a deviation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The delimited block.
    pub block: String,
    /// 16 hex digits that its text does not contain.
    pub id: String,
    /// Characters of the recording that were left out.
    pub left_out: usize,
}

impl Evidence {
    /// `most`: characters of each text.
    pub fn new(deviation: &Deviation, most: usize) -> Evidence {
        let mut left_out = 0;
        let mut body = String::new();
        let known = deviation.path.get(1..deviation.at.clamp(1, deviation.path.len().max(1))).unwrap_or_default();
        let mut line = |name: &str, text: &str| {
            let (short, cut) = cap(text, most);
            left_out += cut;
            // Writing to a String cannot fail.
            let _ = writeln!(body, "{name}: {}", visible(&short));
        };
        line("image", &deviation.image);
        if !known.is_empty() {
            line("known before", &known.join(" > "));
        }
        line("observed", &deviation.text);
        if !deviation.changes.is_empty() {
            line("adds to what was learned", &deviation.changes.join("; "));
        }
        if let Some(nearest) = &deviation.nearest {
            line("most alike of what was learned", &nearest.pattern);
        }
        let id = token(&body);
        Evidence { block: format!("---- evidence {id} begins ----\n{body}---- evidence {id} ends ----"), id, left_out }
    }
}

/// 16 hex digits that are not in `body`.
fn token(body: &str) -> String {
    let tokens = (0u64..).map(|attempt| {
        let mut hash = Sha256::new_with_prefix(b"retroscope evidence 1\0");
        hash.update(attempt.to_le_bytes());
        hash.update(body.as_bytes());
        hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    });
    // A text that contains its own hash would have to be found by 2^64 tries, and then the next one is taken.
    tokens.into_iter().find(|token| !body.contains(token.as_str())).unwrap_or_default()
}

/// At most `most` characters, and how many were left out.
fn cap(text: &str, most: usize) -> (String, usize) {
    let length = text.chars().count();
    if length <= most {
        return (text.to_owned(), 0);
    }
    let head = most * HEAD_QUARTERS / 4;
    let left_out = length - most;
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(head + left_out).collect();
    (format!("{begin} [{left_out} characters left out] {end}"), left_out)
}

/// Everything that could be taken for something else as `\u{..}`, on one line.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let opens = match c {
            '<' => next.is_some_and(|n| n.is_alphabetic() || matches!(n, '|' | '/' | '<' | '_' | '!' | '\u{ff5c}')),
            '[' => next.is_some_and(|n| n.is_ascii_uppercase() || n == '/'),
            _ => false,
        };
        if opens || c == '\\' || c.is_control() || is_hidden(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that show nothing, break lines, or change how others are shown.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
