//! Falco rules: one for programs, one for files, one for connections that the image's profile does not know. They report.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::account::Account;
use super::allowed::Allowed;
use super::names;
use super::net::{Direction, Port, Who};
use super::pattern::{Pattern, Piece};
use super::{Format, Policy};

pub const LIMITS: &[&str] = &[
    "to refuse anything: Falco reports",
    "domains, images and containers as peers: connections are told apart by port alone",
    "which program uses which file: a file that any of them uses is known",
    "what is done to a file beyond reading and writing (renaming, deleting, changing its mode), and arguments",
];

const UNSAFE_NAME: &str = "a name with a quote, a backslash or a character that is not printed: reported as unknown";
const GLOB: &str = "a pattern: `*` also stands for names below";
const ANY_PEER: &str = "a peer: any stands for it, at that port";

pub fn write(allowed: &Allowed<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let image = names::dns(names::short(&allowed.image));
    let Some(reference) = quoted(&allowed.image) else {
        // Without the image's name the rules would be about every container.
        account
            .leave_out("the image's reference cannot be written into a condition: there are no rules", &allowed.image);
        let header = account.header(&allowed.image, Format::Falco, &allowed.unlocked);
        return Policy { text: format!("{header}[]\n"), account };
    };
    let of_image = format!("container.image = {reference}");
    let programs = known("proc.exepath", allowed.executables.keys(), &mut account);
    let of = |ops: &'static [&'static str]| {
        allowed.files.iter().filter(move |(_, done)| done.keys().any(|op| ops.contains(&&**op))).map(|(path, _)| path)
    };
    let read = known("fd.name", of(&["read", "list", "write", "locate"]), &mut account);
    let written = known("fd.name", of(&["write"]), &mut account);
    let (out, accepted) =
        (ports(allowed, Direction::Connect, &mut account), ports(allowed, Direction::Accept, &mut account));
    let rule = |what: &str, condition: String, output: &str, priority: &str| {
        json!({
            "rule": format!("Retroscope {image}: {what}"),
            "desc": format!("{what}: not in the learned profile of the image"),
            "condition": condition,
            "output": format!("{what} (image=%container.image container=%container.id process=%proc.cmdline parent=%proc.pname {output})"),
            "priority": priority,
            "source": "syscall",
            "tags": ["retroscope", "container"],
        })
    };
    let opened = "evt.type in (open, openat, openat2, creat) and evt.rawres >= 0 and fd.typechar = 'f'";
    let rules: Vec<Value> = vec![
        rule(
            "program that was never run",
            format!("evt.type in (execve, execveat) and evt.rawres = 0 and {of_image} and not ({programs})"),
            "exe=%proc.exepath",
            "WARNING",
        ),
        rule(
            "file that was never opened",
            format!("{opened} and {of_image} and not ({read})"),
            "file=%fd.name",
            "NOTICE",
        ),
        rule(
            "file that was never written",
            format!("{opened} and evt.is_open_write = true and {of_image} and not ({written})"),
            "file=%fd.name",
            "WARNING",
        ),
        rule(
            "connection to a port that was never reached",
            format!("evt.type = connect and fd.type in (ipv4, ipv6) and {of_image} and not ({out})"),
            "connection=%fd.name",
            "WARNING",
        ),
        rule(
            "connection at a port that was never served",
            format!(
                "evt.type in (accept, accept4) and evt.rawres >= 0 and fd.type in (ipv4, ipv6) and {of_image} and not ({accepted})"
            ),
            "connection=%fd.name",
            "WARNING",
        ),
    ];
    let yaml = serde_norway::to_string(&rules).expect("plain values serialize");
    let header = account.header(&allowed.image, Format::Falco, &allowed.unlocked);
    Policy { text: format!("{header}{yaml}"), account }
}

