/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Privileges, namespaces, mounts, tracing, signals, kernel code, executable memory.
 *
 * A record carries the call's number and arguments as they were, which user space names, and what only the kernel knows once
 * the call has returned: credentials, the other process, the struct file, the namespace.
 */
#ifndef RETROSCOPE_SECURITY_H
#define RETROSCOPE_SECURITY_H

/* Actions of the system call dispatcher, beside its own. */
enum security_family {
	SECURITY_PROCESS = 32,
	SECURITY_MOUNT,
	SECURITY_CODE,
};

static __always_inline bool makes_namespaces(u64 flags)
{
	return flags & CLONE_NEW_ANY;
}

/* The low byte of clone's flags is a signal; that of clone3's is CLONE_NEWTIME's. */
static __always_inline u64 clone_flags(struct pt_regs *regs, u64 nr)
{
	u64 flags = 0;

	if (nr == NR_clone)
		return READ(regs, di) & ~0xffull;
	bpf_probe_read_user(&flags, sizeof(flags), (void *)READ(regs, di));
	return flags;
}

/* Whether a call of this family is one to record, before anything is spent on it. */
static __always_inline bool security_wanted(struct pt_regs *regs, u64 nr, s64 ret)
{
	switch (nr) {
	case NR_mmap:
	case NR_mprotect:
	case NR_pkey_mprotect: return (~READ(regs, dx) & (PROT_WRITE | PROT_EXEC)) == 0;
	case NR_clone:
	case NR_clone3:
		return makes_namespaces(clone_flags(regs, nr)) && ret != 0; /* 0: the child's return */
	/* What was sent is seen where it is generated; here is what was refused. */
	case NR_kill:
	case NR_tkill: return ret < 0 && (u32)READ(regs, si);
	case NR_tgkill: return ret < 0 && (u32)READ(regs, dx);
	/* But for these: their senders may write any si_code. */
	case NR_rt_sigqueueinfo: return (u32)READ(regs, si);
	case NR_rt_tgsigqueueinfo: return (u32)READ(regs, dx);
	case NR_pidfd_send_signal: return (u32)READ(regs, si) && (ret < 0 || READ(regs, dx));
	}
	return true;
}

static __always_inline struct rs_security *security_begin(struct scratch *buf, u32 nr, s64 ret)
{
	struct rs_security *e = (struct rs_security *)buf->data;

	__builtin_memset(e, 0, sizeof(*e));
	e->nr = nr;
	e->ret = ret;
	return e;
}

static __always_inline void security_creds(struct rs_security *e)
{
	const struct cred *cred = READ(current_task(), cred);

	e->flags |= RS_SEC_CREDS;
	e->uid = READ(cred, uid.val);
	e->euid = READ(cred, euid.val);
	e->suid = READ(cred, suid.val);
	e->fsuid = READ(cred, fsuid.val);
	e->gid = READ(cred, gid.val);
	e->egid = READ(cred, egid.val);
	e->sgid = READ(cred, sgid.val);
	e->fsgid = READ(cred, fsgid.val);
	bpf_core_read(&e->caps_effective, sizeof(u64), &cred->cap_effective);
	bpf_core_read(&e->caps_permitted, sizeof(u64), &cred->cap_permitted);
	bpf_core_read(&e->caps_inheritable, sizeof(u64), &cred->cap_inheritable);
}

static __always_inline void security_target(struct rs_security *e, struct task_struct *task)
{
	if (!task)
		return;
	e->flags |= RS_SEC_TARGET;
	e->target_pid = READ(task, tgid);
	e->target_cgroup = task_cgroup_id(task);
}

/* Where the next text goes. */
static __always_inline u32 security_end(struct rs_security *e)
{
	return sizeof(*e) + e->path_len + e->base_len + e->path2_len + e->base2_len + e->name_len + e->type_len;
}

static __always_inline void security_text_flags(struct rs_security *e, u64 stored)
{
	e->flags |= RS_SEC_TEXT;
	if (STORED_FLAGS(stored) & (PATH_TRUNCATED | PATH_FAULT))
		e->flags |= RS_SEC_TRUNCATED;
}

static __always_inline void security_user_path(struct rs_security *e, u64 address, s32 dirfd)
{
	u64 stored = store_user_path(address, dirfd, sizeof(*e));

	e->path_len = STORED_LEN(stored);
	e->base_len = STORED_BASE(stored);
	security_text_flags(e, stored);
	e->flags |= RS_SEC_TEXT_USER;
}

