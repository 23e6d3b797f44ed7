/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Calls in progress and sets of calls: what the life of processes does to them. */
#ifndef RETROSCOPE_CALLS_H
#define RETROSCOPE_CALLS_H

#define SYSCALL_CALLS 1
#define SYSCALL_SETS 2

/* Set by user space before loading: 0, SYSCALL_CALLS or SYSCALL_SETS. */
const volatile u32 syscall_form = 0;

/* A call in progress. */
struct call {
	u64 start; /* CLOCK_BOOTTIME, ns; 0: the thread is in no call */
	u64 args[6];
	u64 nr;
};

/* User space reads those of processes that outlive the recording. */
struct call_set {
	u64 exec_id;
	u64 cgroup_id;
	u8 called[RS_SYSCALL_SET_SIZE];
};

/* By thread; user space shrinks what its form does not use. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32); /* tgid */
	__type(value, struct call_set);
} call_sets SEC(".maps");

/* Never written: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct call_set);
} empty_set SEC(".maps");

/*
 * Global functions, here and below: what they keep on the stack must not add to that of the deepest chain of calls, which
 * ends in a path walk (512 bytes at most for all of a chain).
 */

/* An exec gives its thread the id of the thread group: the call in progress goes with it. */
__noinline int calls_exec(u32 old_tid)
{
	u64 now = bpf_get_current_pid_tgid();
	u64 old = (now & ~0xffffffffull) | old_tid;
	struct call *call, moved;

	if (old == now)
		return 0;
	call = bpf_map_lookup_elem(&calls, &old);
	if (!call)
		return 0;
	moved = *call;
	bpf_map_update_elem(&calls, &now, &moved, BPF_ANY);
	bpf_map_delete_elem(&calls, &old);
	return 0;
}

/* A thread ends: the call it is in does not return. */
__noinline int calls_thread_exit(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct cpu_state *cpu = cpu_state();
	struct rs_syscall e = {};
	u32 tgid = id >> 32;
	struct proc *proc;
	struct call *call;

	call = bpf_map_lookup_elem(&calls, &id);
	if (!call || !cpu)
		return 0;
	if (begin(cpu) && call->start) {
		/* Looked up, not made up: another thread may have seen the process end already. */
		proc = bpf_map_lookup_elem(&procs, &tgid);
		header(&e.h, cpu, RS_CLASS_SYSCALL, RS_SYSCALL_CALL, &cpu->subject, proc ? proc->exec_id : 0);
		__builtin_memcpy(e.args, call->args, sizeof(e.args));
		e.nr = call->nr;
		e.duration = e.h.ts - call->start;
		e.flags = RS_SYSCALL_NO_RETURN;
		submit(cpu, RS_CLASS_SYSCALL, &e, sizeof(e));
	}
	bpf_map_delete_elem(&calls, &id);
	return 0;
}

/* A process incarnation ends: emits the set of its calls. */
static __always_inline void calls_incarnation_end(struct cpu_state *cpu, u32 tgid, u64 exec_id)
{
	struct scratch *buf = scratch();
	struct rs_syscall_set *e;
	struct call_set *set;

	if (syscall_form != SYSCALL_SETS || !buf)
		return;
	set = bpf_map_lookup_elem(&call_sets, &tgid);
	if (!set)
		return;
	e = (struct rs_syscall_set *)buf->data;
	bpf_probe_read_kernel(e->called, sizeof(e->called), set->called);
	bpf_map_delete_elem(&call_sets, &tgid);
	header(&e->h, cpu, RS_CLASS_SYSCALL, RS_SYSCALL_SET, &cpu->subject, exec_id);
	submit(cpu, RS_CLASS_SYSCALL, e, sizeof(*e));
}

static __always_inline void calls_forget(u32 tgid)
{
	if (syscall_form == SYSCALL_SETS)
		bpf_map_delete_elem(&call_sets, &tgid);
}

#endif
