//! Event classes and kinds: the one table that ids, names and columns derive from.

macro_rules! classes {
    ($($variant:ident = $id:literal, $name:literal, $about:literal;)*) => {
        /// A group of events that shares one Parquet table.
        ///
        /// The discriminant is the index used by the kernel counters (`enum rs_class`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Class { $(#[doc = $about] $variant = $id,)* }

        impl Class {
            pub const ALL: [Class; [$($id),*].len()] = [$(Class::$variant),*];

            /// The name in manifests, directories and command lines.
            pub const fn name(self) -> &'static str {
                match self { $(Class::$variant => $name,)* }
            }

            /// What its events tell, for people.
            pub const fn about(self) -> &'static str {
                match self { $(Class::$variant => $about,)* }
            }
        }
    };
}

classes! {
    Process = 0, "process", "processes created, programs started, processes ended";
    Security = 1, "security", "privileges, namespaces, mounts, tracing, kernel code and executable memory";
    File = 2, "file", "files opened, closed (with the bytes moved), renamed, removed, and their attributes changed";
    Network = 3, "network", "sockets made, bound, listening, connected, accepted, closed (with the bytes moved), TCP health";
    Dns = 4, "dns", "DNS queries and answers, with the process that asked";
    Tls = 5, "tls", "plaintext that went into or came out of TLS libraries";
    Flow = 6, "flow", "packets and bytes per 5-tuple and interval, counted at a network interface";
    Syscall = 7, "syscall", "every system call, or the set of calls each process made";
    Resource = 8, "resource", "CPU time and memory of each container, once a second";
}

/// The `cpu` of rows that the recorder samples by itself (flow, resource): a stream of its own, numbered like a CPU's.
pub const SAMPLED_CPU: u16 = u16::MAX;

impl Class {
    pub fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! kinds {
    ($($variant:ident = $id:literal, $class:ident, $op:literal, $meaning:literal;)*) => {
        /// What happened. The discriminant is the wire id (`enum rs_kind`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Kind { $(#[doc = $meaning] $variant = $id,)* }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$variant),*];

            pub const fn from_wire(id: u16) -> Option<Kind> {
                match id { $($id => Some(Kind::$variant),)* _ => None }
            }

            pub const fn class(self) -> Class {
                match self { $(Kind::$variant => Class::$class,)* }
            }

            /// The value of the `op` column, unique within the class.
            pub const fn op(self) -> &'static str {
                match self { $(Kind::$variant => $op,)* }
            }

            pub const fn meaning(self) -> &'static str {
                match self { $(Kind::$variant => $meaning,)* }
            }

            pub fn from_op(class: Class, op: &str) -> Option<Kind> {
                Kind::ALL.iter().copied().find(|kind| kind.class() == class && kind.op() == op)
            }
        }
    };
}