static __always_inline void security_user_path2(struct rs_security *e, u64 address, s32 dirfd)
{
	u64 stored = store_user_path(address, dirfd, security_end(e));

	e->path2_len = STORED_LEN(stored);
	e->base2_len = STORED_BASE(stored);
	security_text_flags(e, stored);
	e->flags |= RS_SEC_TEXT_USER;
}

static __always_inline void security_file_path(struct rs_security *e, struct file *file)
{
	u64 stored;

	if (!file)
		return;
	stored = store_file_path(file, sizeof(*e));
	e->path_len = STORED_LEN(stored);
	security_text_flags(e, stored);
}

/* A C string; bytes stored with its NUL. */
__noinline u32 store_text(u64 address, u32 off, u32 from_user)
{
	struct scratch *s = scratch();
	long n;

	if (!s || !address)
		return 0;
	off &= PATHS_MAX - 1;
	if (from_user)
		n = bpf_probe_read_user_str(&s->data[off], RS_NAME_MAX, (void *)address);
	else
		n = bpf_probe_read_kernel_str(&s->data[off], RS_NAME_MAX, (void *)address);
	return n > 0 ? n : 0;
}

static __always_inline u32 security_user_text(struct rs_security *e, u64 address)
{
	u32 len = store_text(address, security_end(e), 1);

	if (!address)
		return 0;
	e->flags |= RS_SEC_TEXT | RS_SEC_TEXT_USER;
	if (!len)
		e->flags |= RS_SEC_TRUNCATED;
	return len;
}

/* Source, name, type: in this order, after the paths. */
static __always_inline void security_source(struct rs_security *e, u64 address)
{
	e->path2_len = security_user_text(e, address);
}

static __always_inline void security_name(struct rs_security *e, u64 address)
{
	e->name_len = security_user_text(e, address);
}

static __always_inline void security_type(struct rs_security *e, u64 address)
{
	e->type_len = security_user_text(e, address);
}

static __always_inline void security_kernel_type(struct rs_security *e, const char *name)
{
	e->type_len = store_text(untyped_any(name), security_end(e), 0);
}

/* The filesystem type a configuration descriptor (fsopen, fspick) is for. */
static __always_inline void security_context_type(struct rs_security *e, struct file *file)
{
	struct fs_context *context;

	if (!file || name_begin(file) != NAME_FSCONTEXT)
		return;
	context = READ(file, private_data);
	security_kernel_type(e, READ(context, fs_type, name));
}

/* setns: by a file of nsfs, or by a pidfd. */
static __always_inline void security_namespace(struct rs_security *e, struct file *file)
{
	struct ns_common *ns;

	if (!file)
		return;
	if (READ(file, f_inode, i_sb, s_magic) == NSFS_MAGIC) {
		ns = READ(file, f_inode, i_private);
		e->value = READ(file, f_inode, i_ino);
		security_kernel_type(e, READ(ns, ops, name));
	} else {
		security_target(e, pidfd_task(file));
	}
}

/* One number of user memory. */
static __always_inline void security_value(struct rs_security *e, u64 address, u32 size)
{
	if (size == 8)
		bpf_probe_read_user(&e->value, 8, (void *)address);
	else
		bpf_probe_read_user(&e->value, 4, (void *)address);
}

__noinline int security_submit(u32 kind)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct rs_security *e;
	u64 size;

	if (!cpu || !buf)
		return 0;
	e = (struct rs_security *)buf->data;
	size = security_end(e);
	if (e->flags & RS_SEC_TRUNCATED)
		cpu->counters.path_truncated++;
	barrier_var(size); /* the verifier must see the bound on the register that is used */
	if (size > PATHS_MAX)
		return 0;
	header(&e->h, cpu, RS_CLASS_SECURITY, kind, &cpu->subject, cpu->exec_id);
	submit(cpu, RS_CLASS_SECURITY, buf->data, size);
	return 0;
}

#define CALL(call_kind, what) \
	kind = call_kind;     \
	what;                 \
	break

