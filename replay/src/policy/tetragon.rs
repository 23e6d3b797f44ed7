//! Tetragon TracingPolicy (cilium.io/v1alpha1): programs, files and addresses that the image's profile does not know, at the kernel's
//! own checks. Reports; kills the process with `--enforce`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::account::Account;
use super::allowed::Allowed;
use super::kubernetes::{pods, policy_name};
use super::net::{self, Block, Direction, Port, Who};
use super::paths::Paths;
use super::pattern::Pattern;
use super::{Format, Options, Policy};

pub const LIMITS: &[&str] = &[
    "to refuse a call: with --enforce the process is killed, which takes its other work along",
    "patterns: all that begins with the text before the first of their open places is known",
    "domains, images and containers as peers: addresses alone, and which port belongs to which",
    "which program uses which file, arguments, and what is done to a file but reading and writing",
    "which image a pod runs: pods are found by a label, which has to be theirs alone",
];

const ANY_PUBLIC: &str = "a domain: any public address stands for it";
const ANY_PRIVATE: &str = "a domain, an image or a network of containers: any private address stands for it";
/// Permissions of security_file_permission (linux/fs.h).
const MAY_WRITE: &str = "2";
const MAY_READ: &str = "4";
/// Bytes of a path that are compared (Tetragon: selectors).
const LONGEST: usize = 255;

pub fn write(allowed: &Allowed<'_>, options: &Options<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let action = if options.enforce { "Sigkill" } else { "Post" };
    let actions = json!([{ "action": action }]);
    let of = |ops: &'static [&'static str]| {
        allowed.files.iter().filter(move |(_, done)| done.keys().any(|op| ops.contains(&&**op))).map(|(path, _)| path)
    };
    let programs = unknown(0, allowed.executables.keys(), &mut account);
    let read = unknown(0, of(&["read", "list", "write"]), &mut account);
    let written = unknown(0, of(&["write"]), &mut account);
    let permission = |mask: &str, mut arguments: Vec<Value>| {
        arguments.push(json!({ "index": 1, "operator": "Equal", "values": [mask] }));
        json!({ "matchArgs": arguments, "matchActions": actions })
    };
    let mut kprobes = vec![
        json!({
            "call": "security_bprm_creds_from_file",
            "syscall": false,
            "args": [{ "index": 1, "type": "file" }],
            "selectors": [{
                "matchArgs": unknown_at(&programs, 1),
                "matchActions": actions,
            }],
        }),
        json!({
            "call": "security_file_permission",
            "syscall": false,
            "args": [{ "index": 0, "type": "file" }, { "index": 1, "type": "int" }],
            "selectors": [permission(MAY_READ, read), permission(MAY_WRITE, written)],
        }),
    ];
    kprobes.push(json!({
        "call": "tcp_connect",
        "syscall": false,
        "args": [{ "index": 0, "type": "sock" }],
        "selectors": [
            { "matchArgs": [{ "index": 0, "operator": "NotDAddr", "values": addresses(allowed, &mut account) }], "matchActions": actions },
            { "matchArgs": [{ "index": 0, "operator": "NotDPort", "values": ports(allowed) }], "matchActions": actions },
        ],
    }));
    let document = json!({
        "apiVersion": "cilium.io/v1alpha1",
        "kind": "TracingPolicy",
        "metadata": { "name": policy_name(&allowed.image) },
        "spec": { "podSelector": pods(&allowed.image, options), "kprobes": kprobes },
    });
    let yaml = serde_norway::to_string(&document).expect("plain values serialize");
    let header = account.header(&allowed.image, Format::Tetragon, &allowed.unlocked);
    Policy { text: format!("{header}{yaml}"), account }
}

/// Matches of an argument that is none of the known paths; all of them have to hold.
fn unknown<'a>(index: u32, patterns: impl Iterator<Item = &'a Pattern>, account: &mut Account) -> Vec<Value> {
    let Paths { mut exact, prefixes } = Paths::of(patterns, LONGEST, account);
    let mut matches = Vec::new();
    // An empty list matches nothing, and so would its negation.
    if exact.is_empty() && prefixes.is_empty() {
        exact.insert("/nothing-is-known".to_owned());
    }
    for (operator, values) in [("NotEqual", exact), ("NotPrefix", prefixes)] {
        if !values.is_empty() {
            matches.push(json!({ "index": index, "operator": operator, "values": values }));
        }
    }
    matches
}

/// The same matches, of the argument at another index.
fn unknown_at(matches: &[Value], index: u32) -> Vec<Value> {
    let mut matches = matches.to_vec();
    matches.iter_mut().for_each(|condition| condition["index"] = index.into());
    matches
}

fn tcp<'a>(allowed: &'a Allowed<'_>) -> impl Iterator<Item = &'a super::net::Connection> {
    let connections = allowed.connections.keys();
    connections.filter(|connection| connection.direction == Direction::Connect && &*connection.protocol == "tcp")
}

fn addresses(allowed: &Allowed<'_>, account: &mut Account) -> Vec<String> {
    let mut blocks: BTreeSet<Block> = ["127.0.0.0/8", "::1/128"].iter().filter_map(|text| Block::parse(text)).collect();
    for connection in tcp(allowed) {
        let (wider, own) = match &connection.who {
            Who::Block(block) => (None, vec![*block]),
            Who::Metadata => (None, net::metadata()),
            Who::Loopback | Who::Own => (None, Vec::new()),
            Who::Domain { public: true, .. } => (Some(ANY_PUBLIC), net::public()),
            Who::Domain { .. } | Who::Image(_) | Who::ContainerNetwork => (Some(ANY_PRIVATE), net::private()),
            Who::Socket(_) | Who::Unknown(_) => {
                account.leave_out("a peer that is no address, no image and no domain", connection);
                continue;
            }
        };
        account.expressed += 1;
        if let Some(why) = wider {
            account.widen(why, connection);
        }
        blocks.extend(own);
    }
    blocks.iter().map(ToString::to_string).collect()
}

fn ports(allowed: &Allowed<'_>) -> Vec<String> {
    let mut ports: BTreeSet<String> = BTreeSet::new();
    for connection in tcp(allowed) {
        match connection.port {
            Port::Number(port) => drop(ports.insert(port.to_string())),
            Port::Ephemeral => drop(ports.insert("32768:65535".to_owned())),
            Port::None => {}
        }
    }
    if ports.is_empty() {
        // Port 0 is nobody's.
        ports.insert("0".to_owned());
    }
    ports.into_iter().collect()
}
