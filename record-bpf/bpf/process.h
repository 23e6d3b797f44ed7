/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Process life: fork, exec, exit. */
#ifndef RETROSCOPE_PROCESS_H
#define RETROSCOPE_PROCESS_H

/* A process in its own pid namespace, the innermost it is in. */
static __always_inline struct upid *own_upid(struct task_struct *task)
{
	struct pid *pid = READ(task, group_leader, thread_pid);
	u32 level = READ(pid, level);

	/* The size of an entry differs from ours: CO-RE knows the kernel's. */
	return (void *)__builtin_preserve_access_index(&pid->numbers[0]) +
	       (level & 31) * bpf_core_type_size(struct upid);
}

static __always_inline u32 ns_pid(struct task_struct *task)
{
	return READ(own_upid(task), nr);
}

static __always_inline void exec_privileges(struct rs_exec *e, struct task_struct *task)
{
	const struct cred *cred = READ(task, cred);

	e->uid = READ(cred, euid.val);
	e->gid = READ(cred, egid.val);
	bpf_core_read(&e->caps_effective, sizeof(e->caps_effective), &cred->cap_effective);
	e->pid_ns = READ(own_upid(task), ns, ns.inum);
	e->mnt_ns = READ(task, nsproxy, mnt_ns, ns.inum);
	e->net_ns = READ(task, nsproxy, net_ns, ns.inum);
	e->user_ns = READ(cred, user_ns, ns.inum);
}

/*
 * Which layer of an overlayfs a file comes from. In struct ovl_inode the upper dentry follows the embedded inode, in every
 * kernel from 5.10 to 6.18 (fs/overlayfs/ovl_entry.h); the type itself is a module's where overlayfs is one.
 */
