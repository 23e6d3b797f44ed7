//! What was refused: read from the kernel's tables, added up, and said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use crate::refused::{count, protocol_name};

/// Of `struct refused_key` and `struct refused_value` in `lsm.bpf.c`.
const KEY: usize = 276;
const VALUE: usize = 24;
/// Where the path begins.
const PATH: usize = 20;

/// Different things that are remembered until the end; what is beyond them is in the totals alone.
const REMEMBERED: usize = 65_536;
/// Of them, those that are shown; JSON has all.
const SHOWN: usize = 40;

/// What is asked (`enum act`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Run,
    Read,
    Write,
    /// Datagrams that are sent too.
    Connect,
}

impl Act {
    pub const ALL: [Act; 4] = [Act::Run, Act::Read, Act::Write, Act::Connect];

    const fn name(self) -> &'static str {
        match self {
            Act::Run => "run",
            Act::Read => "read",
            Act::Write => "write",
            Act::Connect => "connect",
        }
    }
}

/// Equal things that were refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct What {
    pub act: Act,
    /// Of a program or a file, as the process sees it. Empty: the kernel could not tell, or it is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// How often, and when: Unix time, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    pub times: u64,
    pub first_ns: i64,
    pub last_ns: i64,
}

/// Answers to one kind of question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    pub passed: u64,
    pub refused: u64,
}

pub type Totals = BTreeMap<Act, Answers>;

/// An entry of a table; `boot`: Unix time minus CLOCK_BOOTTIME, ns. None: of another size.
pub fn entry(key: &[u8], value: &[u8], boot: i64) -> Option<(What, Times)> {
    let key: &[u8; KEY] = key.try_into().ok()?;
    let value: &[u8; VALUE] = value.try_into().ok()?;
    let (numbers, _) = value.as_chunks::<8>();
    let [times, first, last] = [0, 1, 2].map(|at: usize| u64::from_ne_bytes(numbers[at]));
    let act = *Act::ALL.get(usize::from(key[0]))?;
    let mut what = What { act, path: None, peer: None, protocol: None, port: None };
    if act == Act::Connect {
        let mut peer = [0; 16];
        peer.copy_from_slice(&key[4..20]);
        what.peer = Some(Ipv6Addr::from(peer).to_canonical());
        what.protocol = Some(protocol_name(key[1]));
        what.port = Some(u16::from_ne_bytes([key[2], key[3]]));
    } else {
        let path = key[PATH..].split(|byte| *byte == 0).next().unwrap_or_default();
        what.path = Some(String::from_utf8_lossy(path).into_owned());
    }
    let unix = |time: u64| time.cast_signed() + boot;
    // Another CPU may have been about to write the time of what it had counted.
    Some((what, Times { times, first_ns: unix(first), last_ns: unix(last.max(first)) }))
}

/// All that was refused since the begin.
#[derive(Default)]
pub struct Refused {
    by: BTreeMap<What, Times>,
}

impl Refused {
    pub fn add(&mut self, what: &What, times: Times) {
        if let Some(own) = self.by.get_mut(what) {
            own.times += times.times;
            own.last_ns = own.last_ns.max(times.last_ns);
        } else if self.by.len() < REMEMBERED {
            self.by.insert(what.clone(), times);
        }
    }

    /// For people. `begun`: Unix time, ns.
    pub fn table(&self, totals: &Totals, begun: i64, dry_run: bool) -> String {
        let word = if dry_run { "would have been refused" } else { "refused" };
        let mut out = String::new();
        for (act, Answers { passed, refused }) in totals {
            out += &format!("{:<8} {} passed, {} {word}\n", act.name(), count(*passed), count(*refused));
        }
        if self.by.is_empty() {
            return out;
        }
        let mut rows: Vec<_> = self.by.iter().collect();
        rows.sort_by_key(|(_, times)| (std::cmp::Reverse(times.times), times.first_ns));
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["what", "whom", "times", "first"]);
        for (what, times) in rows.iter().take(SHOWN) {
            table.add_row([
                what.act.name().to_owned(),
                what.whom(),
                count(times.times),
                format!("{:.1} s", (times.first_ns - begun).max(0) as f64 / 1e9),
            ]);
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        out += &format!("{table}\n");
        if rows.len() > SHOWN {
            out += &format!("and {} more; --format json has all\n", rows.len() - SHOWN);
        }
        let listed: u64 = self.by.values().map(|times| times.times).sum();
        let all: u64 = totals.values().map(|answers| answers.refused).sum();
        if listed < all {
            out += &format!("{} of too many different things to remember each\n", count(all - listed));
        }
        out
    }
}

impl What {
    fn whom(&self) -> String {
        match (&self.path, &self.peer) {
            (Some(path), _) if path.is_empty() => "(a path that cannot be told)".to_owned(),
            (Some(path), _) => path.chars().filter(|c| !c.is_control()).collect(),
            (None, Some(peer)) => {
                format!("{peer} {} {}", self.protocol.as_deref().unwrap_or("-"), self.port.unwrap_or(0))
            }
            (None, None) => "-".to_owned(),
        }
    }
}

/// What was refused since the last such line.
pub fn line(what: &What, times: &Times) -> Value {
    let mut line = json!({ "event": "refused" });
    let parts = [serde_json::to_value(what), serde_json::to_value(times)];
    for part in parts.into_iter().flatten() {
        if let (Some(line), Value::Object(part)) = (line.as_object_mut(), part) {
            line.extend(part);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(numbers: [u64; 3]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
    }

    #[test]
    fn entries_are_read_and_added_up() {
        let mut file = [0; KEY];
        file[0] = Act::Write as u8;
        file[PATH..PATH + 4].copy_from_slice(b"/a b");
        let (what, times) = entry(&file, &value([3, 5, 9]), 1_000).unwrap();
        let want = json!({ "event": "refused", "act": "write", "path": "/a b", "times": 3, "first_ns": 1_005,
            "last_ns": 1_009 });
        assert_eq!(line(&what, &times), want);
        let mut peer = [0; KEY];
        peer[0] = Act::Connect as u8;
        peer[1] = 6;
        peer[2..4].copy_from_slice(&443_u16.to_ne_bytes());
        peer[14..20].copy_from_slice(&[0xff, 0xff, 10, 1, 2, 3]);
        let (connect, once) = entry(&peer, &value([1, 20, 0]), 1_000).unwrap();
        assert_eq!((connect.whom().as_str(), once.last_ns), ("10.1.2.3 tcp 443", 1_020));
        let mut refused = Refused::default();
        [(&what, times), (&what, times), (&connect, once)].iter().for_each(|(what, times)| refused.add(what, *times));
        let answers = |passed, refused| Answers { passed, refused };
        let totals = [(Act::Write, answers(1_234_567, 6)), (Act::Connect, answers(0, 4))].into();
        let text = refused.table(&totals, 1_000, false);
        for part in
            ["write    1,234,567 passed, 6 refused", "/a b", "10.1.2.3 tcp 443", "3 of too many different things"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(entry(&[0; 3], &value([0; 3]), 0).is_none());
    }
}
