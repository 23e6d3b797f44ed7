//! What a command line has that a leaf does not, and what it lacks that the leaf always had, each with its risk.

use super::facts::REDIRECT;
use super::values::{self, Kind};
use super::{Fact, Grammar};
use crate::args::knowledge::Knowledge;
use crate::args::mask::is_opaque;

/// One difference from what was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// In words, for people.
    pub what: String,
    /// 0 to 1.
    pub risk: f32,
}

/// The differences of `facts` from `grammar`, in their order.
pub fn changes(grammar: &Grammar, program: &str, facts: &[Fact]) -> Vec<Change> {
    let mut out: Vec<Change> = Vec::new();
    for fact in facts.iter().filter(|fact| !grammar.knows(fact)) {
        let (what, risk) = match fact {
            Fact::Command { within, name } => (format!("runs {name} after '{within}'"), command(grammar, within, name)),
            Fact::Option { command, name } => (format!("option {name} of {command}"), option(command, name, facts)),
            Fact::Value { command, slot, value } => {
                let place = if slot.is_empty() { command.clone() } else { format!("{command} {slot}") };
                (format!("{place}: {value}"), value_risk(grammar, command, slot, value))
            }
            Fact::Word { command, first, word } => {
                let risk = text(grammar, command, *first, word);
                let switched = risk < 0.8 && is_switch(word) && governed(facts, command);
                (format!("{command}: {word}"), if switched { 0.8 } else { risk })
            }
            Fact::Order { command, operands } => {
                (format!("{command} copies {}", operands.join(" to ")), order(grammar, command, operands))
            }
            Fact::Claimed(name) => (format!("calls itself {name}"), 0.7),
            Fact::NoArguments => {
                let interactive = Knowledge::get().commands.interpreter.contains(program);
                ("no arguments".to_owned(), if interactive { 0.8 } else { 0.2 })
            }
            Fact::Truncated => ("arguments too long to be recorded whole".to_owned(), 0.8),
        };
        if risk > 0.0 {
            out.push(Change { what, risk });
        }
    }
    for (command, name) in grammar.always.iter().flatten() {
        let fact = Fact::Option { command: command.clone(), name: name.clone() };
        if !facts.contains(&fact) {
            out.push(Change {
                what: format!("without option {name} of {command}"),
                risk: dropped(command, name, facts),
            });
        }
    }
    out
}

fn command(grammar: &Grammar, within: &str, name: &str) -> f32 {
    let knowledge = Knowledge::get();
    let base = crate::args::knowledge::program_key(name);
    let substitution = matches!(within, "$(" | "`" | "<(" | ">(");
    let own = knowledge.command_risk(base);
    if grammar.commands.contains(name) {
        let piped = matches!(within, "|" | "|&") && knowledge.commands.interpreter.contains(base);
        return if piped {
            0.9
        } else if substitution {
            0.6
        } else {
            0.15
        };
    }
    let placed = if name.contains('/') { values::path_risk(name, &[], true) } else { 0.0 };
    let joined: f32 = match within {
        _ if substitution => 0.7,
        "&" => 0.6,
        "-exec" => 0.7,
        "" | "&&" | "|" | ";" => 0.0,
        _ => 0.1,
    };
    own.max(placed).max(if own <= 0.1 && !substitution { own } else { joined })
}

fn option(command: &str, name: &str, facts: &[Fact]) -> f32 {
    let knowledge = Knowledge::get();
    let table = knowledge.program(command);
    let bare = name.trim_end_matches('=');
    if let Some(risk) = table.and_then(|table| table.danger.get(bare)) {
        return *risk;
    }
    let words = bare.trim_start_matches('-');
    if words.len() < 3 {
        return if table.is_some() { 0.06 } else { 0.12 };
    }
    let has_value = facts.iter().any(|fact| matches!(fact, Fact::Value { slot, .. } if slot == name || slot == bare));
    if knowledge.is_code(bare) {
        return if has_value || name.ends_with('=') { 0.7 } else { 0.3 };
    }
    if knowledge.is_security(bare) {
        let opens = [
            "no-", "no_", "skip", "insecure", "disable", "allow", "trust", "unsafe", "without", "accept", "bypass",
            "ignore",
        ];
        let closes = ["no-new-priv", "no-access", "no-auth-warning", "no-password", "no-allow"];
        let lower = words.to_ascii_lowercase();
        let opened = opens.iter().any(|part| lower.contains(part)) && !closes.iter().any(|part| lower.contains(part));
        return if opened {
            0.75
        } else if has_value {
            0.2
        } else {
            0.25
        };
    }
    if table.is_some() { 0.06 } else { 0.1 }
}

