//! A file of labelled pairs: tab-separated, with a header. Columns: `label` (benign, malicious), `kind` (free text), `learned`
//! and `new`: command lines with quotes as a POSIX shell takes them, no expansions. Lines that begin with `#` are left out.

use std::path::Path;

use crate::error::{Error, Result};

const HEADER: &str = "label\tkind\tlearned\tnew";
const HINT: &str = "a pair file has the tab-separated columns label, kind, learned and new; see replay/pairs/README.md";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    Benign,
    Malicious,
}

/// A command line that was learned, and one that is run next, as argv.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub label: Label,
    pub kind: String,
    pub learned: Vec<String>,
    pub new: Vec<String>,
    /// The two as they stand in the file.
    pub text: (String, String),
}

/// Reads a pair file.
///
/// # Errors
/// Unreadable, or not of the format; the message names the line.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::input(format!("{name}: cannot read: {error}"), "give a file of pairs"))?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let bad = |line: usize, why: &str| Error::input(format!("{name}: line {}: {why}", line + 1), HINT);
    match lines.next() {
        Some((_, HEADER)) => {}
        Some((line, _)) => return Err(bad(line, "not the header of a pair file")),
        None => return Err(Error::input(format!("{name}: empty"), HINT)),
    }
    lines.map(|(number, line)| parse(line).map_err(|why| bad(number, &why))).collect()
}

fn parse(line: &str) -> std::result::Result<Pair, String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [label, kind, learned, new] = columns[..] else {
        return Err(format!("{} columns, not 4", columns.len()));
    };
    let label = match label {
        "benign" => Label::Benign,
        "malicious" => Label::Malicious,
        other => return Err(format!("label {other:?} is neither benign nor malicious")),
    };
    let argv = |text: &str| {
        let words = split(text).ok_or_else(|| format!("a quote is not closed: {text}"))?;
        if words.is_empty() { Err("an empty command line".to_owned()) } else { Ok(words) }
    };
    let text = (learned.to_owned(), new.to_owned());
    Ok(Pair { label, kind: kind.to_owned(), learned: argv(learned)?, new: argv(new)?, text })
}

/// Words of a command line as a shell would pass them, without any expansion. `None`: a quote is not closed.
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let words = split(r#"sh -c "a 'b' \"c\" \d" '' x\ y"z" "#).unwrap();
        assert_eq!(words, ["sh", "-c", r#"a 'b' "c" \d"#, "", "x yz"]);
        assert_eq!(split("a 'b"), None);
        assert_eq!(split("a \"b"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, says) in [
            ("", "empty"),
            ("a\tb\n", "line 1: not the header"),
            ("label\tkind\tlearned\tnew\nbenign\tx\tls\n", "line 2: 3 columns"),
            ("label\tkind\tlearned\tnew\n# note\ngood\tx\tls\tls\n", "line 3: label \"good\""),
            ("label\tkind\tlearned\tnew\nbenign\tx\tls 'a\tls\n", "not closed"),
            ("label\tkind\tlearned\tnew\nbenign\tx\t\tls\n", "empty command line"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = read(file.path()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
