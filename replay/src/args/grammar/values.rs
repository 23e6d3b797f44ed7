//! How far a new value lies from the learned ones: numbers, paths, destinations, words.

use super::hosts::Host;
use crate::args::knowledge::Knowledge;
use crate::args::mask::is_opaque;
use crate::args::path::mask_path;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A mask alone, perhaps with a unit.
    Number,
    /// Digits that were not masked, for their number matters.
    Exact,
    Url {
        scheme: &'a str,
        rest: &'a str,
    },
    Host(Host<'a>),
    /// `host:path`.
    Remote {
        host: Host<'a>,
        path: &'a str,
    },
    Path,
    Word,
}

/// Sorts a value by its looks.
pub fn kind(value: &str) -> Kind<'_> {
    if let Some((scheme, rest)) = value.split_once("://") {
        return Kind::Url { scheme, rest };
    }
    if value.starts_with("<ip:") {
        return match value.split_once(">:").filter(|(_, path)| path.contains('/')) {
            Some((host, path)) => Kind::Remote { host: Host::parse(&value[..=host.len()]), path },
            None => Kind::Host(Host::parse(value)),
        };
    }
    if crate::args::shell::mask_length(value) > 0 && !value.contains('/') {
        return Kind::Number;
    }
    if value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b',' | b'+'))
    {
        return Kind::Exact;
    }
    if let Some((host, path)) =
        value.split_once(':').filter(|(host, path)| !host.contains('/') && path.contains('/') && !host.is_empty())
    {
        return Kind::Remote { host: Host::parse(host), path };
    }
    if value.starts_with(['/', '~', '.']) || value.contains('/') {
        let names = &Knowledge::get().names;
        let head = value.split('/').next().unwrap_or(value);
        let domain = head.rsplit_once('.').is_some_and(|(left, last)| !left.is_empty() && names.public.contains(last));
        // An image as docker.io/library/web:1.4 begins with the host that serves it.
        return if domain && !value.starts_with('.') { Kind::Url { scheme: "", rest: value } } else { Kind::Path };
    }
    let names = &Knowledge::get().names;
    let host = Host::parse(value);
    let domain = host.name.rsplit_once('.').is_some_and(|(left, last)| {
        !left.is_empty() && !last.is_empty() && (names.public.contains(last) || names.internal.contains(last))
    });
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '<' | '>' | ':');
    let user = host.user.is_some_and(|user| !user.is_empty() && user.chars().all(plain)) && !host.name.is_empty();
    if host.name == "localhost" || ((domain || user || host.port.is_some()) && host.name.chars().all(plain)) {
        return Kind::Host(host);
    }
    Kind::Word
}

/// Risk of a value where the ones in `known` were learned. `code`: the value is run or loaded.
pub fn risk(value: &str, known: &[&str], code: bool) -> f32 {
    if known.contains(&value) {
        return 0.0;
    }
    if smells(value) && !known.iter().any(|value| smells(value)) {
        return 0.9;
    }
    if value.split(['/', ',', '=', ':']).any(is_opaque) {
        return 0.7;
    }
    // A list is as risky as its riskiest part.
    if let Some(separator) = separator(value) {
        let known: Vec<&str> = known.iter().flat_map(|value| value.split(separator)).collect();
        return value.split(separator).map(|part| risk(part, &known, code)).fold(0.05, f32::max);
    }
    match kind(value) {
        Kind::Number => {
            if known.is_empty() || known.iter().any(|value| kind(value) == Kind::Number) {
                0.05
            } else {
                0.1
            }
        }
        Kind::Exact => exact(value, known),
        Kind::Url { scheme, rest } => url(scheme, rest, known, code),
        Kind::Host(host) => host.risk(&hosts(known)),
        Kind::Remote { host, path } => {
            let paths: Vec<&str> = known
                .iter()
                .filter_map(|value| match kind(value) {
                    Kind::Remote { path, .. } => Some(path),
                    _ => None,
                })
                .collect();
            host.risk(&hosts(known)).max(path_risk(path, &paths, code))
        }
        Kind::Path => path_risk(value, known, code),
        Kind::Word => word(value, known, code),
    }
}

/// What separates the parts of a list of plain words or paths.
fn separator(value: &str) -> Option<char> {
    if value.contains("://") || value.contains(['{', '(', '<']) {
        return None;
    }
    if value.contains(',') {
        return Some(',');
    }
    (value.starts_with('/') && value.contains(':')).then_some(':')
}