static __always_inline u32 overlay_flags(struct inode *inode)
{
	void *upper = NULL;

	if (READ(inode, i_sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
		return 0;
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + bpf_core_type_size(struct inode));
	return upper ? RS_EXEC_OVERLAY | RS_EXEC_UPPER : RS_EXEC_OVERLAY;
}

/*
 * What execve was given and the interpreter that runs instead. The kernel's copies: bprm->interp is bprm->filename until a
 * #! line or binfmt_misc changes it (bprm_change_interp() in fs/exec.c).
 */
__noinline int store_script(u64 bprm_at, u32 off)
{
	struct linux_binprm *bprm = (void *)bprm_at;
	struct scratch *s = scratch();
	struct rs_exec *e;
	const char *filename, *interp;
	long n;

	if (!s)
		return 0;
	e = (struct rs_exec *)s->data;
	filename = READ(bprm, filename);
	interp = READ(bprm, interp);
	if (filename == interp)
		return 0;
	off &= PATHS_MAX - 1;
	n = bpf_probe_read_kernel_str(&s->data[off], RS_PATH_MAX, filename);
	if (n <= 0)
		return 0;
	e->script_len = n;
	off = (off + n) & (PATHS_MAX - 1);
	n = bpf_probe_read_kernel_str(&s->data[off], RS_NAME_MAX, interp);
	if (n > 0)
		e->interp_len = n;
	return 0;
}

/* An unlinked file on an internal mount whose name the kernel begins with "memfd:" (mm/memfd.c). */
static __always_inline bool is_memfd(struct file *exe)
{
	char name[6] = {};

	if (READ(exe, f_inode, i_nlink))
		return false;
	bpf_probe_read_kernel(name, sizeof(name), READ(exe, f_path.dentry, d_name.name));
	return name[0] == 'm' && name[1] == 'e' && name[2] == 'm' && name[3] == 'f' && name[4] == 'd' && name[5] == ':';
}

#define USER_PAGE 4096

/* Where the i-th page boundary after `start` lies, counted from `start`. */
#define PAGE_END(start, i) ((u64)(i)*USER_PAGE - ((start) & (USER_PAGE - 1)))

/* Copies the part of argv on its i-th page; 0 at the end or where memory is missing. A function of its own, so that the
 * verifier need not follow its bounds through the loop. */
__noinline int store_argv_page(u64 start, u32 off, u32 len, u32 i)
{
	u64 from = i ? PAGE_END(start, i) : 0, to = PAGE_END(start, i + 1), at = off + from, n;
	struct scratch *s = scratch();

	if (!s || from >= len)
		return 0;
	n = (to < len ? to : len) - from;
	barrier_var(n); /* the verifier must see the bounds on the registers that are used */
	barrier_var(at);
	if (n > USER_PAGE || at > SCRATCH_SIZE - USER_PAGE)
		return 0;
	return !bpf_probe_read_user(&s->data[at], n, (void *)(start + from));
}

/* The argument vector from the new program's own stack, where the kernel just put it. */
static __always_inline u32 store_argv(struct scratch *s, u32 off, u64 start, u64 len)
{
	u64 end;
	u32 i;

	off &= PATHS_MAX - 1;
	barrier_var(len);
	if (len == 0 || len > RS_ARGV_MAX)
		return 0;
	if (!bpf_probe_read_user(&s->data[off], len, (void *)start))
		return len;
	/* A page is missing: keep what comes before it. */
	for (i = 0; i < RS_ARGV_MAX / USER_PAGE + 1; i++) {
		if (!store_argv_page(start, off, len, i))
			break;
	}
	end = i ? PAGE_END(start, i) : 0;
	return end < len ? end : len;
}

/*
 * Describes the program the current process runs: RS_PROCESS_EXEC after an exec, RS_CONTROL_PROCESS for a process that
 * was there before it was followed. `bprm` is the exec's, or 0.
 */
__noinline int emit_program(u32 kind, u64 exec_id, u64 prev_exec_id, u64 parent_exec_id, u64 bprm)
{
	struct task_struct *task = current_task();
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	u32 off = sizeof(struct rs_exec), argv_len, argv_stored;
	struct subject s = subject(task, bpf_get_current_pid_tgid() >> 32);
	struct rs_exec *e;
	struct file *exe;
	u64 start, stored, size;

	if (!cpu || !buf || !s.followed) /* judged since the caller looked */
		return 0;
	e = (struct rs_exec *)buf->data;
	__builtin_memset(e, 0, sizeof(*e));
	e->prev_exec_id = prev_exec_id;
	e->parent_exec_id = parent_exec_id;
	e->ppid = READ(task, real_parent, tgid);
	e->ns_pid = ns_pid(task);
	exec_privileges(e, task);
	bpf_get_current_comm(e->comm, sizeof(e->comm));

	exe = READ(task, mm, exe_file);
	if (exe) { /* none: a kernel thread */
		e->exe_inode = READ(exe, f_inode, i_ino);
		e->exe_dev = READ(exe, f_inode, i_sb, s_dev);
		stored = store_file_path(exe, off);
		e->exe_len = STORED_LEN(stored);
		off += STORED_LEN(stored);
		if (STORED_FLAGS(stored) & PATH_TRUNCATED)
			e->flags |= RS_EXEC_EXE_TRUNCATED;
		if (is_memfd(exe))
			e->flags |= RS_EXEC_MEMFD;
		else if ((STORED_FLAGS(stored) & PATH_DELETED) || !READ(exe, f_inode, i_nlink))
			e->flags |= RS_EXEC_DELETED;
		e->flags |= overlay_flags(READ(exe, f_inode));
		known_program(e, bpf_get_current_pid_tgid() >> 32);
	}
	stored = store_kernel_path(untyped(READ(task, fs, pwd.dentry)), untyped(READ(task, fs, pwd.mnt)), off);
	e->cwd_len = STORED_LEN(stored);
	off += STORED_LEN(stored);
	if (STORED_FLAGS(stored) & PATH_TRUNCATED)
		e->flags |= RS_EXEC_CWD_TRUNCATED;
	if (e->flags & (RS_EXEC_EXE_TRUNCATED | RS_EXEC_CWD_TRUNCATED))
		cpu->counters.path_truncated++;
	if (bprm) {
		store_script(bprm, off);
		off += (u32)e->script_len + e->interp_len;
	}

	start = READ(task, mm, arg_start);
	e->argv_total = READ(task, mm, arg_end) - start;
	argv_len = e->argv_total;
	if (argv_len > RS_ARGV_MAX) {
		argv_len = RS_ARGV_MAX;
		e->flags |= RS_EXEC_ARGV_TRUNCATED;
		cpu->counters.argv_truncated++;
	}
	argv_stored = store_argv(buf, off, start, argv_len);
	e->argv_len = argv_stored;
	if (argv_stored < argv_len) {
		e->flags |= RS_EXEC_ARGV_FAULT;
		cpu->counters.read_fault++;
	}
	size = (u64)argv_stored + off;
	barrier_var(size); /* the verifier must see the bound on the register that is used */
	if (size > SCRATCH_SIZE)
		return 0;
	if (kind == RS_PROCESS_EXEC) {
		header(&e->h, cpu, RS_CLASS_PROCESS, RS_PROCESS_EXEC, &s, exec_id);
		submit(cpu, RS_CLASS_PROCESS, buf->data, size);
		return 0;
	}
	control_header(&e->h, RS_CONTROL_PROCESS, &s, exec_id);
	control_submit(cpu, buf->data, size);
	return 0;
}

/* First sight of a followed process that did not fork or exec before our eyes. */
static __always_inline struct proc *introduce(struct cpu_state *cpu, u32 tgid)
{
	struct proc *proc = bpf_map_lookup_elem(&procs, &tgid);

	if (proc)
		return proc;
	proc = proc_of(cpu, tgid);
	if (proc)
		emit_program(RS_CONTROL_PROCESS, proc->exec_id, 0, 0, 0);
	return proc;
}

/* begin(), and the process by name: false if the current task is not followed. */
static __always_inline bool enter(struct cpu_state *cpu)
{
	if (!begin(cpu))
		return false;
	if (!cpu->exec_id)
		note_process(cpu, introduce(cpu, cpu->tgid));
	return true;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	pid_t child_tgid = READ(child, tgid);
	struct cpu_state *cpu = cpu_state();
	struct rs_fork event = {};
	struct proc to = {};
	struct subject s;
	bool followed;
	u32 one = 1, tgid;

	if (!cpu || READ(child, pid) != child_tgid) /* a thread */
		return 0;
	followed = begin(cpu);
	tgid = cpu->tgid;
	if ((filter_mode & FILTER_TREE) && followed && bpf_map_lookup_elem(&tree, &tgid))
		bpf_map_update_elem(&tree, &child_tgid, &one, BPF_ANY);
	/* The child may already be in another cgroup than its parent (CLONE_INTO_CGROUP). */
	s = subject(child, child_tgid);
	if (!s.followed)
		return 0;
	new_proc(cpu, &to);
	/* A parent that is not followed stays nameless; the child begins a tree. */
	if (followed && enter(cpu)) {
		to.parent_exec_id = cpu->exec_id;
		to.known_exe = known_exe_of(tgid);
	}
	if (bpf_map_update_elem(&procs, &child_tgid, &to, BPF_ANY))
		refused_proc(cpu, &to);
	if (!class_on(RS_CLASS_PROCESS))
		return 0;
	event.child_exec_id = to.exec_id;
	event.child_pid = child_tgid;
	event.child_ns_pid = ns_pid(child);
	header(&event.h, cpu, RS_CLASS_PROCESS, RS_PROCESS_FORK, &s, to.parent_exec_id);
	submit(cpu, RS_CLASS_PROCESS, &event, sizeof(event));
	return 0;
}

__noinline int close_stale_fds(u32 exiting);

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, pid_t old_tid, struct linux_binprm *bprm)
{
	struct cpu_state *cpu = cpu_state();
	struct proc *proc;
	u64 prev;
	u32 tgid;

	if (!cpu || !begin(cpu))
		return 0;
	tgid = cpu->tgid;
	close_stale_fds(0);
	proc = bpf_map_lookup_elem(&procs, &tgid);
	prev = proc ? proc->exec_id : 0;
	if (syscall_form == SYSCALL_CALLS)
		calls_exec(old_tid);
	calls_incarnation_end(cpu, tgid, prev);
	proc = proc_of(cpu, tgid);
	if (!proc)
		return 0;
	if (prev)
		proc->exec_id = new_exec_id(cpu);
	new_epoch();
	if (class_on(RS_CLASS_PROCESS))
		emit_program(RS_PROCESS_EXEC, proc->exec_id, prev, proc->parent_exec_id, argument(ctx, 2));
	else
		emit_program(RS_CONTROL_PROCESS, proc->exec_id, prev, proc->parent_exec_id, argument(ctx, 2));
	return 0;
}

