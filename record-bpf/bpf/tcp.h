/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TCP seen from the kernel's side: changes of state, and retransmissions.
 *
 * These programs may run in softirq, on top of another task and even on top of another program of ours. So they touch
 * neither the scratch record nor the CPU's own stream, and have streams of their own: one per level of nesting. The
 * level is kept by a plain increment, which is enough: whatever interrupts a program on its CPU ends before it goes on
 * and leaves the level as it was. A number of a stream is therefore taken by one program at a time.
 */
#ifndef RETROSCOPE_TCP_H
#define RETROSCOPE_TCP_H

/* In process context (a connect), and a softirq on top of that; softirqs do not nest. */
#define SOFT_LEVELS 2

struct soft_state {
	struct rs_counters counters;
	struct waker waker;
	struct crowd crowd;
	struct rs_network record;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SOFT_LEVELS);
	__type(key, u32); /* level */
	__type(value, struct soft_state);
} soft_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} soft_level SEC(".maps");

/* The followed owner as the subject of an event; it may have been judged since. */
static __always_inline struct subject owner_subject(struct owner *owner)
{
	struct subject s = { .cgroup_id = owner->cgroup_id };
	u32 *verdict;

	if (owner->in_tree) {
		s.followed = true;
		return s;
	}
	verdict = bpf_map_lookup_elem(&verdicts, &s.cgroup_id);
	if (!verdict)
		s.flags = RS_F_PENDING;
	s.followed = !verdict || VERDICT(*verdict) == VERDICT_FOLLOW;
	return s;
}

static __always_inline void soft_submit(struct soft_state *soft, u32 level, u32 kind, struct subject *s,
					struct owner *owner)
{
	struct rs_network *e = &soft->record;

	e->h.ts = bpf_ktime_get_boot_ns();
	e->h.seq = soft->counters.next_seq++;
	e->h.cgroup_id = s->cgroup_id;
	e->h.exec_id = owner->exec_id;
	e->h.pid = owner->tgid;
	e->h.tid = owner->tid;
	e->h.kind = kind;
	e->h.cpu = RS_SOFT_STREAM(level) + bpf_get_smp_processor_id();
	e->h.flags = s->flags;
	soft->counters.emitted[RS_CLASS_NETWORK]++;
	if (bpf_ringbuf_output(&events, e, sizeof(*e), wakeup(&soft->waker, e->h.ts)))
		soft->counters.dropped_ring[RS_CLASS_NETWORK]++;
}

/* One row of a TCP socket that has a followed owner. */
static __always_inline int emit_tcp(u32 kind, u64 at, u32 old_state, u32 new_state)
{
	struct owner *owner = bpf_map_lookup_elem(&owners, &at);
	volatile u32 *nesting;
	struct soft_state *soft;
	struct subject s;
	u32 zero = 0, level;

	if (!owner)
		return 0;
	s = owner_subject(owner);
	nesting = bpf_map_lookup_elem(&soft_level, &zero);
	if (!s.followed || !nesting)
		return 0;
	level = *nesting;
	*nesting = level + 1;
	soft = bpf_map_lookup_elem(&soft_states, &level);
	if (soft && !left_out_with(&soft->crowd, &soft->counters, RS_CLASS_NETWORK, &owner->choice)) {
		struct rs_network *e = &soft->record;

		__builtin_memset(e, 0, sizeof(*e));
		e->fd = -1;
		e->inode = owner->inode;
		e->old_state = old_state;
		e->new_state = new_state;
		sock_addresses(e, (struct sock *)at);
		soft_submit(soft, level, kind, &s, owner);
	}
	*nesting = level;
	return 0;
}

/*
 * The listener a connection in the making came from. The new socket is a copy of it byte for byte until
 * tcp_create_openreq_child() sets up its own lists, and inet_csk_clone_lock() reports LISTEN → SYN_RECV before that: an
 * empty list still points at its head in the listener (net/ipv4/inet_connection_sock.c, tcp_minisocks.c, 5.10 to 6.18).
 */
static __always_inline struct owner *listener_of(struct sock *sk)
{
	u64 head = untyped(READ((struct tcp_sock *)sk, tsq_node.next));
	u64 listener = head - bpf_core_field_offset(struct tcp_sock, tsq_node);

	return bpf_map_lookup_elem(&owners, &listener);
}

/* connect and listen change the state of a closed socket in the calling process: it becomes the owner. */
static __always_inline void own_current(struct sock *sk)
{
	struct cpu_state *cpu = cpu_state();
	u64 key = (u64)sk;

	if (!cpu || !enter(cpu)) {
		/* The memory may have been another socket's, whose end was not seen. */
		bpf_map_delete_elem(&owners, &key);
		return;
	}
	own_sock(cpu, sk, cpu->exec_id, READ(sk, sk_socket, file, f_inode, i_ino));
}

/*
 * The socket a tracepoint is about, as a number: up to 5.11 a key on the stack must not be a pointer that the verifier
 * knows (cd17d38f8b28).
 */
static __always_inline u64 first_argument(void *ctx)
{
	u64 argument = 0;

	bpf_probe_read_kernel(&argument, sizeof(argument), ctx);
	return argument;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, struct sock *unused, int old_state, int new_state)
{
	u64 key = first_argument(ctx);
	struct sock *sk = (struct sock *)key;
	struct owner *listener, owner;

	if (!is_tcp(sk)) /* the tracepoint has MPTCP, SCTP and DCCP too */
		return 0;
	if (old_state == TCP_CLOSE && (new_state == TCP_SYN_SENT || new_state == TCP_LISTEN)) {
		own_current(sk);
	} else if (old_state == TCP_LISTEN && new_state == TCP_SYN_RECV) {
		listener = listener_of(sk);
		if (!listener) {
			bpf_map_delete_elem(&owners, &key);
			return 0;
		}
		owner = *listener;
		owner.inode = 0;
		owner.choice = UNDECIDED;
		bpf_map_update_elem(&owners, &key, &owner, BPF_ANY);
	}
	emit_tcp(RS_NETWORK_STATE, key, old_state, new_state);
	if (new_state == TCP_CLOSE)
		bpf_map_delete_elem(&owners, &key);
	return 0;
}

/* A third argument came with 6.15; the first two are the same on every kernel from 5.10 on. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_tcp_retransmit)
{
	u64 key = first_argument(ctx);
	struct sock *sk = (struct sock *)key;
	u32 state = READ(sk, __sk_common.skc_state);

	if (is_tcp(sk))
		emit_tcp(RS_NETWORK_RETRANSMIT, key, state, state);
	return 0;
}

#endif
