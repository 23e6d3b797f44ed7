/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The recorder's kernel side: BTF raw tracepoints only, which load on every kernel from 5.10 on.
 * One file per hook family; this one dispatches system calls to them.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include "events.h"
#include "syscalls_x86_64.h"
#include "state.h"
#include "filter.h"
#include "emit.h"
#include "path.h"
#include "fd.h"
#include "file.h"
#include "network.h"
#include "process.h"
#include "flow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Keeps every wire struct in the object's BTF, for the layout test. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(
		value, struct {
			struct rs_fork fork;
			struct rs_exec exec;
			struct rs_exit exit;
			struct rs_file file;
			struct rs_network network;
			struct rs_cgroup cgroup;
			struct rs_flow_key flow_key;
			struct rs_flow flow;
		});
} wire_types SEC(".maps");

/* Closes one tracked descriptor: emits its totals and forgets it. */
__noinline int close_fd(u32 tgid, u32 fd, u32 implicit)
{
	struct subject s = subject(current_task(), tgid);
	struct fd_state *state = fd_lookup(tgid, fd);
	struct cpu_state *cpu = cpu_state();
	struct file *file;
	bool same;

	if (!state || !cpu || !s.followed)
		return 0;
	file = fd_file(fd);
	same = (u64)file == state->file;
	if (state->kind == FD_FILE)
		emit_file_close(cpu, &s, tgid, fd, state, same, implicit);
	else if (state->kind == FD_SOCKET)
		emit_socket_close(cpu, &s, tgid, fd, state, same, implicit);
	fd_forget(tgid, fd);
	return 0;
}

enum scan { SCAN_EXEC, SCAN_EXIT, SCAN_RANGE };

/* One descriptor of a scan; a function of its own, so that the verifier checks it once and not 1,024 times. */
__noinline int scan_fd(u32 tgid, u32 fd, u32 scan)
{
	struct fd_state *state = fd_lookup(tgid, fd);

	if (!state || (scan == SCAN_EXEC && (u64)fd_file(fd) == state->file))
		return 0;
	close_fd(tgid, fd, scan != SCAN_RANGE);
	return 0;
}

static __always_inline void scan_fds(u32 tgid, u32 first, u32 last, u32 scan)
{
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	u32 i;

	if (!proc)
		return;
	if (last > proc->max_fd)
		last = proc->max_fd;
	for (i = 0; i < FD_SCAN_MAX; i++) {
		if (first + i > last)
			break;
		scan_fd(tgid, first + i, scan);
	}
}

/* After an exec: the descriptors that close-on-exec took. At exit: all of them. */
__noinline int close_stale_fds(u32 tgid, u32 exiting)
{
	scan_fds(tgid, 0, ~0u, exiting ? SCAN_EXIT : SCAN_EXEC);
	return 0;
}

enum action {
	NONE,
	READ,
	WRITE,
	SENDFILE,
	SPLICE,
	OPEN,
	NAMED,
	SOCKET,
	CLOSE,
};

/* clang-format off */
static const u8 exit_action[NR_MAX] = {
	[NR_read] = READ, [NR_pread64] = READ, [NR_readv] = READ, [NR_preadv] = READ, [NR_preadv2] = READ,
	[NR_recvfrom] = READ, [NR_recvmsg] = READ,
	[NR_write] = WRITE, [NR_pwrite64] = WRITE, [NR_writev] = WRITE, [NR_pwritev] = WRITE, [NR_pwritev2] = WRITE,
	[NR_sendto] = WRITE, [NR_sendmsg] = WRITE,
	[NR_sendfile] = SENDFILE, [NR_splice] = SPLICE, [NR_copy_file_range] = SPLICE,
	[NR_open] = OPEN, [NR_openat] = OPEN, [NR_openat2] = OPEN, [NR_creat] = OPEN,
	[NR_rename] = NAMED, [NR_renameat] = NAMED, [NR_renameat2] = NAMED,
	[NR_unlink] = NAMED, [NR_unlinkat] = NAMED, [NR_rmdir] = NAMED,
	[NR_chmod] = NAMED, [NR_fchmodat] = NAMED, [NR_fchmodat2] = NAMED, [NR_fchmod] = NAMED,
	[NR_bind] = SOCKET, [NR_listen] = SOCKET, [NR_connect] = SOCKET, [NR_accept] = SOCKET, [NR_accept4] = SOCKET,
};
/* clang-format on */

#define ARG1 BPF_CORE_READ(regs, di)
#define ARG2 BPF_CORE_READ(regs, si)
#define ARG3 BPF_CORE_READ(regs, dx)
#define ARG4 BPF_CORE_READ(regs, r10)

/* open_how.flags of openat2: the first u64. */
static __always_inline u32 how_flags(u64 how)
{
	u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), (void *)how);
	return flags;
}

