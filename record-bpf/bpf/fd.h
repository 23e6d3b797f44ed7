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

#define FD_KEPT 64 /* lower descriptors keep their entry when they are closed, for the next file they stand for */

/* The descriptor is open, as far as the programs know. */
static __always_inline struct fd_state *fd_lookup(u32 tgid, s32 fd)
{
	struct fd_key key = { .tgid = tgid, .fd = fd };
	struct fd_state *state = bpf_map_lookup_elem(&fds, &key);

	return state && state->file ? state : NULL;
}

/*
 * A descriptor was closed. Its entry costs less to keep than to remove and make anew; they go when the process ends, and
 * there are few: numbers are given out lowest first.
 */
static __always_inline void fd_forget(struct fd_state *state, u32 tgid, s32 fd)
{
	struct fd_key key = { .tgid = tgid, .fd = fd };

	state->file = 0;
	if ((u32)fd >= FD_KEPT)
		bpf_map_delete_elem(&fds, &key);
}

static __always_inline void fd_drop(u32 tgid, s32 fd)
{
	struct fd_key key = { .tgid = tgid, .fd = fd };

	bpf_map_delete_elem(&fds, &key);
}

/* An entry for a descriptor that has none; NULL: the table is full. */
static __noinline struct fd_state *fd_enter(struct cpu_state *cpu, u32 tgid, s32 fd)
{
	struct fd_key key = { .tgid = tgid, .fd = fd };
	struct fd_state fresh = {};
	struct proc *proc;

	if (bpf_map_update_elem(&fds, &key, &fresh, BPF_ANY)) {
		cpu->counters.fd_table_full++;
		return NULL;
	}
	if ((u32)fd > cpu->max_fd) {
		proc = proc_of(cpu, tgid);
		if (proc && (u32)fd > proc->max_fd)
			proc->max_fd = fd;
		cpu->max_fd = proc ? proc->max_fd : 0;
	}
	return bpf_map_lookup_elem(&fds, &key);
}

/*
 * Starts tracking a descriptor (again), after enter(). Returns its state, or NULL when the table is full or there is no such
 * file. A function of its own for the stack it needs: the paths of its callers go deep.
 */
static __noinline struct fd_state *fd_track(struct cpu_state *cpu, u32 tgid, s32 fd, struct file *file)
{
	struct fd_key key = { .tgid = tgid, .fd = fd };
	struct fd_state *state;
	struct inode *inode;

	if (!file)
		return NULL;
	state = bpf_map_lookup_elem(&fds, &key);
	if (!state)
		state = fd_enter(cpu, tgid, fd);
	if (!state)
		return NULL;
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
static __always_inline struct fd_state *fd_account(struct cpu_state *cpu, u32 tgid, s32 fd, s64 ret, bool out)
{
	struct fd_state *state;

	if (ret < 0 || fd < 0)
		return NULL;
	state = fd_lookup(tgid, fd);
	if (!state)
		state = fd_track(cpu, tgid, fd, fd_file(fd));
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