/* Mounts, by either interface. */
static __always_inline u32 security_mount(struct rs_security *e, u32 nr, s64 ret)
{
	u64 *arg = e->args;
	u32 kind = 0;

	switch (nr) {
	case NR_mount:
		CALL(RS_SECURITY_MOUNT, security_user_path(e, arg[1], AT_FDCWD); security_source(e, arg[0]);
		     security_type(e, arg[2]));
	case NR_umount2: CALL(RS_SECURITY_UMOUNT, security_user_path(e, arg[0], AT_FDCWD));
	case NR_pivot_root:
		CALL(RS_SECURITY_PIVOT_ROOT, security_user_path(e, arg[0], AT_FDCWD);
		     security_user_path2(e, arg[1], AT_FDCWD));
	case NR_fsopen:
		kind = RS_SECURITY_FSOPEN;
		if (ret >= 0)
			security_context_type(e, fd_file(ret));
		else
			security_type(e, arg[0]);
		break;
	case NR_fspick: CALL(RS_SECURITY_FSPICK, security_user_path(e, arg[1], arg[0]));
	case NR_fsconfig:
		kind = RS_SECURITY_FSCONFIG;
		if (arg[1] == 1 || arg[1] == 3 || arg[1] == 4) /* FSCONFIG_SET_STRING, _PATH, _PATH_EMPTY */
			security_source(e, arg[3]);
		security_name(e, arg[2]);
		security_context_type(e, fd_file(arg[0]));
		break;
	case NR_fsmount: CALL(RS_SECURITY_FSMOUNT, security_context_type(e, fd_file(arg[0])));
	case NR_move_mount:
		kind = RS_SECURITY_MOVE_MOUNT;
		security_user_path(e, arg[3], arg[2]);
		/* A mount moved by its own descriptor has no place it comes from, only a type. */
		if (arg[4] & MOVE_MOUNT_F_EMPTY_PATH) {
			struct file *file = fd_file(arg[0]);

			security_kernel_type(e, READ(file, f_inode, i_sb, s_type, name));
		} else {
			security_user_path2(e, arg[1], arg[0]);
		}
		break;
	case NR_open_tree:
		kind = RS_SECURITY_OPEN_TREE;
		/* A clone is detached: its own path says nothing. */
		if (ret >= 0 && !(arg[2] & OPEN_TREE_CLONE))
			security_file_path(e, fd_file(ret));
		else
			security_user_path(e, arg[1], arg[0]);
		break;
	case NR_mount_setattr:
		kind = RS_SECURITY_MOUNT_SETATTR;
		security_user_path(e, arg[1], arg[0]);
		security_value(e, arg[3], 8); /* mount_attr.attr_set */
		break;
	}
	return kind;
}

/* Processes: privileges, tracing, signals refused or queued, namespaces. */
static __always_inline u32 security_process(struct rs_security *e, struct pt_regs *regs, u32 nr, s64 ret)
{
	u64 *arg = e->args;
	u32 kind = 0;

	switch (nr) {
	case NR_setuid:
	case NR_setreuid:
	case NR_setresuid:
	case NR_setfsuid: CALL(RS_SECURITY_SETUID, security_creds(e));
	case NR_setgid:
	case NR_setregid:
	case NR_setresgid:
	case NR_setfsgid: CALL(RS_SECURITY_SETGID, security_creds(e));
	case NR_capset: CALL(RS_SECURITY_CAPSET, security_creds(e));
	case NR_ptrace:
		kind = RS_SECURITY_PTRACE;
		if (arg[0] != PTRACE_TRACEME)
			security_target(e, find_task(arg[1]));
		break;
	case NR_process_vm_readv:
	case NR_process_vm_writev: CALL(RS_SECURITY_PTRACE, security_target(e, find_task(arg[0])));
	case NR_pidfd_getfd: CALL(RS_SECURITY_PTRACE, security_target(e, pidfd_task(fd_file(arg[0]))));
	case NR_kill:
		kind = RS_SECURITY_KILL;
		if ((s32)arg[0] > 0) /* not a group */
			security_target(e, find_task(arg[0]));
		break;
	case NR_tkill:
	case NR_tgkill:
	case NR_rt_sigqueueinfo:
	case NR_rt_tgsigqueueinfo: CALL(RS_SECURITY_KILL, security_target(e, find_task(arg[0])));
	case NR_pidfd_send_signal: CALL(RS_SECURITY_KILL, security_target(e, pidfd_task(fd_file(arg[0]))));
	case NR_setns: CALL(RS_SECURITY_SETNS, security_namespace(e, fd_file(arg[0])));
	case NR_unshare: CALL(RS_SECURITY_UNSHARE, );
	case NR_clone:
	case NR_clone3:
		kind = RS_SECURITY_CLONE;
		e->value = clone_flags(regs, nr);
		if (ret > 0)
			security_target(e, find_task(ret));
		break;
	}
	return kind;
}

