//! What a scenario must hold beyond its syntax.

use std::net::IpAddr;

use record_bpf::{Class, Kind};

use crate::definition::{Deed, LOAD_SERVICE, Matchers, Operation, Scenario, Service};

/// What a container may have beyond podman's defaults: none of them leads out of it. tcpdump needs the first, sshd the second.
const CAPS: [&str; 3] = ["NET_RAW", "AUDIT_WRITE", "SYS_PTRACE"];
/// Attackers' machines may also set up interfaces of their own.
const CAPS_OUTSIDE: [&str; 4] = ["NET_RAW", "AUDIT_WRITE", "SYS_PTRACE", "NET_ADMIN"];

/// The references between the parts, and the values a run would otherwise trip over. An error is (entry, message).
pub(crate) fn check(scenario: &Scenario) -> Result<(), (String, String)> {
    let err = |place: String, message: String| Err((place, message));
    let known_service = |name: &str| scenario.services.iter().any(|service| service.name == name);
    if scenario.services.is_empty() {
        return err("services".into(), "a scenario needs at least one service".into());
    }
    if !scenario.services[0].dns || scenario.services.iter().filter(|service| service.dns).count() != 1 {
        return err("services".into(), "the first service, and no other, has 'dns = true'".into());
    }
    for (name, image) in &scenario.images {
        let place = format!("images.{name}");
        if !is_plain_name(name) {
            return err(place, "a name is made of lower-case letters, digits and '-'".into());
        }
        if !image.recipe.join("Containerfile").is_file() {
            return err(place, format!("no Containerfile in {}", image.recipe.display()));
        }
        if let Some(missing) = image.with.iter().find(|file| !file.is_file()) {
            return err(place, format!("no file {}", missing.display()));
        }
    }
    for (i, service) in scenario.services.iter().enumerate() {
        let place = format!("services.{}", service.name);
        if !is_plain_name(&service.name) {
            return err(place, "a name is made of lower-case letters, digits and '-'".into());
        }
        if scenario.services[..i].iter().any(|other| other.name == service.name) || service.name == LOAD_SERVICE {
            return err(place, "the name is taken".into());
        }
        if let Some(message) = check_service(service) {
            return err(place, message);
        }
        if !scenario.images.contains_key(&service.image) {
            return err(place, format!("there is no image '{}'", service.image));
        }
    }
    if !scenario.images.contains_key(&scenario.load.image) {
        return err("load".into(), format!("there is no image '{}'", scenario.load.image));
    }
    if scenario.time_compression.is_some_and(|factor| !(factor >= 1.0 && factor.is_finite())) {
        return err("benign".into(), "compression is 1 or more".into());
    }
    for phase in &scenario.load.phases {
        if !(phase.seconds > 0.0 && phase.rate > 0.0 && (0.0..=1.0).contains(&phase.burst)) {
            let message = "seconds and rate are above 0, burst is between 0 and 1".into();
            return err(format!("load.phases.{}", phase.name), message);
        }
    }
    if scenario.load.phases.is_empty() {
        return err("load".into(), "it needs at least one phase".into());
    }
    for activity in &scenario.activities {
        let place = format!("activities.{}", activity.name);
        if !known_service(&activity.service) {
            return err(place, format!("there is no service '{}'", activity.service));
        }
        if activity.every_s < 0.1 || !(0.0..1.0).contains(&activity.jitter) || activity.command.is_empty() {
            return err(place, "every_s is 0.1 or more, jitter is 0 or more and below 1, command is not empty".into());
        }
    }
    for operation in &scenario.operations {
        if let Some(message) = check_operation(scenario, operation) {
            return err(format!("operations.{}", operation.name), message);
        }
    }
    for act in &scenario.acts {
        for step in &act.steps {
            let place = format!("acts.{}.{}", act.name, step.name);
            let matchers = step.matchers();
            for service in matchers.services().chain([&step.service]) {
                if !known_service(service) {
                    return err(place, format!("there is no service '{service}'"));
                }
            }
            if step.command.is_empty() {
                return err(place, "command is empty".into());
            }
            if matchers.is_empty() {
                let message = "without roots, files, network, dns or tls its events cannot be labelled";
                return err(place, message.into());
            }
            if let Some(message) = check_matchers(scenario, &matchers) {
                return err(place, message);
            }
            let techniques = step.roots.iter().filter_map(|root| root.technique.as_ref());
            if let Some(bad) = techniques.chain([&step.technique]).find(|id| !is_technique(id)) {
                return err(place, format!("'{bad}' is not an ATT&CK technique id"));
            }
        }
    }
    Ok(())
}

