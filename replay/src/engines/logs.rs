//! Rules that are about a log instead of a category of events: auditd's, and those of any Linux log.
//!
//! auditd writes several records of one system call. A rule with `service: auditd` is asked about these, each by itself:
//!
//! | record  | of our event | fields |
//! |---------|--------------|--------|
//! | EXECVE  | exec | type, a0, a1, … (argv); words are looked for in each argument and in the whole line |
//! | SYSCALL | exec, class security, sockets made, bound, connected and accepted, changes of files by name | type, SYSCALL and syscall (the calls that the kind of event stands for), exe, comm, euid, success, and of socket a0 (the family, hexadecimal) |
//! | PATH    | the program of an exec; a file that is opened, made, renamed, removed or changed, where that succeeded | type, name, nametype |
//!
//! It differs from auditd: names of files are whole and resolved, `euid` is the initial user namespace's, nametype is CREATE for every
//! open with O_CREAT, also of a file that is there, and every path is told, where auditd tells those that it is told to watch.
//! `key` and the records of other programs (USER_AUTH, SERVICE_STOP, ADD_USER, …) are in no event.
//!
//! A rule for Linux that names neither category nor service looks for words in any log. Of these only the command lines of programs
//! that are run are here.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use datasets::{Event, FileEvent, FileLook, NetworkEvent};
use record_bpf::Kind;
use rsigma_eval::EventValue;
use rsigma_parser::{DetectionItem, LogSource, SigmaRule, SigmaValue};

use super::rules::{RuleError, RuleHit};
use super::rules_load::{Loaded, bad};
use super::sigma_fields::EventView;

/// From the kernel's include/uapi/asm-generic/fcntl.h.
const O_CREAT: u32 = 0o100;

/// `logsource.service` that we have events for.
pub(super) const AUDITD: &str = "auditd";

/// What a rule of any log is told as.
pub(super) const COMMAND_LINES: &str = "of Linux's logs only the command lines of programs that are run are here";

/// The log that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Auditd,
    /// Any of Linux's.
    Any,
}

impl Log {
    pub fn of(source: &LogSource) -> Option<Log> {
        match (&source.category, &source.service) {
            (None, Some(service)) if service == AUDITD => Some(Log::Auditd),
            (None, None) if source.product.as_deref() == Some("linux") => Some(Log::Any),
            _ => None,
        }
    }

    /// What an item asks for that no entry of the log has.
    pub fn lacks(self, item: &DetectionItem) -> Option<String> {
        let name = item.field.name.as_deref()?;
        match self {
            Log::Any => Some(name.to_owned()),
            Log::Auditd if !has_field(name) => Some(name.to_owned()),
            Log::Auditd if !item.field.modifiers.is_empty() => None,
            Log::Auditd => {
                let one_of = |known: &dyn Fn(&str) -> bool| {
                    let texts = item.values.iter().map(text);
                    let unknown: Vec<String> = texts.filter(|text| !known(text)).collect();
                    (unknown.len() == item.values.len()).then(|| format!("{name} {}", unknown.join(", ")))
                };
                match name {
                    "type" => one_of(&|value| RECORDS.iter().any(|record| record.eq_ignore_ascii_case(value))),
                    "SYSCALL" | "syscall" => one_of(&|value| CALLS.iter().any(|(_, calls)| calls.contains(&value))),
                    _ => None,
                }
            }
        }
    }
}

fn text(value: &SigmaValue) -> String {
    match value {
        SigmaValue::String(text) => text.original.clone(),
        SigmaValue::Integer(number) => number.to_string(),
        SigmaValue::Float(_) | SigmaValue::Bool(_) | SigmaValue::Null => String::new(),
    }
}

const RECORDS: [&str; 3] = ["EXECVE", "SYSCALL", "PATH"];

fn has_field(name: &str) -> bool {
    matches!(name, "type" | "SYSCALL" | "syscall" | "exe" | "comm" | "euid" | "success" | "name" | "nametype")
        || name.strip_prefix('a').is_some_and(|number| number.parse::<u16>().is_ok())
}

