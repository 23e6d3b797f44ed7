/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Paths of calls by name, from the kernel's own objects: where the kernel lets programs attach to its functions, one at
 * the entry of each security_path_*() hook (CONFIG_SECURITY_PATH) walks the dentry that the call is about to change. The
 * event itself is made when the call returns (emit_named), and takes the path from here.
 *
 * These programs can be preempted, so they share nothing with the tracepoints' per-CPU state: what a call of a thread names
 * is kept by thread. A call that fails before its hook leaves nothing; what an earlier one left (an open that creates or
 * truncates passes the hooks of mknod and truncate) is forgotten when the next call enters.
 */
#ifndef RETROSCOPE_NAMED_H
#define RETROSCOPE_NAMED_H

#define PATH_NAMED 0x10 /* beside the flags of path.h: there is a name, if only that of the root */

#define NAMED_MAX 8192 /* bytes of a path and a name; a power of two */

const volatile bool kernel_paths = false; /* the programs below are attached */

struct named_key {
	u32 tid;
	u32 which; /* 1: the second name of rename and link */
};

struct named {
	struct walk walk;
	u64 inode; /* 0: there is no such file yet */
	u32 kind;  /* the event that the call will be */
	u32 dev;
	u32 mode;
	u32 _pad;
	char names[NAMED_MAX + RS_NAME_MAX];
};

/* The least recently used go first: those of threads that ended, or that are no callers at all (io_uring's workers). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct named_key);
	__type(value, struct named);
} named SEC(".maps");

/* What an entry begins as: too large for the stack. Never written to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct named);
} named_empty SEC(".maps");

static __always_inline struct named_key named_key(u32 which)
{
	struct named_key key = { .tid = (u32)bpf_get_current_pid_tgid(), .which = which };

	return key;
}

__noinline int named_step(u32 which)
{
	struct named_key key = named_key(which);
	struct named *n = bpf_map_lookup_elem(&named, &key);

	return n ? walk_advance(&n->walk, n->names, NAMED_MAX - 1) : 0;
}

__noinline int named_steps(u32 which)
{
	int i;

	for (i = 0; i < WALK_INNER; i++) {
		if (!named_step(which))
			return 0;
	}
	return 1;
}

/* Keeps the path of a dentry that the current thread is about to change. */
__noinline int named_store(u32 kind, u32 which, u64 dentry, u64 mnt)
{
	struct named_key key = named_key(which);
	struct inode *inode;
	struct named *n;
	u32 zero = 0;
	int i;

	n = bpf_map_lookup_elem(&named_empty, &zero);
	if (!n || bpf_map_update_elem(&named, &key, n, BPF_ANY))
		return 0;
	n = bpf_map_lookup_elem(&named, &key);
	if (!n)
		return 0;
	inode = BPF_CORE_READ((struct dentry *)dentry, d_inode);
	if (inode) {
		n->inode = BPF_CORE_READ(inode, i_ino);
		n->dev = BPF_CORE_READ(inode, i_sb, s_dev);
		n->mode = BPF_CORE_READ(inode, i_mode);
	}
	walk_begin(&n->walk, dentry, mnt, 0);
	for (i = 0; i < WALK_OUTER; i++) {
		if (!named_steps(which))
			break;
	}
	n->kind = kind;
	return 0;
}

/* A system call by name begins. */
static __always_inline void named_forget(void)
{
	struct named_key key = named_key(0);

	bpf_map_delete_elem(&named, &key);
	key.which = 1;
	bpf_map_delete_elem(&named, &key);
}

/*
 * Puts a name into the record that file_begin() began, at `off`, if the kernel named it for this call: PATH_NAMED. With the
 * first name goes what the file is.
 */