kinds! {
    Fork = 0x0001, Process, "fork", "a process was created by fork, vfork or clone (threads are not processes)";
    Exec = 0x0002, Process, "exec", "a process replaced its program";
    Exit = 0x0003, Process, "exit", "the last thread of a process ended";
    Setuid = 0x0101, Security, "setuid", "setuid, setreuid, setresuid or setfsuid returned; ids as they are then";
    Setgid = 0x0102, Security, "setgid", "setgid, setregid, setresgid or setfsgid returned; ids as they are then";
    Capset = 0x0103, Security, "capset", "capset returned; capabilities as they are then";
    Ptrace = 0x0104, Security, "ptrace", "ptrace, process_vm_readv, process_vm_writev or pidfd_getfd returned";
    Kill = 0x0105, Security, "kill", "a process signalled another one, or was refused (signal 0 is no signal)";
    Setns = 0x0106, Security, "setns", "setns returned";
    Unshare = 0x0107, Security, "unshare", "unshare returned";
    Clone = 0x0108, Security, "clone", "clone or clone3 that asked for new namespaces returned";
    Mount = 0x0109, Security, "mount", "mount returned";
    Umount = 0x010a, Security, "umount", "umount2 returned";
    PivotRoot = 0x010b, Security, "pivot_root", "pivot_root returned";
    MoveMount = 0x010c, Security, "move_mount", "move_mount returned";
    Fsopen = 0x010d, Security, "fsopen", "fsopen returned";
    Fspick = 0x010e, Security, "fspick", "fspick returned";
    Fsconfig = 0x010f, Security, "fsconfig", "fsconfig returned";
    Fsmount = 0x0110, Security, "fsmount", "fsmount returned";
    OpenTree = 0x0111, Security, "open_tree", "open_tree returned";
    MountSetattr = 0x0112, Security, "mount_setattr", "mount_setattr returned";
    MemfdCreate = 0x0113, Security, "memfd_create", "memfd_create returned";
    Mmap = 0x0114, Security, "mmap", "mmap of memory both writable and executable returned";
    Mprotect = 0x0115, Security, "mprotect", "mprotect or pkey_mprotect to both writable and executable returned";
    ModuleLoad = 0x0116, Security, "module_load", "init_module or finit_module returned";
    ModuleUnload = 0x0117, Security, "module_unload", "delete_module returned";
    Bpf = 0x0118, Security, "bpf", "bpf returned";
    IoUringSetup = 0x0119, Security, "io_uring_setup", "io_uring_setup returned";
    Keyctl = 0x011a, Security, "keyctl", "keyctl returned";
    AddKey = 0x011b, Security, "add_key", "add_key returned";
    RequestKey = 0x011c, Security, "request_key", "request_key returned";
    Open = 0x0201, File, "open", "open, openat, openat2 or creat returned";
    Close = 0x0202, File, "close", "a descriptor was closed, with the bytes this process moved through it";
    Rename = 0x0203, File, "rename", "rename, renameat or renameat2 returned";
    Unlink = 0x0204, File, "unlink", "unlink or unlinkat returned (recordings of schema 1.0: rmdir, too)";
    Chmod = 0x0205, File, "chmod", "chmod, fchmod, fchmodat or fchmodat2 returned";
    Link = 0x0206, File, "link", "link or linkat returned";
    Symlink = 0x0207, File, "symlink", "symlink or symlinkat returned";
    Mkdir = 0x0208, File, "mkdir", "mkdir or mkdirat returned";
    Rmdir = 0x0209, File, "rmdir", "rmdir, or unlinkat with AT_REMOVEDIR, returned";
    Mknod = 0x020a, File, "mknod", "mknod or mknodat returned";
    Chown = 0x020b, File, "chown", "chown, lchown, fchown or fchownat returned";
    Truncate = 0x020c, File, "truncate", "truncate or ftruncate returned";
    Setxattr = 0x020d, File, "setxattr", "setxattr, lsetxattr, fsetxattr or setxattrat returned";
    Removexattr = 0x020e, File, "removexattr", "removexattr, lremovexattr, fremovexattr or removexattrat returned";
    Fallocate = 0x020f, File, "fallocate", "fallocate returned";
    Read = 0x0210, File, "read", "a call read from a file (read, pread64, readv, sendfile, splice, ...); with --file-io calls";
    Write = 0x0211, File, "write", "a call wrote to a file (write, pwrite64, writev, sendfile, splice, ...); with --file-io calls";
    Bind = 0x0301, Network, "bind", "bind returned";
    Listen = 0x0302, Network, "listen", "listen returned";
    Connect = 0x0303, Network, "connect", "connect returned";
    Accept = 0x0304, Network, "accept", "accept or accept4 returned a connection";
    NetClose = 0x0305, Network, "close", "a socket descriptor was closed, with the bytes this process moved through it";
    Socket = 0x0306, Network, "socket", "socket or socketpair returned";
    TcpState = 0x0307, Network, "state", "a TCP socket changed its state; the process is the one that connected, listened or accepted";
    Retransmit = 0x0308, Network, "retransmit", "TCP sent a segment again";
    Peer = 0x0309, Network, "peer", "the first datagram between a socket and this peer, in this direction";
    DnsQuery = 0x0401, Dns, "query", "a DNS query was sent or received";
    DnsAnswer = 0x0402, Dns, "answer", "a DNS answer was sent or received";
    DnsSegment = 0x0403, Dns, "segment", "a piece of DNS over TCP that completed no message, or bytes too few to be one";
    TlsRead = 0x0501, Tls, "read", "a call gave plaintext that came in: SSL_read, SSL_read_ex, Go's (*tls.Conn).Read";
    TlsWrite = 0x0502, Tls, "write", "a call took plaintext to send: SSL_write, SSL_write_ex, Go's (*tls.Conn).Write";
    Flow = 0x0601, Flow, "flow", "packets of one 5-tuple passed an interface in an interval";
    Call = 0x0701, Syscall, "call", "a system call returned, or its thread ended in it";
    CallSet = 0x0702, Syscall, "set", "a process incarnation ended: the system calls it made";
    Usage = 0x0801, Resource, "usage", "CPU time and memory of a container, or of the recorded command, since it began";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_ops_are_unique_and_carry_their_class() {
        for (i, a) in Kind::ALL.iter().enumerate() {
            assert_eq!(Kind::from_wire(*a as u16), Some(*a));
            assert_eq!(Kind::from_op(a.class(), a.op()), Some(*a));
            assert_eq!((*a as u16) >> 8, a.class() as u16, "{a:?}: the high byte is the class");
            for b in &Kind::ALL[i + 1..] {
                assert_ne!((a.class(), a.op()), (b.class(), b.op()));
            }
        }
    }
}
