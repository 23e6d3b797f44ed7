//! Policies in files, whoever wrote them: seccomp, NetworkPolicy, CiliumNetworkPolicy and AppArmor.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::lint::{DANGEROUS, Finding, Level};
use super::seccomp;
use crate::error::{Error, Result};

const FORMATS: &str =
    "lint reads profile.json, seccomp (JSON), NetworkPolicy and CiliumNetworkPolicy (YAML), and AppArmor";

/// # Errors
/// None of the formats, or one that cannot be read.
pub fn lint(path: &Path, text: &str) -> Result<Vec<Finding>> {
    let of: Arc<str> = path.display().to_string().into();
    if text.trim_start().starts_with('{') {
        let file: seccomp::File = serde_json::from_str(text)
            .map_err(|error| Error::input(format!("{of}: not a seccomp profile: {error}"), FORMATS))?;
        return Ok(calls(&of, &file));
    }
    let mut findings = Vec::new();
    let mut understood = false;
    for document in serde_norway::Deserializer::from_str(text) {
        // What is no YAML may be AppArmor.
        let Ok(document) = Value::deserialize(document) else { break };
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
        if matches!(kind, "NetworkPolicy" | "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy") {
            understood = true;
            let specs = document.get("specs").and_then(Value::as_array).into_iter().flatten();
            document.get("spec").into_iter().chain(specs).for_each(|spec| network(&of, kind, spec, &mut findings));
        }
    }
    let profile = text.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with("profile ") && line.trim_end().ends_with('{')
    });
    if !understood && profile {
        understood = true;
        apparmor(&of, text, &mut findings);
    }
    if understood { Ok(findings) } else { Err(Error::input(format!("{of}: no policy of a known format"), FORMATS)) }
}

fn calls(of: &Arc<str>, file: &seccomp::File) -> Vec<Finding> {
    let allows =
        |action: &str| matches!(action, "SCMP_ACT_ALLOW" | "SCMP_ACT_LOG" | "SCMP_ACT_NOTIFY" | "SCMP_ACT_TRACE");
    let mut findings = Vec::new();
    let open = allows(&file.default_action);
    if open {
        findings.push(Finding::new(
            Level::Medium,
            of,
            "default-allow",
            format!("defaultAction {}", file.default_action),
            "a call that is not named is allowed, those of newer kernels among them",
            "name what is allowed, and refuse the rest (SCMP_ACT_ERRNO)",
        ));
    }
    for (name, why) in DANGEROUS {
        let rules = || file.syscalls.iter().filter(|rule| rule.names.iter().any(|other| other == name));
        let allowed = rules().any(|rule| allows(&rule.action) && rule.args.is_empty());
        let refused = rules().any(|rule| !allows(&rule.action) && rule.args.is_empty());
        if allowed || (open && !refused) {
            let hint = "refuse it, or allow it for the one container that needs it";
            findings.push(Finding::new(Level::High, of, "dangerous-call", name, why, hint));
        }
    }
    findings
}

fn network(of: &Arc<str>, kind: &str, spec: &Value, findings: &mut Vec<Finding>) {
    let cilium = kind != "NetworkPolicy";
    for (side, check, words) in [
        (
            "egress",
            "any-destination-egress",
            ["to", "toEndpoints", "toCIDR", "toCIDRSet", "toEntities", "toFQDNs", "toServices"].as_slice(),
        ),
        (
            "ingress",
            "any-source-ingress",
            ["from", "fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities"].as_slice(),
        ),
    ] {
        let level = if side == "egress" { Level::High } else { Level::Medium };
        let rules = spec.get(side).and_then(Value::as_array);
        let types = spec.get("policyTypes").and_then(Value::as_array);
        let restrains = rules.is_some()
            || types.is_some_and(|types| {
                types.iter().any(|kind| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case(side)))
            });
        if !restrains {
            findings.push(Finding::new(
                level,
                of,
                check,
                format!("no {side}"),
                "a direction that the policy does not mention is not restrained",
                "mention it, and list who is meant",
            ));
        }
        for (i, rule) in rules.into_iter().flatten().enumerate() {
            let named = words
                .iter()
                .any(|word| rule.get(word).is_some_and(|peers| peers.as_array().is_none_or(|peers| !peers.is_empty())));
            // In Cilium's form an empty rule matches nobody; one with ports alone matches anybody, as any rule of Kubernetes.
            let empty = rule.as_object().is_none_or(serde_json::Map::is_empty);
            let open = !(named || (cilium && empty));
            let everywhere =
                text_values(rule).into_iter().find(|text| matches!(*text, "0.0.0.0/0" | "::/0" | "all" | "world"));
            if open || everywhere.is_some() {
                findings.push(Finding::new(
                    level,
                    of,
                    check,
                    format!("{side}[{i}]: {}", everywhere.unwrap_or("no peer is named")),
                    "anybody is meant, at least at the ports of the rule",
                    "name peers: pods, domains (Cilium), or blocks of addresses",
                ));
            }
        }
    }
}

