/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From a filled record to the ring: sequence number, counters, wake-up. */
#ifndef RETROSCOPE_EMIT_H
#define RETROSCOPE_EMIT_H

static __always_inline bool class_on(enum rs_class class)
{
	return classes & (1u << class);
}

static __always_inline void fill_header(struct rs_header *h, u16 kind, struct subject *s, u64 exec_id, u32 tgid,
					u32 tid)
{
	h->ts = bpf_ktime_get_boot_ns();
	h->seq = 0;
	h->cgroup_id = s->cgroup_id;
	h->exec_id = exec_id;
	h->pid = tgid;
	h->tid = tid;
	h->kind = kind;
	h->cpu = bpf_get_smp_processor_id();
	h->flags = s->flags;
}

/* The header of a record that takes no sequence number. */
static __always_inline void control_header(struct rs_header *h, u16 kind, struct subject *s, u64 exec_id)
{
	u64 id = bpf_get_current_pid_tgid();

	fill_header(h, kind, s, exec_id, id >> 32, (u32)id);
}

/* Always wakes: events wait for what a control record says. */
static __always_inline void control_submit(struct cpu_state *cpu, void *record, u64 size)
{
	if (bpf_ringbuf_output(&events, record, size, BPF_RB_FORCE_WAKEUP))
		cpu->counters.control_dropped++;
}

/*
 * After begin(). Fills the header and takes the next number of this CPU's stream. A plain increment is enough: every program
 * that uses it runs in process context with preemption off (atomics that return a value need 5.12); for softirq see tcp.h.
 */
static __always_inline void header(struct rs_header *h, struct cpu_state *cpu, enum rs_class class, u16 kind,
				   struct subject *s, u64 exec_id)
{
	fill_header(h, kind, s, exec_id, cpu->tgid, cpu->tid);
	h->seq = cpu->counters.next_seq++;
	cpu->counters.emitted[class]++;
}

/* Waking costs an interrupt on this CPU and one on the consumer's: not more often than the latency asks for. */
static __always_inline u64 wakeup(struct waker *waker, u64 now)
{
	if (++waker->since < wakeup_batch || now - waker->at < wakeup_gap)
		return BPF_RB_NO_WAKEUP;
	waker->since = 0;
	waker->at = now;
	return BPF_RB_FORCE_WAKEUP;
}

/* `record` begins with an rs_header. False: there was no room, and the record is counted as dropped. */
static __always_inline bool submit(struct cpu_state *cpu, enum rs_class class, void *record, u64 size)
{
	if (!bpf_ringbuf_output(&events, record, size, wakeup(&cpu->waker, ((struct rs_header *)record)->ts)))
		return true;
	cpu->counters.dropped_ring[class]++;
	return false;
}

static __always_inline u64 new_exec_id(struct cpu_state *cpu)
{
	/* The CPU in the high bits makes ids unique without shared state; CPU 0 counts from 1 << 48, so that smaller
	 * ids are user space's, for processes that ran before. */
	return ((u64)bpf_get_smp_processor_id() + 1) << 48 | ++cpu->next_exec;
}

static __always_inline void new_proc(struct cpu_state *cpu, struct proc *proc)
{
	proc->exec_id = new_exec_id(cpu);
	if (bpf_map_pop_elem(&free_rows, &proc->fd_row))
		proc->fd_row = 0;
}

static __always_inline void free_row(u32 row)
{
	if (row)
		bpf_map_push_elem(&free_rows, &row, BPF_ANY);
}

/* The table is full, or another thread came first. */
static __always_inline void refused_proc(struct cpu_state *cpu, struct proc *proc)
{
	cpu->counters.proc_table_full++;
	free_row(proc->fd_row);
}

/* The incarnation of a process, made up on first sight. */
static __always_inline struct proc *proc_of(struct cpu_state *cpu, u32 tgid)
{
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct proc fresh = {};

	if (proc)
		return proc;
	new_proc(cpu, &fresh);
	if (bpf_map_update_elem(&procs, &tgid, &fresh, BPF_NOEXIST))
		refused_proc(cpu, &fresh);
	return bpf_map_lookup_elem(&procs, &tgid);
}

#endif