/// A condition that holds for the field's known values.
fn known<'a>(field: &str, patterns: impl Iterator<Item = &'a Pattern>, account: &mut Account) -> String {
    let (mut names, mut globs) = (Vec::new(), Vec::new());
    for pattern in patterns {
        let Some(text) = glob(pattern) else {
            account.leave_out(UNSAFE_NAME, pattern);
            continue;
        };
        account.expressed += 1;
        if let Some(literal) = pattern.literal() {
            names.push(format!("'{literal}'"));
        } else {
            account.widen(GLOB, pattern);
            globs.push(format!("{field} glob '{text}'"));
        }
    }
    let list = (!names.is_empty()).then(|| format!("{field} in ({})", names.join(", ")));
    let all: Vec<String> = list.into_iter().chain(globs).collect();
    // Nothing is known: a comparison that holds for nothing.
    if all.is_empty() { format!("{field} = ''") } else { all.join(" or ") }
}

/// A condition that holds for the ports of a direction.
fn ports(allowed: &Allowed<'_>, direction: Direction, account: &mut Account) -> String {
    // The service's port is the peer's for a client, and one's own for a server.
    let field = if direction == Direction::Connect { "fd.rport" } else { "fd.lport" };
    let (mut numbers, mut ephemeral) = (BTreeSet::new(), false);
    let over_ip = allowed.connections.keys().filter(|connection| &*connection.protocol != "unix");
    for connection in over_ip.filter(|connection| connection.direction == direction) {
        match connection.port {
            Port::Number(port) => drop(numbers.insert(port.to_string())),
            Port::Ephemeral => ephemeral = true,
            Port::None => {
                account.leave_out("no port", connection);
                continue;
            }
        }
        account.expressed += 1;
        if connection.who != Who::Own {
            account.widen(ANY_PEER, connection);
        }
    }
    let list = (!numbers.is_empty()).then(|| {
        let numbers: Vec<String> = numbers.into_iter().collect();
        format!("{field} in ({})", numbers.join(", "))
    });
    let high = ephemeral.then(|| format!("{field} >= 32768"));
    let all: Vec<String> = list.into_iter().chain(high).collect();
    if all.is_empty() { format!("{field} = 0") } else { all.join(" or ") }
}

/// In single quotes; None: it has characters that a condition cannot hold safely.
fn quoted(text: &str) -> Option<String> {
    let safe = text.chars().all(|c| matches!(c, ' '..='~') && !matches!(c, '\'' | '"' | '\\'));
    safe.then(|| format!("'{text}'"))
}

/// For the operator glob: characters that are special to it are put into brackets.
fn glob(pattern: &Pattern) -> Option<String> {
    let mut out = String::new();
    for piece in pattern.pieces() {
        match piece {
            Piece::Any => out.push('*'),
            Piece::Text(text) => {
                quoted(text)?;
                for c in text.chars() {
                    match c {
                        '*' | '?' | '[' if pattern.literal().is_none() => out.extend(['[', c, ']']),
                        _ => out.push(c),
                    }
                }
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;
    use std::sync::Arc;

    #[test]
    fn hostile_names_end_no_condition() {
        let entry = entry(
            &["/usr/bin/app"],
            &[
                ["app", "/srv/a') or evt.num > 0 or ('", "read"],
                ["app", "/srv/[x]/<num>", "read"],
                ["app", "/srv/- rule: x", "write"],
            ],
            &[["app", "connect tcp", "image a\nb", "443"]],
        );
        let image: Arc<str> = "web:1\n- macro: x".into();
        let allowed = Allowed::new(&image, &entry);
        let refused = write(&allowed);
        assert!(refused.text.ends_with("[]\n") && refused.account.left_out.len() == 1);

        let image: Arc<str> = "web:1".into();
        let policy = write(&Allowed::new(&image, &entry));
        let rules: Vec<Value> = serde_norway::from_str(&policy.text).unwrap();
        assert_eq!(rules.len(), 5);
        let condition = rules[1]["condition"].as_str().unwrap();
        assert!(condition.contains("glob '/srv/[[]x]/*'") && condition.contains("'/srv/- rule: x'"), "{condition}");
        assert!(!condition.contains("evt.num"));
        assert_eq!(policy.account.left_out[UNSAFE_NAME].count, 1);
        assert!(rules[3]["condition"].as_str().unwrap().ends_with("not (fd.rport in (443))"));
        assert!(rules[4]["condition"].as_str().unwrap().ends_with("not (fd.lport = 0)"));
    }
}