/// The calls that a kind of event stands for: a row does not say which of several it was. Calls that are made by the million
/// (open, close, read, write) are left out.
const CALLS: &[(Kind, &[&str])] = &[
    (Kind::Exec, &["execve", "execveat"]),
    (Kind::Socket, &["socket", "socketpair"]),
    (Kind::Bind, &["bind"]),
    (Kind::Listen, &["listen"]),
    (Kind::Connect, &["connect"]),
    (Kind::Accept, &["accept", "accept4"]),
    (Kind::Rename, &["rename", "renameat", "renameat2"]),
    (Kind::Unlink, &["unlink", "unlinkat"]),
    (Kind::Rmdir, &["rmdir", "unlinkat"]),
    (Kind::Chmod, &["chmod", "fchmod", "fchmodat", "fchmodat2"]),
    (Kind::Chown, &["chown", "lchown", "fchown", "fchownat"]),
    (Kind::Link, &["link", "linkat"]),
    (Kind::Symlink, &["symlink", "symlinkat"]),
    (Kind::Mkdir, &["mkdir", "mkdirat"]),
    (Kind::Mknod, &["mknod", "mknodat"]),
    (Kind::Truncate, &["truncate", "ftruncate"]),
    (Kind::Setxattr, &["setxattr", "lsetxattr", "fsetxattr", "setxattrat"]),
    (Kind::Removexattr, &["removexattr", "lremovexattr", "fremovexattr", "removexattrat"]),
    (Kind::Setuid, &["setuid", "setreuid", "setresuid", "setfsuid"]),
    (Kind::Setgid, &["setgid", "setregid", "setresgid", "setfsgid"]),
    (Kind::Capset, &["capset"]),
    (Kind::Ptrace, &["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"]),
    (Kind::Kill, &["kill", "tkill", "tgkill", "pidfd_send_signal"]),
    (Kind::Setns, &["setns"]),
    (Kind::Unshare, &["unshare"]),
    (Kind::Clone, &["clone", "clone3"]),
    (Kind::Mount, &["mount"]),
    (Kind::Umount, &["umount2"]),
    (Kind::PivotRoot, &["pivot_root"]),
    (Kind::MoveMount, &["move_mount"]),
    (Kind::Fsopen, &["fsopen"]),
    (Kind::Fspick, &["fspick"]),
    (Kind::Fsconfig, &["fsconfig"]),
    (Kind::Fsmount, &["fsmount"]),
    (Kind::OpenTree, &["open_tree"]),
    (Kind::MountSetattr, &["mount_setattr"]),
    (Kind::MemfdCreate, &["memfd_create"]),
    (Kind::Mmap, &["mmap"]),
    (Kind::Mprotect, &["mprotect", "pkey_mprotect"]),
    (Kind::ModuleLoad, &["init_module", "finit_module"]),
    (Kind::ModuleUnload, &["delete_module"]),
    (Kind::Bpf, &["bpf"]),
    (Kind::IoUringSetup, &["io_uring_setup"]),
    (Kind::Keyctl, &["keyctl"]),
    (Kind::AddKey, &["add_key"]),
    (Kind::RequestKey, &["request_key"]),
];

/// The rules about logs, compiled.
#[derive(Default)]
pub(super) struct Logs {
    auditd: Option<rsigma_eval::Engine>,
    any: Option<rsigma_eval::Engine>,
}

impl Logs {
    /// # Errors
    /// A rule that cannot be compiled.
    pub fn compile(rules: &[Loaded]) -> Result<Logs, RuleError> {
        let mut logs = Logs::default();
        for Loaded { rule, path, .. } in rules {
            match Log::of(&rule.logsource) {
                Some(Log::Auditd) => add(&mut logs.auditd, rule, path)?,
                Some(Log::Any) => add(&mut logs.any, rule, path)?,
                None => {}
            }
        }
        Ok(logs)
    }

