//! AppArmor profiles: programs that may be run, files by permission, families of sockets, and nothing of mounts and tracing that was
//! not learned.

use std::collections::{BTreeMap, HashMap};

use super::account::Account;
use super::allowed::Allowed;
use super::names;
use super::net::Connection;
use super::pattern::{Pattern, Piece};
use super::{Format, Policy};

pub const LIMITS: &[&str] = &[
    "arguments, and which program uses which file: the policy holds for the whole container",
    "addresses, domains and ports; of the network only families and kinds of sockets",
    "capabilities, signals and locks, which are not learned: all are allowed that the container has",
    "directories made, links and attributes read, which are not learned: refused where the path is not otherwise known",
];

/// Permissions, as bits.
pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const EXECUTE: u8 = 4;
const MAP: u8 = 8;

const UNSAFE_NAME: &str =
    "a name with a quote, a backslash, @ or a character that is not printed: not written into a policy";
const ANY_NAME: &str = "a pattern: any name stands where a value or one of many names was";
const LIBRARY: &str = "what is read from directories of libraries may also be mapped as code, which is not learned";
const SCRIPT: &str = "a file that an interpreter read as its first argument may also be executed: it may be a script";

/// What the policy allows, to write it and to decide with it.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    exact: HashMap<String, u8>,
    patterns: Vec<(Pattern, u8)>,
    /// Written in this order.
    files: BTreeMap<Pattern, u8>,
    /// inet sockets by kind (stream, dgram, raw).
    pub sockets: [bool; 3],
    /// mount, umount, pivot_root, ptrace: names of the class security that were learned.
    pub made: Vec<&'static str>,
}

/// Names of the class security that the format mediates, and their rules.
const MEDIATED: &[(&str, &str)] =
    &[("mount", "mount"), ("umount", "umount"), ("pivot_root", "pivot_root"), ("ptrace", "ptrace (trace, tracedby)")];

pub const KINDS: [&str; 3] = ["stream", "dgram", "raw"];

/// Whether the format has a say in what the class security calls so.
pub fn mediates(name: &str) -> bool {
    MEDIATED.iter().any(|(mediated, _)| *mediated == name)
}

pub fn rules(allowed: &Allowed<'_>, account: &mut Account) -> Rules {
    let mut rules = Rules::default();
    for program in allowed.executables.keys() {
        rules.add(program, READ | EXECUTE | MAP, account);
    }
    for script in &allowed.scripts {
        if rules.add(script, READ | EXECUTE, account) {
            account.widen(SCRIPT, script);
        }
    }
    for (path, ops) in &allowed.files {
        let mut permissions = 0;
        for op in ops.keys() {
            permissions |= match &**op {
                "read" | "list" => READ,
                "locate" => 0,
                "write" => READ | WRITE,
                _ => WRITE,
            };
        }
        let mapped = permissions & READ != 0 && is_library(path);
        if mapped {
            permissions |= MAP;
        }
        // A path that was only looked up needs no permission.
        if permissions != 0 && rules.add(path, permissions, account) && mapped {
            account.widen(LIBRARY, path);
        }
    }
    for connection in allowed.connections.keys() {
        if let Some(kind) = kind(connection) {
            rules.sockets[kind] = true;
        }
    }
    let security = allowed.calls.and_then(|calls| calls.security.as_ref());
    for (name, _) in MEDIATED {
        let own = |(program, made): (&std::sync::Arc<str>, &BTreeMap<std::sync::Arc<str>, u64>)| {
            !super::allowed::is_runtime(program) && made.contains_key(*name)
        };
        if security.is_some_and(|security| security.iter().any(own)) {
            rules.made.push(name);
        }
    }
    for (path, permissions) in &rules.files {
        match path.literal() {
            Some(text) => drop(rules.exact.insert(text.to_owned(), *permissions)),
            None => rules.patterns.push((path.clone(), *permissions)),
        }
    }
    rules
}

/// Index in [`KINDS`] of the socket that a connection over IP needs.
fn kind(connection: &Connection) -> Option<usize> {
    match &*connection.protocol {
        "unix" => None,
        "tcp" => Some(0),
        "udp" => Some(1),
        _ => Some(2),
    }
}

fn is_library(path: &Pattern) -> bool {
    let text = path.to_string();
    let directory = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/"];
    directory.iter().any(|directory| text.starts_with(directory)) || text.contains(".so")
}

impl Rules {
    /// Whether it could be written.
    fn add(&mut self, path: &Pattern, permissions: u8, account: &mut Account) -> bool {
        if quoted(path).is_none() {
            account.leave_out(UNSAFE_NAME, path);
            return false;
        }
        account.expressed += 1;
        if path.literal().is_none() {
            account.widen(ANY_NAME, path);
        }
        *self.files.entry(path.clone()).or_default() |= permissions;
        true
    }

    /// Whether a file may be used with all of these permissions.
    pub fn allows(&self, path: &str, permissions: u8) -> bool {
        let mut missing = permissions & !self.exact.get(path).copied().unwrap_or_default();
        for (pattern, granted) in &self.patterns {
            if missing == 0 {
                break;
            }
            if missing & granted != 0 && pattern.matches(path) {
                missing &= !granted;
            }
        }
        missing == 0
    }