/// Names of events and of peers that there are not, and patterns that match everything.
fn check_matchers(scenario: &Scenario, matchers: &Matchers) -> Option<String> {
    let Matchers { roots: _, files, network, dns: _, tls, expect } = matchers;
    let known = |class: Class, op: &str| Kind::from_op(class, op).is_some();
    if let Some(op) = files.iter().flat_map(|file| &file.ops).find(|op| !known(Class::File, op)) {
        return Some(format!("the class file has no operation '{op}'"));
    }
    if let Some(op) = network.iter().flat_map(|each| &each.ops).find(|op| !known(Class::Network, op)) {
        return Some(format!("the class network has no operation '{op}'"));
    }
    for peer in network.iter().filter_map(|each| each.peer.as_ref()) {
        let is_name = |service: &Service| service.name == *peer || service.aliases.contains(peer);
        if peer != LOAD_SERVICE && peer.parse::<IpAddr>().is_err() && !scenario.services.iter().any(is_name) {
            return Some(format!("the peer '{peer}' is no service, name of one, or address"));
        }
    }
    if network.iter().any(|each| each.peer.is_none() && each.port.is_none()) {
        return Some("a network matcher needs a peer or a port".into());
    }
    if tls.iter().any(|each| each.contains.is_empty()) {
        return Some("a tls matcher needs something to look for".into());
    }
    for name in expect {
        let kind = name.split_once('.').and_then(|(class, op)| Kind::from_op(Class::from_name(class)?, op));
        if kind.is_none() {
            return Some(format!("'{name}' is no kind of event, as process.exec"));
        }
    }
    None
}

fn check_operation(scenario: &Scenario, operation: &Operation) -> Option<String> {
    let Operation { name: _, service, at_s, jitter, what, image, replicas, for_s } = operation;
    if !scenario.services.iter().any(|other| other.name == *service && !other.dns) {
        return Some(format!("there is no service '{service}', or it is the name server"));
    }
    if !(*at_s > 0.0 && (0.0..1.0).contains(jitter)) {
        return Some("at_s is above 0, jitter is 0 or more and below 1".into());
    }
    let fits = match what {
        Deed::Restart | Deed::Crash => image.is_none() && replicas.is_none() && for_s.is_none(),
        Deed::Deploy => {
            let known = image.as_ref().is_some_and(|image| scenario.images.contains_key(image));
            known && replicas.is_none() && for_s.is_none()
        }
        Deed::Scale => {
            let taken = |name: &str| scenario.services.iter().any(|service| service.name == name);
            let free = |replicas: u32| (2..=replicas).all(|number| !taken(&format!("{service}-{number}")));
            let fits = |replicas| (2..=9).contains(&replicas) && free(replicas);
            image.is_none() && replicas.is_some_and(fits) && for_s.is_some_and(|seconds| seconds > 0.0)
        }
    };
    let needs = "deploy needs an image of the scenario; scale needs replicas (2 to 9, no names taken) and for_s; others neither";
    (!fits).then(|| needs.to_owned())
}

/// Volumes and capabilities.
fn check_service(service: &Service) -> Option<String> {
    for volume in &service.volumes {
        if !is_plain_name(&volume.name) || !volume.at.starts_with('/') || volume.at.contains(':') {
            return Some("a volume has a plain name and an absolute path".into());
        }
    }
    let allowed = if service.outside { &CAPS_OUTSIDE[..] } else { &CAPS[..] };
    let bad = service.caps.iter().find(|cap| !allowed.contains(&cap.as_str()))?;
    Some(format!("the capability '{bad}' is not one of {}", allowed.join(", ")))
}

pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// T1234 or T1234.001.
fn is_technique(id: &str) -> bool {
    let digits = |text: &str, n| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = id.strip_prefix('T') else { return false };
    match rest.split_once('.') {
        Some((main, sub)) => digits(main, 4) && digits(sub, 3),
        None => digits(rest, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn technique_ids_are_checked() {
        assert!(is_technique("T1496") && is_technique("T1036.005"));
        for bad in ["1496", "T149", "T1036.05", "T1036.", "t1496", "T14967"] {
            assert!(!is_technique(bad), "{bad}");
        }
    }
}
