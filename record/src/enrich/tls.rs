//! Rows of the tls class.

use datasets::{Common, TlsEvent};
use record_bpf::abi;

use super::http::{self, Head};
use super::strings::Interner;
use crate::decode::TlsRecord;

pub fn event(common: Common, record: TlsRecord, strings: &mut Interner) -> TlsEvent {
    let TlsRecord { wire, data } = record;
    let Head { method, path, version, host, headers, status } = http::head(&data).unwrap_or_default();
    let mut shared = |text: String| strings.get(&text);
    TlsEvent {
        library: shared(library(wire.library)),
        connection: wire.connection,
        fd: (wire.fd >= 0).then_some(wire.fd),
        bytes: wire.bytes,
        captured: wire.captured,
        truncated: u64::from(wire.captured) < wire.bytes,
        http_method: method.map(&mut shared),
        http_path: path.map(&mut shared),
        http_version: version.map(&mut shared),
        http_host: host.map(&mut shared),
        http_headers: headers.map(|headers| headers.into_iter().map(&mut shared).collect()),
        http_status: status,
        data,
        common,
    }
}

fn library(id: u32) -> String {
    match id {
        abi::TLS_OPENSSL => "openssl".to_owned(),
        abi::TLS_GO => "go".to_owned(),
        other => other.to_string(),
    }
}
