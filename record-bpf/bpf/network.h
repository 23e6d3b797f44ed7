/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Sockets: made, bound, listening, connected, accepted, closed with bytes. Addresses come from the socket. */
#ifndef RETROSCOPE_NETWORK_H
#define RETROSCOPE_NETWORK_H

/* As it lies in the scratch record. */
struct network_record {
	struct rs_network e;
	struct rs_unix_names names;
};

/* The name a unix socket is bound to; its length, 0 when it has none. */
static __always_inline u16 unix_name(char to[RS_UNIX_PATH_MAX], struct sock *sk)
{
	struct unix_address *addr = READ((struct unix_sock *)sk, addr);
	s32 len;

	if (!addr)
		return 0;
	len = READ(addr, len) - 2; /* without sun_family */
	if (len <= 0)
		return 0;
	if (len > RS_UNIX_PATH_MAX)
		len = RS_UNIX_PATH_MAX;
	/* `name` is the flexible tail: sun_path follows its sun_family. */
	bpf_probe_read_kernel(to, RS_UNIX_PATH_MAX, (void *)__builtin_preserve_access_index(&addr->name) + 2);
	return len;
}

/* Who is at the other end, as SO_PEERCRED says it: who connected, or who called listen. */
static __always_inline u32 unix_peer_pid(struct sock *sk)
{
	struct pid *pid = READ(sk, sk_peer_pid);

	return pid ? READ(pid, numbers[0].nr) : 0;
}

static __always_inline void unix_ends(struct network_record *r, struct sock *sk)
{
	struct sock *peer = READ((struct unix_sock *)sk, peer);

	r->e.unix_len = unix_name(r->names.local, sk);
	if (!peer)
		return;
	r->e.unix_peer_len = unix_name(r->names.peer, peer);
	r->e.peer_pid = unix_peer_pid(sk);
}

/* Addresses of an IP socket, and what TCP counts for it. */
static __always_inline void sock_addresses(struct rs_network *e, struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	e->family = sock_family(sk);
	e->sock_type = READ(sk, sk_type);
	e->protocol = READ(sk, sk_protocol);
	if (!is_inet(e->family))
		return;
	e->local_port = local_port(sk);
	e->peer_port = peer_port(sk);
	local_address(e->local_addr, sk, e->family);
	peer_address(e->peer_addr, sk, e->family);
	if (e->protocol != IPPROTO_TCP || e->sock_type != SOCK_STREAM)
		return;
	if (!e->local_port) /* given back before the last change of state is told (inet_put_port) */
		e->local_port = bpf_ntohs(READ((struct inet_sock *)sk, inet_sport));
	e->flags |= RS_NET_TCP;
	e->tcp_received = READ(tcp, bytes_received);
	e->tcp_sent = READ(tcp, bytes_sent);
	e->tcp_acked = READ(tcp, bytes_acked);
	e->retransmits = READ(tcp, total_retrans);
	e->rtt = READ(tcp, srtt_us) >> 3;
}

/* An address in user memory, as a socket of this family has it: an IPv6 socket takes IPv4 addresses too. */
static __always_inline bool read_sockaddr(u8 to[16], u16 *port, u64 address, u16 family)
{
	struct {
		u16 family;
		__be16 port;
		u32 flow_or_addr4;
		u8 addr6[16];
	} sa = {};

	if (!address || bpf_probe_read_user(&sa, 8, (void *)address))
		return false;
	if (sa.family == AF_INET && family == AF_INET) {
		__builtin_memcpy(to, &sa.flow_or_addr4, 4);
	} else if (sa.family == AF_INET && family == AF_INET6) {
		to[10] = to[11] = 0xff;
		__builtin_memcpy(to + 12, &sa.flow_or_addr4, 4);
	} else if (sa.family == AF_INET6 && !bpf_probe_read_user(sa.addr6, 16, (void *)(address + 8))) {
		__builtin_memcpy(to, sa.addr6, 16);
	} else {
		return false;
	}
	*port = bpf_ntohs(sa.port);
	return true;
}

/* The socket no longer knows the address of a connect or bind that failed: take the caller's. */
static __always_inline void user_address(struct network_record *r, u64 address, bool is_bind)
{
	struct rs_network *e = &r->e;

	if (e->family == AF_UNIX) {
		char *to = is_bind ? r->names.local : r->names.peer;
		long n = bpf_probe_read_user_str(to, RS_UNIX_PATH_MAX, (void *)(address + 2));

		n = n > 0 ? n - 1 : 0;
		if (is_bind)
			e->unix_len = n;
		else
			e->unix_peer_len = n;
		e->flags |= RS_NET_ADDR_USER;
	} else if (is_inet(e->family)) {
		u16 port = 0;

		if (!read_sockaddr(is_bind ? e->local_addr : e->peer_addr, &port, address, e->family))
			return;
		if (is_bind)
			e->local_port = port;
		else
			e->peer_port = port;
		e->flags |= RS_NET_ADDR_USER;
	}
}

