//! The chain over segments.

use super::Check;
use crate::hash;
use crate::report::FindingKind;

impl Check<'_> {
    /// Each link follows the one before it *as written*, so that a break is named once, where it is.
    pub(super) fn chain(&mut self) {
        let mut previous = self.manifest.chain_start();
        for (at, segment) in self.manifest.segments.iter().enumerate() {
            let (link, sha256) = (hash::from_hex(&segment.chain), hash::from_hex(&segment.sha256));
            let expected = previous.zip(sha256).map(|(p, s)| hash::chain(&p, &s));
            if link.is_none() || link != expected {
                let (kind, detail) = match self.written_after(link, sha256) {
                    None => (
                        FindingKind::Chain,
                        "it does not follow the segment listed before it: one was replaced or removed".to_owned(),
                    ),
                    Some(first) => {
                        let listed = at.checked_sub(1).map(|before| self.manifest.segments[before].file.as_str());
                        let (first, listed) = (first.unwrap_or("all others"), listed.unwrap_or("nothing"));
                        let order = if first == "all others" { "before" } else { "after" };
                        (FindingKind::Reordered, format!("it was written {order} {first} and is listed after {listed}"))
                    }
                };
                self.findings.add(kind, &segment.file, detail);
            }
            previous = link;
        }
    }

    /// The listed segment that one was written after; `Some(None)`: it was the first.
    pub(super) fn written_after(&self, link: Option<hash::Hash>, sha256: Option<hash::Hash>) -> Option<Option<&str>> {
        let (link, sha256) = (link?, sha256?);
        let follows = |before: Option<hash::Hash>| before.is_some_and(|before| hash::chain(&before, &sha256) == link);
        if follows(self.manifest.chain_start()) {
            return Some(None);
        }
        let mut listed = self.manifest.segments.iter();
        listed.find(|segment| follows(hash::from_hex(&segment.chain))).map(|segment| Some(segment.file.as_str()))
    }
}
