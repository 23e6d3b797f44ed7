/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Other processes: from a number or a pidfd, as a caller names them, to the kernel's task. */
#ifndef RETROSCOPE_TASK_H
#define RETROSCOPE_TASK_H

/* The thread that a struct pid is the id of. */
static __always_inline struct task_struct *pid_task(struct pid *pid)
{
	struct hlist_node *node = READ(pid, tasks[0].first); /* PIDTYPE_PID */

	if (!node)
		return NULL;
	return (void *)node - bpf_core_field_offset(struct task_struct, pid_links[0]);
}

#define XA_SLOTS 64 /* XA_CHUNK_SIZE but with CONFIG_BASE_SMALL */
#define XA_DEPTH 6  /* 6 bits a level hold any pid */

/*
 * A thread by its id in the caller's pid namespace: the namespace's idr is an xarray of struct pid (include/linux/xarray.h:
 * an entry that ends in the bits 10 is an inner node). It may have ended since the caller named it.
 */
static __always_inline struct task_struct *find_task(u32 id)
{
	struct pid_namespace *ns = READ(own_upid(current_task()), ns);
	u64 entry = untyped_any(READ(ns, idr.idr_rt.xa_head));
	u32 i;

	for (i = 0; i < XA_DEPTH; i++) {
		struct xa_node *node = (void *)(entry - 2);
		u32 at;

		if ((entry & 3) != 2)
			break;
		at = id >> READ(node, shift);
		if (i == 0 && at >= XA_SLOTS)
			return NULL;
		entry = 0;
		bpf_probe_read_kernel(&entry, sizeof(entry),
				      (void *)__builtin_preserve_access_index(&node->slots[0]) +
					      (at & (XA_SLOTS - 1)) * sizeof(entry));
	}
	/* A lone entry is that of id 0; what still ends in 10 is no struct pid. */
	if (!i || !entry || (entry & 3))
		return NULL;
	return pid_task((struct pid *)entry);
}

/* The first 8 bytes of a file's name, as anonymous inodes have it. */
static __always_inline u64 name_begin(struct file *file)
{
	u64 found = 0;

	bpf_probe_read_kernel(&found, sizeof(found), READ(file, f_path.dentry, d_name.name));
	return found;
}

#define NAME_PIDFD 0x5d64666469705bull	     /* "[pidfd]" and its NUL, little-endian */
#define NAME_FSCONTEXT 0x65746e6f6373665bull /* "[fsconte" of "[fscontext]" */

/* The process behind a pidfd; NULL when the file is none, or the process is gone. */
static __always_inline struct task_struct *pidfd_task(struct file *file)
{
	struct pid *pid = NULL;

	if (!file)
		return NULL;
	if (READ(file, f_inode, i_sb, s_magic) == PID_FS_MAGIC)
		pid = READ(file, f_inode, i_private);
	else if (name_begin(file) == NAME_PIDFD) /* an anonymous inode before 6.9 */
		pid = READ(file, private_data);
	return pid ? pid_task(pid) : NULL;
}

#endif