/// All texts in a value.
fn text_values(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(text_values).collect(),
        Value::Object(map) => map.values().flat_map(text_values).collect(),
        _ => Vec::new(),
    }
}

/// Line by line, as most profiles are written: a path, then its permissions.
fn apparmor(of: &Arc<str>, text: &str, findings: &mut Vec<Finding>) {
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let rule = line.trim_end_matches(',');
        let allowed = rule.strip_prefix("allow ").unwrap_or(rule);
        if matches!(allowed, "mount" | "ptrace" | "file") || allowed.starts_with("change_profile") {
            findings.push(Finding::new(
                Level::High,
                of,
                "broad-rule",
                line,
                "the rule has no object: it allows all of its kind",
                "name what it is about, or leave it out",
            ));
            continue;
        }
        let Some((path, permissions)) = allowed.rsplit_once(' ') else { continue };
        let path = path.trim().trim_matches('"');
        let letters = permissions.bytes().all(|b| b"rwaxmlkixpucPUC".contains(&b));
        if !path.starts_with('/') || !letters || permissions.is_empty() {
            continue;
        }
        let (writes, runs) = (permissions.contains(['w', 'a']), permissions.contains('x'));
        if writes && runs {
            findings.push(Finding::new(
                Level::High,
                of,
                "writable-and-executable",
                line,
                "what can write it can have its own code run",
                "write elsewhere, or leave the execution out",
            ));
        }
        let sensitive =
            ["/etc/", "/root/", "/usr/", "/bin/", "/sbin/", "/lib", "/proc/", "/sys/", "/dev/", "/boot/", "/home/"];
        let below = path.split(['*', '{', '?']).next().unwrap_or(path);
        let wide = path.contains("**") || (path.contains('*') && writes);
        if wide && (below == "/" || sensitive.iter().any(|directory| below.starts_with(directory))) {
            findings.push(Finding::new(
                if writes || below == "/" { Level::High } else { Level::Medium },
                of,
                "wildcard-in-sensitive-directory",
                line,
                "any name is allowed where the name is the risk",
                "name the files",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(text: &str) -> Vec<(&'static str, String)> {
        let found = lint(Path::new("policy"), text).unwrap();
        found.into_iter().map(|finding| (finding.check, finding.what)).collect()
    }

    #[test]
    fn a_seccomp_profile_that_allows_too_much() {
        let found = checks(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "bpf"], "action": "SCMP_ACT_ALLOW"}]}"#,
        );
        assert_eq!(found, [("dangerous-call", "bpf".to_owned())]);
        let found = checks(r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}"#);
        assert_eq!(found.len(), 1 + DANGEROUS.len());
    }

    #[test]
    fn network_policies_that_name_nobody() {
        let found =
            checks("kind: NetworkPolicy\nspec:\n  policyTypes: [Egress]\n  egress:\n  - ports: [{port: 443}]\n");
        assert_eq!(
            found,
            [
                ("any-destination-egress", "egress[0]: no peer is named".to_owned()),
                ("any-source-ingress", "no ingress".to_owned()),
            ]
        );
        let none = "kind: CiliumNetworkPolicy\nspec:\n  ingress: [{}]\n  egress: [{toFQDNs: [{matchName: a.b}]}]\n";
        assert_eq!(checks(none), []);
        let all = "kind: CiliumNetworkPolicy\nspec:\n  ingress: [{}]\n  egress: [{toEntities: [world]}]\n";
        assert_eq!(checks(all), [("any-destination-egress", "egress[0]: world".to_owned())]);
    }

    #[test]
    fn an_apparmor_profile_that_is_too_wide() {
        let text = "# x\nprofile a {\n  mount,\n  \"/etc/**\" rw,\n  /srv/x rwix,\n  \"/srv/*\" r,\n  deny /usr/** w,\n  network inet stream,\n}\n";
        assert_eq!(
            checks(text).iter().map(|(check, _)| *check).collect::<Vec<_>>(),
            ["broad-rule", "wildcard-in-sensitive-directory", "writable-and-executable",]
        );
    }

    #[test]
    fn what_is_no_policy_is_an_error() {
        for text in ["", "hello", "kind: Pod\n", "{\"a\": 1}", "[1, 2]", "- a\n- : :\n\t"] {
            let error = lint(Path::new("x"), text).unwrap_err();
            assert!(error.hint().contains("seccomp"), "{text}");
        }
    }
}