    pub fn len(&self) -> usize {
        [&self.auditd, &self.any].into_iter().flatten().map(rsigma_eval::Engine::rule_count).sum()
    }

    /// Whether an event is an entry of a log that rules are about.
    pub fn ask_for(&self, event: &Event) -> bool {
        let auditd = self.auditd.is_some()
            && (matches!(event, Event::File(event) if event.ret >= 0) || calls(event.common().kind).is_some());
        auditd || (self.any.is_some() && event.common().kind == Kind::Exec)
    }

    /// As [`ask_for`](Logs::ask_for) an event of class file.
    pub fn ask_for_file(&self, look: &FileLook<'_>) -> bool {
        self.auditd.is_some() && (look.ret >= 0 || calls(look.kind).is_some())
    }

    /// The same of a kind of which nothing but calls are logged.
    pub fn ask_for_kind(&self, kind: Kind) -> bool {
        self.auditd.is_some() && calls(kind).is_some()
    }

    /// What the rules about logs say of an event. `recall`: what was said of an entry with this key, else what the rules say now.
    pub fn evaluate(
        &self,
        view: &EventView<'_>,
        mut recall: impl FnMut(u128, &rsigma_eval::Engine, &Entry<'_>) -> Arc<[RuleHit]>,
    ) -> Vec<RuleHit> {
        let mut hits = Vec::new();
        if let Some(engine) = &self.auditd {
            for entry in audited(view) {
                hits.extend(recall(entry.key(), engine, &entry).iter().cloned());
            }
        }
        if let (Some(engine), Some(entry)) = (&self.any, command_line(view)) {
            hits.extend(recall(entry.key(), engine, &entry).iter().cloned());
        }
        hits
    }
}

fn add(engine: &mut Option<rsigma_eval::Engine>, rule: &SigmaRule, path: &Path) -> Result<(), RuleError> {
    let engine = engine.get_or_insert_with(rsigma_eval::Engine::new);
    engine.add_rule(rule).map_err(|error| bad(path, error))
}

/// An entry of a log: fields, of which one may have several values, and words.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entry<'a> {
    fields: Vec<(Cow<'static, str>, Cow<'a, str>)>,
    /// Where words are looked for, besides the fields.
    line: Option<String>,
}

impl<'a> Entry<'a> {
    fn new(record: &'static str) -> Entry<'a> {
        Entry { fields: vec![("type".into(), record.into())], line: None }
    }

    fn put(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'a, str>>) {
        self.fields.push((name.into(), value.into()));
    }

    /// 128 bits of SipHash over all of it: two different entries do not meet in practice.
    fn key(&self) -> u128 {
        let [high, low] = ["logs, high", "logs, low"].map(|salt| {
            let mut hasher = DefaultHasher::new();
            (salt, &self.fields, &self.line).hash(&mut hasher);
            u128::from(hasher.finish())
        });
        high << 64 | low
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(_, value)| &**value).chain(self.line.as_deref())
    }
}

impl rsigma_eval::Event for Entry<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let mut values = self.fields.iter().filter(|(name, _)| name == path).map(|(_, value)| &**value);
        let first = EventValue::Str(Cow::Borrowed(values.next()?));
        let mut rest: Vec<EventValue<'_>> = values.map(|value| EventValue::Str(Cow::Borrowed(value))).collect();
        if rest.is_empty() {
            return Some(first);
        }
        rest.push(first);
        Some(EventValue::Array(rest))
    }

    fn any_string_value(&self, predicate: &dyn Fn(&str) -> bool) -> bool {
        self.texts().any(predicate)
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        self.texts().map(Cow::Borrowed).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        self.fields.iter().map(|(name, value)| (name.to_string(), serde_json::Value::from(&**value))).collect()
    }
}

