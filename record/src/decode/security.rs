//! Security records.

use record_bpf::Kind;
use record_bpf::abi::{self, Wire};

use super::text::{kernel_path, text, until_nul, user_path};

#[derive(Debug)]
pub struct SecurityRecord {
    pub wire: abi::Security,
    pub path: Option<String>,
    /// A second path, or the text that mount and fsconfig call their source.
    pub source: Option<String>,
    pub name: Option<String>,
    /// Filesystem, key or namespace type.
    pub type_name: Option<String>,
}

pub fn security(bytes: &[u8], kind: Kind) -> Option<SecurityRecord> {
    let (wire, data) = abi::Security::read(bytes)?;
    let (path, data) = data.split_at_checked(wire.path_len.into())?;
    let (base, data) = data.split_at_checked(wire.base_len.into())?;
    let (path2, data) = data.split_at_checked(wire.path2_len.into())?;
    let (base2, data) = data.split_at_checked(wire.base2_len.into())?;
    let (name, data) = data.split_at_checked(wire.name_len.into())?;
    let (type_name, _) = data.split_at_checked(wire.type_len.into())?;
    let from_user = wire.flags & abi::SEC_TEXT_USER != 0;
    let plain = |bytes: &[u8]| (!bytes.is_empty()).then(|| text(until_nul(bytes)));
    let source_is_text = matches!(kind, Kind::Mount | Kind::Fsconfig);
    Some(SecurityRecord {
        path: (!path.is_empty()).then(|| if from_user { user_path(path, base) } else { kernel_path(path) }),
        source: if source_is_text { plain(path2) } else { (!path2.is_empty()).then(|| user_path(path2, base2)) },
        name: plain(name),
        type_name: plain(type_name),
        wire,
    })
}
