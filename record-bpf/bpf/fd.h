/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Open descriptors of followed processes: what was read and written through each until it is closed. */
#ifndef RETROSCOPE_FD_H
#define RETROSCOPE_FD_H

static __always_inline u32 kind_of(struct file *file, u16 mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK: return FD_FILE;
	case S_IFSOCK:
		return sock_family(file_sock(file)) ? FD_SOCKET : FD_OTHER; /* a name opened with O_PATH has none */
	}
	return FD_OTHER;
}

static __always_inline bool fd_is_socket(s32 fd)
{
	struct file *file = fd_file(fd);

	return file && (READ(file, f_inode, i_mode) & S_IFMT) == S_IFSOCK;
}

/* The place of one of the lower descriptors of the current process; NULL: it is in the table. */
static __always_inline struct fd_state *fd_place(struct cpu_state *cpu, s32 fd)
{
	u32 at = cpu->fd_row * FD_ROW + (u32)fd;

	return cpu->fd_row && (u32)fd < FD_ROW ? bpf_map_lookup_elem(&fd_rows, &at) : NULL;
}

/* A descriptor of the current process that is open, as far as the programs know. After begin(). */
static __always_inline struct fd_state *fd_lookup(struct cpu_state *cpu, s32 fd)
{
	struct fd_key key = { .tgid = cpu->tgid, .fd = fd };
	struct fd_state *state = fd_place(cpu, fd);

	if (state)
		return state->file ? state : NULL;
	return bpf_map_lookup_elem(&fds, &key);
}

/* A descriptor was closed. */
static __always_inline void fd_forget(struct cpu_state *cpu, struct fd_state *state, s32 fd)
{
	struct fd_key key = { .tgid = cpu->tgid, .fd = fd };

	state->file = 0;
	if (!cpu->fd_row || (u32)fd >= FD_ROW)
		bpf_map_delete_elem(&fds, &key);
}

/* An entry in the table; NULL: it is full. */
static __noinline struct fd_state *fd_enter(struct cpu_state *cpu, s32 fd)
{
	struct fd_key key = { .tgid = cpu->tgid, .fd = fd };
	struct fd_state fresh = {};

	if (bpf_map_update_elem(&fds, &key, &fresh, BPF_ANY)) {
		cpu->counters.fd_table_full++;
		return NULL;
	}
	return bpf_map_lookup_elem(&fds, &key);
}

/*
 * Starts tracking a descriptor (again), after enter(). Returns its state, or NULL when the table is full or there is no such
 * file. A function of its own for the stack it needs: the paths of its callers go deep.
 */
static __noinline struct fd_state *fd_track(struct cpu_state *cpu, s32 fd, struct file *file)
{
	struct fd_state *state;
	struct inode *inode;
	struct proc *proc;

	if (!file)
		return NULL;
	state = fd_place(cpu, fd);
	if (!state)
		state = fd_enter(cpu, fd);
	if (!state)
		return NULL;
	if ((u32)fd > cpu->max_fd) {
		proc = proc_of(cpu, cpu->tgid);
		if (proc && (u32)fd > proc->max_fd)
			proc->max_fd = fd;
		cpu->max_fd = proc ? proc->max_fd : 0;
	}
	inode = READ(file, f_inode);
	state->rx = state->tx = 0;
	state->reads = state->writes = 0;
	state->mode = READ(inode, i_mode);
	state->inode = READ(inode, i_ino);
	state->dev = READ(inode, i_sb, s_dev);
	state->open_flags = READ(file, f_flags);
	state->kind = kind_of(file, state->mode);
	state->watch = 0;
	state->protocol = 0;
	state->told = 0;
	state->choice = UNDECIDED;
	state->file = (u64)file;
	if (state->kind == FD_SOCKET)
		state->watch = adopt_sock(untyped(file_sock(file)), cpu->exec_id, state->inode);
	return state;
}

/* Adds the bytes of a read (or, if `out`, a write) that returned `ret`. NULL if it failed or is not tracked. */
static __always_inline struct fd_state *fd_account(struct cpu_state *cpu, s32 fd, s64 ret, bool out)
{
	struct fd_state *state;

	if (ret < 0 || fd < 0)
		return NULL;
	state = fd_lookup(cpu, fd);
	if (!state)
		state = fd_track(cpu, fd, fd_file(fd));
	if (!state)
		return NULL;
	/* Two threads may share a descriptor. */
	if (out) {
		__sync_fetch_and_add(&state->tx, ret);
		__sync_fetch_and_add(&state->writes, 1);
	} else {
		__sync_fetch_and_add(&state->rx, ret);
		__sync_fetch_and_add(&state->reads, 1);
	}
	return state;
}

#endif
