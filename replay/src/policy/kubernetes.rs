//! Kubernetes NetworkPolicy (networking.k8s.io/v1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::allowed::Allowed;
use super::names;
use super::net::{self, Block};
use super::net_rules::{Dialect, Ports, Rules, To, rules};
use super::{Format, Options, Policy};

pub const LIMITS: &[&str] = &[
    "programs, files, arguments and system calls",
    "domains: any public or any private address stands for one",
    "which image a pod runs: pods are found by a label, which has to be theirs alone, and in the policy's own namespace",
    "loopback and protocols other than tcp, udp and sctp, which no NetworkPolicy restrains everywhere",
];

pub fn write(allowed: &Allowed<'_>, options: &Options<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let rules = rules(allowed, Dialect::NetworkPolicy, options.config, &mut account);
    let document = document(allowed, &rules, options);
    let yaml = serde_norway::to_string(&document).expect("plain values serialize");
    let header = account.header(&allowed.image, Format::NetworkPolicy, &allowed.unlocked);
    Policy { text: format!("{header}{yaml}"), account }
}

/// The name of the policy of an image.
pub fn policy_name(image: &str) -> String {
    format!("retroscope-{}", names::dns(names::short(image)))
}

/// Labels by which the pods of an image are found.
pub fn pods(image: &str, options: &Options<'_>) -> Value {
    let mut labels = serde_json::Map::new();
    labels.insert(options.label.clone(), names::label(names::short(image)).into());
    json!({ "matchLabels": labels })
}

fn document(allowed: &Allowed<'_>, rules: &Rules, options: &Options<'_>) -> Value {
    let side = |word: &str, rules: &BTreeMap<To, BTreeSet<Ports>>| -> Vec<Value> {
        let rule = |(to, ports): (&To, &BTreeSet<Ports>)| {
            let mut rule = serde_json::Map::new();
            let peers = peers(to, options);
            if !peers.is_empty() {
                rule.insert(word.to_owned(), peers.into());
            }
            rule.insert("ports".to_owned(), ports.iter().map(port).collect());
            Value::Object(rule)
        };
        rules.iter().map(rule).collect()
    };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": policy_name(&allowed.image) },
        "spec": {
            "podSelector": pods(&allowed.image, options),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": side("from", &rules.ingress),
            "egress": side("to", &rules.egress),
        },
    })
}

fn port(ports: &Ports) -> Value {
    let protocol = ports.protocol.to_uppercase();
    if ports.from == ports.until {
        json!({ "protocol": protocol, "port": ports.from })
    } else {
        json!({ "protocol": protocol, "port": ports.from, "endPort": ports.until })
    }
}

/// Without one: anyone.
fn peers(to: &To, options: &Options<'_>) -> Vec<Value> {
    let block = |block: &Block| json!({ "ipBlock": { "cidr": block.to_string() } });
    match to {
        To::Anyone => Vec::new(),
        To::Private => net::private().iter().map(block).collect(),
        To::Public => {
            let all = net::public().into_iter().map(|all| {
                let inside = |block: &Block| block.address.is_ipv4() == all.address.is_ipv4();
                let except: Vec<String> =
                    net::private().iter().filter(|block| inside(block)).map(ToString::to_string).collect();
                json!({ "ipBlock": { "cidr": all.to_string(), "except": except } })
            });
            all.collect()
        }
        To::Block(one) => vec![block(one)],
        To::Metadata => net::metadata().iter().map(block).collect(),
        To::Image(image) => vec![json!({ "podSelector": pods(image, options) })],
        To::Pods => vec![json!({ "podSelector": {}, "namespaceSelector": {} })],
        // No rule of this dialect has a name; one that had would reach nobody.
        To::Name { .. } => vec![json!({ "ipBlock": { "cidr": "255.255.255.255/32" } })],
    }
}
