/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Paths into the scratch record. A kernel path is walked from the dentry to the task's root across mounts, as d_path()
 * does, and stored leaf first. Global functions: the verifier checks each once, not per caller.
 */
#ifndef RETROSCOPE_PATH_H
#define RETROSCOPE_PATH_H

/* Steps of a walk, two loops deep, so that the verifier goes through 64 + 33 of them: names in RS_PATH_MAX bytes, and some
 * mounts. */
#define WALK_OUTER 33
#define WALK_INNER 64

#define PATH_TRUNCATED 0x1
#define PATH_DELETED 0x2
#define PATH_FAULT 0x4
#define PATH_HOST 0x8 /* the walk ended at the recorder's own root */

/* Packed result: bytes stored, bytes of the base path that follow, and flags. */
#define STORED(len, base, flags) ((u64)(len) | (u64)(base) << 16 | (u64)(flags) << 32)
#define STORED_LEN(r) ((u32)(r)&0x7fff)
#define STORED_BASE(r) ((u32)((r) >> 16) & 0x7fff)
#define STORED_FLAGS(r) ((u32)((r) >> 32))

#define NAME_WORDS \
	5 /* 40 bytes: names up to that length, nearly all, lie in the dentry itself (d_iname, d_shortname) */

/* Bytes of a word up to its first NUL and with it; 0: it has none. (Warren, Hacker's Delight, 6-1) */
static __always_inline u32 nul_in(u64 word)
{
	u64 found = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;

	/* Isolates the lowest mark, and looks up which byte it is in by the position it takes in a product. */
	return found ? ((((found & -found) >> 7) * 0x0102030405060708ULL) >> 56) & 15 : 0;
}

/* Copies a short name, a load for 8 bytes; its length with the NUL, 0: it is not short. `to` has room for NAME_WORDS words. */
static __always_inline u32 short_name(char *to, u64 from)
{
	u32 i, n;
	u64 word;

#pragma unroll
	for (i = 0; i < NAME_WORDS; i++) {
		word = read_word(from + 8 * i);
		*(u64 *)(to + 8 * i) = word;
		n = nul_in(word);
		if (n)
			return 8 * i + n;
	}
	return 0;
}

/* Appends one name to the walk's path. `mask`: one less than the size of `names`, which has room for a name more. */
static __always_inline void walk_name(struct walk *walk, char *names, u32 mask, struct dentry *dentry)
{
	const unsigned char *name = READ(dentry, d_name.name);
	char *to = &names[(walk->start + walk->len) & mask];
	long n = 0;

	if (DIRECT_READS)
		n = short_name(to, (u64)name);
	if (!n)
		n = bpf_probe_read_kernel_str(to, RS_NAME_MAX, name);
	if (n > 0)
		walk->len += n;
}

static __always_inline bool is_unlinked(struct dentry *dentry, struct dentry *parent)
{
	return parent != dentry && !READ(dentry, d_hash.pprev);
}

/* The walk leaves the mount it began in, or ends in it. */
static __always_inline void walk_leave(struct walk *walk, struct dentry *dentry)
{
	if (walk->left)
		return;
	walk->left = (u64)dentry;
	walk->inside = walk->len;
}

static __always_inline int walk_end(struct walk *walk, struct dentry *dentry)
{
	walk_leave(walk, dentry);
	walk->flags &= ~PATH_TRUNCATED;
	return 0;
}

static __always_inline void walk_begin(struct walk *walk, u64 dentry, u64 mnt, u32 start)
{
	struct task_struct *task = current_task();

	walk->dentry = dentry;
	walk->mnt = mnt;
	walk->root = (u64)READ(task, fs, root.dentry);
	walk->root_mnt = (u64)READ(task, fs, root.mnt);
	walk->left = 0;
	walk->inside = 0;
	walk->start = start;
	walk->len = 0;
	walk->steps = 0;
	walk->flags = PATH_TRUNCATED;
}

/* One step of a walk: across a mount, or one name up. 0 when the walk is over. */
static __always_inline int walk_advance(struct walk *walk, char *names, u32 mask)
{
	struct dentry *dentry = (struct dentry *)walk->dentry, *mnt_root, *parent;
	struct vfsmount *mnt = (struct vfsmount *)walk->mnt;

	if (walk->dentry == walk->root && walk->mnt == walk->root_mnt) {
		if (walk->root == host_root && walk->root_mnt == host_root_mnt)
			walk->flags |= PATH_HOST;
		return walk_end(walk, dentry);
	}
	mnt_root = READ(mnt, mnt_root);
	parent = READ(dentry, d_parent);
	if (dentry == mnt_root) {
		struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		struct mount *up = READ(m, mnt_parent);

		if (up == m) { /* outside the task's root: the path ends here */
			/* A file that is a mount of its own, detached, as runc's copy of itself: at least its name. */
			if (!walk->len && parent != dentry) {
				walk_name(walk, names, mask, dentry);
				return walk_end(walk, parent);
			}
			return walk_end(walk, dentry);
		}
		walk_leave(walk, dentry);
		walk->dentry = (u64)READ(m, mnt_mountpoint);
		walk->mnt = (u64)up + bpf_core_field_offset(struct mount, mnt);
		return 1;
	}
	if (!walk->steps++ && is_unlinked(dentry, parent))
		walk->flags |= PATH_DELETED;
	if (walk->len >= RS_PATH_MAX)
		return 0;
	walk_name(walk, names, mask, dentry);
	if (parent == dentry) /* a file without a place in the tree, as a memfd */
		return walk_end(walk, dentry);
	walk->dentry = (u64)parent;
	return 1;
}