static __always_inline void on_open(struct pt_regs *regs, u64 nr, s64 ret, struct cpu_state *cpu, struct subject *s,
				    u32 tgid)
{
	s32 dirfd = AT_FDCWD;
	u64 name = ARG1;
	u32 flags = ARG2;

	if (nr == NR_creat) {
		flags = 01101; /* O_CREAT | O_WRONLY | O_TRUNC */
	} else if (nr != NR_open) {
		dirfd = ARG1;
		name = ARG2;
		flags = nr == NR_openat2 ? how_flags(ARG3) : ARG3;
	}
	emit_open(cpu, s, tgid, dirfd, name, flags, ret);
}

#define CWD ((u32)AT_FDCWD)
#define BOTH(a, b) ((u64)(u32)(b) << 32 | (u32)(a))

static __always_inline void on_named(struct pt_regs *regs, u64 nr, s64 ret, struct cpu_state *cpu, struct subject *s,
				     u32 tgid)
{
	u64 no_mode = BOTH(ret, 0);

	switch (nr) {
	case NR_rename: emit_named(RS_FILE_RENAME, BOTH(CWD, CWD), ARG1, ARG2, no_mode); break;
	case NR_renameat:
	case NR_renameat2: emit_named(RS_FILE_RENAME, BOTH(ARG1, ARG3), ARG2, ARG4, no_mode); break;
	case NR_unlink:
	case NR_rmdir: emit_named(RS_FILE_UNLINK, CWD, ARG1, 0, no_mode); break;
	case NR_unlinkat: emit_named(RS_FILE_UNLINK, (u32)ARG1, ARG2, 0, no_mode); break;
	case NR_chmod: emit_named(RS_FILE_CHMOD, CWD, ARG1, 0, BOTH(ret, ARG2 & 07777)); break;
	case NR_fchmodat:
	case NR_fchmodat2: emit_named(RS_FILE_CHMOD, (u32)ARG1, ARG2, 0, BOTH(ret, ARG3 & 07777)); break;
	case NR_fchmod: emit_fchmod(cpu, s, tgid, ARG1, ARG2, ret); break;
	}
}

static __always_inline void on_socket(struct pt_regs *regs, u64 nr, s64 ret)
{
	switch (nr) {
	case NR_bind: emit_socket(RS_NETWORK_BIND, ARG1, ARG2, ret); break;
	case NR_listen: emit_socket(RS_NETWORK_LISTEN, ARG1, ARG2, ret); break;
	case NR_connect: emit_socket(RS_NETWORK_CONNECT, ARG1, ARG2, ret); break;
	default: /* accept, accept4: there is a connection only when a descriptor came back */
		if (ret >= 0)
			emit_socket(RS_NETWORK_ACCEPT, ret, 0, ret);
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	u64 nr = BPF_CORE_READ(regs, orig_ax);
	u32 action = nr < NR_MAX ? exit_action[nr] : NONE;
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct cpu_state *cpu;
	struct subject s;

	if (action == NONE)
		return 0;
	s = subject(current_task(), tgid);
	cpu = cpu_state();
	if (!s.followed || !cpu)
		return 0;
	if (BPF_CORE_READ(current_task(), thread_info.status) & TS_COMPAT) {
		cpu->counters.compat_syscalls++;
		return 0;
	}
	introduce(cpu, tgid);
	switch (action) {
	case READ: fd_account(cpu, tgid, ARG1, ret, false); break;
	case WRITE: fd_account(cpu, tgid, ARG1, ret, true); break;
	case SENDFILE: /* out, in */
		fd_account(cpu, tgid, ARG1, ret, true);
		fd_account(cpu, tgid, ARG2, ret, false);
		break;
	case SPLICE: /* in, its offset, out */
		fd_account(cpu, tgid, ARG1, ret, false);
		fd_account(cpu, tgid, ARG3, ret, true);
		break;
	case OPEN: on_open(regs, nr, ret, cpu, &s, tgid); break;
	case NAMED:
		if (class_on(RS_CLASS_FILE))
			on_named(regs, nr, ret, cpu, &s, tgid);
		break;
	case SOCKET:
		if (class_on(RS_CLASS_NETWORK))
			on_socket(regs, nr, ret);
		break;
	}
	return 0;
}

/* A descriptor is looked at before the call takes it away. */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct subject s;
	u32 tgid;

	if (nr != NR_close && nr != NR_dup2 && nr != NR_dup3 && nr != NR_close_range)
		return 0;
	tgid = bpf_get_current_pid_tgid() >> 32;
	s = subject(current_task(), tgid);
	if (!s.followed || (BPF_CORE_READ(current_task(), thread_info.status) & TS_COMPAT))
		return 0;
	if (nr == NR_close) {
		close_fd(tgid, ARG1, 0);
	} else if (nr == NR_close_range) {
		if (!(ARG3 & CLOSE_RANGE_CLOEXEC))
			scan_fds(tgid, ARG1, ARG2, SCAN_RANGE);
	} else if ((u32)ARG1 != (u32)ARG2) {
		close_fd(tgid, ARG2, 1);
	}
	return 0;
}
