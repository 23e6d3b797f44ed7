//! Socket records.

use record_bpf::abi::{self, Wire};

#[derive(Debug)]
pub struct NetworkRecord {
    pub wire: abi::Network,
    /// Of unix sockets.
    pub names: Option<Box<abi::UnixNames>>,
}

pub fn network(bytes: &[u8]) -> Option<NetworkRecord> {
    let (wire, data) = abi::Network::read(bytes)?;
    let is_unix = i32::from(wire.family) == libc::AF_UNIX;
    let names = if is_unix { Some(Box::new(abi::UnixNames::read(data)?.0)) } else { None };
    Some(NetworkRecord { wire, names })
}