/*
 * The walk's state lives in memory and each step is a function of its own, so that the verifier checks a step once and not
 * every path through 2,112 of them.
 */
__noinline int walk_step(void)
{
	struct scratch *s = scratch();

	return s ? walk_advance(&s->walk, s->data, PATHS_MAX - 1) : 0;
}

__noinline int walk_steps(void)
{
	int i;

	for (i = 0; i < WALK_INNER; i++) {
		if (!walk_step())
			return 0;
	}
	return 1;
}

__noinline u64 store_kernel_path(u64 dentry, u64 mnt, u32 off)
{
	struct scratch *s = scratch();
	u32 len;
	int i;

	if (!s)
		return STORED(0, 0, PATH_TRUNCATED);
	walk_begin(&s->walk, dentry, mnt, off);
	for (i = 0; i < WALK_OUTER; i++) {
		if (!walk_steps())
			break;
	}
	len = s->walk.len;
	return STORED(len, 0, s->walk.flags);
}

/* One name up, whatever is mounted where: 0 at the root of the file system. */
__noinline int beyond_step(void)
{
	struct scratch *s = scratch();
	struct dentry *dentry, *parent;

	if (!s)
		return 0;
	dentry = (struct dentry *)s->walk.left;
	parent = READ(dentry, d_parent);
	if (parent == dentry) {
		s->walk.flags &= ~PATH_TRUNCATED;
		return 0;
	}
	if (s->walk.len >= RS_PATH_MAX)
		return 0;
	walk_name(&s->walk, s->data, PATHS_MAX - 1, dentry);
	s->walk.left = (u64)parent;
	return 1;
}

__noinline int beyond_steps(void)
{
	int i;

	for (i = 0; i < WALK_INNER; i++) {
		if (!beyond_step())
			return 0;
	}
	return 1;
}

/*
 * After a walk: the names from where it left the file's mount up to the root of the file system. With the names inside
 * the mount they are the file's place in its file system, which user space finds in the host's mount table.
 */
__noinline u64 store_beyond(u32 off)
{
	struct scratch *s = scratch();
	u32 len;
	int i;

	if (!s || !s->walk.left)
		return STORED(0, 0, PATH_TRUNCATED);
	s->walk.start = off;
	s->walk.len = 0;
	s->walk.flags = PATH_TRUNCATED;
	for (i = 0; i < WALK_OUTER; i++) {
		if (!beyond_steps())
			break;
	}
	len = s->walk.len;
	return STORED(len, 0, s->walk.flags);
}

static __always_inline struct file *fd_file(s32 fd)
{
	struct fdtable *fdt = READ(current_task(), files, fdt);

	if ((u32)fd >= READ(fdt, max_fds))
		return NULL;
	return (struct file *)read_word((u64)(READ(fdt, fd) + (u32)fd));
}

/* What a walk would find: a file that is a mount of its own is named by where it is mounted. */
static __always_inline bool is_deleted(struct file *file)
{
	struct dentry *dentry = READ(file, f_path.dentry);

	return dentry != READ(file, f_path.mnt, mnt_root) && is_unlinked(dentry, READ(dentry, d_parent));
}

static __always_inline u64 store_file_path(struct file *file, u32 off)
{
	return store_kernel_path(untyped(READ(file, f_path.dentry)), untyped(READ(file, f_path.mnt)), off);
}

#define NO_BASE (-101) /* dirfd of a text that is not looked up, as a symbolic link's target */

/* A path argument from user memory and, when it is relative, the kernel path it starts from. */
__noinline u64 store_user_path(u64 address, s32 dirfd, u32 off)
{
	struct scratch *s = scratch();
	struct task_struct *task = current_task();
	u64 base;
	long n;

	if (!s)
		return STORED(0, 0, PATH_TRUNCATED);
	off &= PATHS_MAX - 1;
	n = bpf_probe_read_user_str(&s->data[off], RS_PATH_MAX, (void *)address);
	if (n <= 0)
		return STORED(0, 0, PATH_FAULT);
	if (s->data[off] == '/' || dirfd == NO_BASE)
		return STORED(n, 0, 0);
	if (dirfd == AT_FDCWD) {
		base = store_kernel_path(untyped(READ(task, fs, pwd.dentry)), untyped(READ(task, fs, pwd.mnt)),
					 off + n);
	} else {
		struct file *dir = fd_file(dirfd);

		if (!dir)
			return STORED(n, 0, PATH_FAULT);
		base = store_file_path(dir, off + n);
	}
	return STORED(n, STORED_LEN(base), STORED_FLAGS(base) & PATH_TRUNCATED);
}

#endif
