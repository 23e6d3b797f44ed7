//! DNS: the record with its payload, and what a message says. Garbage gives less, never a panic.

use std::fmt::Write as _;

use hickory_proto::op::{Header, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use record_bpf::abi::{self, Wire};

use super::text::text;

#[derive(Debug)]
pub struct DnsRecord {
    pub wire: abi::Dns,
    /// The first bytes of the datagram or piece; all of them unless it is longer than [`abi::DNS_PAYLOAD_MAX`].
    pub payload: Vec<u8>,
}

pub fn dns(bytes: &[u8]) -> Option<DnsRecord> {
    let (wire, data) = abi::Dns::read(bytes)?;
    let payload = data.get(..usize::try_from(wire.data_len).ok()?)?.to_vec();
    Some(DnsRecord { wire, payload })
}

/// A message as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u16,
    pub response: bool,
    pub opcode: String,
    pub rcode: String,
    /// The server cut it short (TC).
    pub truncated: bool,
    /// (name, type) of the first question.
    pub question: Option<(String, String)>,
    /// The answer section, each as `name type data`.
    pub answers: Vec<String>,
    /// It does not hold what its header promises, or cannot be read.
    pub malformed: bool,
}

/// `None`: too short for a header. `cut`: only the beginning was recorded, so that missing records are no fault of it.
pub fn message(bytes: &[u8], cut: bool) -> Option<Message> {
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).ok()?;
    let mut message = Message {
        id: header.id,
        response: header.message_type == MessageType::Response,
        opcode: opcode(header.op_code),
        rcode: rcode(header.response_code),
        truncated: header.truncation,
        question: None,
        answers: Vec::new(),
        malformed: false,
    };
    let whole = records(&mut decoder, &header, &mut message);
    message.malformed = whole.is_none() && !cut;
    Some(message)
}

/// Fills question and answers; `None` when they end too early or make no sense.
fn records(decoder: &mut BinDecoder<'_>, header: &Header, message: &mut Message) -> Option<()> {
    for _ in 0..header.counts.queries {
        let query = Query::read(decoder).ok()?;
        let kind = query.query_type.to_string();
        message.question.get_or_insert_with(|| (name(&query.name), kind));
    }
    for _ in 0..header.counts.answers {
        message.answers.push(answer(&Record::read(decoder).ok()?));
    }
    Some(())
}

fn answer(record: &Record) -> String {
    let mut text = format!("{} {} ", name(&record.name), record.record_type());
    match &record.data {
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter().map(|bytes| self::text(bytes));
            text.push_str(&strings.collect::<Vec<_>>().join(""));
        }
        RData::CNAME(target) => text.push_str(&name(&target.0)),
        RData::NS(target) => text.push_str(&name(&target.0)),
        RData::PTR(target) => text.push_str(&name(&target.0)),
        RData::MX(mx) => text.push_str(&format!("{} {}", mx.preference, name(&mx.exchange))),
        // Some types have no text form; the name and type are told all the same.
        other => drop(write!(text, "{other}")),
    }
    text.trim_end().to_owned()
}

/// Without the dot of the root; bytes that are no letters stay escaped.
fn name(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(stem) if !stem.is_empty() => stem.to_owned(),
        _ => text,
    }
}

fn opcode(code: OpCode) -> String {
    match code {
        OpCode::Query => "query".to_owned(),
        OpCode::Status => "status".to_owned(),
        OpCode::Notify => "notify".to_owned(),
        OpCode::Update => "update".to_owned(),
        other => u8::from(other).to_string(),
    }
}

/// The names of the IANA registry for the four bits of the header; an extended code is in the OPT record, not here.
fn rcode(code: ResponseCode) -> String {
    const NAMES: [&str; 12] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
    ];
    let low = code.low();
    NAMES.get(usize::from(low)).map_or_else(|| low.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to "www.example.test TXT", with a CNAME before it: bytes by hand, with name compression.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 0x85, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
        bytes.extend_from_slice(b"\x03www\x07example\x04test\0\0\x10\0\x01");
        bytes.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x10");
        bytes.extend_from_slice(b"\xc0\x2e\0\x10\0\x01\0\0\0\x3c\0\x06\x02hi\x02\xff!");
        bytes
    }

    #[test]
    fn a_message_is_read() {
        let message = message(&sample(), false).unwrap();
        assert_eq!((message.id, message.response, message.truncated, message.malformed), (0x1234, true, false, false));
        assert_eq!((&*message.opcode, &*message.rcode), ("query", "NOERROR"));
        assert_eq!(message.question, Some(("www.example.test".to_owned(), "TXT".to_owned())));
        assert_eq!(message.answers, ["www.example.test CNAME a.example.test", "a.example.test TXT hi\\xff!"]);
    }

    #[test]
    fn what_is_missing_is_malformed_unless_it_was_cut() {
        let bytes = sample();
        for len in 0..bytes.len() {
            let (whole, cut) = (message(&bytes[..len], false), message(&bytes[..len], true));
            assert_eq!(whole.is_some(), len >= 12);
            assert!(whole.is_none_or(|message| message.malformed && message.answers.len() < 2));
            assert!(cut.is_none_or(|message| !message.malformed));
        }
    }

    #[test]
    fn no_garbage_panics() {
        let mut state = 7u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        let sample = sample();
        for round in 0..50_000 {
            let mut bytes = sample.clone();
            if round % 2 == 0 {
                for _ in 0..=random() % 8 {
                    let at = usize::from(random()) % bytes.len();
                    bytes[at] = random();
                }
            } else {
                bytes.iter_mut().skip(4).for_each(|byte| *byte = random());
                (bytes[4], bytes[6]) = (0, 0);
            }
            let _ = message(&bytes, false);
        }
    }
}