/* Processes that ended lately. */
struct ended {
	u64 start; /* CLOCK_BOOTTIME, ns: tells two processes of the same id apart */
	u64 tgid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct ended);
	__type(value, u32);
} ended SEC(".maps");

/*
 * Whether this thread is the first to come here after the last one was counted out: two that end at once may both find none
 * left (the tracepoint comes after the count, and before 6.15 after exit_mm() too).
 */
static __always_inline bool first_to_end(struct task_struct *task, u32 tgid)
{
	struct ended key = { .start = READ(task, group_leader, start_boottime), .tgid = tgid };
	u32 one = 1;

	return bpf_map_update_elem(&ended, &key, &one, BPF_NOEXIST) != -EEXIST;
}

/* The row of a process that ended. A function of its own for its stack: beside it the descriptors are closed. */
__noinline int emit_exit(void)
{
	struct task_struct *task = current_task();
	struct signal_struct *signal = READ(task, signal);
	struct cpu_state *cpu = cpu_state();
	struct rs_exit event = {};

	if (!cpu)
		return 0;
	event.utime = READ(signal, utime) + READ(task, utime);
	event.stime = READ(signal, stime) + READ(task, stime);
	event.runtime = READ(signal, sum_sched_runtime) + READ(task, se.sum_exec_runtime);
	event.max_rss = READ(signal, maxrss);
	event.status = (READ(signal, flags) & SIGNAL_GROUP_EXIT) ? READ(signal, group_exit_code) :
								   READ(task, exit_code);
	header(&event.h, cpu, RS_CLASS_PROCESS, RS_PROCESS_EXIT, &cpu->subject, cpu->exec_id);
	submit(cpu, RS_CLASS_PROCESS, &event, sizeof(event));
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct cpu_state *cpu = cpu_state();
	struct proc *proc;
	u32 tgid, row;

	if (!cpu)
		return 0;
	if (syscall_form == SYSCALL_CALLS)
		calls_thread_exit();
	/* `live` was decremented before this tracepoint, on every kernel from 5.10 to 6.18. */
	if (READ(task, signal, live.counter))
		return 0;
	if (begin(cpu)) {
		tgid = cpu->tgid;
		if (!first_to_end(task, tgid))
			return 0;
		enter(cpu);
		close_stale_fds(1);
		calls_incarnation_end(cpu, tgid, cpu->exec_id);
		if (class_on(RS_CLASS_PROCESS))
			emit_exit();
	} else {
		tgid = cpu->tgid;
		close_stale_fds(1);
	}
	calls_forget(tgid);
	proc = bpf_map_lookup_elem(&procs, &tgid);
	row = proc ? proc->fd_row : 0;
	if (!bpf_map_delete_elem(&procs, &tgid))
		free_row(row);
	if (filter_mode & FILTER_TREE)
		bpf_map_delete_elem(&tree, &tgid);
	return 0;
}

/* A task went to another cgroup. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach)
{
	new_epoch();
	return 0;
}

/* A new cgroup: user space decides whether it is a container to follow. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct subject s = {};
	struct rs_cgroup *e;

	if (!(filter_mode & FILTER_CGROUP) || !cpu || !buf || READ(cgroup, root, hierarchy_id) != hierarchy_id)
		return 0;
	e = (struct rs_cgroup *)buf->data;
	s.cgroup_id = READ(cgroup, kn, id);
	control_header(&e->h, RS_CONTROL_CGROUP, &s, 0);
	if (bpf_probe_read_kernel_str(e->path, sizeof(e->path), path) < 0)
		e->path[0] = 0;
	control_submit(cpu, e, sizeof(*e));
	return 0;
}

#endif
