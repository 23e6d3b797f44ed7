//! What of a profile a policy says, says too widely, and does not say: counted, with the first examples.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Format;

/// Examples kept of each reason.
const EXAMPLES: usize = 3;

/// Items of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub count: u64,
    /// The first three.
    pub examples: Vec<String>,
}

/// The account of one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Items of the profile that the policy allows, the widened ones among them.
    pub expressed: u64,
    /// Reason → what the policy allows more than was learned.
    pub widened: BTreeMap<&'static str, Tally>,
    /// Reason → what was learned and the policy refuses.
    pub left_out: BTreeMap<&'static str, Tally>,
}

impl Account {
    pub fn widen(&mut self, why: &'static str, what: impl ToString) {
        add(&mut self.widened, why, &what.to_string());
    }

    pub fn leave_out(&mut self, why: &'static str, what: impl ToString) {
        add(&mut self.left_out, why, &what.to_string());
    }

    pub fn widened_items(&self) -> u64 {
        self.widened.values().map(|tally| tally.count).sum()
    }

    pub fn left_out_items(&self) -> u64 {
        self.left_out.values().map(|tally| tally.count).sum()
    }

    /// Line by line, for a file's header and for people; nothing in it can end a comment.
    pub fn lines(&self, image: &str, format: Format, unlocked: &[&str]) -> Vec<String> {
        let mut lines = vec![
            format!("Policy of the image {}", plain(image)),
            format!("made from a learned profile: replay policy export --format {}", format.name()),
            format!("allows {} learned items", self.expressed),
        ];
        if !unlocked.is_empty() {
            lines.push(format!("NOT LOCKED: still learning when the profile was saved: {}", unlocked.join(", ")));
        }
        for (word, tallies) in [("wider than learned", &self.widened), ("left out, and so refused", &self.left_out)] {
            for (why, tally) in tallies {
                let examples: Vec<String> = tally.examples.iter().map(|example| plain(example)).collect();
                lines.push(format!("{word} ({}): {why}: {}", tally.count, examples.join("; ")));
            }
        }
        lines.extend(format.limits().iter().map(|limit| format!("cannot say: {limit}")));
        lines
    }

    /// The lines as a comment of `#`.
    pub fn header(&self, image: &str, format: Format, unlocked: &[&str]) -> String {
        self.lines(image, format, unlocked).iter().map(|line| format!("# {line}\n")).collect()
    }
}

fn add(tallies: &mut BTreeMap<&'static str, Tally>, why: &'static str, what: &str) {
    let tally = tallies.entry(why).or_default();
    tally.count += 1;
    if tally.examples.len() < EXAMPLES {
        tally.examples.push(what.to_owned());
    }
}

/// Printable ASCII, anything else escaped: formats differ in what ends a line of theirs (YAML: U+0085, U+2028 and U+2029, too).
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_comment() {
        let mut account = Account::default();
        account.leave_out("a reason", "/srv/a\nallow all\u{2028}\u{85}\r}");
        let header = account.header("web\n:1", Format::Apparmor, &["file"]);
        assert!(header.lines().all(|line| line.starts_with("# ")), "{header}");
        assert!(header.is_ascii() && header.contains("NOT LOCKED") && header.contains("left out, and so refused (1)"));
    }

    #[test]
    fn three_examples_are_kept_and_all_are_counted() {
        let mut account = Account::default();
        (0..5).for_each(|i| account.widen("w", i));
        assert_eq!(account.widened["w"], Tally { count: 5, examples: vec!["0".into(), "1".into(), "2".into()] });
        assert_eq!((account.widened_items(), account.left_out_items()), (5, 0));
    }
}
