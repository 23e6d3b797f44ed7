/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Every system call, or the set of calls each process incarnation makes. Programs of their own: none of this is loaded when
 * the class is off.
 */
#ifndef RETROSCOPE_SYSCALL_H
#define RETROSCOPE_SYSCALL_H

/*
 * Remembers the call that a thread enters. Its entry stays until the thread ends: one made and removed per call took 3.6 us
 * a getppid() where this takes 3.1, with the consumer on the second of two cores.
 */
static __always_inline void call_begin(struct pt_regs *regs, u64 nr)
{
	u64 id = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &id);

	if (!call) {
		struct call fresh = {};

		/* A full table costs the duration: the rows' nulls tell. */
		bpf_map_update_elem(&calls, &id, &fresh, BPF_ANY);
		call = bpf_map_lookup_elem(&calls, &id);
		if (!call)
			return;
	}
	call->nr = nr;
	call->args[0] = regs->di;
	call->args[1] = regs->si;
	call->args[2] = regs->dx;
	call->args[3] = regs->r10;
	call->args[4] = regs->r8;
	call->args[5] = regs->r9;
	call->start = bpf_ktime_get_boot_ns();
}

static __always_inline void call_submit(struct cpu_state *cpu, struct rs_syscall *e, struct call *call)
{
	header(&e->h, cpu, RS_CLASS_SYSCALL, RS_SYSCALL_CALL, &cpu->subject, cpu->exec_id);
	if (call && call->start) {
		__builtin_memcpy(e->args, call->args, sizeof(e->args));
		e->nr = call->nr;
		e->duration = e->h.ts - call->start;
		call->start = 0;
	}
	submit(cpu, RS_CLASS_SYSCALL, e, sizeof(*e));
}

/* Notes that a process made a call. */
static __always_inline void set_note(struct cpu_state *cpu, u64 nr)
{
	u32 tgid = cpu->tgid;
	struct call_set *set = bpf_map_lookup_elem(&call_sets, &tgid);
	u32 zero = 0;

	if (!set) {
		struct call_set *empty = bpf_map_lookup_elem(&empty_set, &zero);

		if (!empty)
			return;
		bpf_map_update_elem(&call_sets, &tgid, empty, BPF_NOEXIST);
		set = bpf_map_lookup_elem(&call_sets, &tgid);
		if (!set)
			return;
		set->exec_id = cpu->exec_id;
		set->cgroup_id = cpu->subject.cgroup_id;
	}
	barrier_var(nr); /* the verifier must see the bound on the register that is used */
	if (nr < RS_SYSCALL_SET_SIZE && !set->called[nr])
		set->called[nr] = 1;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_call_enter, struct pt_regs *regs, long nr)
{
	struct cpu_state *cpu = cpu_state();

	if (!cpu || !enter(cpu))
		return 0;
	if (READ(current_task(), thread_info.status) & TS_COMPAT) {
		cpu->counters.compat_syscalls++;
		return 0;
	}
	if (syscall_form == SYSCALL_CALLS)
		call_begin(regs, nr);
	else
		set_note(cpu, nr);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_call_exit, struct pt_regs *regs, long ret)
{
	struct cpu_state *cpu = cpu_state();
	struct rs_syscall e = {};
	struct call *call;
	u64 id;

	if (!cpu || !enter(cpu) || (READ(current_task(), thread_info.status) & TS_COMPAT))
		return 0;
	e.ret = ret;
	id = (u64)cpu->tgid << 32 | cpu->tid;
	call = bpf_map_lookup_elem(&calls, &id);
	if (!call || !call->start) {
		u64 nr = regs->orig_ax;

		/* A child's first return from fork is no call of its own. */
		if (!ret && (nr == NR_clone || nr == NR_clone3 || nr == NR_fork || nr == NR_vfork))
			return 0;
		e.flags = RS_SYSCALL_NO_ENTRY;
		e.nr = nr;
		e.args[0] = regs->di;
		e.args[1] = regs->si;
		e.args[2] = regs->dx;
		e.args[3] = regs->r10;
		e.args[4] = regs->r8;
		e.args[5] = regs->r9;
	}
	if (left_out_call(cpu, regs->orig_ax)) {
		if (call)
			call->start = 0;
		return 0;
	}
	call_submit(cpu, &e, call);
	return 0;
}

#endif
