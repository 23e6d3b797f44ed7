/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Messages that went through a watched socket: whom a datagram was exchanged with, and DNS. Looked at when the call
 * returns, one step per message of sendmmsg and recvmmsg.
 */
#ifndef RETROSCOPE_MESSAGE_H
#define RETROSCOPE_MESSAGE_H

#define MESSAGES_SEEN 16 /* of one sendmmsg or recvmmsg; what lies beyond is counted */

/* The parts of struct msghdr (include/linux/socket.h) that are read, and struct mmsghdr around it. */
struct user_msghdr {
	u64 name;
	u32 name_len;
	u32 _pad;
	u64 iov;
	u64 iov_len; /* entries */
};

/* One message under way. Process context with preemption off: a CPU's has one user at a time. */
struct message {
	u64 sk;
	u64 inode;
	u64 name; /* sockaddr in user memory; 0: none */
	u64 buf;  /* in user memory; 0: in `iov` */
	u64 iov;
	u64 iov_len; /* entries */
	u64 bytes;
	u32 fd;
	u32 out;
	u32 have; /* gathered so far */
	u32 want;
	u16 family;
	u16 sock_type;
	u16 protocol;
	u16 fault;
	struct rs_dns dns;
	u8 payload[2 * RS_DNS_PAYLOAD_MAX]; /* twice, so that a masked start and a bounded length stay inside */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct message);
} messages SEC(".maps");

/* Peers that a socket is known to have exchanged a datagram with. The oldest are forgotten. */
struct peer_key {
	u64 inode;
	u8 addr[16];
	u16 port;
	u8 out;
	u8 _pad[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct peer_key);
	__type(value, u8);
} peers SEC(".maps");

static __always_inline struct message *message(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&messages, &zero);
}

#include "dns.h"

/* Whether this is the first datagram between the two in this direction. */
static __always_inline bool is_new_peer(struct message *m)
{
	struct peer_key key = { .inode = m->inode, .port = m->dns.peer_port, .out = m->out };
	u8 one = 1;

	__builtin_memcpy(key.addr, m->dns.peer_addr, sizeof(key.addr));
	if (bpf_map_lookup_elem(&peers, &key))
		return false;
	bpf_map_update_elem(&peers, &key, &one, BPF_ANY);
	return true;
}

/* The first exchange of a datagram with a peer. */
static __always_inline void emit_peer(struct message *m, struct cpu_state *cpu)
{
	struct scratch *buf = scratch();
	struct network_record *r;

	if (!buf || !is_new_peer(m))
		return;
	r = (struct network_record *)buf->data;
	__builtin_memset(&r->e, 0, sizeof(r->e));
	r->e.fd = m->fd;
	r->e.ret = m->bytes;
	r->e.inode = m->inode;
	sock_addresses(&r->e, (struct sock *)m->sk);
	__builtin_memcpy(r->e.peer_addr, m->dns.peer_addr, sizeof(r->e.peer_addr));
	r->e.peer_port = m->dns.peer_port;
	if (m->dns.flags & RS_DNS_ADDR_USER)
		r->e.flags |= RS_NET_ADDR_USER;
	if (m->out)
		r->e.flags |= RS_NET_SENT;
	network_submit(r, cpu, RS_NETWORK_PEER);
}

/* One message, described in the CPU's record. */
__noinline int one_message(void)
{
	struct cpu_state *cpu = cpu_state();
	struct message *m = message();
	bool stream, known;
	struct sock *sk;

	if (!cpu || !m)
		return 0;
	sk = (struct sock *)m->sk;
	stream = m->sock_type == SOCK_STREAM;
	__builtin_memset(&m->dns, 0, sizeof(m->dns));
	m->dns.local_port = local_port(sk);
	local_address(m->dns.local_addr, sk, m->family);
	known = !stream && read_sockaddr(m->dns.peer_addr, &m->dns.peer_port, m->name, m->family);
	if (known) {
		m->dns.flags |= RS_DNS_ADDR_USER;
	} else {
		m->dns.peer_port = peer_port(sk);
		peer_address(m->dns.peer_addr, sk, m->family);
		known = m->dns.peer_port || m->sock_type == SOCK_RAW;
	}
	if (m->sock_type == SOCK_RAW)
		m->dns.peer_port = 0;
	if (!stream && known && class_on(RS_CLASS_NETWORK))
		emit_peer(m, cpu);
	if (class_on(RS_CLASS_DNS) && m->bytes && (stream || m->protocol == IPPROTO_UDP) &&
	    (m->dns.peer_port == DNS_PORT || m->dns.local_port == DNS_PORT))
		emit_dns(m, cpu);
	return 0;
}

