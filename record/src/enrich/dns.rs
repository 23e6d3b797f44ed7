//! Rows of the DNS class. Over TCP, messages are put together from the pieces the process sent and received.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Common, DnsEvent};
use record_bpf::Kind;
use record_bpf::abi;

use super::network::address;
use super::strings::Interner;
use crate::decode::{DnsMessage, DnsRecord, dns_message};

/// Streams being put together at a time; the one unused for longest makes room. A message has at most 65,535 bytes.
const STREAMS_MAX: usize = 512;

/// The messages under way of every TCP socket and direction.
#[derive(Default)]
pub struct Streams {
    /// By socket inode and whether it is what was sent.
    open: HashMap<(u64, bool), Stream>,
    clock: u64,
}

/// One direction of a connection: messages, each after its length in two bytes (RFC 1035, 4.2.2).
#[derive(Default)]
struct Stream {
    length: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the body that have passed, recorded or not.
    passed: usize,
    /// Where messages begin is no longer known: a length was not recorded.
    lost: bool,
    last_use: u64,
}

/// A whole message.
struct Whole {
    body: Vec<u8>,
    bytes: usize,
}

impl Stream {
    /// Takes the next piece: its recorded beginning, and how many bytes after it were not recorded.
    fn take(&mut self, mut data: &[u8], mut unrecorded: usize) -> Vec<Whole> {
        let mut whole = Vec::new();
        while !(self.lost || data.is_empty() && unrecorded == 0) {
            let Some(length) = self.length() else {
                let Some((byte, rest)) = data.split_first() else {
                    self.lost = true;
                    break;
                };
                self.length.push(*byte);
                data = rest;
                whole.extend(self.complete());
                continue;
            };
            let wanted = length - self.passed;
            let (now, rest) = data.split_at(wanted.min(data.len()));
            // A gap ends what can be read of the body.
            if self.body.len() == self.passed {
                self.body.extend_from_slice(now);
            }
            data = rest;
            let skipped = unrecorded.min(wanted - now.len());
            unrecorded -= skipped;
            self.passed += now.len() + skipped;
            whole.extend(self.complete());
        }
        whole
    }

    fn length(&self) -> Option<usize> {
        <[u8; 2]>::try_from(&*self.length).ok().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn complete(&mut self) -> Option<Whole> {
        let bytes = self.length().filter(|length| *length == self.passed)?;
        self.length.clear();
        self.passed = 0;
        Some(Whole { body: std::mem::take(&mut self.body), bytes })
    }
}

impl Streams {
    fn stream(&mut self, key: (u64, bool)) -> &mut Stream {
        if self.open.len() >= STREAMS_MAX && !self.open.contains_key(&key) {
            let oldest = self.open.iter().min_by_key(|(_, stream)| stream.last_use).map(|(key, _)| *key);
            oldest.map(|key| self.open.remove(&key));
        }
        self.clock += 1;
        let stream = self.open.entry(key).or_default();
        stream.last_use = self.clock;
        stream
    }

