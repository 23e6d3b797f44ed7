//! Bytes from the ring to owned values. A record that does not fit its definition is an error to count, never a panic.

pub mod dns;
mod file;
mod network;
mod process;
mod security;
mod text;
mod tls;

use record_bpf::abi::{self, Wire};
use record_bpf::{Class, Kind};

pub use dns::{DnsRecord, Message as DnsMessage, message as dns_message};
pub use file::FileRecord;
pub use network::NetworkRecord;
pub use process::Program;
pub use security::SecurityRecord;
pub use text::{text, until_nul};
pub use tls::TlsRecord;

/// A decoded record.
#[derive(Debug)]
pub enum Record {
    Fork(abi::Fork),
    Exec(Program),
    Exit(abi::Exit),
    File(FileRecord),
    Tls(TlsRecord),
    Security(Box<SecurityRecord>),
    Syscall(abi::Syscall),
    SyscallSet(Box<abi::SyscallSet>),
    Network(Box<NetworkRecord>),
    Dns(Box<DnsRecord>),
    /// A new cgroup and its path.
    Cgroup(abi::Header, String),
    /// A TLS library that a followed process opened, by its path in the process's root.
    Library(abi::Header, String),
    /// A followed process that neither forked nor executed before our eyes.
    Introduce(Program),
}

/// Why a record could not be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("record of {0} bytes is shorter than its definition")]
    Short(usize),
    #[error("unknown record kind {0:#06x}")]
    UnknownKind(u16),
}

/// The header alone: enough to account for a record that cannot be decoded.
pub fn header(bytes: &[u8]) -> Option<abi::Header> {
    abi::Header::read(bytes).map(|(header, _)| header)
}

/// A record of one system call; None: another kind, or one that does not fit.
#[inline]
pub fn call(bytes: &[u8]) -> Option<abi::Syscall> {
    let (wire, _) = abi::Syscall::read(bytes)?;
    (wire.h.kind == Kind::Call as u16).then_some(wire)
}

pub fn record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let short = || DecodeError::Short(bytes.len());
    let header = header(bytes).ok_or_else(short)?;
    match header.kind {
        abi::CONTROL_CGROUP => {
            let (cgroup, _) = abi::Cgroup::read(bytes).ok_or_else(short)?;
            return Ok(Record::Cgroup(header, text(until_nul(&cgroup.path))));
        }
        abi::CONTROL_LIBRARY => {
            return tls::library(bytes).map(|(header, path)| Record::Library(header, path)).ok_or_else(short);
        }
        abi::CONTROL_PROCESS => return process::program(bytes).map(Record::Introduce).ok_or_else(short),
        _ => {}
    }
    let kind = Kind::from_wire(header.kind).ok_or(DecodeError::UnknownKind(header.kind))?;
    match kind.class() {
        Class::Process => match kind {
            Kind::Fork => abi::Fork::read(bytes).map(|(fork, _)| Record::Fork(fork)),
            Kind::Exec => process::program(bytes).map(Record::Exec),
            _ => abi::Exit::read(bytes).map(|(exit, _)| Record::Exit(exit)),
        },
        Class::File => file::file(bytes, kind).map(Record::File),
        Class::Network => network::network(bytes).map(|network| Record::Network(Box::new(network))),
        Class::Dns => dns::dns(bytes).map(|dns| Record::Dns(Box::new(dns))),
        Class::Tls => tls::tls(bytes).map(Record::Tls),
        Class::Security => security::security(bytes, kind).map(|record| Record::Security(Box::new(record))),
        Class::Syscall if kind == Kind::CallSet => {
            abi::SyscallSet::read(bytes).map(|(set, _)| Record::SyscallSet(Box::new(set)))
        }
        Class::Syscall => abi::Syscall::read(bytes).map(|(call, _)| Record::Syscall(call)),
        // What is sampled never comes through the ring.
        Class::Flow | Class::Resource => {
            return Err(DecodeError::UnknownKind(header.kind));
        }
    }
    .ok_or_else(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_of_a_record_is_an_error() {
        let mut bytes = vec![0u8; size_of::<abi::File>()];
        bytes[40..42].copy_from_slice(&(Kind::Open as u16).to_le_bytes());
        let path_len = std::mem::offset_of!(abi::File, path_len);
        bytes[path_len..path_len + 2].copy_from_slice(&8u16.to_le_bytes());
        bytes.extend_from_slice(b"b\0a\0usr\0");
        let Ok(Record::File(file)) = record(&bytes) else { panic!("whole record") };
        assert_eq!(file.path.as_deref(), Some("/usr/a/b"));
        for len in 0..bytes.len() {
            assert_eq!(record(&bytes[..len]).unwrap_err(), DecodeError::Short(len));
        }
    }

    /// The seeds of the fuzz target `wire`: records of every kind, as the kernel side made them (`record/examples/wire.rs`).
    #[test]
    fn real_records_are_decoded_and_changed_ones_never_panic() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/wire");
        let mut kinds = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(seeds).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let decoded = record(&bytes).unwrap();
            kinds.insert(header(&bytes).unwrap().kind);
            for len in 0..bytes.len() {
                let _ = record(&bytes[..len]);
            }
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    if let Ok(Record::Dns(dns)) = record(&changed) {
                        let _ = (dns_message(&dns.payload, false), dns_message(&dns.payload, true));
                    }
                }
            }
            drop(decoded);
        }
        assert!(kinds.len() > 60, "{} kinds", kinds.len());
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let mut bytes = vec![0u8; 64];
        bytes[40..42].copy_from_slice(&0x0999u16.to_le_bytes());
        assert_eq!(record(&bytes).unwrap_err(), DecodeError::UnknownKind(0x0999));
    }
}
