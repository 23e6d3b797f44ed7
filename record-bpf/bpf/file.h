/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Files: open, close with bytes, rename, unlink, chmod.
 *
 * A path comes from the struct file wherever there is one. For a failed open, and for rename, unlink and chmod by name,
 * the base tracepoints offer none: the argument is copied from user memory when the call returns, and the row says so.
 */
#ifndef RETROSCOPE_FILE_H
#define RETROSCOPE_FILE_H

static __always_inline void file_flags(struct rs_file *e, u64 stored)
{
	u32 flags = STORED_FLAGS(stored);

	if (flags & PATH_TRUNCATED)
		e->flags |= RS_FILE_PATH_TRUNCATED;
	if (flags & PATH_DELETED)
		e->flags |= RS_FILE_PATH_DELETED;
	if (flags & PATH_FAULT)
		e->flags |= RS_FILE_PATH_FAULT;
}

static __always_inline void file_identity(struct rs_file *e, struct file *file)
{
	e->inode = BPF_CORE_READ(file, f_inode, i_ino);
	e->dev = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	e->mode = BPF_CORE_READ(file, f_inode, i_mode);
}

static __always_inline struct rs_file *file_begin(struct scratch *buf, s32 fd, s32 ret)
{
	struct rs_file *e = (struct rs_file *)buf->data;

	__builtin_memset(e, 0, sizeof(*e));
	e->fd = fd;
	e->ret = ret;
	return e;
}

static __always_inline void file_submit(struct scratch *buf, struct cpu_state *cpu, struct subject *s, u32 kind,
					u32 tgid)
{
	struct rs_file *e = (struct rs_file *)buf->data;
	u64 size = sizeof(*e) + e->path_len + e->base_len + e->path2_len + e->base2_len;

	if (e->flags & RS_FILE_PATH_TRUNCATED)
		cpu->counters.path_truncated++;
	if (e->flags & RS_FILE_PATH_FAULT)
		cpu->counters.read_fault++;
	barrier_var(size); /* the verifier must see the bound on the register that is used */
	if (size > PATHS_MAX)
		return;
	header(&e->h, cpu, RS_CLASS_FILE, kind, s, exec_id_of(cpu, tgid));
	submit(cpu, RS_CLASS_FILE, buf->data, size);
}

static __always_inline void emit_open(struct cpu_state *cpu, struct subject *s, u32 tgid, s32 dirfd, u64 name,
				      u32 flags, s64 ret)
{
	struct scratch *buf = scratch();
	struct file *file = ret >= 0 ? fd_file(ret) : NULL;
	struct rs_file *e;
	u64 stored;

	if (file)
		fd_track(cpu, tgid, ret);
	if (!buf || !class_on(RS_CLASS_FILE))
		return;
	e = file_begin(buf, file ? ret : -1, ret);
	e->open_flags = flags;
	if (file) {
		stored = store_file_path(file, sizeof(*e));
		e->open_flags = BPF_CORE_READ(file, f_flags) | (flags & O_CREAT_EXCL_NOCTTY_TRUNC);
		file_identity(e, file);
	} else {
		stored = store_user_path(name, dirfd, sizeof(*e));
		e->flags |= RS_FILE_PATH_USER;
	}
	e->path_len = STORED_LEN(stored);
	e->base_len = STORED_BASE(stored);
	file_flags(e, stored);
	file_submit(buf, cpu, s, RS_FILE_OPEN, tgid);
}

/* rename, unlink and chmod by name. `name2` is 0 but for rename. */
__noinline int emit_named(u32 kind, u64 dirfds, u64 name, u64 name2, u64 mode_and_ret)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct subject s = subject(current_task(), tgid);
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	u32 off = sizeof(struct rs_file);
	struct rs_file *e;
	u64 stored;

	if (!s.followed || !cpu || !buf)
		return 0;
	e = file_begin(buf, -1, (s32)mode_and_ret);
	e->mode = mode_and_ret >> 32;
	e->flags |= RS_FILE_PATH_USER;
	stored = store_user_path(name, (s32)dirfds, off);
	e->path_len = STORED_LEN(stored);
	e->base_len = STORED_BASE(stored);
	file_flags(e, stored);
	if (name2) {
		off += e->path_len + e->base_len;
		stored = store_user_path(name2, (s32)(dirfds >> 32), off);
		e->path2_len = STORED_LEN(stored);
		e->base2_len = STORED_BASE(stored);
		file_flags(e, stored);
	}
	file_submit(buf, cpu, &s, kind, tgid);
	return 0;
}

static __always_inline void emit_fchmod(struct cpu_state *cpu, struct subject *s, u32 tgid, s32 fd, u32 mode, s64 ret)
{
	struct scratch *buf = scratch();
	struct file *file = fd_file(fd);
	struct rs_file *e;
	u64 stored;

	if (!buf || !file)
		return;
	e = file_begin(buf, fd, ret);
	file_identity(e, file);
	e->mode = mode & 07777;
	stored = store_file_path(file, sizeof(*e));
	e->path_len = STORED_LEN(stored);
	file_flags(e, stored);
	file_submit(buf, cpu, s, RS_FILE_CHMOD, tgid);
}

/* `same`: the struct file is still the descriptor's, so its path can be walked; user space knows the others' from the open. */
static __always_inline void emit_file_close(struct cpu_state *cpu, struct subject *s, u32 tgid, s32 fd,
					    struct fd_state *state, bool same, bool implicit)
{
	struct scratch *buf = scratch();
	struct rs_file *e;
	u64 stored;

	if (!buf || !class_on(RS_CLASS_FILE))
		return;
	e = file_begin(buf, fd, 0);
	e->inode = state->inode;
	e->dev = state->dev;
	e->mode = state->mode;
	e->open_flags = state->open_flags;
	e->bytes_read = state->rx;
	e->bytes_written = state->tx;
	e->reads = state->reads;
	e->writes = state->writes;
	if (implicit)
		e->flags |= RS_FILE_IMPLICIT_CLOSE;
	if (same) {
		stored = store_file_path((struct file *)state->file, sizeof(*e));
		e->path_len = STORED_LEN(stored);
		file_flags(e, stored);
	}
	file_submit(buf, cpu, s, RS_FILE_CLOSE, tgid);
}

#endif
