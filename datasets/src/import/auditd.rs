//! `audit.log`: the records of one event are joined by its id, and those of a system call that the schema knows are rows.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use linux_audit_parser::{EventID, MessageType, Number, Parser, Value};
use record_bpf::Kind;

use super::Malformed;
use super::build::{Builder, Who};
use crate::Result;
use crate::model::{Event, FileEvent, NetworkEvent};

/// Events whose records are still awaited. auditd writes no end of an event, and records of two CPUs may alternate.
const OPEN: usize = 64;

/// The oldest are taken as whole when there are too many.
#[derive(Default)]
pub(super) struct Auditd {
    open: BTreeMap<EventID, Vec<Record>>,
}

struct Record {
    ty: MessageType,
    fields: BTreeMap<String, Field>,
}

enum Field {
    Number(i64),
    Text(Vec<u8>),
}

/// The directory that stands for the working directory (fcntl.h).
const AT_FDCWD: i32 = -100;
/// Of unlinkat (fcntl.h).
const AT_REMOVEDIR: i64 = 0x200;

#[derive(Clone, Copy)]
enum Call {
    Exec,
    /// With the argument that has the flags, and the one that has the directory, if there are such.
    Open {
        flags: Option<&'static str>,
        directory: Option<&'static str>,
    },
    /// With the argument that has the directory, and for a rename the one that has the new name's.
    Rename {
        directories: Option<(&'static str, &'static str)>,
    },
    /// With the argument that has the directory; of unlinkat the flags make it a rmdir.
    Change {
        kind: Kind,
        directory: Option<&'static str>,
    },
    Connect,
    Exit,
}

/// By architecture (AUDIT_ARCH_*) and number, of the kernel's system call tables.
fn call(arch: i64, nr: i64) -> Option<Call> {
    Some(match (arch, nr) {
        (0xc000_003e, 59 | 322) | (0xc000_00b7, 221 | 281) => Call::Exec,
        (0xc000_003e, 2) => Call::Open { flags: Some("a1"), directory: None },
        (0xc000_003e, 257) | (0xc000_00b7, 56) => Call::Open { flags: Some("a2"), directory: Some("a0") },
        // openat2 has its flags in memory; creat has none.
        (0xc000_003e | 0xc000_00b7, 437) => Call::Open { flags: None, directory: Some("a0") },
        (0xc000_003e, 85) => Call::Open { flags: None, directory: None },
        (0xc000_003e, 82) => Call::Rename { directories: None },
        (0xc000_003e, 264 | 316) | (0xc000_00b7, 38 | 276) => Call::Rename { directories: Some(("a0", "a2")) },
        (0xc000_003e, 87) => Call::Change { kind: Kind::Unlink, directory: None },
        (0xc000_003e, 263) | (0xc000_00b7, 35) => Call::Change { kind: Kind::Unlink, directory: Some("a0") },
        (0xc000_003e, 84) => Call::Change { kind: Kind::Rmdir, directory: None },
        (0xc000_003e, 83) => Call::Change { kind: Kind::Mkdir, directory: None },
        (0xc000_003e, 258) | (0xc000_00b7, 34) => Call::Change { kind: Kind::Mkdir, directory: Some("a0") },
        (0xc000_003e, 42) | (0xc000_00b7, 203) => Call::Connect,
        (0xc000_003e, 231) | (0xc000_00b7, 94) => Call::Exit,
        _ => return None,
    })
}

impl Auditd {
    pub(super) fn line(&mut self, text: &str, builder: &mut Builder) -> Result<Result<(), Malformed>> {
        let line = format!("{text}\n");
        let message = match Parser::default().parse(line.as_bytes()) {
            Ok(message) => message,
            Err(error) => {
                // The parser's error repeats the line.
                let kind = error.to_string().split(':').next().unwrap_or_default().to_owned();
                return Ok(Err(kind));
            }
        };
        if message.ty == MessageType::EOE {
            return self.close(message.id, builder).map(Ok);
        }
        let fields =
            message.body.into_iter().filter_map(|(key, value)| Some((key.to_string(), field(&value)?))).collect();
        self.open.entry(message.id).or_default().push(Record { ty: message.ty, fields });
        if self.open.len() > OPEN
            && let Some(first) = self.open.keys().next().copied()
        {
            self.close(first, builder)?;
        }
        Ok(Ok(()))
    }

    pub(super) fn end(&mut self, builder: &mut Builder) -> Result<()> {
        while let Some(first) = self.open.keys().next().copied() {
            self.close(first, builder)?;
        }
        Ok(())
    }

