//! The Arrow schema of every table of a recording, with unit and meaning of each column.
//!
//! [`VERSION`] is the schema's own: columns are only appended, and a reader accepts any file whose major version it
//! knows. `datasets schema` prints these tables; the descriptions also travel in each Parquet file's metadata.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::Class;

/// `major.minor`: minor grows when a column is appended, major when one changes its meaning.
pub const VERSION: &str = "1.3";

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub ty: Type,
    pub nullable: bool,
    /// Unit and meaning, for people.
    pub doc: &'static str,
}

/// The column types in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    U16,
    U32,
    U64,
    I32,
    I64,
    Utf8,
    Utf8List,
    Binary,
    /// Unix time in nanoseconds, UTC.
    Timestamp,
}

impl Type {
    pub fn arrow(self) -> DataType {
        match self {
            Type::Bool => DataType::Boolean,
            Type::U16 => DataType::UInt16,
            Type::U32 => DataType::UInt32,
            Type::U64 => DataType::UInt64,
            Type::I32 => DataType::Int32,
            Type::I64 => DataType::Int64,
            Type::Utf8 => DataType::Utf8,
            Type::Utf8List => DataType::List(Arc::new(Field::new("item", DataType::Utf8, false))),
            Type::Binary => DataType::Binary,
            Type::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        }
    }
}

const fn req(name: &'static str, ty: Type, doc: &'static str) -> Column {
    Column { name, ty, nullable: false, doc }
}

const fn opt(name: &'static str, ty: Type, doc: &'static str) -> Column {
    Column { name, ty, nullable: true, doc }
}

/// The columns every event table starts with.
pub const COMMON: &[Column] = &[
    req("ts", Type::Timestamp, "when the kernel emitted the event; Unix time, ns, UTC"),
    req(
        "cpu",
        Type::U16,
        "CPU that emitted it; CPU + 32768 or + 49152: a stream of its own for what that CPU emits in softirq (TCP state, \
         retransmit); 65535: the recorder itself, for what it samples (flow, resource)",
    ),
    req(
        "seq",
        Type::U64,
        "position in that CPU's stream of all classes, from 0; a missing number is an event without a row: lost, filtered, \
         sampled out or known",
    ),
    req("op", Type::Utf8, "what happened: the event kind within the class"),
    opt("container", Type::Utf8, "container id; null: a process outside containers"),
    req("pid", Type::U32, "process (thread group) id in the initial pid namespace"),
    req("tid", Type::U32, "thread id in the initial pid namespace"),
    opt("exec_id", Type::U64, "incarnation of the process: joins to processes.exec_id; null: not known"),
];

