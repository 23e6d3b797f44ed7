//! CiliumNetworkPolicy (cilium.io/v2): as a NetworkPolicy, and domains by name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::allowed::Allowed;
use super::kubernetes::{pods, policy_name};
use super::net::{self, Block};
use super::net_rules::{Dialect, Ports, Rules, To, rules};
use super::{Format, Options, Policy};

pub const LIMITS: &[&str] = &[
    "programs, files, arguments and system calls",
    "which image a pod runs: pods are found by a label, which has to be theirs alone, and in the policy's own namespace",
    "which address a domain has: it is the one that the pod was told by the name server",
    "a domain that is a pod's or a node's: names stand for what is outside the cluster",
];

const DNS: &str =
    "Cilium has to see the answers to know a domain's addresses: any name may be asked of the cluster's name server";

pub fn write(allowed: &Allowed<'_>, options: &Options<'_>) -> Policy {
    let mut account = allowed.account.clone();
    let rules = rules(allowed, Dialect::Cilium, options.config, &mut account);
    let names = rules.egress.keys().any(|to| matches!(to, To::Name { .. }));
    if names {
        account.widen(DNS, "udp and tcp port 53 of kube-dns");
    }
    let document = document(allowed, &rules, options, names);
    let yaml = serde_norway::to_string(&document).expect("plain values serialize");
    let header = account.header(&allowed.image, Format::Cilium, &allowed.unlocked);
    Policy { text: format!("{header}{yaml}"), account }
}

fn document(allowed: &Allowed<'_>, rules: &Rules, options: &Options<'_>, names: bool) -> Value {
    let side = |from: bool, rules: &BTreeMap<To, BTreeSet<Ports>>| -> Vec<Value> {
        rules.iter().map(|(to, ports)| rule(from, to, ports, options)).collect()
    };
    let (mut ingress, mut egress) = (side(true, &rules.ingress), side(false, &rules.egress));
    if names {
        egress.push(json!({
            "toEndpoints": [{ "matchLabels": {
                "k8s:io.kubernetes.pod.namespace": "kube-system",
                "k8s-app": "kube-dns",
            } }],
            "toPorts": [{
                "ports": [{ "port": "53", "protocol": "UDP" }, { "port": "53", "protocol": "TCP" }],
                "rules": { "dns": [{ "matchPattern": "*" }] },
            }],
        }));
    }
    // A direction with no rule at all is not restrained; one empty rule matches nobody and restrains it.
    for side in [&mut ingress, &mut egress] {
        if side.is_empty() {
            side.push(json!({}));
        }
    }
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": { "name": policy_name(&allowed.image) },
        "spec": {
            "endpointSelector": pods(&allowed.image, options),
            "ingress": ingress,
            "egress": egress,
        },
    })
}

fn rule(from: bool, to: &To, ports: &BTreeSet<Ports>, options: &Options<'_>) -> Value {
    let (endpoints, cidr, cidr_set, entities) = if from {
        ("fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities")
    } else {
        ("toEndpoints", "toCIDR", "toCIDRSet", "toEntities")
    };
    let texts = |blocks: &[Block]| blocks.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut rule = Map::new();
    match to {
        To::Anyone => rule.insert(entities.to_owned(), json!(["all"])),
        To::Private => rule.insert(cidr.to_owned(), json!(texts(&net::private()))),
        To::Public => {
            let set = net::public().into_iter().map(|all| {
                let inside = |block: &Block| block.address.is_ipv4() == all.address.is_ipv4();
                let except: Vec<Block> = net::private().into_iter().filter(inside).collect();
                json!({ "cidr": all.to_string(), "except": texts(&except) })
            });
            rule.insert(cidr_set.to_owned(), set.collect())
        }
        To::Block(block) => rule.insert(cidr.to_owned(), json!(texts(&[*block]))),
        To::Metadata => rule.insert(cidr.to_owned(), json!(texts(&net::metadata()))),
        To::Image(image) => rule.insert(endpoints.to_owned(), json!([pods(image, options)])),
        To::Pods => rule.insert(entities.to_owned(), json!(["cluster"])),
        To::Name { name, below: false } => rule.insert("toFQDNs".to_owned(), json!([{ "matchName": &**name }])),
        To::Name { name, below: true } => {
            let names = json!([{ "matchName": &**name }, { "matchPattern": format!("*.{name}") }]);
            rule.insert("toFQDNs".to_owned(), names)
        }
    };
    let ports: Vec<Value> = ports.iter().map(port).collect();
    rule.insert("toPorts".to_owned(), json!([{ "ports": ports }]));
    Value::Object(rule)
}

fn port(ports: &Ports) -> Value {
    let (port, protocol) = (ports.from.to_string(), ports.protocol.to_uppercase());
    if ports.from == ports.until {
        json!({ "port": port, "protocol": protocol })
    } else {
        json!({ "port": port, "endPort": ports.until, "protocol": protocol })
    }
}
