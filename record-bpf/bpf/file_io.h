/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Reads and writes: summed per descriptor, and on request an event each. */
#ifndef RETROSCOPE_FILE_IO_H
#define RETROSCOPE_FILE_IO_H

/* Where a call read or wrote, when no argument says so. */
#define AT_POSITION (-1LL) /* at the file's own position, which it moved */
#define AT_UNKNOWN (-2LL)  /* at an offset in user memory, which it moved */

/* One read or write on a file; sockets and pipes are not files here. */
__noinline int emit_io(u32 kind, s32 fd, s64 ret, s64 position)
{
	struct cpu_state *cpu = cpu_state();
	struct scratch *buf = scratch();
	struct file *file = fd_file(fd);
	struct rs_file *e;
	u16 type;

	if (!cpu || !buf || !file || kind_of(file, READ(file, f_inode, i_mode)) != FD_FILE)
		return 0;
	if (known_io(cpu, fd, ret) || left_out(cpu, RS_CLASS_FILE))
		return 0;
	e = file_begin(buf, fd, ret);
	file_identity(e, file);
	type = e->mode & S_IFMT;
	if ((type == S_IFREG || type == S_IFBLK) && position != AT_UNKNOWN)
		e->offset = position != AT_POSITION ? position : READ(file, f_pos) - (ret > 0 ? ret : 0);
	file_path(buf, e, file);
	file_submit(buf, cpu, kind);
	return 0;
}

/* A read (or, if `out`, a write) that returned `ret`. What it went through, if that is tracked. */
static __always_inline struct fd_state *on_io(struct cpu_state *cpu, s32 fd, s64 ret, bool out, s64 position)
{
	struct fd_state *state = fd_account(cpu, fd, ret, out);

	if (file_io_calls && class_on(RS_CLASS_FILE))
		emit_io(out ? RS_FILE_WRITE : RS_FILE_READ, fd, ret, position);
	return state;
}

/* The offset argument of pread64 and its kin; preadv2 and pwritev2 use the file's position when it is -1. */
static __always_inline s64 io_position(struct pt_regs *regs, u64 nr)
{
	switch (nr) {
	case NR_pread64:
	case NR_pwrite64:
	case NR_preadv:
	case NR_pwritev:
	case NR_preadv2:
	case NR_pwritev2: return ARG4;
	}
	return AT_POSITION;
}

/* sendfile, splice, copy_file_range: an offset that is given is in user memory. */
static __always_inline s64 pointed_position(u64 pointer)
{
	return pointer ? AT_UNKNOWN : AT_POSITION;
}

#define MESSAGES_OUTER 32 /* times MESSAGES_INNER: UIO_MAXIOV, the kernel takes no more per call */
#define MESSAGES_INNER 32
#define MMSGHDR_SIZE 64 /* struct mmsghdr on x86-64 */
#define MMSGHDR_LEN 56	/* msg_len in it */

/* Bytes of the first `count` messages, of up to MESSAGES_INNER. */
__noinline u64 message_bytes(u64 messages, s64 count)
{
	struct cpu_state *cpu = cpu_state();
	u64 total = 0;
	u32 len, i;

	if (!cpu)
		return 0;
	for (i = 0; i < MESSAGES_INNER; i++) {
		if (i >= count)
			break;
		if (bpf_probe_read_user(&len, sizeof(len), (void *)(messages + i * MMSGHDR_SIZE + MMSGHDR_LEN))) {
			cpu->counters.read_fault++;
			break;
		}
		total += len;
	}
	return total;
}

/* sendmmsg, recvmmsg: `count` messages went; the kernel wrote the length of each into user memory. */
__noinline int account_messages(s32 fd, u64 messages, s64 count, u32 out)
{
	struct cpu_state *cpu = cpu_state();
	u64 total = 0;
	u32 i;

	if (!cpu || count <= 0)
		return 0;
	for (i = 0; i < MESSAGES_OUTER; i++) {
		if (i * MESSAGES_INNER >= count)
			break;
		total += message_bytes(messages + i * MESSAGES_INNER * MMSGHDR_SIZE, count - i * MESSAGES_INNER);
	}
	fd_account(cpu, fd, total, out);
	return 0;
}

#endif