pub const PROCESS: &[Column] = &[
    opt("child_exec_id", Type::U64, "fork: incarnation of the child"),
    opt("child_pid", Type::U32, "fork: process id of the child, initial pid namespace"),
    opt("parent_exec_id", Type::U64, "exec: incarnation of the parent; null: parent outside the recording"),
    opt("exe", Type::Utf8, "exec: path of the executable from the kernel's struct file, as the container sees it"),
    opt("exe_inode", Type::U64, "exec: inode of the executable"),
    opt("exe_dev", Type::U32, "exec: device of the executable, kernel dev_t (major << 20 | minor)"),
    opt("exe_memfd", Type::Bool, "exec: the executable is a memfd or another unlinked shared-memory file"),
    opt("exe_deleted", Type::Bool, "exec: the executable's name is gone from its directory"),
    opt("argv", Type::Utf8List, "exec: full argument vector, read from the new program's stack after the exec"),
    opt("argv_truncated", Type::Bool, "exec: argv was longer than 128 KiB, or a page of it could not be read"),
    opt("cwd", Type::Utf8, "exec: working directory, as the container sees it"),
    opt("uid", Type::U32, "exec: effective user id, initial user namespace"),
    opt("gid", Type::U32, "exec: effective group id, initial user namespace"),
    opt("exit_code", Type::I32, "exit: exit code, 0 to 255; null when a signal ended it"),
    opt("exit_signal", Type::I32, "exit: the signal that ended it; null when it exited"),
    opt("cpu_user", Type::U64, "exit: user CPU time of all its threads, ns"),
    opt("cpu_system", Type::U64, "exit: system CPU time of all its threads, ns"),
    opt("max_rss", Type::U64, "exit: largest resident set, bytes"),
    opt(
        "script",
        Type::Utf8,
        "exec of a script: the file execve was given, made absolute, from the kernel's copy of the name; exe is then \
         the interpreter's",
    ),
    opt(
        "interpreter",
        Type::Utf8,
        "exec of a script: the interpreter as its #! line names it (the last one of a chain; those between are in argv)",
    ),
    opt("caps_effective", Type::U64, "exec: effective capabilities, bit per CAP_*"),
    opt("pid_ns", Type::U32, "exec: inode number of the pid namespace, as in /proc/PID/ns"),
    opt("mnt_ns", Type::U32, "exec: inode number of the mount namespace"),
    opt("net_ns", Type::U32, "exec: inode number of the network namespace"),
    opt("user_ns", Type::U32, "exec: inode number of the user namespace"),
    opt(
        "exe_upper",
        Type::Bool,
        "exec: the executable comes from the container's writable layer (overlayfs upper), so it was written or changed \
         after the image was built; null: not on an overlayfs",
    ),
];

pub const FILE: &[Column] = &[
    opt(
        "path",
        Type::Utf8,
        "absolute path as the container sees it; bytes that are not UTF-8 as \\xNN; symlink: the target as it was given; \
         close: the path at the open, where that was recorded",
    ),
    opt("new_path", Type::Utf8, "rename, link, symlink: the new name"),
    req(
        "path_source",
        Type::Utf8,
        "kernel: from the kernel's own objects; user: from the caller's memory after the call",
    ),
    req("path_truncated", Type::Bool, "the path is incomplete (too long, too deep, or unreadable)"),
    req("deleted", Type::Bool, "the name was gone from its directory at the event"),
    req("ret", Type::I32, "return value; -errno on failure; read, write: bytes"),
    opt("fd", Type::I32, "file descriptor; null: the call has none"),
    opt(
        "flags",
        Type::U32,
        "open, close: O_* flags; rename, link, chown, setxattr: flags of the call; fallocate: its mode",
    ),
    opt(
        "mode",
        Type::U32,
        "st_mode of the file; chmod, mkdir: the permission bits asked for; mknod: type and permission bits asked for",
    ),
    opt("inode", Type::U64, "inode number"),
    opt("dev", Type::U32, "device, kernel dev_t (major << 20 | minor)"),
    opt("bytes_read", Type::U64, "close: bytes this process read through the descriptor"),
    opt("bytes_written", Type::U64, "close: bytes this process wrote through the descriptor"),
    opt("reads", Type::U32, "close: successful read calls"),
    opt("writes", Type::U32, "close: successful write calls"),
    req("implicit", Type::Bool, "close: closed by exit, exec or dup2, not by close()"),
    opt(
        "host_path",
        Type::Utf8,
        "the path as the recorder's host sees it, where that differs; null: it does not, or the host does not see the file",
    ),
    opt(
        "offset",
        Type::U64,
        "read, write: position in the file, null: not known; fallocate: begin of the range; bytes",
    ),
    opt("size", Type::U64, "truncate: the new length; fallocate: length of the range; bytes"),
    opt("uid", Type::U32, "chown: the new owner, as the caller's user namespace numbers it; null: left as it was"),
    opt("gid", Type::U32, "chown: the new group, as the caller's user namespace numbers it; null: left as it was"),
    opt("attribute", Type::Utf8, "setxattr, removexattr: name of the extended attribute"),
    opt("node_dev", Type::U32, "mknod: the device a device node stands for, kernel dev_t (major << 20 | minor)"),
];