    /// Whether what the class security tells of is mediated and was not learned.
    pub fn refuses_guarded(&self, name: &str) -> bool {
        mediates(name) && !self.made.contains(&name)
    }
}

/// A path in quotes, its own special characters escaped; None: it has some that could not be.
fn quoted(path: &Pattern) -> Option<String> {
    let mut out = String::from("\"");
    for piece in path.pieces() {
        let Piece::Text(text) = piece else {
            out.push('*');
            continue;
        };
        for c in text.chars() {
            match c {
                '"' | '\\' | '@' => return None,
                '*' | '?' | '[' | ']' | '{' | '}' | '^' => out.extend(['\\', c]),
                ' '..='~' => out.push(c),
                _ => return None,
            }
        }
    }
    out.push('"');
    Some(out)
}

fn letters(permissions: u8) -> String {
    let mut out = String::new();
    let has = |bit| permissions & bit != 0;
    if has(MAP) {
        out.push('m');
    }
    if has(READ) {
        out.push('r');
    }
    if has(WRITE) {
        out.push_str("wk");
    }
    if has(EXECUTE) {
        out.push_str("ix");
    }
    out
}

pub fn write(allowed: &Allowed<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let rules = rules(allowed, &mut account);
    let name = names::dns(names::short(&allowed.image));
    let mut body = format!("profile retroscope-{name} flags=(attach_disconnected,mediate_deleted) {{\n");
    for (kind, _) in KINDS.iter().zip(rules.sockets).filter(|(_, used)| *used) {
        body.push_str(&format!("  network inet {kind},\n  network inet6 {kind},\n"));
    }
    // Not learned: local sockets, the C library's questions to the kernel about addresses, and what LIMITS names.
    body.push_str("  network unix,\n  network netlink,\n  unix,\n  signal,\n  capability,\n  ptrace (read, readby),\n");
    for (_, rule) in MEDIATED.iter().filter(|(name, _)| rules.made.contains(name)) {
        body.push_str(&format!("  {rule},\n"));
    }
    for (path, permissions) in &rules.files {
        if let Some(path) = quoted(path) {
            body.push_str(&format!("  {path} {},\n", letters(*permissions)));
        }
    }
    body.push_str("}\n");
    let header = account.header(&allowed.image, Format::Apparmor, &allowed.unlocked);
    Policy { text: format!("{header}{body}"), account }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;
    use std::sync::Arc;

    #[test]
    fn files_are_told_apart_by_what_is_done_to_them() {
        let entry = entry(
            &["/usr/bin/app"],
            &[
                ["app", "/srv/in/<num>.csv", "read"],
                ["app", "/srv/out/<num>.csv", "write"],
                ["app", "/usr/lib/libc.so.6", "read"],
                ["app", "/srv/old", "unlink"],
                ["app", "/srv/dir", "locate"],
                ["app", "/srv/run.sh", "read"],
            ],
            &[["app", "connect tcp", "loopback", "80"]],
        );
        let image: Arc<str> = "web".into();
        let policy = write(&Allowed::new(&image, &entry));
        for line in [
            "  \"/srv/in/*.csv\" r,",
            "  \"/srv/out/*.csv\" rwk,",
            "  \"/usr/lib/libc.so.6\" mr,",
            "  \"/usr/bin/app\" mrix,",
            "  \"/srv/old\" wk,",
            "  network inet stream,",
        ] {
            assert!(policy.text.lines().any(|other| other == line), "{line}\n{}", policy.text);
        }
        assert!(!policy.text.contains("/srv/dir") && !policy.text.contains("dgram") && !policy.text.contains("mount,"));
        let rules = rules(&Allowed::new(&image, &entry), &mut Account::default());
        assert!(rules.allows("/srv/in/7.csv", READ) && !rules.allows("/srv/in/7.csv", WRITE));
        assert!(rules.allows("/srv/out/7.csv", READ | WRITE) && !rules.allows("/srv/out/7.csv", EXECUTE));
        assert!(rules.refuses_guarded("mount") && !rules.refuses_guarded("setuid"));
    }

    #[test]
    fn hostile_names_are_escaped_or_left_out_and_said() {
        let hostile = ["/srv/a\",\n  /** rwix,", "/srv/a\\b", "/srv/@{HOME}", "/srv/é", "/srv/[slug]{a,b}?*^"];
        let files: Vec<[&str; 3]> = hostile.iter().map(|path| ["app", *path, "read"]).collect();
        let entry = entry(&[], &files, &[]);
        let image: Arc<str> = "web\n}".into();
        let policy = write(&Allowed::new(&image, &entry));
        assert!(policy.text.contains("  \"/srv/\\[slug\\]\\{a,b\\}\\?\\*\\^\" r,\n"), "{}", policy.text);
        assert_eq!(policy.account.left_out[UNSAFE_NAME].count, 4);
        assert_eq!(policy.text.lines().filter(|line| line.starts_with("  \"")).count(), 1);
        assert_eq!(policy.text.matches('\n').count(), policy.text.lines().count());
        let rules = rules(&Allowed::new(&image, &entry), &mut Account::default());
        assert!(!rules.allows("/srv/a\\b", READ) && rules.allows("/srv/[slug]{a,b}?*^", READ));
    }
}
