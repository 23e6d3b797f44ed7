/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The wire contract between the kernel programs and the recorder: the single
 * definition of every record that crosses the ring buffer.
 *
 * Conventions
 *  - Time is CLOCK_BOOTTIME in nanoseconds; user space turns it into Unix time.
 *  - Every field is in host byte order unless its comment says otherwise.
 *  - No implicit padding: every hole is a named `_pad`, so that a layout can be
 *    compared byte for byte (src/abi.rs and the BTF test in record/tests).
 *  - Variable data follows the fixed part in the order of the *_len fields.
 *  - A kernel path is a run of NUL-terminated names, leaf first, ending at the
 *    root of the task (the container's view); user space reverses it.
 */
#ifndef RETROSCOPE_EVENTS_H
#define RETROSCOPE_EVENTS_H

#define RS_COMM_LEN 16
#define RS_PATH_MAX 4096   /* bytes of one path, as PATH_MAX */
#define RS_NAME_MAX 256	   /* bytes of one name and its NUL, as NAME_MAX + 1 */
#define RS_ARGV_MAX 131072 /* bytes of argv kept; MAX_ARG_STRLEN of the kernel */
#define RS_CGROUP_PATH_MAX 1024
#define RS_UNIX_PATH_MAX 108  /* sun_path */
#define RS_TLS_DATA_MAX 16384 /* plaintext of one call: a TLS record's most (RFC 8446, 5.1) */
#define RS_OFFSET_UNKNOWN (~0ULL)

/* The high byte is the class, the low byte the operation. */
enum rs_kind {
	RS_PROCESS_FORK = 0x0001,
	RS_PROCESS_EXEC = 0x0002,
	RS_PROCESS_EXIT = 0x0003,

	RS_SECURITY_SETUID = 0x0101,
	RS_SECURITY_SETGID = 0x0102,
	RS_SECURITY_CAPSET = 0x0103,
	RS_SECURITY_PTRACE = 0x0104,
	RS_SECURITY_KILL = 0x0105,
	RS_SECURITY_SETNS = 0x0106,
	RS_SECURITY_UNSHARE = 0x0107,
	RS_SECURITY_CLONE = 0x0108,
	RS_SECURITY_MOUNT = 0x0109,
	RS_SECURITY_UMOUNT = 0x010a,
	RS_SECURITY_PIVOT_ROOT = 0x010b,
	RS_SECURITY_MOVE_MOUNT = 0x010c,
	RS_SECURITY_FSOPEN = 0x010d,
	RS_SECURITY_FSPICK = 0x010e,
	RS_SECURITY_FSCONFIG = 0x010f,
	RS_SECURITY_FSMOUNT = 0x0110,
	RS_SECURITY_OPEN_TREE = 0x0111,
	RS_SECURITY_MOUNT_SETATTR = 0x0112,
	RS_SECURITY_MEMFD_CREATE = 0x0113,
	RS_SECURITY_MMAP = 0x0114,
	RS_SECURITY_MPROTECT = 0x0115,
	RS_SECURITY_MODULE_LOAD = 0x0116,
	RS_SECURITY_MODULE_UNLOAD = 0x0117,
	RS_SECURITY_BPF = 0x0118,
	RS_SECURITY_IO_URING_SETUP = 0x0119,
	RS_SECURITY_KEYCTL = 0x011a,
	RS_SECURITY_ADD_KEY = 0x011b,
	RS_SECURITY_REQUEST_KEY = 0x011c,
	RS_FILE_OPEN = 0x0201,
	RS_FILE_CLOSE = 0x0202,
	RS_FILE_RENAME = 0x0203,
	RS_FILE_UNLINK = 0x0204,
	RS_FILE_CHMOD = 0x0205,
	RS_FILE_LINK = 0x0206,
	RS_FILE_SYMLINK = 0x0207,
	RS_FILE_MKDIR = 0x0208,
	RS_FILE_RMDIR = 0x0209,
	RS_FILE_MKNOD = 0x020a,
	RS_FILE_CHOWN = 0x020b,
	RS_FILE_TRUNCATE = 0x020c,
	RS_FILE_SETXATTR = 0x020d,
	RS_FILE_REMOVEXATTR = 0x020e,
	RS_FILE_FALLOCATE = 0x020f,
	RS_FILE_READ = 0x0210, /* read, write: only when every call is asked for */
	RS_FILE_WRITE = 0x0211,
	RS_NETWORK_BIND = 0x0301,
	RS_NETWORK_LISTEN = 0x0302,
	RS_NETWORK_CONNECT = 0x0303,
	RS_NETWORK_ACCEPT = 0x0304,
	RS_NETWORK_CLOSE = 0x0305,
	RS_NETWORK_SOCKET = 0x0306,
	RS_NETWORK_STATE = 0x0307,
	RS_NETWORK_RETRANSMIT = 0x0308,
	RS_NETWORK_PEER = 0x0309,
	RS_DNS_QUERY = 0x0401,
	RS_DNS_ANSWER = 0x0402,
	RS_DNS_SEGMENT = 0x0403, /* the kernel side sends only these; user space reads what they are */
	RS_TLS_READ = 0x0501,
	RS_TLS_WRITE = 0x0502,

	RS_SYSCALL_CALL = 0x0701,
	RS_SYSCALL_SET = 0x0702,
	/* Control records steer the recorder. They take no sequence number and are
	 * never stored; losing one is counted in rs_counters.control_dropped. */
	RS_CONTROL_CGROUP = 0xff01,
	RS_CONTROL_PROCESS = 0xff02, /* an rs_exec: a process that ran before it was followed */
	RS_CONTROL_LIBRARY = 0xff03, /* a followed process opened a TLS library */
};

enum rs_class {
	RS_CLASS_PROCESS = 0,
	RS_CLASS_SECURITY = 1,
	RS_CLASS_FILE = 2,
	RS_CLASS_NETWORK = 3,
	RS_CLASS_DNS = 4,
	RS_CLASS_TLS = 5,
	RS_CLASS_FLOW = 6, /* sampled by user space, as resource is: no wire records */
	RS_CLASS_SYSCALL = 7,
	RS_CLASS_RESOURCE = 8,
	RS_CLASS_MAX = 9,
};

/* rs_header.flags */
#define RS_F_PENDING 0x1 /* cgroup not yet judged by user space: keep or discard there */

/* rs_exec.flags */
#define RS_EXEC_MEMFD 0x1	   /* the executable is a memfd (or another unlinked shmem file) */
#define RS_EXEC_DELETED 0x2	   /* the executable's name is gone from its directory */
#define RS_EXEC_ARGV_TRUNCATED 0x4 /* argv longer than RS_ARGV_MAX */
#define RS_EXEC_ARGV_FAULT 0x8	   /* an argv page was not resident */
#define RS_EXEC_EXE_TRUNCATED 0x10
#define RS_EXEC_CWD_TRUNCATED 0x20
#define RS_EXEC_OVERLAY 0x40 /* the executable is on an overlayfs */
#define RS_EXEC_UPPER 0x80   /* and comes from its writable upper layer */

/* rs_file.flags */
#define RS_FILE_PATH_USER 0x1 /* path copied from user memory after the call, not from a struct file */
#define RS_FILE_PATH_TRUNCATED 0x2
#define RS_FILE_PATH_DELETED 0x4    /* the name is gone from its directory */
#define RS_FILE_PATH_FAULT 0x8	    /* user memory could not be read */
#define RS_FILE_IMPLICIT_CLOSE 0x10 /* closed by exit, exec or dup2, not by close() */
#define RS_FILE_AS_OPENED 0x40	    /* close: the path is that of this descriptor's open, which user space has */
#define RS_FILE_OTHER_ROOT 0x20 /* the task's root is not the recorder's: inside_len and beyond_len lead to the file */

/* rs_network.flags */
#define RS_NET_ADDR_USER 0x1	  /* peer from the caller's sockaddr: the socket no longer had it */
#define RS_NET_IMPLICIT_CLOSE 0x2 /* closed by exit, exec or dup2, not by close() */
#define RS_NET_TCP 0x4		  /* the tcp_* fields, retransmits and rtt are filled */
#define RS_NET_SENT 0x8		  /* peer: the datagram was sent, not received */

/* rs_dns.flags */
#define RS_DNS_ADDR_USER 0x1 /* peer from the caller's sockaddr */
#define RS_DNS_SENT 0x2	     /* sent, not received */

/*
 * rs_header.cpu of what is emitted in softirq: a stream of its own per CPU and level of nesting (bpf/tcp.h), so that
 * a number is never taken twice. CPUs stay below 16,384 (CONFIG_NR_CPUS is at most 8,192 on x86-64).
 */
#define RS_SOFT_STREAM(level) (0x8000 + ((level) << 14))

#define RS_DNS_PAYLOAD_MAX 4096 /* bytes kept of one datagram, or of one piece of a TCP stream; a power of two */

/* rs_tls.library */
#define RS_TLS_OPENSSL 1
#define RS_TLS_GO 2

/* rs_tls.flags */
#define RS_TLS_FAULT 0x1 /* the buffer could not be read: nothing was captured */
/* rs_security.flags */
#define RS_SEC_TEXT_USER 0x1 /* paths and names copied from user memory after the call */
#define RS_SEC_TRUNCATED 0x2 /* a path is incomplete, or user memory could not be read */
#define RS_SEC_CREDS 0x4     /* ids and capabilities are filled */
#define RS_SEC_TARGET 0x8    /* target_pid and target_cgroup are filled */
#define RS_SEC_TEXT 0x10     /* a path or name was asked for */

/* rs_syscall.flags */
#define RS_SYSCALL_NO_RETURN 0x1 /* the thread ended in the call: no return value */
#define RS_SYSCALL_NO_ENTRY 0x2	 /* it began before the recording: no duration */

#define RS_SYSCALL_SET_SIZE 512 /* numbers a set can hold; NR_MAX */

struct rs_header {
	__u64 ts;	 /* CLOCK_BOOTTIME, ns */
	__u64 seq;	 /* per CPU, from 0, without holes unless something was dropped */
	__u64 cgroup_id; /* kernfs id in the hierarchy chosen at load time */
	__u64 exec_id;	 /* process incarnation; 0: unknown */
	__u32 pid;	 /* thread group id, initial pid namespace */
	__u32 tid;	 /* thread id, initial pid namespace */
	__u16 kind;	 /* enum rs_kind */
	__u16 cpu;
	__u32 flags; /* RS_F_* */
};

struct rs_fork {
	struct rs_header h; /* of the parent */
	__u64 child_exec_id;
	__u32 child_pid;    /* initial pid namespace */
	__u32 child_ns_pid; /* the child's own pid namespace */
};

struct rs_exec {
	struct rs_header h;   /* exec_id is the new incarnation's */
	__u64 prev_exec_id;   /* the incarnation it replaces; 0: not seen */
	__u64 parent_exec_id; /* the incarnation that forked it; 0: not followed */
	__u64 exe_inode;
	__u64 caps_effective; /* bit per CAP_* */
	__u32 pid_ns;	      /* inode numbers of the namespaces, as in /proc/PID/ns */
	__u32 mnt_ns;
	__u32 net_ns;
	__u32 user_ns;
	__u32 exe_dev;	  /* kernel dev_t: major << 20 | minor */
	__u32 ppid;	  /* initial pid namespace */
	__u32 ns_pid;	  /* the task's own pid namespace */
	__u32 uid;	  /* effective, initial user namespace */
	__u32 gid;	  /* effective, initial user namespace */
	__u32 flags;	  /* RS_EXEC_* */
	__u32 argv_total; /* bytes of argv before truncation */
	__u32 argv_len;	  /* bytes that follow, NUL-separated */
	__u16 exe_len;	  /* kernel path */
	__u16 cwd_len;	  /* kernel path */
	__u16 script_len; /* C string: what execve was given, when an interpreter runs instead */
	__u16 interp_len; /* C string: that interpreter, as the last #! line (or binfmt_misc) names it */
	char comm[RS_COMM_LEN];
	/* data: exe, cwd, script, interpreter, argv */
};

struct rs_exit {
	struct rs_header h;
	__u64 utime;   /* ns by ticks, the whole thread group */
	__u64 stime;   /* ns by ticks */
	__u64 runtime; /* ns by the scheduler's clock, both modes, without the last thread's last tick */
	__u64 max_rss; /* pages */
	__u32 status;  /* wait(2) status: exit code << 8 | signal */
	__u32 _pad;
};

/* A security-relevant call that returned. What the numbers mean depends on `nr`; user space names them. */
struct rs_security {
	struct rs_header h;
	__u64 args[6];	     /* as the call got them */
	__u64 value;	     /* a number from user memory or a kernel object, by kind */
	__u64 target_cgroup; /* kernfs id */
	__u64 caps_effective;
	__u64 caps_permitted;
	__u64 caps_inheritable;
	__s64 ret;
	__u32 uid, euid, suid, fsuid; /* initial user namespace, after the call */
	__u32 gid, egid, sgid, fsgid;
	__u32 target_pid; /* thread group id, initial pid namespace */
	__u32 nr;	  /* the call's number */
	__u32 flags;	  /* RS_SEC_* */
	__u16 path_len;	  /* kernel path, or a C string when RS_SEC_TEXT_USER */
	__u16 base_len;	  /* user path that is relative: kernel path it starts from */
	__u16 path2_len;  /* C string */
	__u16 base2_len;
	__u16 name_len; /* C string */
	__u16 type_len; /* C string: filesystem, key or namespace type */
			/* data: path, base, path2, base2, name, type */
};

/* A system call that returned, or that its thread ended in. */
struct rs_syscall {
	struct rs_header h;
	__u64 args[6]; /* as the call got them */
	__s64 ret;
	__u64 duration; /* ns from entry to return */
	__u32 nr;
	__u32 flags; /* RS_SYSCALL_* */
};

/* The system calls of one process incarnation, emitted when it ends: at exec, exit. */
struct rs_syscall_set {
	struct rs_header h;
	/* One byte a call, not one bit: a plain store needs no atomic operation, and threads store at once. */
	__u8 called[RS_SYSCALL_SET_SIZE];
};

struct rs_file {
	struct rs_header h;
	__u64 inode;
	__u64 bytes_read; /* close: summed over this descriptor in this process */
	__u64 bytes_written;
	__u64 offset; /* read, write: where in the file; fallocate: begin of the range; RS_OFFSET_UNKNOWN */
	__u64 size;   /* truncate: the new length; fallocate: length of the range */
	__u32 reads;  /* close: calls that returned >= 0 */
	__u32 writes;
	__u32 dev;	  /* kernel dev_t: major << 20 | minor */
	__u32 call_flags; /* open: O_*; close: the struct file's; otherwise the flags argument of the call */
	__u32 mode;	  /* i_mode of the file; chmod, mkdir, mknod: the mode asked for */
	__s32 ret;	  /* return value, -errno on failure; read, write: bytes */
	__s32 fd;	  /* -1: none */
	__u32 flags;	  /* RS_FILE_* */
	__u32 uid;	  /* chown: the ids asked for; ~0: unchanged */
	__u32 gid;
	__u32 node;	  /* mknod: the device, as user space encodes it (new_encode_dev) */
	__u16 path_len;	  /* kernel path, or a C string when RS_FILE_PATH_USER; symlink: the target's text */
	__u16 inside_len; /* OTHER_ROOT: bytes of the path that lie in the mount the file is on */
	__u16 beyond_len; /* OTHER_ROOT: names from there on up to the root of the file system */
	__u16 base_len;	  /* user path that is relative: kernel path it starts from */
	__u16 path2_len;  /* rename, link, symlink: the new name, always from user memory */
	__u16 base2_len;
	__u16 attr_len; /* setxattr, removexattr: the attribute's name, a C string from user memory */
	__u16 _pad[3];
	/* data: path, beyond, base, path2, base2, attr */
};

struct rs_network {
	struct rs_header h;
	__u64 inode;	      /* socket inode; 0: a connection nobody has accepted yet */
	__u64 bytes_received; /* close: summed return values on this descriptor in this process */
	__u64 bytes_sent;
	__u64 tcp_received;  /* of the connection; a FIN counts as a byte */
	__u64 tcp_sent;	     /* of the connection, with what was sent again */
	__u64 tcp_acked;     /* of the connection; SYN and FIN count as a byte each */
	__u8 local_addr[16]; /* network byte order; IPv4 in the first 4 bytes */
	__u8 peer_addr[16];
	__u16 local_port;
	__u16 peer_port;
	__u16 family;	 /* AF_* */
	__u16 protocol;	 /* IPPROTO_*; NETLINK_*; an ethertype for AF_PACKET; 0 for AF_UNIX */
	__u16 sock_type; /* SOCK_STREAM, ... */
	__u16 unix_len;	 /* bytes of the local name; a leading NUL is the abstract namespace */
	__u16 unix_peer_len;
	__u8 old_state; /* state, retransmit: TCP_* of include/net/tcp_states.h */
	__u8 new_state;
	__s32 ret;
	__s32 fd;
	__s32 backlog;
	__u32 flags;	   /* RS_NET_* */
	__u32 retransmits; /* segments sent again so far */
	__u32 rtt;	   /* smoothed, us */
	__u32 peer_pid;	   /* unix: initial pid namespace; 0: not known */
	__u32 _pad;
	/* data: an rs_unix_names if the family is AF_UNIX */
};

struct rs_unix_names {
	char local[RS_UNIX_PATH_MAX];
	char peer[RS_UNIX_PATH_MAX];
};

struct rs_dns {
	struct rs_header h;
	__u64 inode;	     /* socket inode */
	__u8 local_addr[16]; /* as in rs_network */
	__u8 peer_addr[16];
	__u16 local_port;
	__u16 peer_port;
	__u16 family;	/* AF_INET, AF_INET6 */
	__u16 protocol; /* IPPROTO_UDP, IPPROTO_TCP */
	__s32 fd;
	__u32 bytes; /* of the datagram, or of this piece of the stream */
	__u32 data_len;
	__u32 flags; /* RS_DNS_* */
		     /* data: the first data_len bytes */
};

struct rs_tls {
	struct rs_header h;
	__u64 connection; /* address of the SSL or tls.Conn in its process */
	__u64 bytes;	  /* what the call moved */
	__u32 captured;	  /* bytes that follow; the record may be longer than they are */
	__s32 fd;	  /* of the socket; -1: not seen */
	__u32 library;	  /* RS_TLS_OPENSSL, RS_TLS_GO */
	__u32 flags;	  /* RS_TLS_FAULT */
			  /* data: the plaintext's first bytes */
};

struct rs_library {
	struct rs_header h;
	__u32 path_len; /* kernel path */
	__u32 _pad;
	/* data: path */
};

struct rs_cgroup {
	struct rs_header h; /* cgroup_id is the new cgroup's */
	char path[RS_CGROUP_PATH_MAX];
};

/* Key of the flow tables. All of it is compared, so every byte is set. */
struct rs_flow_key {
	__u8 src_addr[16]; /* network byte order; IPv4 in the first 4 bytes */
	__u8 dst_addr[16];
	__u32 ifindex;
	__u16 src_port;
	__u16 dst_port;
	__u16 ethertype;
	__u8 protocol; /* IPPROTO_*; behind IPv6 extension headers */
	__u8 egress;   /* 1: sent through the interface */
};

/* One flow in one interval. */
struct rs_flow {
	__u64 packets;
	__u64 bytes; /* from the link-layer header on */
	__u64 syn;
	__u64 syn_ack;
	__u64 fin;
	__u64 rst;
	__u64 first; /* CLOCK_BOOTTIME, ns */
	__u64 last;
};

/* One per CPU; user space sums. What the recorder could not see is a number too. */
struct rs_counters {
	__u64 next_seq;
	__u64 emitted[RS_CLASS_MAX];
	__u64 dropped_ring[RS_CLASS_MAX]; /* the ring was full */
	__u64 control_dropped;
	__u64 fd_table_full;   /* a descriptor was not tracked: no close event for it */
	__u64 proc_table_full; /* a process was not tracked: exec_id 0 */
	__u64 path_truncated;
	__u64 argv_truncated;
	__u64 read_fault;	/* user memory not resident */
	__u64 compat_syscalls;	/* 32-bit calls of followed processes, not decoded */
	__u64 tls_calls_lost;	/* a call into a TLS library whose entry found no room in the table */
	__u64 sock_table_full;	/* a TCP socket was not tracked: no state or retransmit rows for it */
	__u64 messages_skipped; /* of one sendmmsg or recvmmsg, beyond the first 16 */
	__u64 sampled_out[RS_CLASS_MAX]; /* left out by the sampler */
	__u64 known[RS_CLASS_MAX];	 /* left out as known behaviour */
};

#endif