/* Code and memory. */
static __always_inline u32 security_code(struct rs_security *e, u32 nr, s64 ret)
{
	u64 *arg = e->args;
	u32 kind = 0;

	switch (nr) {
	case NR_memfd_create:
		kind = RS_SECURITY_MEMFD_CREATE;
		if (ret >= 0) {
			struct file *file = fd_file(ret);

			e->flags |= RS_SEC_TEXT;
			e->name_len = store_text(untyped_any(READ(file, f_path.dentry, d_name.name)), security_end(e),
						 0);
		} else {
			security_name(e, arg[0]);
		}
		break;
	case NR_mmap:
		kind = RS_SECURITY_MMAP;
		if (!(arg[3] & MAP_ANONYMOUS))
			security_file_path(e, fd_file(arg[4]));
		break;
	case NR_mprotect:
	case NR_pkey_mprotect: CALL(RS_SECURITY_MPROTECT, );
	case NR_init_module: CALL(RS_SECURITY_MODULE_LOAD, );
	case NR_finit_module: CALL(RS_SECURITY_MODULE_LOAD, security_file_path(e, fd_file(arg[0])));
	case NR_delete_module: CALL(RS_SECURITY_MODULE_UNLOAD, security_name(e, arg[0]));
	case NR_bpf:
		kind = RS_SECURITY_BPF;
		/* prog_name and map_name in union bpf_attr (include/uapi/linux/bpf.h) */
		if (arg[0] == BPF_CMD_PROG_LOAD)
			security_name(e, arg[1] + 48);
		else if (arg[0] == BPF_CMD_MAP_CREATE)
			security_name(e, arg[1] + 28);
		break;
	case NR_io_uring_setup: CALL(RS_SECURITY_IO_URING_SETUP, security_value(e, arg[1] + 8, 4)); /* params.flags */
	case NR_keyctl: CALL(RS_SECURITY_KEYCTL, );
	case NR_add_key: CALL(RS_SECURITY_ADD_KEY, security_name(e, arg[1]); security_type(e, arg[0]));
	case NR_request_key: CALL(RS_SECURITY_REQUEST_KEY, security_name(e, arg[1]); security_type(e, arg[0]));
	}
	return kind;
}

/* A call of the families above returned. Global functions: the verifier checks each family once. */
__noinline int emit_security(u32 nr, s64 ret, u32 family)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct rs_security *e;
	struct pt_regs *regs;
	u32 kind;

	if (!cpu || !buf)
		return 0;
	regs = (void *)cpu->regs;
	e = security_begin(buf, nr, ret);
	e->args[0] = READ(regs, di);
	e->args[1] = READ(regs, si);
	e->args[2] = READ(regs, dx);
	e->args[3] = READ(regs, r10);
	e->args[4] = READ(regs, r8);
	e->args[5] = READ(regs, r9);
	if (family == SECURITY_MOUNT)
		kind = security_mount(e, nr, ret);
	else if (family == SECURITY_PROCESS)
		kind = security_process(e, regs, nr, ret);
	else
		kind = security_code(e, nr, ret);
	if (kind)
		security_submit(kind);
	return 0;
}

/*
 * A signal on its way to another process, from kill, tkill, tgkill, or pidfd_send_signal without a siginfo: here the kernel
 * has resolved whom it means, a group too. Nobody can forge these two codes towards another process (do_rt_sigqueueinfo()
 * in kernel/signal.c); timers and the kernel itself use others, and those run in interrupts too.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int sig, struct kernel_siginfo *info, struct task_struct *task)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct cpu_state *cpu;
	struct scratch *buf;
	struct rs_security *e;
	s32 code;

	if ((u64)info <= 2) /* SEND_SIG_NOINFO, SEND_SIG_PRIV: the kernel's own */
		return 0;
	bpf_core_read(&code, sizeof(code), &info->si_code);
	if (code != SI_USER && code != SI_TKILL)
		return 0;
	if (READ(task, tgid) == tgid)
		return 0;
	cpu = cpu_state();
	buf = scratch();
	if (!cpu || !buf || !enter(cpu))
		return 0;
	e = security_begin(buf, code == SI_TKILL ? NR_tgkill : NR_kill, 0);
	e->value = sig;
	security_target(e, task);
	security_submit(RS_SECURITY_KILL);
	return 0;
}

#endif