/// Text that makes a program run another.
pub fn smells(value: &str) -> bool {
    let value = value.replace("<lt>", "<");
    let lower = value.to_ascii_lowercase();
    [
        "`",
        "$(",
        "|sh",
        "|bash",
        "/bin/sh",
        "/bin/bash",
        "/dev/tcp",
        "/dev/udp",
        "javascript:",
        "data:text",
        "php://",
        "expect:",
        "exec:",
        "ext::",
        "; ",
        "&&",
        "|&",
        "${ifs}",
        "<(",
        "%0a",
        "\\x2f",
    ]
    .iter()
    .any(|part| lower.contains(part))
}

/// Modes, ids, signals, ports.
fn exact(value: &str, known: &[&str]) -> f32 {
    let zero = |part: &str| part.trim_start_matches('-').bytes().all(|b| b == b'0') && !part.is_empty();
    if value.split([':', ',']).any(zero) && !known.iter().any(|value| value.split([':', ',']).any(zero)) {
        return 0.8;
    }
    if value == "-1" || value == "1" {
        return 0.7;
    }
    let octal = |text: &str| {
        u32::from_str_radix(text.trim_start_matches('-'), 8).ok().filter(|_| (3..=5).contains(&text.len()))
    };
    match (octal(value), known.iter().filter_map(|value| octal(value)).next()) {
        // Set-id bits, anybody's writing, then execution that was not there.
        (Some(new), Some(old)) if new & 0o6000 & !old != 0 => 0.95,
        (Some(new), Some(old)) if new & 0o002 & !old != 0 => 0.8,
        (Some(new), Some(old)) if new & 0o111 & !old != 0 => 0.4,
        (Some(new), Some(old)) if new & 0o077 & !old != 0 => 0.5,
        (Some(new), None) if new & 0o6002 != 0 => 0.7,
        _ => match (value.parse::<u32>(), known.iter().filter_map(|value| value.parse::<u32>().ok()).next()) {
            (Ok(new), Some(old)) if new.abs_diff(old) <= 100 && new > 1023 => 0.1,
            _ => 0.35,
        },
    }
}

fn hosts<'a>(known: &[&'a str]) -> Vec<Host<'a>> {
    let host = |value: &&'a str| match kind(value) {
        Kind::Host(host) | Kind::Remote { host, .. } => Some(host),
        Kind::Url { rest, .. } => Some(Host::parse(authority(rest).0)),
        // A bare name may be a host's: `psql -h db`.
        Kind::Word => Some(Host::parse(value)),
        _ => None,
    };
    known.iter().filter_map(host).collect()
}

/// Authority and the rest from its first `/`, `?` or `#`.
fn authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

fn url(scheme: &str, rest: &str, known: &[&str], code: bool) -> f32 {
    let (host, path) = authority(rest);
    let urls: Vec<(&str, &str, &str)> = known
        .iter()
        .filter_map(|value| match kind(value) {
            Kind::Url { scheme, rest } => {
                let (host, path) = authority(rest);
                Some((scheme, host, path))
            }
            _ => None,
        })
        .collect();
    let scheme_risk: f32 = match scheme {
        _ if urls.iter().any(|(known, ..)| *known == scheme) => 0.0,
        "https" => 0.05,
        "http" if urls.iter().any(|(known, ..)| *known == "https") => 0.65,
        "http" if urls.is_empty() => 0.3,
        "" if urls.is_empty() => 0.3,
        _ => 0.8,
    };
    if scheme == "file" || host.is_empty() {
        return scheme_risk.max(path_risk(path, &[], code));
    }
    let hosts: Vec<Host<'_>> =
        if urls.is_empty() { hosts(known) } else { urls.iter().map(|(_, host, _)| Host::parse(host)).collect() };
    let place = Host::parse(host).risk(&hosts);
    let web = web_path_risk(path, &urls.iter().map(|(.., path)| *path).collect::<Vec<_>>());
    scheme_risk.max(place).max(web)
}

/// A path on a server: what climbs, or names what a server should not serve.
fn web_path_risk(path: &str, known: &[&str]) -> f32 {
    if known.contains(&path) {
        return 0.0;
    }
    let lower = path.to_ascii_lowercase();
    let bad = [
        "..",
        "%2e",
        "%2f",
        "/etc/",
        "passwd",
        "/.env",
        "/.git",
        "cmd=",
        "exec=",
        "/shell",
        "security-credentials",
        "/secrets",
    ];
    if bad.iter().any(|part| lower.contains(part) && !known.iter().any(|path| path.contains(part))) {
        return 0.75;
    }
    let tables = &Knowledge::get().paths;
    let is_code = |path: &str| {
        let file = path.split('?').next().unwrap_or(path).to_ascii_lowercase();
        tables.code.iter().any(|ending| file.ends_with(ending.as_str()))
    };
    if is_code(path) && !known.iter().any(|path| is_code(path)) { 0.6 } else { 0.15 }
}

