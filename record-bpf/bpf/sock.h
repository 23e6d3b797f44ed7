/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a struct sock says, and which process a TCP socket belongs to. */
#ifndef RETROSCOPE_SOCK_H
#define RETROSCOPE_SOCK_H

#define DNS_PORT 53

/* fd_state.watch: what has to be looked at when this socket sends or receives. */
#define WATCH_PEERS 0x1 /* datagrams: each may have another peer, or be a DNS message */
#define WATCH_DNS 0x2	/* a TCP connection with the DNS port on either side */

/* The process that made, or took over, a TCP socket; for events that come when another task runs. */
struct owner {
	u64 cgroup_id;
	u64 exec_id;
	u64 inode; /* socket inode; 0: a connection nobody has accepted yet */
	u32 tgid;
	u32 tid;
	u32 in_tree; /* followed by process tree: no cgroup has to be judged */
	u32 choice;  /* enum choice: of its changes of state and retransmissions */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64); /* struct sock */
	__type(value, struct owner);
} owners SEC(".maps");

static __always_inline struct sock *file_sock(struct file *file)
{
	struct socket *socket = READ(file, private_data);

	return READ(socket, sk);
}

static __always_inline bool is_inet(u32 family)
{
	return family == AF_INET || family == AF_INET6;
}

static __always_inline u16 sock_family(struct sock *sk)
{
	return READ(sk, __sk_common.skc_family);
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return READ(sk, sk_protocol) == IPPROTO_TCP && READ(sk, sk_type) == SOCK_STREAM && is_inet(sock_family(sk));
}

static __always_inline u16 local_port(struct sock *sk)
{
	return READ(sk, __sk_common.skc_num);
}

static __always_inline u16 peer_port(struct sock *sk)
{
	return bpf_ntohs(READ(sk, __sk_common.skc_dport));
}

static __always_inline void local_address(u8 to[16], struct sock *sk, u16 family)
{
	if (family == AF_INET) {
		u32 address = READ(sk, __sk_common.skc_rcv_saddr);

		__builtin_memcpy(to, &address, sizeof(address));
	} else {
		bpf_core_read(to, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	}
}

static __always_inline void peer_address(u8 to[16], struct sock *sk, u16 family)
{
	if (family == AF_INET) {
		u32 address = READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(to, &address, sizeof(address));
	} else {
		bpf_core_read(to, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

static __always_inline u32 watch_of(struct sock *sk)
{
	u16 type = READ(sk, sk_type);

	if (!is_inet(sock_family(sk)))
		return 0;
	if (type == SOCK_DGRAM || type == SOCK_RAW)
		return WATCH_PEERS;
	if (type == SOCK_STREAM && class_on(RS_CLASS_DNS) && (peer_port(sk) == DNS_PORT || local_port(sk) == DNS_PORT))
		return WATCH_DNS;
	return 0;
}

/* Notes whose TCP socket this is. In process context only. */
static __always_inline void own_sock(struct cpu_state *cpu, struct sock *sk, u64 exec_id, u64 inode)
{
	struct owner owner = { .cgroup_id = cpu->subject.cgroup_id, .exec_id = exec_id, .inode = inode };
	struct owner *before;
	u64 key = (u64)sk;

	owner.tgid = cpu->tgid;
	owner.tid = cpu->tid;
	owner.in_tree = (filter_mode & FILTER_TREE) && bpf_map_lookup_elem(&tree, &owner.tgid);
	if (sampling) {
		before = bpf_map_lookup_elem(&owners, &key);
		owner.choice = before ? before->choice : UNDECIDED;
	}
	if (bpf_map_update_elem(&owners, &key, &owner, BPF_ANY))
		cpu->counters.sock_table_full++;
}

/*
 * First sight of a descriptor of a socket in a process; what is to be watched of it (WATCH_*). The process takes over a
 * TCP socket that is there already: accepted, inherited, or from before it was followed. The socket's last change of state
 * ends the entry; one that comes in this very moment must not leave an entry behind.
 */
__noinline u32 adopt_sock(u64 at, u64 exec_id, u64 inode)
{
	struct sock *sk = (struct sock *)at;
	struct cpu_state *cpu = cpu_state();

	if (!cpu)
		return 0;
	if (class_on(RS_CLASS_NETWORK) && is_tcp(sk) && READ(sk, __sk_common.skc_state) != TCP_CLOSE) {
		own_sock(cpu, sk, exec_id, inode);
		if (READ(sk, __sk_common.skc_state) == TCP_CLOSE)
			bpf_map_delete_elem(&owners, &at);
	}
	return watch_of(sk);
}

#endif
