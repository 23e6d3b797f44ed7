//! Pseudonyms of single words, ids, domains and addresses.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::address::Addresses;
use super::key::Key;
use super::known::{is_id, is_known, is_suffix, is_tld};
use crate::model::Container;

/// Hex digits of a pseudonym, at least: two of a million words have the same with a chance of 1 in 2 (2^-40 a pair).
const DIGITS: usize = 10;

/// A pseudonym is as long as its word, up to a file name's most bytes: long names are what some detections look at.
const LONGEST: usize = 255;

/// The beginning of an id, as runtimes print it and as hostnames in containers have it.
const SHORT: usize = 12;

/// Makes pseudonyms, and knows which names the recording has.
pub(super) struct Names {
    pub(super) key: Key,
    addresses: Addresses,
    /// Pseudonyms of the containers' ids, by the beginning of the id.
    ids: HashMap<String, (Arc<str>, String)>,
    /// Words that name containers, pods and hosts here, and are no well-known ones: replaced even where all else is kept.
    pub(super) own: HashSet<String>,
    pub(super) texts: HashMap<(Kind, Arc<str>), Arc<str>>,
}

/// What a text is, and so how it is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Path,
    Text,
    Domain,
    Id,
}

impl Names {
    pub(super) fn new(key: Key, containers: &[Container]) -> Names {
        let mut names = Names {
            key,
            addresses: Addresses::default(),
            ids: HashMap::new(),
            own: HashSet::new(),
            texts: HashMap::new(),
        };
        for row in containers {
            let full = names.hex_id(&row.id);
            names.ids.insert(row.id.chars().take(SHORT).collect(), (row.id.clone(), full));
            let called = [&row.name, &row.pod, &row.namespace].into_iter().flatten().chain(&row.aliases);
            let unknown = called.filter(|name| !is_known(name) && !is_id(name));
            names.own.extend(unknown.cloned());
        }
        names
    }

    /// `x` and hex digits; a well-known word is itself.
    pub(super) fn word(&self, word: &str) -> String {
        if is_known(word) {
            return word.to_owned();
        }
        let digits = word.len().saturating_sub(1).clamp(DIGITS, LONGEST);
        format!("x{}", self.key.hex("word", word, digits))
    }

    fn hex_id(&self, id: &str) -> String {
        self.key.hex("id", id, id.len().min(LONGEST))
    }

    /// Hex digits for hex digits. The beginning of a container's id becomes the beginning of its pseudonym.
    pub(super) fn id(&self, id: &str) -> String {
        match id.get(..SHORT).and_then(|start| self.ids.get(start)) {
            Some((full, pseudonym)) if full.starts_with(id) => pseudonym[..id.len().min(pseudonym.len())].to_owned(),
            _ => self.hex_id(id),
        }
    }

    /// The id of a container, also one that a person chose.
    pub(super) fn container(&self, id: &str) -> String {
        if is_id(id) { self.id(id) } else { self.word(id) }
    }

    pub(super) fn address(&mut self, address: IpAddr) -> String {
        self.addresses.map(&self.key, address).to_string()
    }

    /// A part of a name between dots or slashes: parts between dashes that are all known, numbers or ids stay apart.
    pub(super) fn part(&self, part: &str) -> String {
        if is_known(part) {
            return part.to_owned();
        }
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.digits(part);
        }
        if is_id(part) {
            return self.id(part);
        }
        let pieces = || part.split('-');
        if part.contains('-') && pieces().all(|piece| is_known(piece) || is_id(piece)) {
            let mapped = pieces().map(|piece| if is_id(piece) { self.id(piece) } else { piece.to_owned() });
            return mapped.collect::<Vec<_>>().join("-");
        }
        self.word(part)
    }

    /// As many digits.
    fn digits(&self, number: &str) -> String {
        let hex = self.key.hex("digits", number, number.len());
        hex.chars().map(|c| char::from(b'0' + (c.to_digit(16).unwrap_or(0) % 10) as u8)).collect()
    }

    /// A file's name: a leading dot and well-known endings are kept.
    pub(super) fn file_name(&self, name: &str) -> String {
        if name.chars().all(|c| c == '.') || is_known(name) {
            return name.to_owned();
        }
        if let Some(rest) = name.strip_prefix('.') {
            return format!(".{}", self.file_name(rest));
        }
        match name.rsplit_once('.') {
            Some((stem, ending)) if is_suffix(ending) => format!("{}.{ending}", self.file_name(stem)),
            _ => self.part(name),
        }
    }

    /// Label by label; the top-level domain is kept, if there is one, and reverse names have the address they stand for.
    pub(super) fn domain(&mut self, name: &str) -> String {
        if let Some(reverse) = self.reverse(name) {
            return reverse;
        }
        let labels: Vec<&str> = name.split('.').collect();
        let last = labels.len() - 1;
        let label = |(at, label): (usize, &&str)| {
            let top = at == last && last > 0 && is_tld(label);
            if top { (*label).to_owned() } else { self.part(&label.to_ascii_lowercase()) }
        };
        labels.iter().enumerate().map(label).collect::<Vec<_>>().join(".")
    }

    /// `4.3.2.10.in-addr.arpa`, and the same of IPv6.
    fn reverse(&mut self, name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        let reversed = |digits: &str| digits.split('.').rev().map(str::to_owned).collect::<Vec<_>>();
        if let Some(digits) = lower.strip_suffix(".in-addr.arpa") {
            let address: Ipv4Addr = reversed(digits).join(".").parse().ok()?;
            let mapped = self.address(address.into());
            return Some(format!("{}.in-addr.arpa", reversed(&mapped).join(".")));
        }
        let nibbles = reversed(lower.strip_suffix(".ip6.arpa")?).concat();
        let bits = u128::from_str_radix(&nibbles, 16).ok().filter(|_| nibbles.len() == 32)?;
        let mapped: Ipv6Addr = self.address(Ipv6Addr::from_bits(bits).into()).parse().ok()?;
        let digits: Vec<String> = format!("{:032x}", mapped.to_bits()).chars().rev().map(String::from).collect();
        Some(format!("{}.ip6.arpa", digits.join(".")))
    }
}
