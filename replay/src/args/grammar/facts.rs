//! A canonical command line as facts: which options, which values under which option, which commands in which place.
//! Order is no fact, but for programs that read their first operands and write their last.

use crate::args::canonical::{BOUNDARY, Canonical, basename, is_key};
use crate::args::knowledge::{Knowledge, Program, program_key};
use crate::args::shell::{Piece, canonical_pieces, is_redirection};

/// One thing that a command line says. `command` is the program by [`program_key`], or one inside a shell string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// A command inside another's arguments: in a shell string after an operator (`|`, `;`, `$(`, or nothing at its begin),
    /// behind a wrapper, or after an option that runs it.
    Command {
        within: String,
        name: String,
    },
    /// `slot` is the option, or `key=`.
    Option {
        command: String,
        name: String,
    },
    /// An operand, or an option's value: `slot` is the option or key before it, or empty.
    Value {
        command: String,
        slot: String,
        value: String,
    },
    /// A word of an argument that holds text, as SQL or a program for awk.
    Word {
        command: String,
        first: bool,
        word: String,
    },
    /// The operands of a program that copies, in their order.
    Order {
        command: String,
        operands: Vec<String>,
    },
    /// `argv[0]` is not the program's name.
    Claimed(String),
    NoArguments,
    Truncated,
}

/// The place of values that redirections read or write.
pub const REDIRECT: &str = "redirect";

/// Nesting of commands that is taken apart; what lies deeper is text.
const DEPTH: usize = 8;

/// The facts of what `program` was run with.
pub fn facts(program: &str, canonical: &Canonical) -> Vec<Fact> {
    let mut out = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for element in canonical.key().split(BOUNDARY) {
        match element {
            "<none>" => out.push(Fact::NoArguments),
            "<truncated>" => out.push(Fact::Truncated),
            _ => match element.strip_prefix("argv0:") {
                Some(claimed) if words.is_empty() => out.push(Fact::Claimed(claimed.to_owned())),
                _ => words.push(element),
            },
        }
    }
    Reader { out: &mut out }.command(program_key(program), &words, 0);
    out
}

struct Reader<'a> {
    out: &'a mut Vec<Fact>,
}

