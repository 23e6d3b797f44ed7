//! Rows of the security class: what a call's number and arguments mean.

use std::sync::Arc;

use datasets::{Common, SecurityEvent};
use record_bpf::Kind;
use record_bpf::abi;
use syscalls::x86_64::Sysno;

use super::strings::Interner;
use crate::decode::SecurityRecord;
use crate::names;

/// `target_container`: of the target's cgroup.
pub fn event(
    common: Common,
    record: &SecurityRecord,
    target_container: Option<Arc<str>>,
    strings: &mut Interner,
) -> SecurityEvent {
    let wire = &record.wire;
    let has = |flag: u32| wire.flags & flag != 0;
    let kind = common.kind;
    let call = Sysno::new(wire.nr as usize);
    let creds = has(abi::SEC_CREDS);
    let mut text = |text: &Option<String>| text.as_deref().map(|text| strings.get(text));
    SecurityEvent {
        request: text(&request(kind, call, record)),
        target_pid: has(abi::SEC_TARGET).then_some(wire.target_pid),
        target_container,
        signal: (kind == Kind::Kill).then(|| signal(call, wire)),
        uid: creds.then_some(wire.uid),
        euid: creds.then_some(wire.euid),
        suid: creds.then_some(wire.suid),
        fsuid: creds.then_some(wire.fsuid),
        gid: creds.then_some(wire.gid),
        egid: creds.then_some(wire.egid),
        sgid: creds.then_some(wire.sgid),
        fsgid: creds.then_some(wire.fsgid),
        caps_effective: creds.then_some(wire.caps_effective),
        caps_permitted: creds.then_some(wire.caps_permitted),
        caps_inheritable: creds.then_some(wire.caps_inheritable),
        flags: flags(kind, call, wire),
        path: text(&record.path),
        source: text(&record.source),
        fs_type: if is_fs(kind) { text(&record.type_name) } else { None },
        name: text(&name(kind, record)),
        text_from_user: has(abi::SEC_TEXT).then_some(has(abi::SEC_TEXT_USER)),
        path_truncated: has(abi::SEC_TRUNCATED),
        address: address(kind, wire),
        length: length(call, wire),
        namespace: (kind == Kind::Setns && record.type_name.is_some())
            .then(|| u32::try_from(wire.value).unwrap_or(u32::MAX)),
        ..SecurityEvent::new(common, ret(kind, wire))
    }
}

/// An int argument: the call looks at 32 bits only.
fn int(argument: u64) -> i32 {
    argument as i32
}

fn word(argument: u64) -> u64 {
    argument & u64::from(u32::MAX)
}

fn ret(kind: Kind, wire: &abi::Security) -> i32 {
    match kind {
        // An address; it has a column of its own.
        Kind::Mmap if wire.ret >= 0 || wire.ret < -4095 => 0,
        _ => i32::try_from(wire.ret).unwrap_or(i32::MAX),
    }
}

fn is_fs(kind: Kind) -> bool {
    matches!(kind, Kind::Mount | Kind::Fsopen | Kind::Fsconfig | Kind::Fsmount | Kind::MoveMount)
}

fn request(kind: Kind, call: Option<Sysno>, record: &SecurityRecord) -> Option<String> {
    let args = &record.wire.args;
    match kind {
        Kind::Setuid | Kind::Setgid => call.map(|call| {
            let count = names::syscalls::arguments(record.wire.nr as usize);
            let ids: Vec<_> = args[..count].iter().map(|id| int(*id).to_string()).collect();
            format!("{}({})", call.name(), ids.join(","))
        }),
        Kind::Ptrace if call == Some(Sysno::ptrace) => Some(names::ptrace(args[0])),
        Kind::Ptrace => call.map(|call| call.name().to_owned()),
        Kind::Setns => record.type_name.clone().or_else(|| names::namespaces(word(args[1]))),
        Kind::Unshare => names::namespaces(word(args[0])),
        Kind::Clone => names::namespaces(record.wire.value),
        Kind::Mmap | Kind::Mprotect => names::protection(args[2]),
        Kind::Bpf => Some(names::bpf(word(args[0]))),
        Kind::Fsconfig => Some(names::fsconfig(word(args[1]))),
        Kind::Keyctl => Some(names::keyctl(word(args[0]))),
        Kind::AddKey | Kind::RequestKey => record.type_name.clone(),
        _ => None,
    }
}

fn name(kind: Kind, record: &SecurityRecord) -> Option<String> {
    let name = record.name.as_deref()?;
    Some(match kind {
        // The kernel's name of the file (mm/memfd.c).
        Kind::MemfdCreate => name.strip_prefix("memfd:").unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    })
}

fn signal(call: Option<Sysno>, wire: &abi::Security) -> i32 {
    if wire.value != 0 {
        return int(wire.value); // seen where it was generated
    }
    match call {
        Some(Sysno::tgkill | Sysno::rt_tgsigqueueinfo) => int(wire.args[2]),
        _ => int(wire.args[1]),
    }
}

fn flags(kind: Kind, call: Option<Sysno>, wire: &abi::Security) -> Option<u64> {
    let args = &wire.args;
    match kind {
        Kind::Unshare => Some(word(args[0])),
        Kind::Setns | Kind::Umount | Kind::Fsopen | Kind::MemfdCreate | Kind::ModuleUnload => Some(word(args[1])),
        Kind::Fspick | Kind::Fsmount | Kind::OpenTree => Some(word(args[2])),
        Kind::ModuleLoad if call == Some(Sysno::finit_module) => Some(word(args[2])),
        Kind::Mount => Some(args[3]),
        Kind::Mmap => Some(word(args[3])),
        Kind::MoveMount => Some(word(args[4])),
        Kind::Clone | Kind::MountSetattr | Kind::IoUringSetup => Some(wire.value),
        _ => None,
    }
}

fn address(kind: Kind, wire: &abi::Security) -> Option<u64> {
    match kind {
        Kind::Mmap if ret(kind, wire) == 0 => Some(wire.ret.cast_unsigned()),
        Kind::Mmap | Kind::Mprotect => Some(wire.args[0]),
        _ => None,
    }
}

fn length(call: Option<Sysno>, wire: &abi::Security) -> Option<u64> {
    match call? {
        Sysno::mmap | Sysno::mprotect | Sysno::pkey_mprotect | Sysno::init_module => Some(wire.args[1]),
        Sysno::add_key => Some(wire.args[3]),
        Sysno::io_uring_setup => Some(word(wire.args[0])),
        Sysno::process_vm_readv | Sysno::process_vm_writev => u64::try_from(wire.ret).ok(),
        _ => None,
    }
}