pub const NETWORK: &[Column] = &[
    req("family", Type::Utf8, "inet, inet6, unix, netlink, packet, or the number"),
    req(
        "protocol",
        Type::Utf8,
        "inet: tcp, udp, icmp, ...; unix: stream, dgram or seqpacket; netlink: route, audit, ...; packet: ethertype; or the \
         number",
    ),
    opt("local_addr", Type::Utf8, "local IP address"),
    opt("local_port", Type::U16, "local port"),
    opt("peer_addr", Type::Utf8, "remote IP address, from the socket"),
    opt("peer_port", Type::U16, "remote port"),
    opt("unix_path", Type::Utf8, "path of a unix socket (connect: the peer's); @ starts an abstract name"),
    req("ret", Type::I32, "return value; -errno on failure; peer: bytes of the datagram; state, retransmit: 0"),
    req("fd", Type::I32, "file descriptor; -1: none (state, retransmit, a socket that was refused)"),
    opt("backlog", Type::I32, "listen: the backlog asked for"),
    opt("inode", Type::U64, "socket inode; null: a connection nobody has accepted yet"),
    opt("bytes_received", Type::U64, "close: bytes this process received through the descriptor"),
    opt("bytes_sent", Type::U64, "close: bytes this process sent through the descriptor"),
    req("peer_from_user", Type::Bool, "the peer came from the caller's sockaddr: the socket no longer had it"),
    req("implicit", Type::Bool, "close: closed by exit, exec or dup2, not by close()"),
    opt("socket_type", Type::Utf8, "stream, dgram, raw, seqpacket, rdm, or the number"),
    opt("direction", Type::Utf8, "peer: sent or received"),
    opt("old_state", Type::Utf8, "state: the TCP state before, as ESTABLISHED"),
    opt("state", Type::Utf8, "state: the TCP state after; retransmit: the present one"),
    opt(
        "tcp_bytes_received",
        Type::U64,
        "TCP close, state, retransmit: bytes received on the connection by whomever; a FIN counts as one",
    ),
    opt("tcp_bytes_sent", Type::U64, "TCP close, state, retransmit: bytes sent on the connection, each time they were"),
    opt(
        "tcp_bytes_acked",
        Type::U64,
        "TCP close, state, retransmit: bytes the peer has acknowledged; SYN and FIN count as one each",
    ),
    opt("retransmits", Type::U32, "TCP close, state, retransmit: segments the connection has sent again so far"),
    opt("rtt", Type::U32, "TCP close, state, retransmit: smoothed round-trip time, µs; 0: not measured yet"),
    opt("unix_local", Type::Utf8, "name of this end of a unix socket; @ starts an abstract name"),
    opt("unix_peer", Type::Utf8, "name of the other end of a unix socket; @ starts an abstract name"),
    opt("peer_pid", Type::U32, "unix: process that connected, or listened, at the other end; initial pid namespace"),
];