/// auditd's records of an event.
fn audited<'a>(view: &EventView<'a>) -> Vec<Entry<'a>> {
    let mut records = Vec::new();
    records.extend(syscall(view));
    match view.event {
        Event::Process(exec) if exec.common.kind == Kind::Exec => {
            let mut record = Entry::new("EXECVE");
            let argv = exec.argv.as_deref().unwrap_or_default();
            for (i, argument) in argv.iter().enumerate() {
                record.put(format!("a{i}"), &**argument);
            }
            record.line = Some(argv.join(" "));
            records.push(record);
            records.extend(exec.exe.as_deref().map(|exe| path(exe, "NORMAL")));
        }
        Event::File(event) if event.ret >= 0 => paths(event, &mut records),
        _ => {}
    }
    records
}

fn syscall<'a>(view: &EventView<'a>) -> Option<Entry<'a>> {
    let EventView { event, process, .. } = *view;
    let mut record = Entry::new("SYSCALL");
    for call in calls(event.common().kind)? {
        record.put("SYSCALL", *call);
        record.put("syscall", *call);
    }
    let exec = match event {
        Event::Process(exec) => Some(exec),
        _ => None,
    };
    if let Some(exe) = exec.and_then(|exec| exec.exe.as_deref()).or_else(|| process?.exe.as_deref()) {
        record.put("exe", exe);
    }
    if let Some(comm) = process.and_then(|process| process.comm.as_deref()) {
        record.put("comm", comm);
    }
    let own = match event {
        Event::Security(event) => event.euid,
        _ => exec.and_then(|exec| exec.uid),
    };
    if let Some(euid) = own.or_else(|| process?.uid) {
        record.put("euid", euid.to_string());
    }
    let ret = match event {
        Event::Security(event) => Some(event.ret),
        Event::File(event) => Some(event.ret),
        Event::Network(event) => Some(event.ret),
        _ => None,
    };
    record.put("success", if ret.is_none_or(|ret| ret >= 0) { "yes" } else { "no" });
    if let Event::Network(socket @ NetworkEvent { common, .. }) = event
        && common.kind == Kind::Socket
        && let Some(family) = family(&socket.family)
    {
        record.put("a0", format!("{family:x}"));
    }
    Some(record)
}

fn calls(kind: Kind) -> Option<&'static [&'static str]> {
    CALLS.iter().find(|(known, _)| *known == kind).map(|(_, calls)| *calls)
}

/// AF_* of the kernel's include/linux/socket.h, by the schema's names.
fn family(name: &str) -> Option<u16> {
    match name {
        "unix" => Some(1),
        "inet" => Some(2),
        "inet6" => Some(10),
        "netlink" => Some(16),
        "packet" => Some(17),
        number => number.parse().ok(),
    }
}

fn paths<'a>(event: &'a FileEvent, records: &mut Vec<Entry<'a>>) {
    let (old, new) = match event.common.kind {
        Kind::Close | Kind::Read | Kind::Write => return,
        Kind::Open if event.flags.is_some_and(|flags| flags & O_CREAT != 0) => ("CREATE", ""),
        Kind::Mkdir | Kind::Mknod => ("CREATE", ""),
        Kind::Rename => ("DELETE", "CREATE"),
        Kind::Unlink | Kind::Rmdir => ("DELETE", ""),
        Kind::Link | Kind::Symlink => ("NORMAL", "CREATE"),
        _ => ("NORMAL", ""),
    };
    records.extend(event.path.as_deref().map(|name| path(name, old)));
    records.extend(event.new_path.as_deref().filter(|_| !new.is_empty()).map(|name| path(name, new)));
}

fn path<'a>(name: &'a str, nametype: &'static str) -> Entry<'a> {
    let mut record = Entry::new("PATH");
    record.put("name", name);
    record.put("nametype", nametype);
    record
}

/// The line of an exec, for rules of any log.
fn command_line(view: &EventView<'_>) -> Option<Entry<'static>> {
    match view.event {
        Event::Process(exec) if exec.common.kind == Kind::Exec => {
            Some(Entry { fields: Vec::new(), line: Some(exec.argv.as_deref()?.join(" ")) })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