impl Reader<'_> {
    /// The arguments of one command.
    fn command(&mut self, command: &str, words: &[&str], depth: usize) {
        let knowledge = Knowledge::get();
        let table = knowledge.program(command);
        let wrapper = knowledge.commands.wrapper.contains(command);
        let mut slot = String::new();
        let mut operands: Vec<String> = Vec::new();
        let mut seen_operand = false;
        let mut taken = 0;
        for (i, &word) in words.iter().enumerate() {
            if i < taken {
                continue;
            }
            let nested = depth < DEPTH;
            if word == "--" && nested && matches!(command, "kubectl" | "docker" | "npm" | "nsenter" | "systemd-run") {
                self.nested("--", &words[i + 1..], depth);
                break;
            }
            if command == "find" && matches!(slot.as_str(), "-exec" | "-execdir" | "-ok" | "-okdir") && nested {
                let end = words[i..]
                    .iter()
                    .position(|word| matches!(*word, ";" | "+" | "\\;"))
                    .map_or(words.len(), |n| i + n);
                self.nested("-exec", &words[i..end], depth);
                taken = end;
                slot.clear();
                continue;
            }
            if is_option(word) {
                slot = self.option(command, table, word);
                continue;
            }
            let takes_value = slot.len() == 2 && table.is_some_and(|table| table.takes.contains(&slot[1..]));
            if nested && runs_script(command, &slot) {
                self.script(word, "", depth + 1);
                slot.clear();
                continue;
            }
            if wrapper && nested && !is_key_value(word) && !word.starts_with(['<', '"', '\'']) && !is_number(word) {
                self.nested(command, &words[i..], depth);
                break;
            }
            if table.is_some_and(|table| table.remote) && seen_operand && nested {
                self.script(&words[i..].join(" "), "", depth + 1);
                break;
            }
            seen_operand |= !takes_value;
            if i == 0 && command == "tar" && word.len() < 8 && word.bytes().all(|b| b.is_ascii_lowercase()) {
                word.chars().for_each(|letter| self.option_name(command, &format!("-{letter}")));
                slot = word.chars().last().map_or_else(String::new, |letter| format!("-{letter}"));
                continue;
            }
            match word.split_once('=').filter(|(key, _)| is_key(key)) {
                Some((key, value)) => {
                    self.option_name(command, &format!("{key}="));
                    self.value(command, key, value);
                }
                None => {
                    operands.push(word.to_owned());
                    self.value(command, &slot, word);
                }
            }
            slot.clear();
        }
        if table.is_some_and(|table| table.copies) && operands.len() >= 2 {
            let operands = operands.split_off(operands.len() - 2);
            self.out.push(Fact::Order { command: command.to_owned(), operands });
        }
    }

    /// An option with what is attached to it; the slot of the value that may follow.
    fn option(&mut self, command: &str, table: Option<&Program>, word: &str) -> String {
        let long = table.is_some_and(|table| table.long);
        if let Some((name, value)) = word.split_once('=') {
            self.option_name(command, name);
            self.value(command, name, value);
            return String::new();
        }
        if word.starts_with("--") || word.len() == 2 {
            self.option_name(command, word);
            return word.to_owned();
        }
        if long {
            let name_end =
                if word.starts_with("-XX:") { word.len() } else { word.find([':', '/', '<']).unwrap_or(word.len()) };
            let (name, value) = word.split_at(name_end);
            self.option_name(command, name);
            if !value.is_empty() {
                self.value(command, name, value.trim_start_matches(':'));
                return String::new();
            }
            return word.to_owned();
        }
        let letters = word[1..].chars().take_while(char::is_ascii_alphabetic).count();
        let known = table.is_some_and(|table| table.danger.contains_key(word));
        if known || !word.is_char_boundary(2) {
            self.option_name(command, word);
            return word.to_owned();
        }
        if letters == word.len() - 1 && letters <= 7 {
            word[1..].chars().for_each(|letter| self.option_name(command, &format!("-{letter}")));
            return format!("-{}", &word[word.len() - 1..]);
        }
        self.option_name(command, &word[..2]);
        self.value(command, &word[..2], &word[2..]);
        String::new()
    }

    fn option_name(&mut self, command: &str, name: &str) {
        self.out.push(Fact::Option { command: command.to_owned(), name: name.to_owned() });
    }

    fn value(&mut self, command: &str, slot: &str, value: &str) {
        let bare = value.trim_matches(['"', '\'']);
        if !value.contains(' ') {
            let (command, slot) = (command.to_owned(), slot.to_owned());
            return self.out.push(Fact::Value { command, slot, value: bare.to_owned() });
        }
        let mut first = true;
        let mut word = |text: &str, out: &mut Vec<Fact>| {
            let text = text.trim_matches(['"', '\'']);
            if !text.is_empty() {
                out.push(Fact::Word {
                    command: command.to_owned(),
                    first: std::mem::take(&mut first),
                    word: text.to_owned(),
                });
            }
        };
        for piece in canonical_pieces(bare) {
            match piece {
                Piece::Word(text) if text.contains(' ') => text.split(' ').for_each(|text| word(text, self.out)),
                piece => word(piece.text(), self.out),
            }
        }
    }

    /// A command line that starts with its command.
    fn nested(&mut self, within: &str, words: &[&str], depth: usize) {
        let mut words = words;
        while let Some((name, value)) =
            words.first().and_then(|word| word.split_once('=')).filter(|(key, _)| is_key(key))
        {
            self.option_name("env", &format!("{name}="));
            self.value("env", name, value);
            words = &words[1..];
        }
        let Some((name, arguments)) = words.split_first() else { return };
        let name = name.trim_matches(['"', '\'']);
        let key = if name.contains('/') { name } else { program_key(name) };
        self.out.push(Fact::Command { within: within.to_owned(), name: key.to_owned() });
        self.command(program_key(basename(name)), arguments, depth + 1);
    }

    /// A shell string: its commands with what joins them, and its redirections.
    fn script(&mut self, script: &str, within: &str, depth: usize) {
        let quoted = script.len() > 1 && script.starts_with(['"', '\'']) && script.ends_with(['"', '\'']);
        let script = if quoted && depth > 1 { &script[1..script.len() - 1] } else { script };
        let mut within = within.to_owned();
        let mut words: Vec<&str> = Vec::new();
        let mut redirection: Option<&str> = None;
        for piece in canonical_pieces(script) {
            match piece {
                Piece::Word(word) => match redirection.take() {
                    Some(operator) => {
                        self.out.push(Fact::Value {
                            command: REDIRECT.to_owned(),
                            slot: operator.to_owned(),
                            value: word.to_owned(),
                        });
                    }
                    None => words.push(word),
                },
                Piece::Operator(operator) if is_redirection(operator) => redirection = Some(operator),
                Piece::Operator(operator) => {
                    self.nested(&within, &words, depth);
                    words.clear();
                    operator.clone_into(&mut within);
                }
            }
        }
        self.nested(&within, &words, depth);
    }
}