pub const SECURITY: &[Column] = &[
    req("ret", Type::I32, "return value; -errno on failure; mmap: 0 on success"),
    opt(
        "request",
        Type::Utf8,
        "what was asked: the call with its ids (setuid, setgid), ptrace request, namespaces (setns, unshare, clone), \
         protection (mmap, mprotect), command (bpf, fsconfig), operation (keyctl), key type (add_key, request_key)",
    ),
    opt(
        "target_pid",
        Type::U32,
        "ptrace, kill, setns by pidfd, clone: the other process, initial pid namespace; null: there is none such",
    ),
    opt("target_container", Type::Utf8, "container of the target process; null: it is outside containers"),
    opt("signal", Type::I32, "kill: the signal's number"),
    opt("uid", Type::U32, "setuid, setgid, capset: real user id after the call, initial user namespace, as the next 7"),
    opt("euid", Type::U32, "effective user id"),
    opt("suid", Type::U32, "saved user id"),
    opt("fsuid", Type::U32, "user id for file access"),
    opt("gid", Type::U32, "real group id"),
    opt("egid", Type::U32, "effective group id"),
    opt("sgid", Type::U32, "saved group id"),
    opt("fsgid", Type::U32, "group id for file access"),
    opt("caps_effective", Type::U64, "setuid, setgid, capset: effective capabilities after the call, bit per CAP_*"),
    opt("caps_permitted", Type::U64, "permitted capabilities after the call"),
    opt("caps_inheritable", Type::U64, "inheritable capabilities after the call"),
    opt(
        "flags",
        Type::U64,
        "the call's flags: CLONE_* (setns, unshare, clone), MS_*, MNT_*, MOUNT_ATTR_* (fsmount, mount_setattr: set), \
         MFD_*, MAP_*, IORING_SETUP_*, ...",
    ),
    opt(
        "path",
        Type::Utf8,
        "mount, umount, move_mount, fspick, open_tree, mount_setattr: the place; pivot_root: the new root; mmap, \
         module_load: the file",
    ),
    opt(
        "source",
        Type::Utf8,
        "mount: the source; move_mount: from where; pivot_root: where the old root goes; fsconfig: the value",
    ),
    opt("fs_type", Type::Utf8, "mount, fsopen, fsconfig, fsmount, move_mount: the filesystem's type"),
    opt(
        "name",
        Type::Utf8,
        "memfd_create: its name; module_unload: the module; bpf: of the program or map; fsconfig: the key; add_key, \
         request_key: the description",
    ),
    opt(
        "path_source",
        Type::Utf8,
        "where path, source and name come from. kernel: its own objects; user: the caller's memory after the call; null: \
         the row has none",
    ),
    req("path_truncated", Type::Bool, "a text is incomplete (too long, too deep, or unreadable)"),
    opt("address", Type::U64, "mmap, mprotect: start of the memory"),
    opt("length", Type::U64, "mmap, mprotect, init_module, add_key, process_vm_*: bytes; io_uring_setup: entries"),
    opt("namespace", Type::U32, "setns by a namespace file: its inode number, as in /proc/PID/ns"),
];

pub const DNS: &[Column] = &[
    req("direction", Type::Utf8, "sent or received by this process"),
    req("protocol", Type::Utf8, "udp or tcp"),
    opt("local_addr", Type::Utf8, "local IP address"),
    req("local_port", Type::U16, "local port"),
    opt("peer_addr", Type::Utf8, "remote IP address"),
    req("peer_port", Type::U16, "remote port"),
    req("peer_from_user", Type::Bool, "the peer came from the caller's sockaddr: the socket is not connected"),
    req("fd", Type::I32, "file descriptor"),
    req("inode", Type::U64, "socket inode; joins to the network table"),
    req("bytes", Type::U32, "query, answer: bytes of the message; segment: bytes of the piece"),
    opt("id", Type::U16, "the message's id: an answer has its query's"),
    opt("opcode", Type::Utf8, "query, status, notify, update, or the number"),
    opt("rcode", Type::Utf8, "answer: NOERROR, NXDOMAIN, SERVFAIL, ..., or the number, from the header's four bits"),
    opt("question", Type::Utf8, "the name asked for, without the last dot; bytes that are no letters as \\DDD"),
    opt("qtype", Type::Utf8, "the record type asked for, as A"),
    opt("answers", Type::Utf8List, "answer: the answer section, each record as 'name type data'"),
    opt("truncated", Type::Bool, "the server cut the answer short (TC): it will be asked for again over TCP"),
    req("malformed", Type::Bool, "the message cannot be read to its end; what comes before the fault is kept"),
    req("cut", Type::Bool, "the recorder kept only the first 4,096 bytes, or lost where messages begin in this stream"),
    opt("more", Type::Utf8List, "further messages that the same piece of a TCP stream completed, in one line each"),
];

