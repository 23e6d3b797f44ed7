/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Plaintext at the edge of TLS libraries, by uprobe: OpenSSL's SSL_read, SSL_write and their _ex forms, and Go's
 * crypto/tls.(*Conn).Read and .Write. A call's buffer is kept at its entry and copied when it returns.
 *
 * Uprobe programs are unlike the tracepoint programs. Since 6.0 (bpf_prog_run_array_sleepable) a task stays on its CPU
 * while one runs but can be preempted by another task, whose programs then run in the middle of it. So nothing here uses
 * the CPU's scratch record: a record is built where it is going to be, in the ring. And the numbers of the CPU's stream are
 * taken with one atomic instruction, which a tracepoint program, running with preemption off, is either before or after.
 * An atomic add that returns a value needs 5.12, so there are two forms of each program that emits. The plain one serves
 * the kernels before, where a uprobe's programs run with preemption off (trace_call_bpf's caller, 5.7 to 5.19).
 */
#ifndef RETROSCOPE_TLS_H
#define RETROSCOPE_TLS_H

const volatile u32 tls_bytes = 4096; /* of plaintext kept of each call, at most RS_TLS_DATA_MAX */

/* Who is in a call: a thread, or a goroutine, which may change threads before it returns. */
struct tls_owner {
	u64 id; /* thread: bpf_get_current_pid_tgid(); goroutine: address of its g */
	u32 tgid;
	u32 library; /* RS_TLS_* */
};

struct tls_key {
	struct tls_owner owner;
	u64 frame; /* of the call, the same at entry and return: TLS inside TLS nests */
};

struct tls_call {
	u64 connection;
	u64 buffer;
	u64 counter; /* the _ex forms return the count through this pointer; 0: the return value is the count */
	u32 kind;
	u32 on_stack; /* Go: `buffer` is counted down from the end of the goroutine's stack, which may move */
};

/* The socket that a connection was seen to use. */
struct tls_socket {
	u64 file; /* the struct file, to notice a reused descriptor */
	s32 fd;
	u32 _pad;
};

struct tls_connection {
	u64 address;
	u32 tgid;
	u32 library;
};