fn is_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-') && word != "--" && !is_number(word)
}

fn is_number(word: &str) -> bool {
    let bare = word.trim_start_matches(['-', '+']);
    bare.bytes().any(|b| b.is_ascii_digit()) && bare.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':'))
}

fn is_key_value(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| is_key(key))
}

/// Whether what follows the option is a script for a shell.
fn runs_script(command: &str, slot: &str) -> bool {
    Knowledge::get().is_shell(command) && slot == "-c"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(argv: &[&str]) -> Vec<Fact> {
        facts(argv[0], &Canonical::new(argv[0], argv, false))
    }

    fn names(argv: &[&str]) -> Vec<String> {
        let names = of(argv).into_iter().filter_map(|fact| match fact {
            Fact::Option { name, .. } => Some(name),
            Fact::Command { within, name } => Some(format!("{within} {name}")),
            _ => None,
        });
        names.collect()
    }

    #[test]
    fn options_are_the_same_in_any_spelling() {
        assert_eq!(names(&["tar", "czf", "a.tgz", "/srv"]), names(&["tar", "-czf", "a.tgz", "/srv"]));
        assert_eq!(names(&["tar", "-c", "-z", "-f", "a.tgz", "/srv"]), ["-c", "-z", "-f"]);
        assert_eq!(
            names(&["java", "-Xmx2g", "-XX:+UseG1GC", "-agentpath:/x.so"]),
            ["-Xmx", "-XX:+UseG1GC", "-agentpath"]
        );
        assert_eq!(names(&["find", "/", "-name", "x"]), ["-name"]);
        assert_eq!(names(&["make", "-j8"]), ["-j"]);
    }

    #[test]
    fn commands_are_found_where_they_hide() {
        assert_eq!(names(&["sh", "-c", "a | b; c $(d)"]), ["-c", " a", "| b", "; c", "$( d"]);
        assert_eq!(names(&["sudo", "-u", "app", "id"])[..2], ["-u".to_owned(), "sudo app".to_owned()]);
        assert_eq!(names(&["find", "/srv", "-exec", "sh", "-p", ";"]), ["-exec", "-exec sh", "-p"]);
        assert_eq!(names(&["kubectl", "exec", "x", "--", "sh"]), ["-- sh"]);
        assert_eq!(names(&["ssh", "-o", "A=b", "web", "ls", "|", "sh"]), ["-o", "A=", " ls", "| sh"]);
        assert_eq!(names(&["bash", "-c", "nice -n 5 x"]), ["-c", " nice", "-n", "nice x"]);
    }

    #[test]
    fn deep_nesting_ends() {
        let deep = "env ".repeat(200);
        assert!(of(&["sh", "-c", &deep]).len() < 1000);
    }
}
