/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The filter of known behaviour: files that a program of an image is known to open are not recorded again, nor what is done
 * through the descriptor until its close. A set of hashes of (profile, program, operation, path), keyed by numbers that are
 * drawn anew for every recording, so that nobody can choose a path that collides. Off unless user space was given a filter.
 *
 * Never known: a call that failed; a program that is not the image's own file (deleted, a memfd, or from the writable
 * layer of an overlayfs); a path that is deleted, incomplete or from user memory; a cgroup that is not judged yet; every kind
 * but open, read, write and close.
 */
#ifndef RETROSCOPE_KNOWN_H
#define RETROSCOPE_KNOWN_H

const volatile u64 known_key[2] = {};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* resized by user space */
	__type(key, u64);
	__type(value, u8);
} known SEC(".maps");

#define KNOWN_LEN_MAX 1024 /* bytes of a path that is hashed; a longer one is never known */

/* Operations, as user space tells them apart (datasets/src/known.rs). */
#define KNOWN_EXE 0
#define KNOWN_READ 1
#define KNOWN_WRITE 2
#define KNOWN_LIST 3
#define KNOWN_LOCATE 4

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

/* SipHash-1-3 (Aumasson, Bernstein, 2012): one round for each word, three at the end. */
struct sip {
	u64 a, b, c, d;
};

static __always_inline void sip_round(struct sip *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = ROTATE(s->b, 13) ^ s->a;
	s->d = ROTATE(s->d, 16) ^ s->c;
	s->a = ROTATE(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = ROTATE(s->b, 17) ^ s->c;
	s->d = ROTATE(s->d, 21) ^ s->a;
	s->c = ROTATE(s->c, 32);
}

static __always_inline void sip_word(struct sip *s, u64 word)
{
	s->d ^= word;
	sip_round(s);
	s->a ^= word;
}

/*
 * The hash of two words and `len` bytes of the scratch record from `off` on; 0: too long. A global function: it has a stack
 * and a verifier's run of its own.
 */
__noinline u64 known_hash(u64 first, u64 second, u32 off, u32 len)
{
	struct scratch *buf = scratch();
	struct sip s;
	u64 word;
	u32 i;

	if (!buf || len > KNOWN_LEN_MAX)
		return 0;
	s.a = known_key[0] ^ 0x736f6d6570736575ull;
	s.b = known_key[1] ^ 0x646f72616e646f6dull;
	s.c = known_key[0] ^ 0x6c7967656e657261ull;
	s.d = known_key[1] ^ 0x7465646279746573ull;
	sip_word(&s, first);
	sip_word(&s, second);
	for (i = 0; i < KNOWN_LEN_MAX; i += 8) {
		if (i + 8 > len)
			break;
		word = *(u64 *)&buf->data[(off + i) & (PATHS_MAX - 1)];
		sip_word(&s, word);
	}
	word = *(u64 *)&buf->data[(off + (len & ~7u)) & (PATHS_MAX - 1)];
	word &= (1ull << (8 * (len & 7))) - 1; /* what follows the path is not its own */
	sip_word(&s, word | (u64)(len + 16) << 56);
	s.c ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}

/* Notes the program that a process runs; its path is the first thing in the record. */
static __always_inline void known_program(struct rs_exec *e, u32 tgid)
{
	struct proc *proc;

	if (!knows)
		return;
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc)
		return;
	if (e->flags & (RS_EXEC_EXE_TRUNCATED | RS_EXEC_MEMFD | RS_EXEC_DELETED | RS_EXEC_UPPER))
		proc->known_exe = 0;
	else
		proc->known_exe = known_hash(0, KNOWN_EXE, sizeof(*e), e->exe_len);
}

static __always_inline u64 known_exe_of(u32 tgid)
{
	struct proc *proc = knows ? bpf_map_lookup_elem(&procs, &tgid) : NULL;

	return proc ? proc->known_exe : 0;
}

/* Whether the open that the record describes, its path from the kernel, is one that the image is known for. */
static __always_inline bool known_open(struct cpu_state *cpu, struct rs_file *e)
{
	u32 tgid = cpu->tgid, op = KNOWN_READ;
	struct proc *proc;
	u64 hash;

	if (!knows || !cpu->subject.profile || e->flags & (RS_FILE_PATH_TRUNCATED | RS_FILE_PATH_DELETED))
		return false;
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (!proc || !proc->known_exe)
		return false;
	if (e->call_flags & O_PATH)
		op = KNOWN_LOCATE;
	else if (e->call_flags & O_ACCMODE)
		op = KNOWN_WRITE;
	else if (e->call_flags & O_DIRECTORY)
		op = KNOWN_LIST;
	hash = known_hash(proc->known_exe, (u64)cpu->subject.profile << 8 | op, sizeof(*e), e->path_len);
	return hash && bpf_map_lookup_elem(&known, &hash);
}

/* Whether this is about a descriptor whose open was known; counted. A call that failed is not. */
static __always_inline bool known_io(struct cpu_state *cpu, s32 fd, s64 ret)
{
	struct fd_state *state;

	if (!knows || ret < 0)
		return false;
	state = fd_lookup(cpu, fd);
	if (!state || state->choice != KNOWN)
		return false;
	count_out(&cpu->counters, RS_CLASS_FILE, KNOWN);
	return true;
}

#endif