/* A call that never returns, as of a thread that was killed, leaves an entry behind: the least recently used go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tls_key);
	__type(value, struct tls_call);
} tls_calls SEC(".maps");

/* Calls under way, by whom: what socket the caller has used in it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tls_owner);
	__type(value, struct tls_socket);
} tls_sockets_in_call SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tls_connection);
	__type(value, struct tls_socket);
} tls_sockets SEC(".maps");

static __always_inline struct tls_owner tls_thread(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct tls_owner owner = { .id = id, .tgid = id >> 32, .library = RS_TLS_OPENSSL };

	return owner;
}

static __always_inline struct tls_owner tls_goroutine(u64 g)
{
	struct tls_owner owner = { .id = g, .tgid = bpf_get_current_pid_tgid() >> 32, .library = RS_TLS_GO };

	return owner;
}

static __always_inline void tls_enter(struct tls_key *key, struct tls_call *call)
{
	struct tls_socket none = { .fd = -1 };
	struct cpu_state *cpu;

	if (bpf_map_update_elem(&tls_calls, key, call, BPF_ANY)) {
		cpu = cpu_state();
		if (cpu)
			__sync_fetch_and_add(&cpu->counters.tls_calls_lost, 1);
		return;
	}
	bpf_map_update_elem(&tls_sockets_in_call, &key->owner, &none, BPF_ANY);
}

/* A read or write of whoever is in a TLS call: so this is the connection's socket. In sys_exit. */
__noinline int tls_saw_io(u64 g, u32 fd)
{
	struct tls_owner thread = tls_thread(), goroutine = tls_goroutine(g);
	struct tls_socket *socket = bpf_map_lookup_elem(&tls_sockets_in_call, &thread);
	struct file *file;

	if (!socket)
		socket = bpf_map_lookup_elem(&tls_sockets_in_call, &goroutine);
	if (!socket)
		return 0;
	file = fd_file(fd);
	if (!file || (READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket->file = (u64)file;
	socket->fd = fd;
	return 0;
}

/* A followed process opened a file: tell user space if it is a TLS library. In sys_exit. */
__noinline int tls_saw_open(u32 fd)
{
	struct file *file = fd_file(fd);
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct rs_library *e;
	char name[8] = {};
	struct subject s;
	u64 stored, size;

	if (!file || !cpu || !buf)
		return 0;
	bpf_probe_read_kernel(name, sizeof(name) - 1, READ(file, f_path.dentry, d_name.name));
	if (*(u32 *)name != 0x7362696c /* "libs" */ || name[4] != 's' || name[5] != 'l')
		return 0;
	s = subject(current_task(), bpf_get_current_pid_tgid() >> 32);
	if (!s.followed)
		return 0;
	e = (struct rs_library *)buf->data;
	__builtin_memset(e, 0, sizeof(*e));
	stored = store_file_path(file, sizeof(*e));
	e->path_len = STORED_LEN(stored);
	size = sizeof(*e) + e->path_len;
	barrier_var(size); /* the verifier must see the bound on the register that is used */
	if (size > PATHS_MAX || (STORED_FLAGS(stored) & PATH_TRUNCATED))
		return 0;
	control_header(&e->h, RS_CONTROL_LIBRARY, &s, 0);
	control_submit(cpu, e, size);
	return 0;
}

/* The connection's socket: seen in this call, or in an earlier one if it is still open. */
static __always_inline s32 tls_fd(struct tls_owner *owner, u64 address)
{
	struct tls_connection connection = { .address = address, .tgid = owner->tgid, .library = owner->library };
	struct tls_socket *socket = bpf_map_lookup_elem(&tls_sockets_in_call, owner);
	struct tls_socket seen;

	if (socket && socket->fd >= 0) {
		seen = *socket;
		bpf_map_update_elem(&tls_sockets, &connection, &seen, BPF_ANY);
	} else {
		socket = bpf_map_lookup_elem(&tls_sockets, &connection);
		if (!socket)
			return -1;
		seen = *socket;
	}
	return (u64)fd_file(seen.fd) == seen.file ? seen.fd : -1;
}

static __always_inline void tls_count_drop(struct cpu_state *cpu)
{
	__sync_fetch_and_add(&cpu->counters.dropped_ring[RS_CLASS_TLS], 1);
}

/* Builds the record in the ring, in a place of a size that is known here. */
static __always_inline void tls_store(struct cpu_state *cpu, struct rs_tls *e, u64 buffer, u32 room)
{
	struct rs_tls *record = bpf_ringbuf_reserve(&events, sizeof(*e) + room, 0);
	u64 len = e->captured;

	if (!record) {
		tls_count_drop(cpu);
		return;
	}
	*record = *e;
	barrier_var(len); /* the verifier must see the bound on the register that is used */
	if (len > room)
		len = room;
	if (bpf_probe_read_user(record + 1, len, (void *)buffer)) {
		record->captured = 0;
		record->flags |= RS_TLS_FAULT;
		__sync_fetch_and_add(&cpu->counters.read_fault, 1);
	}
	bpf_ringbuf_submit(record, wakeup(&cpu->waker, record->h.ts));
}

/* `atomic`: see above; a constant. */
static __always_inline void tls_emit(struct tls_owner *owner, struct tls_call *call, u64 buffer, u64 bytes, bool atomic)
{
	struct subject s = subject(current_task(), owner->tgid);
	struct proc *proc = bpf_map_lookup_elem(&procs, &owner->tgid);
	struct cpu_state *cpu = cpu_state();
	u32 limit = tls_bytes, len;
	struct rs_tls e = {};

	if (!s.followed || !cpu)
		return;
	control_header(&e.h, call->kind, &s, proc ? proc->exec_id : 0);
	e.connection = call->connection;
	e.bytes = bytes;
	e.library = owner->library;
	e.fd = tls_fd(owner, call->connection);
	len = bytes < limit ? bytes : limit;
	e.captured = len;
	if (atomic) {
		e.h.seq = __sync_fetch_and_add(&cpu->counters.next_seq, 1);
	} else {
		e.h.seq = cpu->counters.next_seq++;
	}
	__sync_fetch_and_add(&cpu->counters.emitted[RS_CLASS_TLS], 1);
	/* A reservation's size must be a constant: the next larger of these. */
	if (len <= 256)
		tls_store(cpu, &e, buffer, 256);
	else if (len <= 1024)
		tls_store(cpu, &e, buffer, 1024);
	else if (len <= 4096)
		tls_store(cpu, &e, buffer, 4096);
	else
		tls_store(cpu, &e, buffer, RS_TLS_DATA_MAX);
}

/* A call returned `ret`. `stack_end`: Go: where the goroutine's stack ends now. */
static __always_inline void tls_return(struct tls_key *key, s64 ret, u64 stack_end, bool atomic)
{
	struct tls_call *found = bpf_map_lookup_elem(&tls_calls, key);
	struct tls_call call;
	u64 bytes = ret;

	if (!found) /* it began before we were attached */
		return;
	call = *found;
	bpf_map_delete_elem(&tls_calls, key);
	if (ret > 0) {
		if (call.counter && bpf_probe_read_user(&bytes, sizeof(bytes), (void *)call.counter))
			bytes = 0;
		if (bytes)
			tls_emit(&key->owner, &call, call.on_stack ? stack_end - call.buffer : call.buffer, bytes,
				 atomic);
	}
	bpf_map_delete_elem(&tls_sockets_in_call, &key->owner);
}

/* SSL_read(ssl, buf, num), SSL_read_ex(ssl, buf, num, readbytes); the writes likewise. */
static __always_inline int ssl_enter(struct pt_regs *ctx, u32 kind, bool ex)
{
	struct tls_key key = { .owner = tls_thread(), .frame = ctx->sp };
	struct tls_call call = { .connection = ctx->di, .buffer = ctx->si, .counter = ex ? ctx->cx : 0, .kind = kind };

	if (subject(current_task(), key.owner.tgid).followed)
		tls_enter(&key, &call);
	return 0;
}

SEC("uprobe")
int on_ssl_read(struct pt_regs *ctx)
{
	return ssl_enter(ctx, RS_TLS_READ, false);
}

SEC("uprobe")
int on_ssl_read_ex(struct pt_regs *ctx)
{
	return ssl_enter(ctx, RS_TLS_READ, true);
}

SEC("uprobe")
int on_ssl_write(struct pt_regs *ctx)
{
	return ssl_enter(ctx, RS_TLS_WRITE, false);
}

SEC("uprobe")
int on_ssl_write_ex(struct pt_regs *ctx)
{
	return ssl_enter(ctx, RS_TLS_WRITE, true);
}

/* All four return here. The return address has been taken from the stack; the result is an int. */
static __always_inline int ssl_return(struct pt_regs *ctx, bool atomic)
{
	struct tls_key key = { .owner = tls_thread(), .frame = ctx->sp - 8 };

	tls_return(&key, (s32)ctx->ax, 0, atomic);
	return 0;
}

SEC("uprobe")
int on_ssl_return(struct pt_regs *ctx)
{
	return ssl_return(ctx, true);
}

SEC("uprobe")
int on_ssl_return_plain(struct pt_regs *ctx)
{
	return ssl_return(ctx, false);
}

/*
 * Go from 1.17 on passes arguments and results in registers (src/cmd/compile/abi-internal.md): receiver and buffer in
 * AX, BX (CX its length), the count back in AX, and the goroutine's g in R14. g begins with its stack's bounds
 * (src/runtime/runtime2.go). The runtime may move the stack during a call, so frames, and buffers on the stack, are counted
 * from its end.
 */
static __always_inline struct tls_key go_key(struct pt_regs *ctx, u64 *start, u64 *end)
{
	struct tls_key key = { .owner = tls_goroutine(ctx->r14) };
	u64 stack[2] = {};

	bpf_probe_read_user(stack, sizeof(stack), (void *)ctx->r14);
	*start = stack[0];
	*end = stack[1];
	key.frame = stack[1] - ctx->sp;
	return key;
}

static __always_inline int go_enter(struct pt_regs *ctx, u32 kind)
{
	struct tls_call call = { .connection = ctx->ax, .buffer = ctx->bx, .kind = kind };
	struct tls_key key;
	u64 start, end;

	if (!subject(current_task(), bpf_get_current_pid_tgid() >> 32).followed)
		return 0;
	key = go_key(ctx, &start, &end);
	if (call.buffer >= start && call.buffer < end) {
		call.on_stack = 1;
		call.buffer = end - call.buffer;
	}
	tls_enter(&key, &call);
	return 0;
}

SEC("uprobe")
int on_go_read(struct pt_regs *ctx)
{
	return go_enter(ctx, RS_TLS_READ);
}

SEC("uprobe")
int on_go_write(struct pt_regs *ctx)
{
	return go_enter(ctx, RS_TLS_WRITE);
}

/* At each RET instruction of both: a return probe would change the return address, which Go's stack walks trip over. */
static __always_inline int go_return(struct pt_regs *ctx, bool atomic)
{
	struct tls_key key;
	u64 start, end;

	if (!subject(current_task(), bpf_get_current_pid_tgid() >> 32).followed)
		return 0;
	key = go_key(ctx, &start, &end);
	tls_return(&key, ctx->ax, end, atomic);
	return 0;
}

SEC("uprobe")
int on_go_return(struct pt_regs *ctx)
{
	return go_return(ctx, true);
}

SEC("uprobe")
int on_go_return_plain(struct pt_regs *ctx)
{
	return go_return(ctx, false);
}

#endif
