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
#include "read.h"
#include "state.h"
#include "filter.h"
#include "emit.h"
#include "thin.h"
#include "path.h"
#include "sock.h"
#include "fd.h"
#include "known.h"
#include "args.h"
#include "file.h"
#include "named.h"
#include "file_calls.h"
#include "file_io.h"
#include "network.h"
#include "calls.h"
#include "message.h"
#include "process.h"
#include "tcp.h"
#include "flow.h"
#include "tls.h"
#include "task.h"
#include "security.h"
#include "syscall.h"

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
			struct rs_security security;
			struct rs_syscall syscall;
			struct rs_syscall_set syscall_set;
			struct rs_unix_names unix_names;
			struct rs_dns dns;
			struct rs_cgroup cgroup;
			struct rs_flow_key flow_key;
			struct rs_flow flow;
			struct rs_tls tls;
			struct rs_library library;
		});
} wire_types SEC(".maps");

/* Why a descriptor is looked at. */
enum scan {
	SCAN_CLOSE,   /* it is being closed */
	SCAN_REPLACE, /* by dup2 */
	SCAN_EXEC,    /* a program was executed: was it closed by that? */
	SCAN_EXIT,    /* its process ended */
	SCAN_FORGET,  /* a process ended that is not followed any more */
};

/* Closes a descriptor, if it is tracked: emits its totals and forgets it. After begin(). */
__noinline int close_fd(u32 fd, u32 scan)
{
	bool same, implicit = scan != SCAN_CLOSE;
	struct cpu_state *cpu = cpu_state();
	struct fd_state *state;
	struct file *file;

	if (!cpu)
		return 0;
	state = fd_lookup(cpu, fd);
	if (!state)
		return 0;
	file = fd_file(fd);
	same = (u64)file == state->file;
	if (scan == SCAN_EXEC && same)
		return 0;
	if (scan != SCAN_FORGET && state->kind == FD_FILE)
		emit_file_close(cpu, fd, state, same, implicit);
	else if (scan != SCAN_FORGET && state->kind == FD_SOCKET)
		emit_socket_close(cpu, fd, state, same, implicit);
	fd_forget(cpu, state, fd);
	return 0;
}

#define SCAN_INNER 32 /* FD_SCAN_MAX in two loops, so that the verifier goes through 32 + 32 descriptors */

/* Up to SCAN_INNER descriptors. */
__noinline int scan_some(u32 first, u32 last, u32 scan)
{
	u32 i;

	for (i = 0; i < SCAN_INNER; i++) {
		if (first + i > last)
			break;
		close_fd(first + i, scan);
	}
	return 0;
}

static __always_inline void scan_fds(struct cpu_state *cpu, u32 first, u32 last, u32 scan)
{
	struct proc *proc = bpf_map_lookup_elem(&procs, &cpu->tgid);
	u32 i;

	if (!proc)
		return;
	cpu->fd_row = proc->fd_row; /* begin() does not look it up for who is not followed */
	if (last > proc->max_fd)
		last = proc->max_fd;
	for (i = 0; i < FD_SCAN_MAX / SCAN_INNER; i++) {
		if (first + i * SCAN_INNER > last)
			break;
		scan_some(first + i * SCAN_INNER, last, scan);
	}
}

/* After an exec: the descriptors that close-on-exec took. At exit: all of them, without a word if it is no longer followed. */
__noinline int close_stale_fds(u32 exiting)
{
	struct cpu_state *cpu = cpu_state();

	if (!cpu)
		return 0;
	if (begin(cpu))
		scan_fds(cpu, 0, ~0u, exiting ? SCAN_EXIT : SCAN_EXEC);
	else if (exiting)
		scan_fds(cpu, 0, ~0u, SCAN_FORGET);
	return 0;
}

