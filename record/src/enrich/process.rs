//! Rows of the process class.

use datasets::{Common, ProcessEvent};
use record_bpf::abi;

use super::strings::Interner;
use crate::decode::Program;
use crate::processes;
use crate::sample::resource::page_size;

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
        script: program.script.as_deref().map(|script| strings.get(script)),
        interpreter: program.interpreter.as_deref().map(|interpreter| strings.get(interpreter)),
        caps_effective: Some(wire.caps_effective),
        pid_ns: Some(wire.pid_ns),
        mnt_ns: Some(wire.mnt_ns),
        net_ns: Some(wire.net_ns),
        user_ns: Some(wire.user_ns),
        exe_upper: (wire.flags & abi::EXEC_OVERLAY != 0).then_some(wire.flags & abi::EXEC_UPPER != 0),
        ..ProcessEvent::new(common)
    }
}

pub fn exit(common: Common, exit: &abi::Exit) -> ProcessEvent {
    let (exit_code, exit_signal) = processes::exit_parts(exit.status);
    let (user, system) = cpu_time(exit);
    ProcessEvent {
        exit_code,
        exit_signal,
        cpu_user: Some(user),
        cpu_system: Some(system),
        max_rss: Some(exit.max_rss * page_size()),
        ..ProcessEvent::new(common)
    }
}

/// User and system CPU time, ns: the scheduler's exact total, divided in the proportion that ticks found. So does the kernel
/// for /proc and wait4() (`cputime_adjust` in kernel/sched/cputime.c); the ticks alone are off by a tenth and more.
fn cpu_time(exit: &abi::Exit) -> (u64, u64) {
    let ticks = exit.utime + exit.stime;
    let system = match exit.stime {
        0 => 0,
        _ => (u128::from(exit.runtime) * u128::from(exit.stime) / u128::from(ticks)) as u64,
    };
    (exit.runtime - system, system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_the_schedulers_in_the_proportion_of_ticks() {
        let (mut exit, _) = <abi::Exit as abi::Wire>::read(&[0; 128]).unwrap();
        exit.runtime = 900;
        assert_eq!(cpu_time(&exit), (900, 0), "shorter than a tick: all of it in user mode, as the kernel has it");
        (exit.utime, exit.stime) = (4_000_000, 8_000_000);
        assert_eq!(cpu_time(&exit), (300, 600));
    }
}