    /// The row of a record: exactly one, whatever it completes.
    pub fn event(&mut self, common: Common, record: &DnsRecord, strings: &mut Interner) -> DnsEvent {
        let wire = &record.wire;
        let sent = wire.flags & abi::DNS_SENT != 0;
        let tcp = i32::from(wire.protocol) == libc::IPPROTO_TCP;
        let recorded = record.payload.len();
        let bytes = usize::try_from(wire.bytes).unwrap_or(recorded);
        let mut row = row(common, wire, sent, tcp, strings);
        if !tcp {
            row.cut = recorded < bytes;
            fill(&mut row, &record.payload, strings);
            return row;
        }
        let stream = self.stream((wire.inode, sent));
        let mut whole = stream.take(&record.payload, bytes.saturating_sub(recorded)).into_iter();
        row.cut = stream.lost;
        if let Some(first) = whole.next() {
            row.bytes = u32::try_from(first.bytes).unwrap_or(u32::MAX);
            row.cut = first.body.len() < first.bytes;
            fill(&mut row, &first.body, strings);
        }
        let more: Vec<Arc<str>> = whole.map(|next| strings.get(&summary(&next))).collect();
        row.more = (!more.is_empty()).then_some(more);
        row
    }
}

/// Without what the message says.
fn row(common: Common, wire: &abi::Dns, sent: bool, tcp: bool, strings: &mut Interner) -> DnsEvent {
    let family = i32::from(wire.family);
    let mut text = |bytes| address(family, bytes).map(|text| strings.get(&text));
    DnsEvent {
        local_addr: text(&wire.local_addr),
        local_port: wire.local_port,
        peer_addr: text(&wire.peer_addr),
        peer_port: wire.peer_port,
        direction: strings.get(if sent { "sent" } else { "received" }),
        protocol: strings.get(if tcp { "tcp" } else { "udp" }),
        peer_from_user: wire.flags & abi::DNS_ADDR_USER != 0,
        fd: wire.fd,
        inode: wire.inode,
        bytes: wire.bytes,
        id: None,
        opcode: None,
        rcode: None,
        question: None,
        qtype: None,
        answers: None,
        truncated: None,
        malformed: false,
        cut: false,
        more: None,
        common: Common { kind: Kind::DnsSegment, ..common },
    }
}

fn fill(row: &mut DnsEvent, body: &[u8], strings: &mut Interner) {
    let Some(message) = dns_message(body, row.cut) else {
        row.malformed = !row.cut;
        return;
    };
    let DnsMessage { id, response, opcode, rcode, truncated, question, answers, malformed } = message;
    row.common.kind = if response { Kind::DnsAnswer } else { Kind::DnsQuery };
    row.id = Some(id);
    row.opcode = Some(strings.get(&opcode));
    row.truncated = Some(truncated);
    row.malformed = malformed;
    if let Some((name, kind)) = question {
        row.question = Some(strings.get(&name));
        row.qtype = Some(strings.get(&kind));
    }
    if response {
        row.rcode = Some(strings.get(&rcode));
        row.answers = Some(answers.iter().map(|answer| strings.get(answer)).collect());
    }
}

/// A further message of a piece, in one line.
fn summary(whole: &Whole) -> String {
    let Some(message) = dns_message(&whole.body, whole.body.len() < whole.bytes) else {
        return format!("malformed, {} bytes", whole.bytes);
    };
    let (name, kind) = message.question.unwrap_or_default();
    let what = if message.response { ("answer", format!(" {}", message.rcode)) } else { ("query", String::new()) };
    let answers: String = message.answers.iter().map(|answer| format!("; {answer}")).collect();
    format!("{} {}{} {name} {kind}{answers}", what.0, message.id, what.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bodies: &[&[u8]]) -> Vec<u8> {
        let frame = |body: &&[u8]| [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
        bodies.iter().flat_map(frame).collect()
    }

    #[test]
    fn messages_come_out_whole_however_they_were_cut_up() {
        let bodies: [&[u8]; 4] = [b"first", b"", b"the second", &[7; 300]];
        let bytes = framed(&bodies);
        for size in 1..bytes.len() {
            let mut stream = Stream::default();
            let whole: Vec<_> = bytes.chunks(size).flat_map(|piece| stream.take(piece, 0)).collect();
            assert_eq!(whole.iter().map(|whole| &*whole.body).collect::<Vec<_>>(), bodies);
        }
    }

    #[test]
    fn what_was_not_recorded_is_missing_from_its_message_and_no_other() {
        let (long, short) = ([9u8; 5000], b"after");
        let bytes = framed(&[&long, short]);
        let mut stream = Stream::default();
        let first = stream.take(&bytes[..4096], 5002 - 4096);
        assert_eq!((first.len(), first[0].bytes, first[0].body.len()), (1, 5000, 4094));
        let second = stream.take(&bytes[5002..], 0);
        assert_eq!((&*second[0].body, stream.lost), (&short[..], false));
    }

    #[test]
    fn without_a_length_a_stream_is_lost() {
        let mut stream = Stream::default();
        assert!(stream.take(&framed(&[b"x"]), 5).len() == 1 && stream.lost);
        assert!(stream.take(&framed(&[b"y"]), 0).is_empty());
    }

    #[test]
    fn streams_are_bounded() {
        let mut streams = Streams::default();
        for inode in 0..2 * STREAMS_MAX as u64 {
            streams.stream((inode, true)).take(b"\xff\xff", 0);
        }
        assert_eq!(streams.open.len(), STREAMS_MAX);
        assert!(streams.open.contains_key(&(2 * STREAMS_MAX as u64 - 1, true)));
    }
}