__noinline u64 named_take(u32 kind, u32 which, u32 off)
{
	struct named_key key = named_key(which);
	struct scratch *s = scratch();
	struct rs_file *e;
	struct named *n;
	u64 len;

	/* Before 6.8 a function is verified even where nothing calls it, and the map is only there with the programs. */
	if (!kernel_paths)
		return 0;
	n = bpf_map_lookup_elem(&named, &key);
	if (!n || !s || n->kind != kind)
		return 0;
	len = n->walk.len;
	barrier_var(len); /* the verifier must see the bound on the register that is used */
	if (len > RS_PATH_MAX + RS_NAME_MAX)
		return 0;
	bpf_probe_read_kernel(&s->data[off & (PATHS_MAX - 1)], len, n->names);
	if (!which && n->inode) {
		e = (struct rs_file *)s->data;
		e->inode = n->inode;
		e->dev = n->dev;
		if (kind != RS_FILE_CHMOD) /* that has the mode asked for */
			e->mode = n->mode;
	}
	/* Whether the name was there is what the call's result tells. */
	return STORED(len, 0, PATH_NAMED | (n->walk.flags & PATH_TRUNCATED));
}

static __always_inline bool named_wanted(void)
{
	struct task_struct *task = current_task();

	return subject(task, bpf_get_current_pid_tgid() >> 32).followed &&
	       !(BPF_CORE_READ(task, thread_info.status) & TS_COMPAT);
}

static __always_inline int named_one(u32 kind, const struct path *dir, struct dentry *dentry)
{
	if (named_wanted())
		named_store(kind, 0, untyped_any(dentry), (u64)BPF_CORE_READ(dir, mnt));
	return 0;
}

static __always_inline int named_path(u32 kind, const struct path *path)
{
	return named_one(kind, path, BPF_CORE_READ(path, dentry));
}

static __always_inline int named_two(u32 kind, struct dentry *old, u64 old_mnt, struct dentry *new, u64 new_mnt)
{
	if (named_wanted()) {
		named_store(kind, 0, untyped_any(old), old_mnt);
		named_store(kind, 1, untyped_any(new), new_mnt);
	}
	return 0;
}

SEC("fentry/security_path_rename")
int BPF_PROG(on_path_rename, const struct path *old_dir, struct dentry *old, const struct path *new_dir,
	     struct dentry *new)
{
	return named_two(RS_FILE_RENAME, old, (u64)BPF_CORE_READ(old_dir, mnt), new, (u64)BPF_CORE_READ(new_dir, mnt));
}

/* Both names are on one mount, else the call fails before. */
SEC("fentry/security_path_link")
int BPF_PROG(on_path_link, struct dentry *old, const struct path *new_dir, struct dentry *new)
{
	u64 mnt = (u64)BPF_CORE_READ(new_dir, mnt);

	return named_two(RS_FILE_LINK, old, mnt, new, mnt);
}

SEC("fentry/security_path_unlink")
int BPF_PROG(on_path_unlink, const struct path *dir, struct dentry *dentry)
{
	return named_one(RS_FILE_UNLINK, dir, dentry);
}

SEC("fentry/security_path_rmdir")
int BPF_PROG(on_path_rmdir, const struct path *dir, struct dentry *dentry)
{
	return named_one(RS_FILE_RMDIR, dir, dentry);
}

SEC("fentry/security_path_mkdir")
int BPF_PROG(on_path_mkdir, const struct path *dir, struct dentry *dentry)
{
	return named_one(RS_FILE_MKDIR, dir, dentry);
}

SEC("fentry/security_path_mknod")
int BPF_PROG(on_path_mknod, const struct path *dir, struct dentry *dentry)
{
	return named_one(RS_FILE_MKNOD, dir, dentry);
}

SEC("fentry/security_path_chmod")
int BPF_PROG(on_path_chmod, const struct path *path)
{
	return named_path(RS_FILE_CHMOD, path);
}

SEC("fentry/security_path_chown")
int BPF_PROG(on_path_chown, const struct path *path)
{
	return named_path(RS_FILE_CHOWN, path);
}

SEC("fentry/security_path_truncate")
int BPF_PROG(on_path_truncate, const struct path *path)
{
	return named_path(RS_FILE_TRUNCATE, path);
}

#endif