fn value_risk(grammar: &Grammar, command: &str, slot: &str, value: &str) -> f32 {
    let knowledge = Knowledge::get();
    let table = knowledge.program(command);
    let under_key = slot.len() > 2;
    let in_slot: Vec<&str> = grammar.slot(command, slot).collect();
    let anywhere: Vec<&str> = grammar.values(command).collect();
    // Under a long option or a key the other values of it count; an operand is compared with all values.
    let known = if in_slot.is_empty() || slot.is_empty() { &anywhere } else { &in_slot };
    // What follows an option may be its value or an operand; what is attached to a key is its value.
    let attached = !slot.starts_with('-') || in_slot.contains(&value);
    if (!under_key || !attached) && anywhere.contains(&value) {
        return 0.0;
    }
    let code = table.is_some_and(|table| table.loads.iter().any(|load| load == slot))
        || (under_key && knowledge.is_code(slot));
    let mut risk = values::risk(value, known, code);
    // A program's own configuration in the place for it.
    if value
        .strip_prefix("/etc/")
        .is_some_and(|rest| rest.split('/').next().is_some_and(|name| name.len() > 2 && command.starts_with(name)))
    {
        risk = risk.min(0.2);
    }
    if knowledge.is_secret(value) && !known.iter().any(|value| knowledge.is_secret(value)) {
        risk = risk.max(0.65);
    }
    if command == "sed" && sed_runs(value) {
        risk = 0.9;
    }
    if let Some(table) = table {
        let lower = value.to_ascii_lowercase();
        let word = |word: &str| table.words.get(word).copied();
        if let Some(word) = word(value).or_else(|| word(&lower)) {
            risk = risk.max(word);
        } else if table.safe.contains(value) || table.safe.contains(&lower) {
            return risk.min(0.05);
        } else if table.free && values::kind(value) == Kind::Word {
            risk = risk.min(0.15);
        }
    }
    if under_key && knowledge.is_security(slot) {
        let loose = knowledge.keys.loose.contains(value.to_ascii_lowercase().as_str()) || value.is_empty();
        // A stricter value is a change of policy too, but not one that lets anybody in.
        let switch = is_switch(value) && in_slot.iter().any(|value| is_switch(value));
        risk = risk.max(match (loose || switch, in_slot.is_empty()) {
            (true, false) => 0.85,
            (true, true) => 0.7,
            (false, false) => 0.4,
            (false, true) => 0.2,
        });
    }
    if under_key && knowledge.is_code(slot) {
        risk = risk.max(if in_slot.is_empty() { 0.6 } else { 0.5 });
    }
    let user = matches!(slot.trim_start_matches('-'), "user" | "u" | "uid" | "owner" | "run-as" | "runas" | "U");
    if user && matches!(value, "root" | "0" | "0:0" | "root:root") {
        risk = risk.max(0.85);
    }
    if command == "chown" && value.split(':').any(|name| name == "root") {
        risk = risk.max(0.7);
    }
    if command == REDIRECT {
        risk = risk.max(if slot.starts_with('<') { 0.1 } else { 0.2 });
    }
    risk
}

/// A value that is one of two.
fn is_switch(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "yes" | "no" | "true" | "false" | "on" | "off" | "0" | "1" | "enabled" | "disabled"
    )
}

/// Whether the text of a command names a key of security.
fn governed(facts: &[Fact], of: &str) -> bool {
    let knowledge = Knowledge::get();
    facts
        .iter()
        .any(|fact| matches!(fact, Fact::Word { command, word, .. } if command == of && knowledge.is_security(word)))
}

