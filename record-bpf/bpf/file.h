/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Files: the record and its paths; what is done through a descriptor; close with bytes.
 *
 * A path comes from the struct file wherever there is one. For a failed open and for calls by name, the base tracepoints
 * offer none: the argument is copied from user memory when the call returns, and the row says so.
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
	e->inode = READ(file, f_inode, i_ino);
	e->dev = READ(file, f_inode, i_sb, s_dev);
	e->mode = READ(file, f_inode, i_mode);
}

static __always_inline struct rs_file *file_begin(struct scratch *buf, s32 fd, s32 ret)
{
	struct rs_file *e = (struct rs_file *)buf->data;

	__builtin_memset(e, 0, sizeof(*e));
	e->fd = fd;
	e->ret = ret;
	e->offset = RS_OFFSET_UNKNOWN;
	return e;
}

/* The path of a struct file; under another root than the recorder's also the way on, for the host's view of it. */
static __always_inline void file_path(struct scratch *buf, struct rs_file *e, struct file *file)
{
	u64 stored = store_file_path(file, sizeof(*e));

	e->path_len = STORED_LEN(stored);
	file_flags(e, stored);
	if (STORED_FLAGS(stored) & (PATH_HOST | PATH_TRUNCATED))
		return;
	e->inside_len = buf->walk.inside;
	stored = store_beyond(sizeof(*e) + e->path_len);
	e->beyond_len = STORED_LEN(stored);
	if (!(STORED_FLAGS(stored) & PATH_TRUNCATED))
		e->flags |= RS_FILE_OTHER_ROOT;
}

/* Completes the record that begins at buf->data, and sends it; false: it was dropped. */
static __always_inline bool file_submit(struct scratch *buf, struct cpu_state *cpu, u32 kind)
{
	struct rs_file *e = (struct rs_file *)buf->data;
	u64 size = sizeof(*e) + e->path_len + e->beyond_len + e->base_len + e->path2_len + e->base2_len + e->attr_len;

	if (e->flags & RS_FILE_PATH_TRUNCATED)
		cpu->counters.path_truncated++;
	if (e->flags & RS_FILE_PATH_FAULT)
		cpu->counters.read_fault++;
	barrier_var(size); /* the verifier must see the bound on the register that is used */
	if (size > PATHS_MAX)
		return false;
	header(&e->h, cpu, RS_CLASS_FILE, kind, &cpu->subject, cpu->exec_id);
	return submit(cpu, RS_CLASS_FILE, buf->data, size);
}

/* An open that returned `ret`. */
__noinline int emit_open(s32 dirfd, u64 name, u32 flags, s64 ret)
{
	struct file *file = ret >= 0 ? fd_file(ret) : NULL;
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct fd_state *state = NULL;
	struct rs_file *e;
	u64 stored;

	if (!cpu || !buf)
		return 0;
	if (file)
		state = fd_track(cpu, ret, file);
	if (state ? left_out_with(&cpu->crowd, &cpu->counters, RS_CLASS_FILE, &state->choice) :
		    left_out(cpu, RS_CLASS_FILE))
		return 0;
	e = file_begin(buf, file ? ret : -1, ret);
	e->call_flags = flags;
	if (file) {
		e->call_flags = READ(file, f_flags) | (flags & O_CREAT_EXCL_NOCTTY_TRUNC);
		if (state) {
			e->inode = state->inode;
			e->dev = state->dev;
			e->mode = state->mode;
		} else {
			file_identity(e, file);
		}
		file_path(buf, e, file);
		if (known_open(cpu, e)) {
			count_out(&cpu->counters, RS_CLASS_FILE, KNOWN);
			if (state)
				state->choice = KNOWN;
			return 0;
		}
	} else {
		stored = store_user_path(name, dirfd, sizeof(*e));
		e->flags |= RS_FILE_PATH_USER;
		e->path_len = STORED_LEN(stored);
		e->base_len = STORED_BASE(stored);
		file_flags(e, stored);
	}
	if (file_submit(buf, cpu, RS_FILE_OPEN) && state)
		state->told = 1;
	return 0;
}

/* Appends the name of an extended attribute. */
static __always_inline void file_attribute(struct scratch *buf, struct rs_file *e, u32 off, u64 address)
{
	long n;

	off &= PATHS_MAX - 1;
	n = bpf_probe_read_user_str(&buf->data[off], RS_NAME_MAX, (void *)address);
	if (n > 0)
		e->attr_len = n;
	else
		e->flags |= RS_FILE_PATH_FAULT;
}

/* A call on a descriptor; its other arguments are in the record that file_begin() began. `attribute`: a name, or 0. */
__noinline int emit_by_fd(u32 kind, s32 fd, u64 attribute)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct file *file = fd_file(fd);
	struct rs_file *e;
	u32 mode;

	if (!cpu || !buf || !file || left_out(cpu, RS_CLASS_FILE))
		return 0;
	e = (struct rs_file *)buf->data;
	e->fd = fd;
	mode = e->mode;
	file_identity(e, file);
	if (kind == RS_FILE_CHMOD)
		e->mode = mode;
	file_path(buf, e, file);
	if (attribute)
		file_attribute(buf, e, sizeof(*e) + e->path_len + e->beyond_len, attribute);
	file_submit(buf, cpu, kind);
	return 0;
}

/*
 * `same`: the struct file is still the descriptor's, so its path can be walked. It need not be where the open told it: user
 * space remembers.
 */
static __always_inline void emit_file_close(struct cpu_state *cpu, s32 fd, struct fd_state *state, bool same,
					    bool implicit)
{
	struct scratch *buf = scratch();
	struct rs_file *e;

	if (!buf || !class_on(RS_CLASS_FILE) ||
	    left_out_with(&cpu->crowd, &cpu->counters, RS_CLASS_FILE, &state->choice))
		return;
	e = file_begin(buf, fd, 0);
	e->inode = state->inode;
	e->dev = state->dev;
	e->mode = state->mode;
	e->call_flags = state->open_flags;
	e->bytes_read = state->rx;
	e->bytes_written = state->tx;
	e->reads = state->reads;
	e->writes = state->writes;
	if (implicit)
		e->flags |= RS_FILE_IMPLICIT_CLOSE;
	if (state->told) {
		e->flags |= RS_FILE_AS_OPENED;
		if (same && is_deleted((struct file *)state->file))
			e->flags |= RS_FILE_PATH_DELETED;
	} else if (same) {
		file_path(buf, e, (struct file *)state->file);
	}
	file_submit(buf, cpu, RS_FILE_CLOSE);
}

#endif