pub const TLS: &[Column] = &[
    req("library", Type::Utf8, "openssl (and what shares its function names), or go (crypto/tls)"),
    req("connection", Type::U64, "address of the SSL or tls.Conn object: the same in every call on one connection"),
    opt("fd", Type::I32, "the connection's socket; null: the process was not seen to read or write it in a call"),
    req("bytes", Type::U64, "plaintext bytes the call moved"),
    req("captured", Type::U32, "bytes of them in data, the first ones"),
    req("truncated", Type::Bool, "captured is less than bytes: beyond --tls-bytes, or the buffer could not be read"),
    req(
        "data",
        Type::Binary,
        "the plaintext; likely secrets are replaced by <masked:...>, so it may be longer or shorter than captured",
    ),
    opt("http_method", Type::Utf8, "HTTP/1 request: method. Parsed where a call's data begins with a message's head"),
    opt("http_path", Type::Utf8, "HTTP/1 request: target, as sent"),
    opt("http_version", Type::Utf8, "HTTP/1: 1.0 or 1.1"),
    opt("http_host", Type::Utf8, "HTTP/1 request: value of the Host header"),
    opt("http_headers", Type::Utf8List, "HTTP/1: headers in order, as name: value; bytes that are not UTF-8 as \\xNN"),
    opt("http_status", Type::U16, "HTTP/1 response: status code"),
];

pub const FLOW: &[Column] = &[
    req("start", Type::Timestamp, "begin of the interval; ts is its end"),
    req("interface", Type::Utf8, "network interface"),
    req("direction", Type::Utf8, "in: received by the interface; out: sent through it"),
    req("family", Type::Utf8, "inet, inet6, or the EtherType as 0x0806"),
    opt("protocol", Type::Utf8, "tcp, udp, icmp, ..., or the number"),
    opt("src_addr", Type::Utf8, "source IP address"),
    opt("src_port", Type::U16, "source port; null: the protocol has none, or a later fragment"),
    opt("dst_addr", Type::Utf8, "destination IP address"),
    opt("dst_port", Type::U16, "destination port"),
    req("packets", Type::U64, "packets; a segmented super-packet counts as its segments"),
    req("bytes", Type::U64, "bytes from the link-layer header on; a super-packet's header once"),
    req("syn", Type::U64, "TCP packets with SYN and not ACK"),
    req("syn_ack", Type::U64, "TCP packets with SYN and ACK"),
    req("fin", Type::U64, "TCP packets with FIN"),
    req("rst", Type::U64, "TCP packets with RST"),
    opt("first", Type::Timestamp, "its first packet in the interval"),
    opt("last", Type::Timestamp, "its last packet in the interval"),
    req(
        "rest",
        Type::Bool,
        "all packets of the interval for whose 5-tuples there was no room: counted together, addresses null",
    ),
];

pub const SYSCALL: &[Column] = &[
    opt("nr", Type::U16, "call: number, x86-64; 65535: not a number of that table"),
    opt("name", Type::Utf8, "call: name; null: newer than the recorder's table"),
    opt("a0", Type::U64, "call: first argument, as the caller passed it; null: the call takes fewer"),
    opt("a1", Type::U64, "call: second argument"),
    opt("a2", Type::U64, "call: third argument"),
    opt("a3", Type::U64, "call: fourth argument"),
    opt("a4", Type::U64, "call: fifth argument"),
    opt("a5", Type::U64, "call: sixth argument"),
    opt(
        "ret",
        Type::I64,
        "call: return value; -errno on failure, -512 to -516 when a signal ended it (the kernel may restart it); null: the \
         thread ended in the call, as in exit_group",
    ),
    opt(
        "duration",
        Type::U64,
        "call: from entry to return (or to the thread's end), ns; null: its entry was not seen (it began before it was followed, or seccomp \
         refused it)",
    ),
    opt(
        "calls",
        Type::Utf8List,
        "set: names of the system calls this incarnation made, in order of their numbers; \
         sys_NNN for a number newer than the recorder's table",
    ),
];