enum action {
	NONE,
	READ,
	WRITE,
	SENDFILE,
	SPLICE,
	SEND_MESSAGES,
	RECEIVE_MESSAGES,
	OPEN,
	FILE_ENTRY,
	FILE_CHANGE,
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
	[NR_sendmmsg] = SEND_MESSAGES, [NR_recvmmsg] = RECEIVE_MESSAGES,
	[NR_rename] = FILE_ENTRY, [NR_renameat] = FILE_ENTRY, [NR_renameat2] = FILE_ENTRY,
	[NR_link] = FILE_ENTRY, [NR_linkat] = FILE_ENTRY, [NR_symlink] = FILE_ENTRY, [NR_symlinkat] = FILE_ENTRY,
	[NR_unlink] = FILE_ENTRY, [NR_unlinkat] = FILE_ENTRY, [NR_rmdir] = FILE_ENTRY,
	[NR_mkdir] = FILE_ENTRY, [NR_mkdirat] = FILE_ENTRY, [NR_mknod] = FILE_ENTRY, [NR_mknodat] = FILE_ENTRY,
	[NR_chmod] = FILE_CHANGE, [NR_fchmodat] = FILE_CHANGE, [NR_fchmodat2] = FILE_CHANGE, [NR_fchmod] = FILE_CHANGE,
	[NR_chown] = FILE_CHANGE, [NR_lchown] = FILE_CHANGE, [NR_fchown] = FILE_CHANGE, [NR_fchownat] = FILE_CHANGE,
	[NR_truncate] = FILE_CHANGE, [NR_ftruncate] = FILE_CHANGE, [NR_fallocate] = FILE_CHANGE,
	[NR_setxattr] = FILE_CHANGE, [NR_lsetxattr] = FILE_CHANGE, [NR_fsetxattr] = FILE_CHANGE,
	[NR_setxattrat] = FILE_CHANGE, [NR_removexattr] = FILE_CHANGE, [NR_lremovexattr] = FILE_CHANGE,
	[NR_fremovexattr] = FILE_CHANGE, [NR_removexattrat] = FILE_CHANGE,
	[NR_socket] = SOCKET, [NR_socketpair] = SOCKET,
	[NR_bind] = SOCKET, [NR_listen] = SOCKET, [NR_connect] = SOCKET, [NR_accept] = SOCKET, [NR_accept4] = SOCKET,
	[NR_setuid] = SECURITY_PROCESS, [NR_setreuid] = SECURITY_PROCESS, [NR_setresuid] = SECURITY_PROCESS,
	[NR_setfsuid] = SECURITY_PROCESS, [NR_setgid] = SECURITY_PROCESS, [NR_setregid] = SECURITY_PROCESS,
	[NR_setresgid] = SECURITY_PROCESS, [NR_setfsgid] = SECURITY_PROCESS, [NR_capset] = SECURITY_PROCESS,
	[NR_ptrace] = SECURITY_PROCESS, [NR_process_vm_readv] = SECURITY_PROCESS,
	[NR_process_vm_writev] = SECURITY_PROCESS, [NR_pidfd_getfd] = SECURITY_PROCESS,
	[NR_kill] = SECURITY_PROCESS, [NR_tkill] = SECURITY_PROCESS, [NR_tgkill] = SECURITY_PROCESS,
	[NR_rt_sigqueueinfo] = SECURITY_PROCESS, [NR_rt_tgsigqueueinfo] = SECURITY_PROCESS,
	[NR_pidfd_send_signal] = SECURITY_PROCESS, [NR_setns] = SECURITY_PROCESS, [NR_unshare] = SECURITY_PROCESS,
	[NR_clone] = SECURITY_PROCESS, [NR_clone3] = SECURITY_PROCESS,
	[NR_mount] = SECURITY_MOUNT, [NR_umount2] = SECURITY_MOUNT, [NR_pivot_root] = SECURITY_MOUNT,
	[NR_move_mount] = SECURITY_MOUNT, [NR_fsopen] = SECURITY_MOUNT, [NR_fspick] = SECURITY_MOUNT,
	[NR_fsconfig] = SECURITY_MOUNT, [NR_fsmount] = SECURITY_MOUNT, [NR_open_tree] = SECURITY_MOUNT,
	[NR_mount_setattr] = SECURITY_MOUNT,
	[NR_memfd_create] = SECURITY_CODE, [NR_mmap] = SECURITY_CODE, [NR_mprotect] = SECURITY_CODE,
	[NR_pkey_mprotect] = SECURITY_CODE, [NR_init_module] = SECURITY_CODE, [NR_finit_module] = SECURITY_CODE,
	[NR_delete_module] = SECURITY_CODE, [NR_bpf] = SECURITY_CODE, [NR_io_uring_setup] = SECURITY_CODE,
	[NR_keyctl] = SECURITY_CODE, [NR_add_key] = SECURITY_CODE, [NR_request_key] = SECURITY_CODE,
};
/* clang-format on */

