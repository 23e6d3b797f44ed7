//! Rust mirror of `include/events.h`.
//!
//! Sizes and offsets are asserted at compile time here, and compared field by field with the BTF of the compiled BPF
//! object in the recorder's tests. Records are copied out of the ring with a size check ([`Wire::read`]); a short record
//! is the caller's to count, never a panic.

pub const COMM_LEN: usize = 16;
pub const PATH_MAX: usize = 4096;
pub const NAME_MAX: usize = 256;
pub const ARGV_MAX: usize = 131_072;
pub const CGROUP_PATH_MAX: usize = 1024;
pub const UNIX_PATH_MAX: usize = 108;
pub const OFFSET_UNKNOWN: u64 = u64::MAX;
pub const TLS_DATA_MAX: usize = 16_384;
pub const CLASS_MAX: usize = 9;

/// Wire id of the control record that announces a new cgroup.
pub const CONTROL_CGROUP: u16 = 0xff01;
/// Wire id of the control record (an [`Exec`]) that describes a process which ran before it was followed.
pub const CONTROL_PROCESS: u16 = 0xff02;
/// Wire id of the control record that says that a followed process opened a TLS library.
pub const CONTROL_LIBRARY: u16 = 0xff03;

/// The cgroup was not judged yet when the event was emitted.
pub const F_PENDING: u32 = 0x1;

pub const EXEC_MEMFD: u32 = 0x1;
pub const EXEC_DELETED: u32 = 0x2;
pub const EXEC_ARGV_TRUNCATED: u32 = 0x4;
pub const EXEC_ARGV_FAULT: u32 = 0x8;
pub const EXEC_EXE_TRUNCATED: u32 = 0x10;
pub const EXEC_CWD_TRUNCATED: u32 = 0x20;
pub const EXEC_OVERLAY: u32 = 0x40;
pub const EXEC_UPPER: u32 = 0x80;

pub const SEC_TEXT_USER: u32 = 0x1;
pub const SEC_TRUNCATED: u32 = 0x2;
pub const SEC_CREDS: u32 = 0x4;
pub const SEC_TARGET: u32 = 0x8;
pub const SEC_TEXT: u32 = 0x10;

pub const SYSCALL_NO_RETURN: u32 = 0x1;
pub const SYSCALL_NO_ENTRY: u32 = 0x2;
pub const SYSCALL_SET_SIZE: usize = 512;

pub const FILE_PATH_USER: u32 = 0x1;
pub const FILE_PATH_TRUNCATED: u32 = 0x2;
pub const FILE_PATH_DELETED: u32 = 0x4;
pub const FILE_PATH_FAULT: u32 = 0x8;
pub const FILE_IMPLICIT_CLOSE: u32 = 0x10;
/// The task's root is not the recorder's: `inside_len` and `beyond_len` lead to the file.
pub const FILE_OTHER_ROOT: u32 = 0x20;
pub const FILE_AS_OPENED: u32 = 0x40;

pub const NET_ADDR_USER: u32 = 0x1;
pub const NET_IMPLICIT_CLOSE: u32 = 0x2;
pub const NET_TCP: u32 = 0x4;
pub const NET_SENT: u32 = 0x8;

pub const DNS_ADDR_USER: u32 = 0x1;
pub const DNS_SENT: u32 = 0x2;
pub const DNS_PAYLOAD_MAX: usize = 4096;

/// The `cpu` of what CPU 0 emits in softirq, by level of nesting; the other CPUs follow.
pub const SOFT_STREAMS: [u16; 2] = [0x8000, 0xc000];

pub const TLS_OPENSSL: u32 = 1;
pub const TLS_GO: u32 = 2;

/// A plain-old-data struct that crosses the ring buffer.
///
/// # Safety
/// Implementors are `repr(C)`, have no padding and accept every bit pattern.
pub unsafe trait Wire: Copy {
    /// The struct's name in `events.h`, for the BTF comparison.
    const C_NAME: &'static str;
    /// `(field, offset in bytes)` of every field.
    const FIELDS: &'static [(&'static str, usize)];

    /// Copies the struct from the start of `bytes` and returns it with what follows, or `None` if `bytes` is too short.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (head, tail) = bytes.split_at_checked(size_of::<Self>())?;
        // SAFETY: `head` has exactly the struct's size, any bit pattern is valid, and read_unaligned needs no alignment.
        let value = unsafe { head.as_ptr().cast::<Self>().read_unaligned() };
        Some((value, tail))
    }
}

macro_rules! wire {
    ($(#[$meta:meta])* $c_name:literal, $size:literal => $name:ident { $($field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        #[repr(C)]
        pub struct $name { $(pub $field: $ty,)* }

        const _: () = assert!(size_of::<$name>() == $size, "size differs from events.h");
        // No hidden padding: the fields add up to the whole.
        const _: () = assert!(0 $(+ size_of::<$ty>())* == size_of::<$name>(), "hidden padding");

        // SAFETY: repr(C), integers and byte arrays only, no padding (asserted above).
        unsafe impl Wire for $name {
            const C_NAME: &'static str = $c_name;
            const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field)),)*];
        }
    };
}

