//! TLS records.

use record_bpf::abi::{self, Wire};

use super::text::kernel_path;

#[derive(Debug)]
pub struct TlsRecord {
    pub wire: abi::Tls,
    /// The plaintext's first bytes.
    pub data: Vec<u8>,
}

pub fn tls(bytes: &[u8]) -> Option<TlsRecord> {
    let (wire, data) = abi::Tls::read(bytes)?;
    // What follows them fills the record's place in the ring.
    let data = data.get(..usize::try_from(wire.captured).ok()?)?.to_vec();
    Some(TlsRecord { wire, data })
}

/// The path of a TLS library that a process opened, in the process's root.
pub fn library(bytes: &[u8]) -> Option<(abi::Header, String)> {
    let (wire, data) = abi::Library::read(bytes)?;
    let path = data.get(..usize::try_from(wire.path_len).ok()?)?;
    Some((wire.h, kernel_path(path)))
}
