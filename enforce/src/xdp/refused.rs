//! What was refused: read from the kernel's tables, added up, and said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};

use crate::refused::{count, protocol_name};

/// Of `struct refused_key` and `struct refused_value` in `xdp.bpf.c`.
const KEY: usize = 24;
const VALUE: usize = 32;

/// Different things that are remembered until the end; what is beyond them is in the totals alone.
const REMEMBERED: usize = 65_536;
/// Of them, those that are shown; JSON has all.
const SHOWN: usize = 40;

/// What became of a packet (`enum fate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    Passed,
    /// No rule has the peer, at that port.
    Unknown,
    /// More than `--max-syn-per-s` to a known peer.
    TooManyConnections,
    /// More than `--max-packets-per-s` to a known peer.
    TooManyPackets,
    /// A fragment of a datagram whose first one did not pass, or did not come first.
    Fragment,
    /// Cut off, or with a header that is not read.
    Unreadable,
}

impl Fate {
    pub const ALL: [Fate; 6] =
        [Fate::Passed, Fate::Unknown, Fate::TooManyConnections, Fate::TooManyPackets, Fate::Fragment, Fate::Unreadable];

    pub const fn name(self) -> &'static str {
        match self {
            Fate::Passed => "passed",
            Fate::Unknown => "unknown",
            Fate::TooManyConnections => "too_many_connections",
            Fate::TooManyPackets => "too_many_packets",
            Fate::Fragment => "fragment",
            Fate::Unreadable => "unreadable",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Fate::Passed => "passed",
            Fate::Unknown => "unknown",
            Fate::TooManyConnections => "too many SYNs",
            Fate::TooManyPackets => "too many",
            Fate::Fragment => "fragment",
            Fate::Unreadable => "unreadable",
        }
    }
}

/// Equal things that were refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct What {
    /// None: no IP, or not read so far.
    pub peer: Option<IpAddr>,
    pub protocol: String,
    /// Of the service: the peer's, or of an answer one's own. None: there is none.
    pub port: Option<u16>,
    /// It answers what came in: SYN and ACK, or a reset.
    pub answer: bool,
    pub reason: Fate,
}

/// Packets and bytes, from the link-layer header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    pub packets: u64,
    pub bytes: u64,
}

/// How often, and when: Unix time, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    #[serde(flatten)]
    pub sum: Sum,
    pub first_ns: i64,
    pub last_ns: i64,
}

impl What {
    fn of(key: &[u8; KEY]) -> What {
        let short = |at: usize| u16::from_ne_bytes([key[at], key[at + 1]]);
        let (ethertype, port, protocol) = (short(16), short(18), key[20]);
        let mut peer = [0; 16];
        peer.copy_from_slice(&key[..16]);
        let peer = Ipv6Addr::from(peer);
        let is_ip = matches!(ethertype, 0x0800 | 0x86dd);
        What {
            peer: (is_ip && !peer.is_unspecified()).then(|| peer.to_canonical()),
            protocol: if is_ip { protocol_name(protocol) } else { format!("ethertype {ethertype:#06x}") },
            port: (is_ip && port != 0).then_some(port),
            answer: key[21] != 0,
            reason: Fate::ALL.get(usize::from(key[22])).copied().unwrap_or(Fate::Unreadable),
        }
    }
}

/// An entry of a table; `boot`: Unix time minus CLOCK_BOOTTIME, ns. None: of another size.
pub fn entry(key: &[u8], value: &[u8], boot: i64) -> Option<(What, Times)> {
    let key: &[u8; KEY] = key.try_into().ok()?;
    let value: &[u8; VALUE] = value.try_into().ok()?;
    let (numbers, _) = value.as_chunks::<8>();
    let [packets, bytes, first, last] = [0, 1, 2, 3].map(|at: usize| u64::from_ne_bytes(numbers[at]));
    let unix = |time: u64| time.cast_signed() + boot;
    // Another CPU may have been about to write the time of a packet that it had counted.
    let times = Times { sum: Sum { packets, bytes }, first_ns: unix(first), last_ns: unix(last.max(first)) };
    Some((What::of(key), times))
}

/// All that was refused since the begin.
#[derive(Default)]
pub struct Refused {
    by: BTreeMap<What, Times>,
}