pub const RESOURCE: &[Column] = &[
    opt("cpu_total", Type::U64, "CPU time used since the container (or command) began, ns"),
    opt("cpu_user", Type::U64, "the part of it in user mode, ns; from v1 cgroups in steps of 10 ms"),
    opt("cpu_system", Type::U64, "the part of it in the kernel, ns; from v1 cgroups in steps of 10 ms"),
    opt("cpu_throttled", Type::U64, "time it was kept waiting by its CPU limit, ns; null: it has no CPU controller"),
    opt(
        "memory",
        Type::U64,
        "memory charged to the container, page cache included, bytes; null: it has no memory controller",
    ),
    opt("memory_anon", Type::U64, "anonymous memory, bytes; a command: sum of its processes' resident sets"),
    opt("memory_file", Type::U64, "page cache, bytes"),
    opt("processes", Type::U32, "processes and threads; a command: processes"),
    req(
        "source",
        Type::Utf8,
        "where the figures are from: cgroup v2, cgroup v1, or process (sums over a command's processes)",
    ),
];

/// `processes.parquet`: one row per incarnation of a process, so that names are stored once.
pub const PROCESSES: &[Column] = &[
    req(
        "exec_id",
        Type::U64,
        "unique in the recording; an incarnation begins at fork or exec and ends at the next exec or at exit",
    ),
    opt("parent_exec_id", Type::U64, "the incarnation that forked it; null: outside the recording"),
    opt("prev_exec_id", Type::U64, "the incarnation this one replaced by exec"),
    req("origin", Type::Utf8, "fork, exec, or snapshot (it ran before the recording began)"),
    opt("container", Type::Utf8, "container id, 64 hex digits; null: a process outside containers"),
    req("pid", Type::U32, "process id, initial pid namespace"),
    opt("ns_pid", Type::U32, "process id in its own pid namespace"),
    opt("start", Type::Timestamp, "begin of the incarnation; null for a snapshot"),
    opt("end", Type::Timestamp, "end of the incarnation; null: it outlived the recording"),
    opt("exe", Type::Utf8, "executable, as the container sees it"),
    opt("argv", Type::Utf8List, "argument vector; a fork inherits its parent's"),
    opt("cwd", Type::Utf8, "working directory at exec"),
    opt("comm", Type::Utf8, "the kernel's short name, up to 15 bytes"),
    opt("uid", Type::U32, "effective user id, initial user namespace"),
    opt("gid", Type::U32, "effective group id, initial user namespace"),
    req("exe_memfd", Type::Bool, "the executable is a memfd or another unlinked shared-memory file"),
    req("exe_deleted", Type::Bool, "the executable's name was gone at exec"),
    req("argv_truncated", Type::Bool, "argv is incomplete"),
    opt("exit_code", Type::I32, "exit code; null when a signal ended it or it did not end"),
    opt("exit_signal", Type::I32, "the signal that ended it"),
];

/// `containers.parquet`: identity of every container seen.
pub const CONTAINERS: &[Column] = &[
    req("container", Type::Utf8, "container id: 64 hex digits, or the name given to ctr or an OCI runtime by hand"),
    opt(
        "runtime",
        Type::Utf8,
        "podman, docker, containerd, cri-o, or the OCI runtime (runc, crun, ...); null: not known",
    ),
    opt("name", Type::Utf8, "container name; in a pod the container's name within it"),
    opt("image", Type::Utf8, "image reference"),
    opt("image_id", Type::Utf8, "image id, sha256 hex"),
    req("addresses", Type::Utf8List, "IP addresses it held; when it held them is in addresses"),
    req("aliases", Type::Utf8List, "DNS names it answered to on its networks"),
    opt("labels", Type::Utf8, "container labels, a JSON object"),
    req("cgroup", Type::Utf8, "cgroup path"),
    req("first_seen", Type::Timestamp, "when the recorder first saw it"),
    opt("image_digest", Type::Utf8, "digest of the image's manifest, as sha256:...; null: the runtime has none"),
    opt("pod", Type::Utf8, "name of its pod (Kubernetes, podman)"),
    opt("namespace", Type::Utf8, "Kubernetes namespace of its pod"),
    opt("pod_uid", Type::Utf8, "Kubernetes uid of its pod; of a pod of podman's, its id"),
    opt(
        "identity",
        Type::Utf8,
        "where runtime, name and image come from: podman storage, docker config, containerd bundle, cri-o config, oci \
         bundle, oci command, oci state; unresolved: only what the cgroup's name tells is known",
    ),
];