/// A file: where it lies matters more than what it is called.
pub fn path_risk(path: &str, known: &[&str], code: bool) -> f32 {
    let path = path.trim_start_matches('@');
    if path == "/dev/null" || path == "/dev/stdin" || path == "/dev/stdout" || path == "/dev/stderr" || path == "-" {
        return 0.05;
    }
    let known: Vec<&str> = known
        .iter()
        .map(|path| path.trim_start_matches('@'))
        .filter(|path| matches!(kind(path), Kind::Path | Kind::Word))
        .collect();
    if known.contains(&path) {
        return 0.0;
    }
    let clean = mask_path(path);
    let tables = &Knowledge::get().paths;
    let part = |path: &str, parts: &[String]| parts.iter().any(|part| path.contains(part.as_str()));
    let prefix = |path: &str, parts: &[String]| {
        parts
            .iter()
            .any(|part| path.strip_prefix(part.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let parent = |path: &str| {
        path.trim_end_matches('/').rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned())
    };
    let beside = known.iter().any(|known| parent(known) == parent(path));
    let ending = tables
        .code
        .iter()
        .any(|ending| path.ends_with(ending.as_str()) && !known.iter().any(|known| known.ends_with(ending.as_str())));
    let hidden = |path: &str| path.split('/').any(|name| name.len() > 2 && name.starts_with('.') && name != "..");
    let mut risk: f32 = if beside { 0.05 } else { nearness(path, &known) };
    let credential = |path: &str| part(path, &tables.credential);
    if credential(&clean) {
        risk = risk.max(0.9);
    }
    if part(&clean, &tables.persistence) {
        risk = risk.max(if beside { 0.3 } else { 0.85 });
    }
    for (table, far) in [(&tables.temporary, 0.6), (&tables.served, 0.6), (&tables.system, 0.5)] {
        if prefix(&clean, table) && !known.iter().any(|known| prefix(known, table)) {
            risk = risk.max(if code { 0.9 } else { far });
        }
    }
    if clean.starts_with("/dev/") || clean.starts_with("/proc/") || clean.starts_with("/sys/") {
        risk = risk.max(if clean.starts_with("/dev/tcp") || clean.starts_with("/dev/udp") { 1.0 } else { 0.6 });
    }
    if clean.starts_with("/etc/") && !beside {
        risk = risk.max(0.35);
    }
    if hidden(path) && !known.iter().any(|known| hidden(known)) {
        risk = risk.max(0.5);
    }
    if path.contains("..") && !known.iter().any(|known| known.contains("..")) {
        risk = risk.max(0.5);
    }
    // Wider than what was known: all of a directory in which one place was meant.
    let wide = clean.trim_end_matches('/');
    let above = known
        .iter()
        .any(|known| known.starts_with('/') && known.starts_with(&format!("{wide}/")) && known.len() > wide.len() + 1);
    if path.starts_with('/') && wide.is_empty() {
        risk = risk.max(0.85);
    } else if path.starts_with('/') && above && wide.matches('/').count() == 1 {
        risk = risk.max(0.6);
    }
    if tables.whole.contains(wide) {
        risk = risk.max(0.5);
    }
    if ending {
        risk = risk.max(if code { 0.6 } else { 0.5 });
    }
    if code && !beside {
        risk = risk.max(0.5);
    }
    risk
}

/// Steps that a path shares with the nearest known one, as a risk.
fn nearness(path: &str, known: &[&str]) -> f32 {
    let names = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let own = names(path);
    let shared = known.iter().map(|known| names(known).iter().zip(&own).take_while(|(a, b)| a == b).count()).max();
    match shared {
        _ if !path.starts_with('/') => 0.15,
        Some(0) => 0.3,
        Some(1) => 0.15,
        Some(_) => 0.1,
        None => 0.3,
    }
}

/// A bare word: an enumeration's next value, a name, or code.
fn word(value: &str, known: &[&str], code: bool) -> f32 {
    let tables = &Knowledge::get().paths;
    if tables
        .credential
        .iter()
        .chain(&tables.persistence)
        .any(|part| value.contains(part.trim_start_matches('/')) && part.len() > 5)
    {
        return 0.8;
    }
    if tables.code.iter().any(|ending| value.ends_with(ending.as_str()))
        && !known.iter().any(|known| tables.code.iter().any(|ending| known.ends_with(ending.as_str())))
    {
        return 0.5;
    }
    if code { 0.5 } else { 0.15 }
}
