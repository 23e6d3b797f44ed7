/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* System calls that name files: what they are given, to records. */
#ifndef RETROSCOPE_FILE_CALLS_H
#define RETROSCOPE_FILE_CALLS_H

#define CWD ((u32)AT_FDCWD)
#define BOTH(a, b) ((u64)(u32)(b) << 32 | (u32)(a))

/* open_how.flags of openat2: the first u64. */
static __always_inline u32 how_flags(u64 how)
{
	u64 flags = 0;

	bpf_probe_read_user(&flags, sizeof(flags), (void *)how);
	return flags;
}

static __always_inline void on_open(struct pt_regs *regs, u64 nr, s64 ret)
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
	emit_open(dirfd, name, flags, ret);
}

/* The names of the call at hand as the kernel knows them; false: it was not attached to, or the call never came that far. */
static __always_inline bool kernel_names(struct rs_file *e, u32 kind, bool two)
{
	u32 off = sizeof(*e);
	u64 first, second;

	if (!kernel_paths)
		return false;
	first = named_take(kind, 0, off);
	if (!(STORED_FLAGS(first) & PATH_NAMED))
		return false;
	if (two) {
		second = named_take(kind, 1, off + STORED_LEN(first));
		if (!(STORED_FLAGS(second) & PATH_NAMED))
			return false;
		e->path2_len = STORED_LEN(second);
		file_flags(e, second);
	}
	e->path_len = STORED_LEN(first);
	file_flags(e, first);
	return true;
}

/*
 * A call by name; its other arguments are in the record that file_begin() began. `dirfds`: what relative names start
 * from, the second one's in the high half. `name2` and `attribute` are 0 where the call has none.
 */
__noinline int emit_named(u32 kind, u64 dirfds, u64 name, u64 name2, u64 attribute)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	u32 off = sizeof(struct rs_file);
	struct rs_file *e;
	u64 stored;

	if (!cpu || !buf)
		return 0;
	/* With AT_EMPTY_PATH the name may be NULL since 6.11: the call is on the descriptor. */
	if (!name && (s32)dirfds >= 0)
		return emit_by_fd(kind, (s32)dirfds, attribute);
	if (left_out(cpu, RS_CLASS_FILE))
		return 0;
	e = (struct rs_file *)buf->data;
	if (kernel_names(e, kind, name2)) {
		file_submit(buf, cpu, kind);
		return 0;
	}
	e->flags |= RS_FILE_PATH_USER;
	stored = store_user_path(name, (s32)dirfds, off);
	e->path_len = STORED_LEN(stored);
	e->base_len = STORED_BASE(stored);
	file_flags(e, stored);
	off += e->path_len + e->base_len;
	if (name2) {
		stored = store_user_path(name2, (s32)(dirfds >> 32), off);
		e->path2_len = STORED_LEN(stored);
		e->base2_len = STORED_BASE(stored);
		file_flags(e, stored);
		off += e->path2_len + e->base2_len;
	}
	if (attribute)
		file_attribute(buf, e, off, attribute);
	file_submit(buf, cpu, kind);
	return 0;
}

static __always_inline void set_owner(struct rs_file *e, u32 uid, u32 gid)
{
	e->uid = uid;
	e->gid = gid;
}

