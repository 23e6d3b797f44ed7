//! What a scenario must hold beyond its syntax.

use crate::definition::{LOAD_SERVICE, Scenario};

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
        if !scenario.images.contains_key(&service.image) {
            return err(place, format!("there is no image '{}'", service.image));
        }
    }
    if !scenario.images.contains_key(&scenario.load.image) {
        return err("load".into(), format!("there is no image '{}'", scenario.load.image));
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
    for act in &scenario.acts {
        for step in &act.steps {
            let place = format!("acts.{}.{}", act.name, step.name);
            let services =
                step.roots.iter().map(|root| &root.service).chain(step.files.iter().map(|file| &file.service));
            for service in services.chain([&step.service]) {
                if !known_service(service) {
                    return err(place, format!("there is no service '{service}'"));
                }
            }
            if step.command.is_empty() {
                return err(place, "command is empty".into());
            }
            if step.roots.is_empty() && step.files.is_empty() {
                return err(place, "without roots or files its events cannot be labelled".into());
            }
            let techniques = step.roots.iter().filter_map(|root| root.technique.as_ref());
            if let Some(bad) = techniques.chain([&step.technique]).find(|id| !is_technique(id)) {
                return err(place, format!("'{bad}' is not an ATT&CK technique id"));
            }
        }
    }
    Ok(())
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
