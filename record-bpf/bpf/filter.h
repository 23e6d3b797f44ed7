/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who is followed: decided here, in the kernel, before an event exists. */
#ifndef RETROSCOPE_FILTER_H
#define RETROSCOPE_FILTER_H

static __always_inline int subsys_index(void)
{
	switch (controller) {
	case 1: return bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);
	case 2: return bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	case 3: return bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
	case 4: return bpf_core_enum_value(enum cgroup_subsys_id, cpuset_cgrp_id);
	case 5: return bpf_core_enum_value(enum cgroup_subsys_id, devices_cgrp_id);
	case 6: return bpf_core_enum_value(enum cgroup_subsys_id, freezer_cgrp_id);
	}
	return 0;
}

static __always_inline u64 task_cgroup_id(struct task_struct *task)
{
	struct css_set *set = READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;

	if (!controller)
		return READ(set, dfl_cgrp, kn, id);
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)((u64)__builtin_preserve_access_index(&set->subsys[0])) +
				      subsys_index() * sizeof(css));
	return READ(css, cgroup, kn, id);
}

/* Both are pinned while the recorder lives; until they are known, paths are taken as another root's. */
static __always_inline void learn_host_root(void)
{
	if (host_root)
		return;
	host_root_mnt = (u64)READ(current_task(), fs, root.mnt);
	host_root = (u64)READ(current_task(), fs, root.dentry);
}

static __always_inline struct subject subject(struct task_struct *task, u32 tgid)
{
	struct subject s = {};
	u32 *verdict;

	if (tgid == self_tgid) {
		learn_host_root();
		return s;
	}
	s.cgroup_id = task_cgroup_id(task);
	if ((filter_mode & FILTER_TREE) && bpf_map_lookup_elem(&tree, &tgid)) {
		s.followed = true;
		return s;
	}
	if (filter_mode & FILTER_CGROUP) {
		verdict = bpf_map_lookup_elem(&verdicts, &s.cgroup_id);
		if (!verdict)
			s.flags = RS_F_PENDING;
		s.followed = !verdict || VERDICT(*verdict) == VERDICT_FOLLOW;
		s.profile = verdict ? *verdict >> 16 : 0;
	}
	return s;
}

static __always_inline void new_epoch(void)
{
	__sync_fetch_and_add(&task_epoch, 1);
}

/* What is kept of the current process; `proc`: NULL if it is not introduced. */
static __always_inline void note_process(struct cpu_state *cpu, struct proc *proc)
{
	cpu->exec_id = proc ? proc->exec_id : 0;
	cpu->fd_row = proc ? proc->fd_row : 0;
	cpu->max_fd = proc ? proc->max_fd : 0;
}

/*
 * Looks at the current task once per event; false: it is not followed. The functions a program calls find the answer, and
 * so does the next event of this task on this CPU: most come in rows.
 */
static __always_inline bool begin(struct cpu_state *cpu)
{
	/* Read before the tables: a change that comes in between makes the answer old at once. Both only grow. */
	u64 epoch = *(volatile u64 *)&task_epoch + *(volatile u64 *)&user_epoch;
	struct task_struct *task = current_task();
	u64 start = READ(task, start_boottime); /* the memory of a task that ended is used again */
	u64 set = untyped(READ(task, cgroups));

	/* Who is not introduced may be by now, on another CPU. */
	if (cpu->task == (u64)task && cpu->task_start == start && cpu->css_set == set && cpu->epoch == epoch &&
	    (cpu->exec_id || !cpu->subject.followed))
		return cpu->subject.followed;
	cpu->tgid = READ(task, tgid);
	cpu->tid = READ(task, pid);
	cpu->subject = subject(task, cpu->tgid);
	note_process(cpu, cpu->subject.followed ? bpf_map_lookup_elem(&procs, &cpu->tgid) : NULL);
	/* The recorder's own calls teach its root each time. */
	cpu->task = cpu->tgid == self_tgid ? 0 : (u64)task;
	cpu->task_start = start;
	cpu->css_set = set;
	cpu->epoch = epoch;
	return cpu->subject.followed;
}

#endif
