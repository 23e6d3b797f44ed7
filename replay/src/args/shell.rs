//! Words and operators of a shell string. Quotes group and stay on their word: `"a; id"` and `a; id` are not the same.

/// One word or operator of a shell string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Word(&'a str),
    Operator(&'a str),
}

impl<'a> Piece<'a> {
    pub fn text(self) -> &'a str {
        match self {
            Piece::Word(text) | Piece::Operator(text) => text,
        }
    }
}

/// Longest first, so that `>>` is not read as two `>`.
const OPERATORS: &[&str] = &[
    "<<<", "&>>", "&&", "||", ">>", "<<", "$(", ">&", "<&", "&>", "<(", ">(", "|&", ";;", "|", "&", ";", ">", "<", "(",
    ")", "`", "{", "}",
];

/// What redirects a stream to the word that follows.
pub fn is_redirection(operator: &str) -> bool {
    matches!(operator, ">" | ">>" | "<" | "<<" | "<<<" | ">&" | "<&" | "&>" | "&>>")
}

/// Splits a string as it was given.
pub fn raw_pieces(script: &str) -> Vec<Piece<'_>> {
    split(script, false)
}

/// Splits a canonical string, in which `<num>` and its like are masks and no redirections.
pub fn canonical_pieces(text: &str) -> Vec<Piece<'_>> {
    split(text, true)
}

fn split(script: &str, masks: bool) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let bytes = script.as_bytes();
    fn end_word<'a>(script: &'a str, start: usize, at: usize, pieces: &mut Vec<Piece<'a>>) {
        if start < at {
            pieces.push(Piece::Word(&script[start..at]));
        }
    }
    // Only ASCII ends or begins anything, and every ASCII byte of UTF-8 is a character of its own.
    while at < bytes.len() {
        let rest = &script[at..];
        match bytes[at] {
            byte if byte.is_ascii_whitespace() => {
                end_word(script, start, at, &mut pieces);
                at += 1;
                start = at;
                continue;
            }
            quote @ (b'\'' | b'"') => at += quoted(&bytes[at..], quote),
            b'\\' => at += 1 + following(script, at + 1),
            b'$' if rest.starts_with("${") => at += rest.find('}').map_or(rest.len(), |end| end + 1),
            b'<' if masks && mask_length(rest) > 0 => at += mask_length(rest),
            _ => match OPERATORS.iter().find(|operator| rest.starts_with(**operator)) {
                Some(operator) => {
                    end_word(script, start, at, &mut pieces);
                    pieces.push(Piece::Operator(&script[at..at + operator.len()]));
                    at += operator.len();
                    start = at;
                    continue;
                }
                None => at += following(script, at),
            },
        }
    }
    end_word(script, start, at, &mut pieces);
    pieces
}

/// Bytes of the character at `at`.
fn following(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

/// Length of a quoted run with its quotes; one that is not closed goes to the end.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' && quote == b'"' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Length of a mask as `<ip:public>` at the start of the text, or 0.
pub fn mask_length(text: &str) -> usize {
    let Some(inside) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(inside, _)| inside) else {
        return 0;
    };
    let masked = super::mask::NAMES.contains(&inside) || inside.starts_with("ip:");
    if masked { inside.len() + 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        raw_pieces(script).into_iter().map(Piece::text).collect()
    }

    #[test]
    fn operators_split_and_quotes_group() {
        assert_eq!(texts("a|b>>c 2>&1"), ["a", "|", "b", ">>", "c", "2", ">&", "1"]);
        assert_eq!(texts("echo 'a; b' \"c | d\"; id"), ["echo", "'a; b'", "\"c | d\"", ";", "id"]);
        assert_eq!(texts(r"echo a\;b \é"), ["echo", r"a\;b", r"\é"]);
        assert_eq!(texts("x$(id)`w`"), ["x", "$(", "id", ")", "`", "w", "`"]);
        assert_eq!(texts("echo ${A:-b c} 'open"), ["echo", "${A:-b c}", "'open"]);
        assert_eq!(texts("cat <num>"), ["cat", "<", "num", ">"]);
    }

    #[test]
    fn masks_of_a_canonical_text_are_words() {
        let pieces = canonical_pieces("sleep <num>s < /srv/a && ping <ip:public>");
        let words: Vec<_> = pieces.iter().filter(|piece| matches!(piece, Piece::Word(_))).collect();
        assert_eq!(words.len(), 5);
        assert_eq!(pieces.len(), 7);
    }

    #[test]
    fn nothing_panics_at_the_end_of_odd_text() {
        for text in ["\\", "'", "\"\\", "${", "$", "é\\é", "<", "<>", ""] {
            let _ = (raw_pieces(text), canonical_pieces(text));
        }
    }
}