/* rename, link, symlink, unlink, rmdir, mkdir, mknod: names come and go. */
__noinline int on_entry_call(u64 nr, s64 ret)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct pt_regs *regs;
	struct rs_file *e;
	u32 kind;

	if (!cpu || !buf)
		return 0;
	regs = (struct pt_regs *)cpu->regs;
	e = file_begin(buf, -1, ret);
	switch (nr) {
	case NR_rename: return emit_named(RS_FILE_RENAME, BOTH(CWD, CWD), ARG1, ARG2, 0);
	case NR_renameat2: e->call_flags = ARG5; /* fall through */
	case NR_renameat: return emit_named(RS_FILE_RENAME, BOTH(ARG1, ARG3), ARG2, ARG4, 0);
	case NR_link: return emit_named(RS_FILE_LINK, BOTH(CWD, CWD), ARG1, ARG2, 0);
	case NR_linkat: e->call_flags = ARG5; return emit_named(RS_FILE_LINK, BOTH(ARG1, ARG3), ARG2, ARG4, 0);
	case NR_symlink: return emit_named(RS_FILE_SYMLINK, BOTH(NO_BASE, CWD), ARG1, ARG2, 0);
	case NR_symlinkat: return emit_named(RS_FILE_SYMLINK, BOTH(NO_BASE, ARG2), ARG1, ARG3, 0);
	case NR_unlink: return emit_named(RS_FILE_UNLINK, CWD, ARG1, 0, 0);
	case NR_rmdir: return emit_named(RS_FILE_RMDIR, CWD, ARG1, 0, 0);
	case NR_unlinkat:
		kind = ARG3 & AT_REMOVEDIR ? RS_FILE_RMDIR : RS_FILE_UNLINK;
		return emit_named(kind, (u32)ARG1, ARG2, 0, 0);
	case NR_mkdir: e->mode = ARG2 & 07777; return emit_named(RS_FILE_MKDIR, CWD, ARG1, 0, 0);
	case NR_mkdirat: e->mode = ARG3 & 07777; return emit_named(RS_FILE_MKDIR, (u32)ARG1, ARG2, 0, 0);
	case NR_mknod:
		e->mode = ARG2 & 0xffff;
		e->node = ARG3;
		return emit_named(RS_FILE_MKNOD, CWD, ARG1, 0, 0);
	case NR_mknodat:
		e->mode = ARG3 & 0xffff;
		e->node = ARG4;
		return emit_named(RS_FILE_MKNOD, (u32)ARG1, ARG2, 0, 0);
	}
	return 0;
}

/* chmod, chown, truncate, fallocate, extended attributes: what a file is like. */
__noinline int on_change_call(u64 nr, s64 ret)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct pt_regs *regs;
	struct rs_file *e;

	if (!cpu || !buf)
		return 0;
	regs = (struct pt_regs *)cpu->regs;
	e = file_begin(buf, -1, ret);
	switch (nr) {
	case NR_chmod: e->mode = ARG2 & 07777; return emit_named(RS_FILE_CHMOD, CWD, ARG1, 0, 0);
	case NR_fchmodat:
	case NR_fchmodat2: e->mode = ARG3 & 07777; return emit_named(RS_FILE_CHMOD, (u32)ARG1, ARG2, 0, 0);
	case NR_fchmod: e->mode = ARG2 & 07777; return emit_by_fd(RS_FILE_CHMOD, ARG1, 0);
	case NR_lchown: e->call_flags = AT_SYMLINK_NOFOLLOW; /* fall through */
	case NR_chown: set_owner(e, ARG2, ARG3); return emit_named(RS_FILE_CHOWN, CWD, ARG1, 0, 0);
	case NR_fchown: set_owner(e, ARG2, ARG3); return emit_by_fd(RS_FILE_CHOWN, ARG1, 0);
	case NR_fchownat:
		set_owner(e, ARG3, ARG4);
		e->call_flags = ARG5;
		return emit_named(RS_FILE_CHOWN, (u32)ARG1, ARG2, 0, 0);
	case NR_truncate: e->size = ARG2; return emit_named(RS_FILE_TRUNCATE, CWD, ARG1, 0, 0);
	case NR_ftruncate: e->size = ARG2; return emit_by_fd(RS_FILE_TRUNCATE, ARG1, 0);
	case NR_fallocate:
		e->call_flags = ARG2;
		e->offset = ARG3;
		e->size = ARG4;
		return emit_by_fd(RS_FILE_FALLOCATE, ARG1, 0);
	case NR_setxattr:
	case NR_lsetxattr: e->call_flags = ARG5; return emit_named(RS_FILE_SETXATTR, CWD, ARG1, 0, ARG2);
	case NR_fsetxattr: e->call_flags = ARG5; return emit_by_fd(RS_FILE_SETXATTR, ARG1, ARG2);
	case NR_setxattrat: return emit_named(RS_FILE_SETXATTR, (u32)ARG1, ARG2, 0, ARG4);
	case NR_removexattr:
	case NR_lremovexattr: return emit_named(RS_FILE_REMOVEXATTR, CWD, ARG1, 0, ARG2);
	case NR_fremovexattr: return emit_by_fd(RS_FILE_REMOVEXATTR, ARG1, ARG2);
	case NR_removexattrat: return emit_named(RS_FILE_REMOVEXATTR, (u32)ARG1, ARG2, 0, ARG4);
	}
	return 0;
}

#endif