    fn close(&mut self, id: EventID, builder: &mut Builder) -> Result<()> {
        let Some(records) = self.open.remove(&id) else { return Ok(()) };
        let Some(syscall) = records.iter().find(|record| record.ty == MessageType::SYSCALL) else {
            builder.leave_out(&records.first().map_or_else(String::new, |record| record.ty.to_string()));
            return Ok(());
        };
        let (Some(arch), Some(nr)) = (syscall.number("arch"), syscall.number("syscall")) else {
            builder.leave_out("SYSCALL without arch and number");
            return Ok(());
        };
        let Some(pid) = syscall.number("pid").and_then(|pid| u32::try_from(pid).ok()) else {
            builder.leave_out("SYSCALL without pid");
            return Ok(());
        };
        let id32 = |name: &str| syscall.number(name).and_then(|n| u32::try_from(n).ok());
        let who = Who {
            pid,
            ppid: id32("ppid"),
            exe: syscall.text("exe"),
            comm: syscall.text("comm"),
            uid: id32("euid"),
            gid: id32("egid"),
            ..Who::default()
        };
        let Ok(ts) = i64::try_from(id.timestamp.saturating_mul(1_000_000)) else {
            builder.leave_out("time beyond 2262");
            return Ok(());
        };
        let ret = syscall.number("exit").map(|ret| ret as i32);
        let find = |ty: MessageType| records.iter().find(move |record| record.ty == ty);
        let cwd = find(MessageType::CWD).and_then(|record| record.text("cwd"));
        let names = Names { syscall, records: &records, cwd: cwd.clone() };
        match (call(arch, nr), ret) {
            (Some(Call::Exec), Some(0)) => {
                let argv = find(MessageType::EXECVE).map(Record::arguments);
                builder.exec(ts, &Who { argv, cwd, ..who })
            }
            (Some(Call::Exec), _) => {
                builder.leave_out("exec that failed");
                Ok(())
            }
            (Some(Call::Open { flags, directory }), Some(ret)) => {
                let mut row = FileEvent::new(builder.common(ts, Kind::Open, &who));
                names.take(names.last(), directory, &mut row);
                row.ret = ret;
                row.fd = (ret >= 0).then_some(ret);
                row.flags = flags.and_then(|name| syscall.number(name)).map(|flags| flags as u32);
                builder.push(Event::File(row))
            }
            (Some(Call::Change { kind, directory }), Some(ret)) => {
                let is_rmdir = kind == Kind::Unlink
                    && directory.is_some()
                    && syscall.number("a2").is_some_and(|flags| flags & AT_REMOVEDIR != 0);
                let kind = if is_rmdir { Kind::Rmdir } else { kind };
                let mut row = FileEvent::new(builder.common(ts, kind, &who));
                names.take(names.last(), directory, &mut row);
                if kind == Kind::Mkdir {
                    // As it was asked for; the record has what became of it.
                    let asked = syscall.number(if directory.is_some() { "a2" } else { "a1" });
                    row.mode = asked.map(|mode| mode as u32 & 0o7777);
                }
                row.ret = ret;
                builder.push(Event::File(row))
            }
            (Some(Call::Rename { directories }), Some(ret)) => {
                // The first that went is the old name; a second one is a file in the new name's place.
                let (Some(old), Some(new)) = (names.of("DELETE"), names.of("CREATE")) else {
                    builder.leave_out("rename without its two names");
                    return Ok(());
                };
                let (from, to) = directories.unzip();
                let mut row = FileEvent::new(builder.common(ts, Kind::Rename, &who));
                names.take(Some(old), from, &mut row);
                row.new_path = names.path(new, to);
                row.path_truncated |= row.new_path.as_deref().is_none_or(|path| !path.starts_with('/'));
                row.ret = ret;
                builder.push(Event::File(row))
            }
            (Some(Call::Connect), Some(ret)) => {
                let Some(Field::Text(bytes)) =
                    find(MessageType::SOCKADDR).and_then(|record| record.fields.get("saddr"))
                else {
                    builder.leave_out("connect without SOCKADDR");
                    return Ok(());
                };
                let mut row = NetworkEvent::new(builder.common(ts, Kind::Connect, &who), "", "unknown");
                peer(bytes, &mut row);
                row.peer_from_user = true;
                row.ret = ret;
                row.fd = syscall.number("a0").map_or(-1, |fd| fd as i32);
                builder.push(Event::Network(row))
            }
            // It never returns, and so has no result.
            (Some(Call::Exit), _) => {
                builder.exit(ts, &who, syscall.number("a0").map(|code| (code & 0xff) as i32), None)
            }
            (Some(_), None) => {
                builder.leave_out("SYSCALL without a result");
                Ok(())
            }
            (None, _) => {
                builder.leave_out(&format!("system call {nr} (arch {arch:x})"));
                Ok(())
            }
        }
    }
}

/// The PATH records of an event.
struct Names<'a> {
    syscall: &'a Record,
    records: &'a [Record],
    cwd: Option<Arc<str>>,
}

impl<'a> Names<'a> {
    fn all(&self) -> impl DoubleEndedIterator<Item = &'a Record> + use<'a> {
        self.records.iter().filter(|record| record.ty == MessageType::PATH)
    }

