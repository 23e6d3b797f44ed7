//! The paths of a policy as entries of a trie of prefixes (`struct path_key` in `lsm.bpf.c`).

use super::refused::Act;
use crate::policy::{Paths, Policy};

/// Bytes of a path, its final zero among them.
const PATH: usize = 255;
const KEY: usize = 4 + 1 + PATH;

/// A key; its presence is what counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry(pub [u8; KEY]);

/// # Errors
/// A path that cannot be compared.
pub fn entries(policy: &Policy) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (act, Paths { exact, prefixes }) in
        [(Act::Run, &policy.programs), (Act::Read, &policy.reads), (Act::Write, &policy.writes)]
    {
        for (path, whole) in exact.iter().map(|path| (path, true)).chain(prefixes.iter().map(|path| (path, false))) {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(format!("{path:?} is no absolute path"));
            }
            if path.len() >= PATH {
                return Err(format!("{path:?} is longer than {} bytes", PATH - 1));
            }
            entries.push(entry(act, path, whole));
        }
    }
    Ok(entries)
}

/// `whole`: the path's end counts too.
fn entry(act: Act, path: &str, whole: bool) -> Entry {
    let mut key = [0; KEY];
    let bytes = 1 + path.len() + usize::from(whole);
    key[..4].copy_from_slice(&((bytes * 8) as u32).to_ne_bytes());
    key[4] = act as u8;
    key[5..5 + path.len()].copy_from_slice(path.as_bytes());
    Entry(key)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(reads: &Value) -> Policy {
        let none = json!({ "exact": [], "prefixes": [] });
        let policy = json!({ "version": 1, "image": "app:1", "not_locked": [], "programs": none, "reads": reads,
            "writes": none, "egress": [], "ingress": [] });
        serde_json::from_value(policy).unwrap()
    }

    #[test]
    fn a_whole_path_has_its_end() {
        let found = entries(&policy(&json!({ "exact": ["/a"], "prefixes": ["/b/"] }))).unwrap();
        let bits = |entry: &Entry| u32::from_ne_bytes(entry.0[..4].try_into().unwrap());
        assert_eq!(found.iter().map(bits).collect::<Vec<_>>(), [32, 32]);
        assert_eq!(found[0].0[4..8], [Act::Read as u8, b'/', b'a', 0]);
        assert_eq!(found[1].0[4..8], [Act::Read as u8, b'/', b'b', b'/']);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let why = |path: &str| entries(&policy(&json!({ "exact": [path], "prefixes": [] }))).unwrap_err();
        assert!(why("a").contains("no absolute path") && why("/a\0b").contains("no absolute path"));
        assert!(why(&format!("/{}", "x".repeat(254))).contains("longer than 254"));
        assert!(entries(&policy(&json!({ "exact": [format!("/{}", "x".repeat(253))], "prefixes": [] }))).is_ok());
    }
}