impl Refused {
    pub fn add(&mut self, what: &What, times: Times) {
        if let Some(own) = self.by.get_mut(what) {
            own.sum.packets += times.sum.packets;
            own.sum.bytes += times.sum.bytes;
            own.last_ns = own.last_ns.max(times.last_ns);
        } else if self.by.len() < REMEMBERED {
            self.by.insert(what.clone(), times);
        }
    }

    /// For people. `totals`: by [`Fate::ALL`]; `begun`: Unix time, ns.
    pub fn table(&self, totals: &[Sum; 6], begun: i64) -> String {
        let [passed, refused @ ..] = totals;
        let packets: u64 = refused.iter().map(|sum| sum.packets).sum();
        let mut out = format!("{} packets passed, {} refused\n", count(passed.packets), count(packets));
        if self.by.is_empty() {
            return out;
        }
        let mut rows: Vec<_> = self.by.iter().collect();
        rows.sort_by_key(|(_, times)| (std::cmp::Reverse(times.sum.packets), times.first_ns));
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["peer", "protocol", "port", "why", "packets", "first"]);
        for (what, times) in rows.iter().take(SHOWN) {
            let port = what.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
            table.add_row([
                what.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string()),
                what.protocol.clone(),
                if what.answer { format!("from {port}") } else { port },
                what.reason.words().to_owned(),
                count(times.sum.packets),
                format!("{:.1} s", (times.first_ns - begun).max(0) as f64 / 1e9),
            ]);
        }
        table.column_iter_mut().skip(4).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        out += &format!("{table}\n");
        if rows.len() > SHOWN {
            out += &format!("and {} more; --format json has all\n", rows.len() - SHOWN);
        }
        let listed: u64 = self.by.values().map(|times| times.sum.packets).sum();
        if listed < packets {
            out += &format!("{} packets to too many peers to remember each\n", count(packets - listed));
        }
        out
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

/// Totals by what became of the packets.
pub fn by_fate(totals: &[Sum; 6]) -> Value {
    Fate::ALL.iter().zip(totals).map(|(fate, sum)| (fate.name().to_owned(), json!(sum))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: &str, ethertype: u16, port: u16, last: [u8; 3]) -> [u8; KEY] {
        let mut key = [0; KEY];
        let peer: IpAddr = peer.parse().unwrap();
        let peer = match peer {
            IpAddr::V4(peer) => peer.to_ipv6_mapped(),
            IpAddr::V6(peer) => peer,
        };
        key[..16].copy_from_slice(&peer.octets());
        key[16..18].copy_from_slice(&ethertype.to_ne_bytes());
        key[18..20].copy_from_slice(&port.to_ne_bytes());
        key[20..23].copy_from_slice(&last);
        key
    }

    fn value(numbers: [u64; 4]) -> [u8; VALUE] {
        let mut value = [0; VALUE];
        for (to, number) in value.chunks_mut(8).zip(numbers) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        value
    }

    #[test]
    fn entries_are_read_and_added_up() {
        let of = |key: &[u8], numbers| entry(key, &value(numbers), 1_000).unwrap();
        let (what, times) = of(&key("10.1.2.3", 0x0800, 53, [17, 0, 1]), [3, 300, 5, 9]);
        let line = line(&what, &times);
        assert_eq!(
            line,
            json!({ "event": "refused", "peer": "10.1.2.3", "protocol": "udp", "port": 53, "answer": false,
                "reason": "unknown", "packets": 3, "bytes": 300, "first_ns": 1_005, "last_ns": 1_009 })
        );
        let (frame, _) = of(&key("::", 0x88cc, 0, [0, 0, 1]), [1, 60, 5, 0]);
        assert_eq!((frame.peer, frame.protocol.as_str(), frame.port), (None, "ethertype 0x88cc", None));
        let (answer, later) = of(&key("fd00::7", 0x86dd, 80, [6, 1, 1]), [1, 60, 20, 20]);
        let mut refused = Refused::default();
        for (what, times) in [(&what, times), (&what, later), (&answer, later)] {
            refused.add(what, times);
        }
        assert_eq!(refused.by[&what], Times { sum: Sum { packets: 4, bytes: 360 }, first_ns: 1_005, last_ns: 1_020 });
        let totals = [1_234_567, 7, 0, 0, 0, 0].map(|packets| Sum { packets, bytes: 0 });
        let text = refused.table(&totals, 1_000);
        for part in ["1,234,567 packets passed, 7 refused", "10.1.2.3", "from 80", "2 packets to too many peers"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(entry(&[0; 3], &[0; VALUE], 0).is_none());
    }
}