static __always_inline bool read_msghdr(struct message *m, u64 at)
{
	struct user_msghdr h;

	if (bpf_probe_read_user(&h, sizeof(h), (void *)at))
		return false;
	m->name = h.name_len ? h.name : 0;
	m->buf = 0;
	m->iov = h.iov;
	m->iov_len = h.iov_len;
	return true;
}

/* The i-th message of sendmmsg or recvmmsg. */
__noinline int vector_message(u64 at)
{
	struct message *m = message();
	u32 bytes = 0;

	if (!m || !read_msghdr(m, at) || bpf_probe_read_user(&bytes, sizeof(bytes), (void *)(at + MMSGHDR_LEN)))
		return 0;
	m->bytes = bytes;
	one_message();
	return 0;
}

static __always_inline void vector_messages(struct cpu_state *cpu, u64 at, u32 n)
{
	u32 i;

	if (n > MESSAGES_SEEN)
		cpu->counters.messages_skipped += n - MESSAGES_SEEN;
	for (i = 0; i < MESSAGES_SEEN; i++) {
		if (i >= n)
			break;
		vector_message(at + i * MMSGHDR_SIZE);
	}
}

/* What a call on a watched socket that returned `ret` >= 0 moved. The registers are in the CPU's state. */
__noinline int emit_messages(u64 nr, s64 ret, u32 out)
{
	struct cpu_state *cpu = cpu_state();
	struct message *m = message();
	u64 arg2, arg3, arg4, flags = 0;
	struct pt_regs *regs;
	struct file *file;
	struct sock *sk;
	s32 fd;

	if (!cpu || !m)
		return 0;
	regs = (struct pt_regs *)cpu->regs;
	fd = ARG1;
	arg2 = ARG2;
	arg3 = ARG3;
	arg4 = ARG4;
	file = fd_file(fd);
	if (!file || (READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	sk = file_sock(file);
	m->sk = (u64)sk;
	m->inode = READ(file, f_inode, i_ino);
	m->family = sock_family(sk);
	m->sock_type = READ(sk, sk_type);
	m->protocol = READ(sk, sk_protocol);
	m->fd = fd;
	m->out = out;
	m->bytes = ret;
	m->name = 0;
	m->buf = arg2;
	m->iov_len = arg3; /* of a buffer, in bytes: MSG_TRUNC returns more than it holds */
	m->iov = 0;
	if (!is_inet(m->family))
		return 0;
	switch (nr) {
	case NR_sendto:
	case NR_recvfrom:
		m->name = ARG5;
		flags = arg4;
		break;
	case NR_readv:
	case NR_writev:
		m->buf = 0;
		m->iov = arg2;
		break;
	case NR_sendmsg:
	case NR_recvmsg:
		flags = arg3;
		if (!read_msghdr(m, arg2))
			return 0;
		break;
	case NR_sendmmsg:
	case NR_recvmmsg: flags = arg4; break;
	}
	/* What is only peeked at comes again; an error queue holds what was sent before. */
	if (!out && (flags & (MSG_PEEK | MSG_ERRQUEUE)))
		return 0;
	if (nr == NR_sendmmsg || nr == NR_recvmmsg)
		vector_messages(cpu, arg2, ret);
	else
		one_message();
	return 0;
}

/* `state`: of the descriptor that a call moved something through, if it is tracked. */
static __always_inline void on_message(struct fd_state *state, u64 nr, s64 ret, bool out)
{
	if (state && state->watch)
		emit_messages(nr, ret, out);
}

#endif