static __always_inline void on_socket(struct pt_regs *regs, u64 nr, s64 ret)
{
	s32 pair[2];

	switch (nr) {
	case NR_socket:
		if (ret < 0)
			emit_no_socket(ARG1, ARG2, ARG3, ret);
		else
			emit_socket(RS_NETWORK_SOCKET, ret, ARG3, ret);
		break;
	case NR_socketpair: /* a row for each end */
		if (ret < 0) {
			emit_no_socket(ARG1, ARG2, ARG3, ret);
		} else if (!bpf_probe_read_user(pair, sizeof(pair), (void *)ARG4)) {
			emit_socket(RS_NETWORK_SOCKET, pair[0], ARG3, ret);
			emit_socket(RS_NETWORK_SOCKET, pair[1], ARG3, ret);
		}
		break;
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
	u64 nr = regs->orig_ax; /* a pointer the verifier knows: no helper call on the way every system call takes */
	u32 action = nr < NR_MAX ? exit_action[nr] : NONE;
	struct cpu_state *cpu;

	if (action == NONE)
		return 0;
	if (action >= SECURITY_PROCESS && (!class_on(RS_CLASS_SECURITY) || !security_wanted(regs, nr, ret)))
		return 0;
	if (action < SECURITY_PROCESS && !class_on(RS_CLASS_FILE) && !class_on(RS_CLASS_NETWORK) &&
	    !class_on(RS_CLASS_DNS) && !class_on(RS_CLASS_TLS))
		return 0;
	/* Where files are not recorded, most of what passes here is none of our business, whoever does it. */
	if (!class_on(RS_CLASS_FILE)) {
		if (action == FILE_ENTRY || action == FILE_CHANGE || (action == OPEN && !class_on(RS_CLASS_TLS)))
			return 0;
		if ((action == READ || action == WRITE) && !fd_is_socket(regs->di))
			return 0;
	}
	cpu = cpu_state();
	if (!cpu || !enter(cpu))
		return 0;
	if (READ(current_task(), thread_info.status) & TS_COMPAT) {
		if (!class_on(RS_CLASS_SYSCALL)) /* which counts every one */
			cpu->counters.compat_syscalls++;
		return 0;
	}
	cpu->regs = (u64)regs;
	if (class_on(RS_CLASS_TLS) && ret >= 0) {
		if (action == READ || action == WRITE)
			tls_saw_io(READ(regs, r14), ARG1);
		else if (action == OPEN)
			tls_saw_open(ret);
	}
	switch (action) {
	case READ: on_message(on_io(cpu, ARG1, ret, false, io_position(regs, nr)), nr, ret, false); break;
	case WRITE: on_message(on_io(cpu, ARG1, ret, true, io_position(regs, nr)), nr, ret, true); break;
	case SENDFILE: /* out, in, its offset */
		on_io(cpu, ARG1, ret, true, AT_POSITION);
		on_io(cpu, ARG2, ret, false, pointed_position(ARG3));
		break;
	case SPLICE: /* in, its offset, out, its offset */
		on_io(cpu, ARG1, ret, false, pointed_position(ARG2));
		on_io(cpu, ARG3, ret, true, pointed_position(ARG4));
		break;
	case SEND_MESSAGES:
	case RECEIVE_MESSAGES:
		account_messages(ARG1, ARG2, ret, action == SEND_MESSAGES);
		if (ret > 0)
			on_message(fd_lookup(cpu, ARG1), nr, ret, action == SEND_MESSAGES);
		break;
	case OPEN:
		if (class_on(RS_CLASS_FILE))
			on_open(regs, nr, ret);
		break;
	case FILE_ENTRY: on_entry_call(nr, ret); break;
	case FILE_CHANGE: on_change_call(nr, ret); break;
	case SOCKET:
		if (class_on(RS_CLASS_NETWORK) || class_on(RS_CLASS_DNS))
			on_socket(regs, nr, ret);
		break;
	case SECURITY_PROCESS:
	case SECURITY_MOUNT:
	case SECURITY_CODE: emit_security(nr, ret, action); break;
	}
	return 0;
}

/* A descriptor is looked at before the call takes it away. */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct cpu_state *cpu;

	if (kernel_paths && (u64)nr < NR_MAX && (exit_action[nr] == FILE_ENTRY || exit_action[nr] == FILE_CHANGE)) {
		named_forget();
		return 0;
	}
	if (nr != NR_close && nr != NR_dup2 && nr != NR_dup3 && nr != NR_close_range)
		return 0;
	if (nr == NR_close && !class_on(RS_CLASS_FILE) && !fd_is_socket(regs->di))
		return 0;
	cpu = cpu_state();
	if (!cpu || !begin(cpu) || (READ(current_task(), thread_info.status) & TS_COMPAT))
		return 0;
	if (nr == NR_close) {
		close_fd(ARG1, SCAN_CLOSE);
	} else if (nr == NR_close_range) {
		if (!(ARG3 & CLOSE_RANGE_CLOEXEC))
			scan_fds(cpu, ARG1, ARG2, SCAN_CLOSE);
	} else if ((u32)ARG1 != (u32)ARG2) {
		close_fd(ARG2, SCAN_REPLACE);
	}
	return 0;
}
