//! Rows of the process class.

use datasets::{Common, ProcessEvent};
use record_bpf::abi;

use super::strings::Interner;
use crate::decode::Program;
use crate::processes;

pub fn fork(common: Common, fork: &abi::Fork) -> ProcessEvent {
    ProcessEvent {
        child_exec_id: Some(fork.child_exec_id),
        child_pid: Some(fork.child_pid),
        ..ProcessEvent::new(common)
    }
}

pub fn exec(common: Common, program: &Program, strings: &mut Interner) -> ProcessEvent {
    let wire = &program.wire;
    ProcessEvent {
        parent_exec_id: (wire.parent_exec_id != 0).then_some(wire.parent_exec_id),
        exe: program.exe.as_deref().map(|exe| strings.get(exe)),
        exe_inode: Some(wire.exe_inode),
        exe_dev: Some(wire.exe_dev),
        exe_memfd: Some(wire.flags & abi::EXEC_MEMFD != 0),
        exe_deleted: Some(wire.flags & abi::EXEC_DELETED != 0),
        argv: Some(program.argv.iter().map(|argument| strings.get(argument)).collect()),
        argv_truncated: Some(processes::argv_truncated(wire)),
        cwd: program.cwd.as_deref().map(|cwd| strings.get(cwd)),
        uid: Some(wire.uid),
        gid: Some(wire.gid),
        ..ProcessEvent::new(common)
    }
}

pub fn exit(common: Common, exit: &abi::Exit) -> ProcessEvent {
    let (exit_code, exit_signal) = processes::exit_parts(exit.status);
    ProcessEvent {
        exit_code,
        exit_signal,
        cpu_user: Some(exit.utime),
        cpu_system: Some(exit.stime),
        max_rss: Some(exit.max_rss * page_size()),
        ..ProcessEvent::new(common)
    }
}

fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}
