//! What the kernel's interfaces call the numbers they take.

pub mod syscalls;

/// ptrace requests (`include/uapi/linux/ptrace.h`, `arch/x86/include/uapi/asm/ptrace-abi.h`).
#[rustfmt::skip]
const PTRACE: &[(u64, &str)] = &[
    (0, "PTRACE_TRACEME"), (1, "PTRACE_PEEKTEXT"), (2, "PTRACE_PEEKDATA"), (3, "PTRACE_PEEKUSER"),
    (4, "PTRACE_POKETEXT"), (5, "PTRACE_POKEDATA"), (6, "PTRACE_POKEUSER"), (7, "PTRACE_CONT"), (8, "PTRACE_KILL"),
    (9, "PTRACE_SINGLESTEP"), (12, "PTRACE_GETREGS"), (13, "PTRACE_SETREGS"), (14, "PTRACE_GETFPREGS"),
    (15, "PTRACE_SETFPREGS"), (16, "PTRACE_ATTACH"), (17, "PTRACE_DETACH"), (18, "PTRACE_GETFPXREGS"),
    (19, "PTRACE_SETFPXREGS"), (21, "PTRACE_OLDSETOPTIONS"), (24, "PTRACE_SYSCALL"), (25, "PTRACE_GET_THREAD_AREA"),
    (26, "PTRACE_SET_THREAD_AREA"), (30, "PTRACE_ARCH_PRCTL"), (31, "PTRACE_SYSEMU"),
    (32, "PTRACE_SYSEMU_SINGLESTEP"), (33, "PTRACE_SINGLEBLOCK"), (0x4200, "PTRACE_SETOPTIONS"),
    (0x4201, "PTRACE_GETEVENTMSG"), (0x4202, "PTRACE_GETSIGINFO"), (0x4203, "PTRACE_SETSIGINFO"),
    (0x4204, "PTRACE_GETREGSET"), (0x4205, "PTRACE_SETREGSET"), (0x4206, "PTRACE_SEIZE"),
    (0x4207, "PTRACE_INTERRUPT"), (0x4208, "PTRACE_LISTEN"), (0x4209, "PTRACE_PEEKSIGINFO"),
    (0x420a, "PTRACE_GETSIGMASK"), (0x420b, "PTRACE_SETSIGMASK"), (0x420c, "PTRACE_SECCOMP_GET_FILTER"),
    (0x420d, "PTRACE_SECCOMP_GET_METADATA"), (0x420e, "PTRACE_GET_SYSCALL_INFO"),
    (0x420f, "PTRACE_GET_RSEQ_CONFIGURATION"), (0x4210, "PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG"),
    (0x4211, "PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG"), (0x4212, "PTRACE_SET_SYSCALL_INFO"),
];

/// Commands of bpf(2), from 0 (`enum bpf_cmd` in `include/uapi/linux/bpf.h`).
#[rustfmt::skip]
const BPF: &[&str] = &[
    "BPF_MAP_CREATE", "BPF_MAP_LOOKUP_ELEM", "BPF_MAP_UPDATE_ELEM", "BPF_MAP_DELETE_ELEM", "BPF_MAP_GET_NEXT_KEY",
    "BPF_PROG_LOAD", "BPF_OBJ_PIN", "BPF_OBJ_GET", "BPF_PROG_ATTACH", "BPF_PROG_DETACH", "BPF_PROG_TEST_RUN",
    "BPF_PROG_GET_NEXT_ID", "BPF_MAP_GET_NEXT_ID", "BPF_PROG_GET_FD_BY_ID", "BPF_MAP_GET_FD_BY_ID",
    "BPF_OBJ_GET_INFO_BY_FD", "BPF_PROG_QUERY", "BPF_RAW_TRACEPOINT_OPEN", "BPF_BTF_LOAD", "BPF_BTF_GET_FD_BY_ID",
    "BPF_TASK_FD_QUERY", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", "BPF_MAP_FREEZE", "BPF_BTF_GET_NEXT_ID",
    "BPF_MAP_LOOKUP_BATCH", "BPF_MAP_LOOKUP_AND_DELETE_BATCH", "BPF_MAP_UPDATE_BATCH", "BPF_MAP_DELETE_BATCH",
    "BPF_LINK_CREATE", "BPF_LINK_UPDATE", "BPF_LINK_GET_FD_BY_ID", "BPF_LINK_GET_NEXT_ID", "BPF_ENABLE_STATS",
    "BPF_ITER_CREATE", "BPF_LINK_DETACH", "BPF_PROG_BIND_MAP", "BPF_TOKEN_CREATE", "BPF_PROG_STREAM_READ_BY_FD",
];

