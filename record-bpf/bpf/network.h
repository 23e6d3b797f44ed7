/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Sockets: bind, listen, connect, accept, close with bytes. Addresses come from the socket. */
#ifndef RETROSCOPE_NETWORK_H
#define RETROSCOPE_NETWORK_H

static __always_inline void unix_name(struct rs_network *e, struct sock *sk)
{
	struct unix_address *addr = BPF_CORE_READ((struct unix_sock *)sk, addr);
	s32 len;

	if (!addr)
		return;
	len = BPF_CORE_READ(addr, len) - 2; /* without sun_family */
	if (len <= 0)
		return;
	if (len > RS_UNIX_PATH_MAX)
		len = RS_UNIX_PATH_MAX;
	e->unix_len = len;
	/* `name` is the flexible tail: sun_path follows its sun_family. */
	bpf_probe_read_kernel(e->unix_path, RS_UNIX_PATH_MAX, (void *)__builtin_preserve_access_index(&addr->name) + 2);
}

static __always_inline void socket_addresses(struct rs_network *e, struct sock *sk, u32 kind)
{
	e->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	e->sock_type = BPF_CORE_READ(sk, sk_type);
	e->protocol = BPF_CORE_READ(sk, sk_protocol);
	if (e->family == AF_UNIX) {
		struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);

		e->protocol = 0;
		if (kind != RS_NETWORK_CONNECT)
			unix_name(e, sk);
		if (!e->unix_len && peer)
			unix_name(e, peer);
		return;
	}
	e->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	e->peer_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (e->family == AF_INET) {
		u32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		u32 peer = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(e->local_addr, &local, sizeof(local));
		__builtin_memcpy(e->peer_addr, &peer, sizeof(peer));
	} else {
		BPF_CORE_READ_INTO(&e->local_addr, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&e->peer_addr, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
}

/* The socket no longer knows the address of a connect or bind that failed: take the caller's. */
static __always_inline void user_address(struct rs_network *e, u64 address, u32 kind)
{
	struct {
		u16 family;
		__be16 port;
		u32 flow_or_addr4;
		u8 addr6[16];
	} sa = {};
	u8 *to = kind == RS_NETWORK_BIND ? e->local_addr : e->peer_addr;

	if (bpf_probe_read_user(&sa, 8, (void *)address))
		return;
	e->flags |= RS_NET_ADDR_USER;
	if (e->family == AF_UNIX) {
		long n = bpf_probe_read_user_str(e->unix_path, RS_UNIX_PATH_MAX, (void *)(address + 2));

		e->unix_len = n > 0 ? n - 1 : 0;
		return;
	}
	if (kind == RS_NETWORK_BIND)
		e->local_port = bpf_ntohs(sa.port);
	else
		e->peer_port = bpf_ntohs(sa.port);
	if (sa.family == AF_INET)
		__builtin_memcpy(to, &sa.flow_or_addr4, 4);
	else if (!bpf_probe_read_user(sa.addr6, sizeof(sa.addr6), (void *)(address + 8)))
		__builtin_memcpy(to, sa.addr6, sizeof(sa.addr6));
}

static __always_inline struct rs_network *network_begin(struct scratch *buf, struct sock *sk, u32 kind, s32 fd, s32 ret)
{
	struct rs_network *e = (struct rs_network *)buf->data;

	__builtin_memset(e, 0, sizeof(*e));
	e->fd = fd;
	e->ret = ret;
	socket_addresses(e, sk, kind);
	return e;
}

static __always_inline void network_submit(struct rs_network *e, struct cpu_state *cpu, u32 kind)
{
	header(&e->h, cpu, RS_CLASS_NETWORK, kind, &cpu->subject, cpu->exec_id);
	submit(cpu, RS_CLASS_NETWORK, e, sizeof(*e));
}

/* bind, listen, connect: `arg` is the sockaddr, or the backlog. accept: `fd` is the new connection. */
__noinline int emit_socket(u32 kind, u32 fd, u64 arg, s64 ret)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct file *file = fd_file(fd);
	struct fd_state *state;
	struct rs_network *e;

	if (!cpu || !buf || !file)
		return 0;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	/* A tracked entry of another file: dup2 or close_range passed by unseen. */
	state = fd_lookup(tgid, fd);
	if (!state || state->file != (u64)file)
		state = fd_track(cpu, tgid, fd);
	if (!state || state->kind != FD_SOCKET)
		return 0;
	e = network_begin(buf, file_sock(file), kind, fd, ret);
	e->inode = state->inode;
	if (kind == RS_NETWORK_LISTEN)
		e->backlog = arg;
	else if (ret < 0 && ret != -EINPROGRESS && (kind == RS_NETWORK_CONNECT || kind == RS_NETWORK_BIND))
		user_address(e, arg, kind);
	network_submit(e, cpu, kind);
	return 0;
}

static __always_inline void emit_socket_close(struct cpu_state *cpu, s32 fd, struct fd_state *state, bool same,
					      bool implicit)
{
	struct scratch *buf = scratch();
	struct rs_network *e;

	/* Without the socket there is no address to tell, and the row would say nothing. */
	if (!buf || !same || !class_on(RS_CLASS_NETWORK))
		return;
	e = network_begin(buf, file_sock((struct file *)state->file), RS_NETWORK_CLOSE, fd, 0);
	e->inode = state->inode;
	e->bytes_received = state->rx;
	e->bytes_sent = state->tx;
	if (implicit)
		e->flags |= RS_NET_IMPLICIT_CLOSE;
	network_submit(e, cpu, RS_NETWORK_CLOSE);
}

#endif