static __always_inline struct network_record *network_begin(struct scratch *buf, struct sock *sk,
							    struct fd_state *state, s32 fd, s32 ret)
{
	struct network_record *r = (struct network_record *)buf->data;

	__builtin_memset(r, 0, sizeof(*r));
	r->e.fd = fd;
	r->e.ret = ret;
	r->e.inode = state->inode;
	sock_addresses(&r->e, sk);
	if (r->e.family == AF_UNIX)
		unix_ends(r, sk);
	else if (r->e.family == AF_PACKET)
		r->e.protocol = state->protocol;
	return r;
}

static __always_inline void network_submit(struct network_record *r, struct cpu_state *cpu, u32 kind)
{
	header(&r->e.h, cpu, RS_CLASS_NETWORK, kind, &cpu->subject, cpu->exec_id);
	submit(cpu, RS_CLASS_NETWORK, r, r->e.family == AF_UNIX ? sizeof(*r) : sizeof(r->e));
}

/*
 * A call on a descriptor returned. bind, connect: `arg` is the sockaddr; listen: the backlog; socket: the protocol asked
 * for. accept: `fd` is the new connection.
 */
__noinline int emit_socket(u32 kind, u32 fd, u64 arg, s64 ret)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct file *file = fd_file(fd);
	struct network_record *r;
	struct fd_state *state;
	struct sock *sk;

	if (!cpu || !buf || !file)
		return 0;
	if ((READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	/* A tracked entry of another file: dup2 or close_range passed by unseen. */
	state = fd_lookup(cpu, fd);
	if (!state || state->file != (u64)file || kind == RS_NETWORK_SOCKET || kind == RS_NETWORK_ACCEPT)
		state = fd_track(cpu, fd, file);
	if (!state || state->kind != FD_SOCKET)
		return 0;
	sk = file_sock(file);
	state->watch = watch_of(sk); /* connect and bind have given it its ports */
	if (kind == RS_NETWORK_SOCKET)
		state->protocol = bpf_ntohs(arg);
	if (!class_on(RS_CLASS_NETWORK))
		return 0;
	if (kind == RS_NETWORK_SOCKET && left_out_with(&cpu->crowd, &cpu->counters, RS_CLASS_NETWORK, &state->choice))
		return 0;
	r = network_begin(buf, sk, state, fd, ret);
	if (kind == RS_NETWORK_LISTEN)
		r->e.backlog = arg;
	else if (ret < 0 && ret != -EINPROGRESS && (kind == RS_NETWORK_CONNECT || kind == RS_NETWORK_BIND))
		user_address(r, arg, kind == RS_NETWORK_BIND);
	network_submit(r, cpu, kind);
	return 0;
}

/* A socket that was refused: there is only what was asked for. */
__noinline int emit_no_socket(u32 family, u32 type, u32 protocol, s64 ret)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct network_record *r;

	if (!cpu || !buf || !class_on(RS_CLASS_NETWORK) || left_out(cpu, RS_CLASS_NETWORK))
		return 0;
	r = (struct network_record *)buf->data;
	__builtin_memset(r, 0, sizeof(*r));
	r->e.fd = -1;
	r->e.ret = ret;
	r->e.family = family;
	r->e.sock_type = type & SOCK_TYPE_MASK;
	r->e.protocol = family == AF_PACKET ? bpf_ntohs(protocol) : protocol;
	network_submit(r, cpu, RS_NETWORK_SOCKET);
	return 0;
}

static __always_inline void emit_socket_close(struct cpu_state *cpu, s32 fd, struct fd_state *state, bool same,
					      bool implicit)
{
	struct scratch *buf = scratch();
	struct network_record *r;

	/* Without the socket there is no address to tell, and the row would say nothing. */
	if (!buf || !same || !class_on(RS_CLASS_NETWORK) ||
	    left_out_with(&cpu->crowd, &cpu->counters, RS_CLASS_NETWORK, &state->choice))
		return;
	r = network_begin(buf, file_sock((struct file *)state->file), state, fd, 0);
	r->e.bytes_received = state->rx;
	r->e.bytes_sent = state->tx;
	if (implicit)
		r->e.flags |= RS_NET_IMPLICIT_CLOSE;
	network_submit(r, cpu, RS_NETWORK_CLOSE);
}

#endif