/// `addresses.parquet`: a row for each time that a container held an address.
pub const ADDRESSES: &[Column] = &[
    req(
        "address",
        Type::Utf8,
        "IP address of an interface in the container's network namespace; no loopback, no link-local",
    ),
    req("container", Type::Utf8, "who held it; the containers of a pod hold the same"),
    opt("net_ns", Type::U32, "inode number of the network namespace, as in /proc/PID/ns; used again after its end"),
    req("since", Type::Timestamp, "when it came; the container's first_seen where it had it from its beginning"),
    opt("until", Type::Timestamp, "when it was gone, up to 1 s late; null: held to the end of the recording"),
];

/// `losses.parquet`: events that took a sequence number and have no row. The counts add up to the manifest's accounting.
pub const LOSSES: &[Column] = &[
    req("cpu", Type::U16, "whose events, as in the event tables"),
    req("class", Type::Utf8, "event class"),
    req(
        "cause",
        Type::Utf8,
        "ring_full, write_failed, undecodable, filtered, sampled_out or known: as in the manifest's accounting",
    ),
    req("from", Type::Timestamp, "none of them came before; Unix time, ns, UTC"),
    req("to", Type::Timestamp, "none of them came after; Unix time, ns, UTC"),
    req("count", Type::U64, "events"),
];

/// `labels.parquet`: ground truth. An event without a row here is benign.
pub const LABELS: &[Column] = &[
    req("class", Type::Utf8, "event class"),
    req("cpu", Type::U16, "with seq: the event"),
    req("seq", Type::U64, "with cpu: the event"),
    req("act", Type::Utf8, "the act of the attack it belongs to"),
    req("step", Type::Utf8, "the step within the act"),
    req("technique", Type::Utf8, "MITRE ATT&CK technique of the step"),
    opt(
        "ambiguous",
        Type::Bool,
        "nobody can say whether it is the attack's: it is left out of every score; null (before 1.3): no",
    ),
];

/// Columns of a class table after [`COMMON`].
pub const fn class_columns(class: Class) -> &'static [Column] {
    match class {
        Class::Process => PROCESS,
        Class::Security => SECURITY,
        Class::File => FILE,
        Class::Network => NETWORK,
        Class::Dns => DNS,
        Class::Tls => TLS,
        Class::Flow => FLOW,
        Class::Syscall => SYSCALL,
        Class::Resource => RESOURCE,
    }
}

/// The Arrow schema of a class table.
pub fn class_schema(class: Class) -> SchemaRef {
    schema(COMMON.iter().chain(class_columns(class)))
}

/// The Arrow schema of a table given by its columns; each field carries its description as `doc` metadata.
pub fn schema<'a>(columns: impl IntoIterator<Item = &'a Column>) -> SchemaRef {
    let fields: Fields = columns
        .into_iter()
        .map(|column| {
            Field::new(column.name, column.ty.arrow(), column.nullable)
                .with_metadata([("doc".to_owned(), column.doc.to_owned())])
        })
        .collect();
    let metadata = [("retroscope.schema".to_owned(), VERSION.to_owned())];
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_unique_and_documented() {
        let tables = [PROCESSES, CONTAINERS, ADDRESSES, LOSSES, LABELS];
        let classes = Class::ALL.map(|class| [COMMON, class_columns(class)].concat());
        for table in tables.into_iter().chain(classes.iter().map(Vec::as_slice)) {
            for (i, column) in table.iter().enumerate() {
                assert!(!column.doc.is_empty());
                assert!(table[i + 1..].iter().all(|other| other.name != column.name), "{} twice", column.name);
            }
        }
    }
}