wire! { "rs_header", 48 => Header {
    ts: u64, seq: u64, cgroup_id: u64, exec_id: u64, pid: u32, tid: u32, kind: u16, cpu: u16, flags: u32,
}}

wire! { "rs_fork", 64 => Fork { h: Header, child_exec_id: u64, child_pid: u32, child_ns_pid: u32, }}

wire! { "rs_exec", 152 => Exec {
    h: Header, prev_exec_id: u64, parent_exec_id: u64, exe_inode: u64, caps_effective: u64, pid_ns: u32, mnt_ns: u32,
    net_ns: u32, user_ns: u32, exe_dev: u32, ppid: u32, ns_pid: u32, uid: u32, gid: u32, flags: u32, argv_total: u32,
    argv_len: u32, exe_len: u16, cwd_len: u16, script_len: u16, interp_len: u16, comm: [u8; COMM_LEN],
}}

wire! { "rs_exit", 88 => Exit { h: Header, utime: u64, stime: u64, runtime: u64, max_rss: u64, status: u32, _pad: u32, }}

wire! { "rs_file", 152 => File {
    h: Header, inode: u64, bytes_read: u64, bytes_written: u64, offset: u64, size: u64, reads: u32, writes: u32,
    dev: u32, call_flags: u32, mode: u32, ret: i32, fd: i32, flags: u32, uid: u32, gid: u32, node: u32, path_len: u16,
    inside_len: u16, beyond_len: u16, base_len: u16, path2_len: u16, base2_len: u16, attr_len: u16, _pad: [u16; 3],
}}

wire! { "rs_security", 200 => Security {
    h: Header, args: [u64; 6], value: u64, target_cgroup: u64, caps_effective: u64, caps_permitted: u64,
    caps_inheritable: u64, ret: i64, uid: u32, euid: u32, suid: u32, fsuid: u32, gid: u32, egid: u32, sgid: u32,
    fsgid: u32, target_pid: u32, nr: u32, flags: u32, path_len: u16, base_len: u16, path2_len: u16, base2_len: u16,
    name_len: u16, type_len: u16,
}}

wire! { "rs_syscall", 120 => Syscall {
    h: Header, args: [u64; 6], ret: i64, duration: u64, nr: u32, flags: u32,
}}

wire! { "rs_syscall_set", 560 => SyscallSet { h: Header, called: [u8; SYSCALL_SET_SIZE], }}

wire! { "rs_network", 176 => Network {
    h: Header, inode: u64, bytes_received: u64, bytes_sent: u64, tcp_received: u64, tcp_sent: u64, tcp_acked: u64,
    local_addr: [u8; 16], peer_addr: [u8; 16], local_port: u16, peer_port: u16, family: u16, protocol: u16,
    sock_type: u16, unix_len: u16, unix_peer_len: u16, old_state: u8, new_state: u8, ret: i32, fd: i32, backlog: i32,
    flags: u32, retransmits: u32, rtt: u32, peer_pid: u32, _pad: u32,
}}

wire! { "rs_unix_names", 216 => UnixNames { local: [u8; UNIX_PATH_MAX], peer: [u8; UNIX_PATH_MAX], }}

wire! { "rs_dns", 112 => Dns {
    h: Header, inode: u64, local_addr: [u8; 16], peer_addr: [u8; 16], local_port: u16, peer_port: u16, family: u16,
    protocol: u16, fd: i32, bytes: u32, data_len: u32, flags: u32,
}}

wire! { "rs_tls", 80 => Tls {
    h: Header, connection: u64, bytes: u64, captured: u32, fd: i32, library: u32, flags: u32,
}}

wire! { "rs_library", 56 => Library { h: Header, path_len: u32, _pad: u32, }}

wire! { "rs_cgroup", 1072 => Cgroup { h: Header, path: [u8; CGROUP_PATH_MAX], }}

wire! {
    /// Key of the flow tables.
    "rs_flow_key", 44 => FlowKey {
        src_addr: [u8; 16], dst_addr: [u8; 16], ifindex: u32, src_port: u16, dst_port: u16, ethertype: u16, protocol: u8,
        egress: u8,
    }
}

wire! { "rs_flow", 64 => Flow {
    packets: u64, bytes: u64, syn: u64, syn_ack: u64, fin: u64, rst: u64, first: u64, last: u64,
}}

wire! {
    /// Per-CPU counters, read from the kernel when a recording ends.
    "rs_counters", 376 => Counters {
        next_seq: u64, emitted: [u64; CLASS_MAX], dropped_ring: [u64; CLASS_MAX], control_dropped: u64,
        fd_table_full: u64, proc_table_full: u64, path_truncated: u64, argv_truncated: u64, read_fault: u64,
        compat_syscalls: u64, tls_calls_lost: u64, sock_table_full: u64, messages_skipped: u64,
        sampled_out: [u64; CLASS_MAX], known: [u64; CLASS_MAX],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_record_is_refused_and_a_long_one_leaves_its_tail() {
        let bytes = [7u8; 70];
        assert!(Fork::read(&bytes[..63]).is_none());
        let (fork, tail) = Fork::read(&bytes).unwrap();
        assert_eq!(fork.child_pid, 0x0707_0707);
        assert_eq!(tail.len(), 6);
    }
}