    fn of(&self, kind: &str) -> Option<&'a Record> {
        self.all().find(|path| path.text("nametype").as_deref() == Some(kind))
    }

    /// The one that is no directory on the way.
    fn last(&self) -> Option<&'a Record> {
        self.all().rfind(|path| path.text("nametype").as_deref() != Some("PARENT"))
    }

    /// What is relative to an open directory cannot be told: the log has only the directory's descriptor, in argument `directory`.
    fn path(&self, record: &Record, directory: Option<&str>) -> Option<Arc<str>> {
        let known = directory.is_none_or(|at| self.syscall.number(at).is_some_and(|fd| fd as i32 == AT_FDCWD));
        record.text("name").map(|name| if known { absolute(self.cwd.as_deref(), name) } else { name })
    }

    fn take(&self, record: Option<&Record>, directory: Option<&str>, row: &mut FileEvent) {
        if let Some(record) = record {
            row.path = self.path(record, directory);
            row.inode = record.number("inode").and_then(|n| u64::try_from(n).ok());
            row.mode = record.number("mode").and_then(|n| u32::try_from(n).ok());
            row.dev = record.text("dev").and_then(|dev| device(&dev));
        }
        // The kernel's copy of what the caller gave, links not followed.
        row.path_from_user = true;
        row.path_truncated = row.path.as_deref().is_none_or(|path| !path.starts_with('/'));
    }
}

impl Record {
    fn number(&self, name: &str) -> Option<i64> {
        match self.fields.get(name)? {
            Field::Number(n) => Some(*n),
            Field::Text(_) => None,
        }
    }

    fn text(&self, name: &str) -> Option<Arc<str>> {
        match self.fields.get(name)? {
            Field::Text(bytes) if bytes != b"(null)" => Some(escaped(bytes)),
            _ => None,
        }
    }

    /// `a0`, `a1`; long ones come in pieces, as `a1[0]`, `a1[1]`.
    fn arguments(&self) -> Vec<Arc<str>> {
        let mut words: BTreeMap<u32, BTreeMap<u32, &[u8]>> = BTreeMap::new();
        for (name, field) in &self.fields {
            let Some(place) = name.strip_prefix('a') else { continue };
            let (word, piece) = place.trim_end_matches(']').split_once('[').unwrap_or((place, "0"));
            if let (Ok(word), Ok(piece), Field::Text(bytes)) = (word.parse(), piece.parse(), field) {
                words.entry(word).or_default().insert(piece, bytes);
            }
        }
        words.into_values().map(|pieces| escaped(&pieces.into_values().collect::<Vec<_>>().concat())).collect()
    }
}

fn field(value: &Value<'_>) -> Option<Field> {
    match value {
        Value::Number(Number::Dec(n)) => Some(Field::Number(*n)),
        Value::Number(Number::Hex(n) | Number::Oct(n)) => Some(Field::Number(*n as i64)),
        Value::Str(bytes, _) => Some(Field::Text(bytes.to_vec())),
        Value::Owned(bytes) => Some(Field::Text(bytes.clone())),
        _ => None,
    }
}

/// Bytes that are not UTF-8 as `\xNN`, as everywhere in a recording.
fn escaped(bytes: &[u8]) -> Arc<str> {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text.into()
}

fn absolute(cwd: Option<&str>, name: Arc<str>) -> Arc<str> {
    match cwd {
        Some(cwd) if !name.starts_with('/') => {
            format!("{}/{}", cwd.trim_end_matches('/'), name.trim_start_matches("./")).into()
        }
        _ => name,
    }
}

/// `fe:01` as the kernel's dev_t.
fn device(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    Some(u32::from_str_radix(major, 16).ok()? << 20 | u32::from_str_radix(minor, 16).ok()?)
}

/// A `struct sockaddr` as the caller gave it; the family is of the machine's byte order, which is little-endian on those known here.
fn peer(bytes: &[u8], row: &mut NetworkEvent) {
    let family = bytes.first_chunk().map_or(0, |family| u16::from_le_bytes(*family));
    let port = || bytes.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
    match family {
        1 => {
            row.family = "unix".into();
            let path = bytes.get(2..).unwrap_or_default();
            let (mark, path) = path.strip_prefix(&[0]).map_or(("", path), |name| ("@", name));
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            row.unix_path = (end > 0).then(|| format!("{mark}{}", escaped(&path[..end])).into());
        }
        2 => {
            row.family = "inet".into();
            row.peer_addr =
                bytes.get(4..).and_then(<[u8]>::first_chunk::<4>).map(|a| Ipv4Addr::from(*a).to_string().into());
            row.peer_port = port();
        }
        10 => {
            row.family = "inet6".into();
            row.peer_addr =
                bytes.get(8..).and_then(<[u8]>::first_chunk::<16>).map(|a| Ipv6Addr::from(*a).to_string().into());
            row.peer_port = port();
        }
        other => row.family = other.to_string().into(),
    }
}
