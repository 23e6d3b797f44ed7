//! The techniques of MITRE ATT&CK, to tell an id that exists from one that does not.

/// A line each: id, name, tactics.
const TABLE: &str = include_str!("attack.tsv");

/// A technique or sub-technique of the Enterprise matrix, version 17.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// As T1496 or T1036.005.
    pub id: &'static str,
    pub name: &'static str,
    /// As `defense-evasion`; more than one separated by a space.
    pub tactics: &'static str,
}

/// The technique of that id.
pub fn technique(id: &str) -> Option<Technique> {
    all().find(|technique| technique.id == id)
}

fn all() -> impl Iterator<Item = Technique> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut parts = line.split('\t');
        Some(Technique { id: parts.next()?, name: parts.next()?, tactics: parts.next()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        let ids: Vec<_> = all().map(|technique| technique.id).collect();
        assert_eq!(ids.len(), TABLE.lines().filter(|line| line.starts_with('T')).count());
        assert!(ids.is_sorted() && ids.len() > 600, "{}", ids.len());
        assert_eq!(technique("T1496").unwrap().tactics, "impact");
        assert_eq!(technique("T1059.004").unwrap().name, "Unix Shell");
        assert_eq!(technique("T1496.999"), None);
    }
}
