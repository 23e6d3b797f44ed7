//! Whether a rule can hold at all, and what it asks for that no event has.

use std::collections::BTreeSet;

use rsigma_parser::{ConditionExpr, Detection, DetectionItem, Modifier, Quantifier, SigmaRule, SigmaValue};

/// What an item of a rule asks for that no event has, in words.
pub(super) type Lack<'a> = dyn Fn(&DetectionItem) -> Option<String> + 'a;

/// A rule against what events have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// What no event has, sorted.
    pub lacks: BTreeSet<String>,
    /// Whether the condition can hold without that.
    pub possible: bool,
}

impl Reach {
    pub fn of(rule: &SigmaRule, lack: &Lack<'_>) -> Reach {
        let mut lacks = BTreeSet::new();
        let mut possible = Vec::new();
        for (name, detection) in &rule.detection.named {
            if holds(detection, lack, &mut lacks) {
                possible.push(name.as_str());
            }
        }
        let all: Vec<&str> = rule.detection.named.keys().map(String::as_str).collect();
        let possible = rule.detection.conditions.iter().any(|condition| may(condition, &all, &possible));
        Reach { lacks, possible }
    }
}

/// Whether a detection can hold; what it lacks is added to `lacks`.
fn holds(detection: &Detection, lack: &Lack<'_>, lacks: &mut BTreeSet<String>) -> bool {
    // Every part is asked, so that all that is lacking is named.
    match detection {
        Detection::AllOf(items) => {
            let each: Vec<bool> = items.iter().map(|item| item_holds(item, lack, lacks)).collect();
            each.into_iter().all(|holds| holds)
        }
        Detection::And(parts) => {
            let each: Vec<bool> = parts.iter().map(|part| holds(part, lack, lacks)).collect();
            each.into_iter().all(|holds| holds)
        }
        Detection::AnyOf(parts) => {
            let each: Vec<bool> = parts.iter().map(|part| holds(part, lack, lacks)).collect();
            each.contains(&true)
        }
        // Words are looked for in what there is; no event has fields with elements of their own.
        Detection::Keywords(_) | Detection::ArrayMatch { .. } | Detection::Conditional { .. } => true,
    }
}

fn item_holds(item: &DetectionItem, lack: &Lack<'_>, lacks: &mut BTreeSet<String>) -> bool {
    let Some(missing) = lack(item) else { return true };
    lacks.insert(missing);
    // That a field is not there holds of a field that is never there.
    item.field.modifiers.contains(&Modifier::Exists) || item.values.contains(&SigmaValue::Null)
}

/// Whether a condition may hold where `possible` of the detections may. What is negated may always not hold.
fn may(condition: &ConditionExpr, all: &[&str], possible: &[&str]) -> bool {
    match condition {
        ConditionExpr::And(parts) => parts.iter().all(|part| may(part, all, possible)),
        ConditionExpr::Or(parts) => parts.iter().any(|part| may(part, all, possible)),
        ConditionExpr::Not(_) => true,
        // One that is not there is a mistake, which is told when the rule is compiled.
        ConditionExpr::Identifier(name) => possible.contains(&name.as_str()) || !all.contains(&name.as_str()),
        ConditionExpr::Selector { quantifier, pattern } => {
            let count = |names: &[&str]| names.iter().filter(|name| pattern.matches_detection_name(name)).count();
            let (meant, reachable) = (count(all), count(possible));
            match quantifier {
                Quantifier::Any => reachable > 0,
                Quantifier::All => reachable == meant,
                Quantifier::Count(least) => reachable as u64 >= *least,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rsigma_parser::parse_sigma_yaml;

    use super::*;

    fn reach(detection: &str) -> (Vec<String>, bool) {
        let text = format!("title: x\nlogsource: {{category: process_creation}}\ndetection: {detection}\n");
        let rule = parse_sigma_yaml(&text).unwrap().rules.remove(0);
        let lack = |item: &DetectionItem| item.field.name.clone().filter(|name| name.starts_with("No"));
        let Reach { lacks, possible } = Reach::of(&rule, &lack);
        (lacks.into_iter().collect(), possible)
    }

    #[test]
    fn a_rule_that_always_asks_for_what_is_not_there_cannot_hold() {
        for (detection, lacks, possible) in [
            ("{a: {Image: x}, condition: a}", &[][..], true),
            ("{a: {Image: x, NoHash: y}, condition: a}", &["NoHash"], false),
            ("{a: {Image: x}, b: {NoHash: y}, condition: a or b}", &["NoHash"], true),
            ("{a: {Image: x}, b: {NoHash: y}, condition: a and b}", &["NoHash"], false),
            ("{a: {Image: x}, b: {NoHash: y}, condition: a and not b}", &["NoHash"], true),
            ("{a_1: {Image: x}, a_2: {NoHash: y}, condition: 1 of a_*}", &["NoHash"], true),
            ("{a_1: {Image: x}, a_2: {NoHash: y}, condition: all of a_*}", &["NoHash"], false),
            ("{a_1: {NoId: x}, a_2: {NoHash: y}, condition: 1 of them}", &["NoHash", "NoId"], false),
            ("{a: [{Image: x}, {NoHash: y}], condition: a}", &["NoHash"], true),
            ("{a: [word], condition: a}", &[], true),
            ("{a: {NoHash: null}, condition: a}", &["NoHash"], true),
            ("{a: {NoHash|exists: false}, condition: a}", &["NoHash"], true),
        ] {
            let lacks: Vec<String> = lacks.iter().map(ToString::to_string).collect();
            assert_eq!(reach(detection), (lacks, possible), "{detection}");
        }
    }
}