/// A sed script that runs a command (`1e id`, `s/a/b/e`) or writes a file by its full name.
fn sed_runs(script: &str) -> bool {
    let script = script.trim_matches(['"', '\'']);
    let bare = script
        .trim_start_matches("<num>")
        .trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ',' | '$' | '~' | '!' | ' '));
    let delimiter = bare.strip_prefix('s').and_then(|rest| rest.chars().next()).filter(char::is_ascii_punctuation);
    match delimiter {
        Some(delimiter) => {
            let flags = bare.rsplit(delimiter).next().unwrap_or_default();
            flags.contains('e')
                && flags.bytes().all(|b| b.is_ascii_alphanumeric())
                && bare.matches(delimiter).count() == 3
        }
        None => bare.starts_with('e') && bare.len() > 1 && !bare.starts_with("e="),
    }
}

/// A word of text that an argument holds.
fn text(grammar: &Grammar, command: &str, first: bool, word: &str) -> f32 {
    let tables = &Knowledge::get().text;
    let known = |first: bool, word: &str| {
        grammar.knows(&Fact::Word { command: command.to_owned(), first, word: word.to_owned() })
    };
    if known(!first, word) {
        return 0.0;
    }
    let lower = word.to_ascii_lowercase();
    let parts =
        || lower.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.')).filter(|part| !part.is_empty());
    if tables.danger.contains(&lower)
        || parts().any(|part| tables.danger.contains(part.trim_matches('.')) || tables.danger.contains(part))
    {
        return 0.85;
    }
    if parts().any(|part| part.split('.').any(|part| tables.danger.contains(part))) {
        return 0.75;
    }
    if Knowledge::get().commands.interpreter.contains(&lower) || Knowledge::get().commands.network.contains(&lower) {
        return 0.8;
    }
    if lower.trim_end_matches([';', ',']) == "root" {
        return 0.7;
    }
    if Knowledge::get().is_secret(&lower) {
        return 0.65;
    }
    if parts().any(is_opaque) {
        return 0.7;
    }
    if first && lower.bytes().all(|b| b.is_ascii_alphabetic()) && !tables.look.contains(&lower) {
        let looked = tables.look.iter().any(|look| known(true, look) || known(true, &look.to_uppercase()));
        if looked {
            return 0.7;
        }
    }
    if word.contains(['/', '@']) || word.contains("<ip:") || values::smells(word) {
        let all: Vec<&str> = grammar.values(command).collect();
        return values::risk(word, &all, false);
    }
    0.06
}

/// A program that copies: the same places the other way round, or out where it copied in.
fn order(grammar: &Grammar, command: &str, operands: &[String]) -> f32 {
    let remote = |value: &str| matches!(values::kind(value), Kind::Remote { .. } | Kind::Url { .. });
    let shape = |operands: &[String]| operands.iter().map(|value| remote(value)).collect::<Vec<_>>();
    let mut known = grammar
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Order { command: other, operands } if other == command => Some(operands),
            _ => None,
        })
        .peekable();
    if known.peek().is_none() {
        return 0.1;
    }
    let (mut turned, mut same_shape) = (false, false);
    for learned in known {
        turned |= learned.iter().rev().eq(operands)
            || (learned.first() == operands.last() && learned.last() == operands.first());
        same_shape |= shape(learned) == shape(operands);
    }
    if turned {
        0.8
    } else if same_shape {
        0.05
    } else {
        0.8
    }
}

/// An option that every learned line had and this one has not.
fn dropped(command: &str, name: &str, facts: &[Fact]) -> f32 {
    let knowledge = Knowledge::get();
    let has = |option: &str| facts.iter().any(|fact| matches!(fact, Fact::Option { name, .. } if name == option));
    if command == "find" && (has("-delete") || has("-exec") || has("-execdir")) {
        let filter = matches!(
            name,
            "-name"
                | "-iname"
                | "-path"
                | "-type"
                | "-mtime"
                | "-mmin"
                | "-atime"
                | "-ctime"
                | "-size"
                | "-user"
                | "-newer"
                | "-empty"
                | "-xdev"
        );
        return if filter { 0.65 } else { 0.1 };
    }
    let bare = name.trim_end_matches('=').trim_start_matches('-');
    if matches!(bare, "dry-run" | "check" | "simulate" | "no-act" | "just-print" | "user" | "chroot") {
        return 0.65;
    }
    if bare.len() > 3
        && knowledge.is_security(bare)
        && !bare.starts_with("insecure")
        && !bare.starts_with("allow")
        && !bare.starts_with("trust")
        && !bare.contains("no-check")
    {
        return 0.7;
    }
    0.03
}