/// Operations of keyctl(2), from 0 (`include/uapi/linux/keyctl.h`).
#[rustfmt::skip]
const KEYCTL: &[&str] = &[
    "KEYCTL_GET_KEYRING_ID", "KEYCTL_JOIN_SESSION_KEYRING", "KEYCTL_UPDATE", "KEYCTL_REVOKE", "KEYCTL_CHOWN",
    "KEYCTL_SETPERM", "KEYCTL_DESCRIBE", "KEYCTL_CLEAR", "KEYCTL_LINK", "KEYCTL_UNLINK", "KEYCTL_SEARCH",
    "KEYCTL_READ", "KEYCTL_INSTANTIATE", "KEYCTL_NEGATE", "KEYCTL_SET_REQKEY_KEYRING", "KEYCTL_SET_TIMEOUT",
    "KEYCTL_ASSUME_AUTHORITY", "KEYCTL_GET_SECURITY", "KEYCTL_SESSION_TO_PARENT", "KEYCTL_REJECT",
    "KEYCTL_INSTANTIATE_IOV", "KEYCTL_INVALIDATE", "KEYCTL_GET_PERSISTENT", "KEYCTL_DH_COMPUTE", "KEYCTL_PKEY_QUERY",
    "KEYCTL_PKEY_ENCRYPT", "KEYCTL_PKEY_DECRYPT", "KEYCTL_PKEY_SIGN", "KEYCTL_PKEY_VERIFY", "KEYCTL_RESTRICT_KEYRING",
    "KEYCTL_MOVE", "KEYCTL_CAPABILITIES", "KEYCTL_WATCH_KEY",
];

/// Commands of fsconfig(2), from 0 (`enum fsconfig_command` in `include/uapi/linux/mount.h`).
#[rustfmt::skip]
const FSCONFIG: &[&str] = &[
    "FSCONFIG_SET_FLAG", "FSCONFIG_SET_STRING", "FSCONFIG_SET_BINARY", "FSCONFIG_SET_PATH", "FSCONFIG_SET_PATH_EMPTY",
    "FSCONFIG_SET_FD", "FSCONFIG_CMD_CREATE", "FSCONFIG_CMD_RECONFIGURE", "FSCONFIG_CMD_CREATE_EXCL",
];

/// Namespaces by their CLONE_NEW* flag, named as in /proc/PID/ns.
const NAMESPACES: &[(u64, &str)] = &[
    (0x0200_0000, "cgroup"),
    (0x0800_0000, "ipc"),
    (0x0002_0000, "mnt"),
    (0x4000_0000, "net"),
    (0x2000_0000, "pid"),
    (0x80, "time"),
    (0x1000_0000, "user"),
    (0x0400_0000, "uts"),
];

const PROTECTION: &[(u64, &str)] = &[(0x1, "read"), (0x2, "write"), (0x4, "exec")];

pub fn ptrace(request: u64) -> String {
    let name = PTRACE.iter().find(|(known, _)| *known == request);
    name.map_or_else(|| format!("PTRACE_{request:#x}"), |(_, name)| (*name).to_owned())
}

pub fn bpf(command: u64) -> String {
    indexed(BPF, command, "BPF")
}

pub fn keyctl(operation: u64) -> String {
    indexed(KEYCTL, operation, "KEYCTL")
}

pub fn fsconfig(command: u64) -> String {
    indexed(FSCONFIG, command, "FSCONFIG")
}

/// As `mnt,net,user`; None where no flag asks for one.
pub fn namespaces(flags: u64) -> Option<String> {
    set(NAMESPACES, flags)
}

/// As `read,write,exec`.
pub fn protection(prot: u64) -> Option<String> {
    set(PROTECTION, prot)
}

fn indexed(names: &[&str], number: u64, prefix: &str) -> String {
    let name = usize::try_from(number).ok().and_then(|at| names.get(at));
    name.map_or_else(|| format!("{prefix}_{number}"), |name| (*name).to_owned())
}

fn set(names: &[(u64, &str)], bits: u64) -> Option<String> {
    let named: Vec<_> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    (!named.is_empty()).then(|| named.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names_and_unknown_ones_stay_numbers() {
        assert_eq!(ptrace(16), "PTRACE_ATTACH");
        assert_eq!(ptrace(0x4206), "PTRACE_SEIZE");
        assert_eq!(ptrace(77), "PTRACE_0x4d");
        assert_eq!(bpf(37), "BPF_PROG_STREAM_READ_BY_FD");
        assert_eq!(bpf(99), "BPF_99");
        assert_eq!(keyctl(32), "KEYCTL_WATCH_KEY");
        assert_eq!(fsconfig(6), "FSCONFIG_CMD_CREATE");
        assert_eq!(namespaces(0x1002_0011).as_deref(), Some("mnt,user"));
        assert_eq!(namespaces(17), None);
        assert_eq!(protection(7).as_deref(), Some("read,write,exec"));
    }
}
