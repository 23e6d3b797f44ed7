//! Bytes from the ring to owned values. A record that does not fit its definition is an error to count, never a panic.

use std::fmt::Write as _;

use record_bpf::Kind;
use record_bpf::abi::{self, Wire};

/// A decoded record.
#[derive(Debug)]
pub enum Record {
    Fork(abi::Fork),
    Exec(Program),
    Exit(abi::Exit),
    File(FileRecord),
    Network(Box<abi::Network>),
    /// A new cgroup and its path.
    Cgroup(abi::Header, String),
    /// A followed process that neither forked nor executed before our eyes.
    Introduce(Program),
}

/// An exec, or the description of a running program.
#[derive(Debug)]
pub struct Program {
    pub wire: abi::Exec,
    pub exe: Option<String>,
    pub cwd: Option<String>,
    pub argv: Vec<String>,
}

#[derive(Debug)]
pub struct FileRecord {
    pub wire: abi::File,
    pub kind: Kind,
    /// None where the kernel had none to give.
    pub path: Option<String>,
    pub new_path: Option<String>,
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

pub fn record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let short = || DecodeError::Short(bytes.len());
    let header = header(bytes).ok_or_else(short)?;
    match header.kind {
        abi::CONTROL_CGROUP => {
            let (cgroup, _) = abi::Cgroup::read(bytes).ok_or_else(short)?;
            return Ok(Record::Cgroup(header, text(until_nul(&cgroup.path))));
        }
        abi::CONTROL_PROCESS => return program(bytes).map(Record::Introduce).ok_or_else(short),
        _ => {}
    }
    let kind = Kind::from_wire(header.kind).ok_or(DecodeError::UnknownKind(header.kind))?;
    match kind {
        Kind::Fork => abi::Fork::read(bytes).map(|(fork, _)| Record::Fork(fork)),
        Kind::Exec => program(bytes).map(Record::Exec),
        Kind::Exit => abi::Exit::read(bytes).map(|(exit, _)| Record::Exit(exit)),
        Kind::Open | Kind::Close | Kind::Rename | Kind::Unlink | Kind::Chmod => file(bytes, kind).map(Record::File),
        Kind::Bind | Kind::Listen | Kind::Connect | Kind::Accept | Kind::NetClose => {
            abi::Network::read(bytes).map(|(network, _)| Record::Network(Box::new(network)))
        }
    }
    .ok_or_else(short)
}

fn program(bytes: &[u8]) -> Option<Program> {
    let (wire, data) = abi::Exec::read(bytes)?;
    let (exe, data) = data.split_at_checked(wire.exe_len.into())?;
    let (cwd, data) = data.split_at_checked(wire.cwd_len.into())?;
    let (argv, _) = data.split_at_checked(usize::try_from(wire.argv_len).ok()?)?;
    Some(Program {
        wire,
        // A kernel thread has no executable, a file at the root of nothing no name.
        exe: (!exe.is_empty()).then(|| kernel_path(exe)),
        cwd: Some(kernel_path(cwd)),
        argv: arguments(argv),
    })
}

fn file(bytes: &[u8], kind: Kind) -> Option<FileRecord> {
    let (wire, data) = abi::File::read(bytes)?;
    let (path, data) = data.split_at_checked(wire.path_len.into())?;
    let (base, data) = data.split_at_checked(wire.base_len.into())?;
    let (path2, data) = data.split_at_checked(wire.path2_len.into())?;
    let (base2, _) = data.split_at_checked(wire.base2_len.into())?;
    let from_user = wire.flags & abi::FILE_PATH_USER != 0;
    let unknown = path.is_empty() && (from_user || wire.flags & abi::FILE_IMPLICIT_CLOSE != 0);
    Some(FileRecord {
        path: (!unknown).then(|| if from_user { user_path(path, base) } else { kernel_path(path) }),
        new_path: (!path2.is_empty()).then(|| user_path(path2, base2)),
        wire,
        kind,
    })
}

/// `argv` as the kernel lays it out: each argument ends with a NUL. A truncated last one has none.
fn arguments(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|&byte| byte == 0).map(text).collect()
}

/// Names leaf first, each with its NUL, to an absolute path.
fn kernel_path(bytes: &[u8]) -> String {
    let mut path = String::with_capacity(bytes.len() + 1);
    for name in bytes.split(|&byte| byte == 0).rev().filter(|name| !name.is_empty()) {
        path.push('/');
        push_text(&mut path, name);
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// A path argument, made absolute with the directory it starts from; `.` components are dropped, `..` stays as given.
fn user_path(path: &[u8], base: &[u8]) -> String {
    let path = until_nul(path);
    let mut absolute = if path.first() == Some(&b'/') { String::new() } else { kernel_path(base) };
    if absolute == "/" {
        absolute.clear();
    }
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
        absolute.push('/');
        push_text(&mut absolute, name);
    }
    if absolute.is_empty() { "/".to_owned() } else { absolute }
}

pub fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// UTF-8, with every byte that is not as `\xNN`.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    push_text(&mut out, bytes);
    out
}

fn push_text(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_paths_come_leaf_first() {
        assert_eq!(kernel_path(b"passwd\0etc\0"), "/etc/passwd");
        assert_eq!(kernel_path(b""), "/");
        assert_eq!(kernel_path(b"memfd:x\0"), "/memfd:x");
        assert_eq!(kernel_path(b"caf\xe9\0tmp\0"), "/tmp/caf\\xe9");
    }

    #[test]
    fn user_paths_start_from_their_base() {
        assert_eq!(user_path(b"/etc//./hosts\0", b""), "/etc/hosts");
        assert_eq!(user_path(b"./a/../b\0", b"srv\0"), "/srv/a/../b");
        assert_eq!(user_path(b"x\0", b""), "/x");
        assert_eq!(user_path(b".\0", b"app\0srv\0"), "/srv/app");
    }

    #[test]
    fn empty_arguments_are_kept() {
        assert_eq!(arguments(b"sh\0-c\0\0"), ["sh", "-c", ""]);
        assert_eq!(arguments(b"cut\0of"), ["cut", "of"]);
        assert!(arguments(b"").is_empty());
    }

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

    #[test]
    fn an_unknown_kind_is_named() {
        let mut bytes = vec![0u8; 64];
        bytes[40..42].copy_from_slice(&0x0999u16.to_le_bytes());
        assert_eq!(record(&bytes).unwrap_err(), DecodeError::UnknownKind(0x0999));
    }
}
