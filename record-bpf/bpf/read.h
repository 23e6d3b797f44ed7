/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reading the kernel's structs. Since 6.2 (bpf_rdonly_cast) a pointer of ours can be given its type, and a field is then one
 * load that faults to 0; before, every step of a chain is a call of bpf_probe_read_kernel. The programs are compiled in both
 * forms (DIRECT_READS 1 and 0), and user space loads the one that the kernel takes.
 */
#ifndef RETROSCOPE_READ_H
#define RETROSCOPE_READ_H

/* READ(p, a, b): p->a->b, or 0 where that cannot be read. */
#if DIRECT_READS
/*
 * The value is pinned where it is read: the compiler must not make one load of this and of another that two branches end
 * with, since a load is of one type of pointer only.
 */
#define READ(p, ...)                                                                                                 \
	({                                                                                                           \
		typeof(___arrow((p), __VA_ARGS__)) _value = ___arrow(bpf_core_cast((p), typeof(*(p))), __VA_ARGS__); \
		asm volatile("" : : "r"(_value));                                                                    \
		_value;                                                                                              \
	})
#else
#define READ(p, ...) BPF_CORE_READ((p), __VA_ARGS__)
#endif

/* The 8 bytes at a kernel address, or 0; by way of a type that begins with a number. */
static __always_inline u64 read_word(u64 at)
{
	return READ((struct timespec64 *)at, tv_sec);
}

/* A pointer as the number that a global function takes, or that one can reckon with, whatever the verifier takes it for. */
static __always_inline u64 untyped_any(const void *pointer)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), &pointer);
	return value;
}

/*
 * The same for a pointer to a struct, without a call where the verifier knows its type: a difference of two pointers is a
 * number. Pointers to text and to void have a type only since 6.17, and are numbers before, which a pointer can't be taken from.
 */
static __always_inline u64 untyped(const void *pointer)
{
	u64 value = (u64)pointer;

	if (!DIRECT_READS)
		return untyped_any(pointer);
	asm("%0 -= %1" : "+r"(value) : "r"(bpf_core_cast(NULL, struct list_head)));
	return value;
}

#endif
