/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reading the kernel's structs. Since 6.2 (bpf_rdonly_cast) a pointer of ours can be given its type, and a field is then one
 * load that faults to 0; before, every step of a chain is a call of bpf_probe_read_kernel. The verifier drops the form
 * that the kernel does not take.
 */
#ifndef RETROSCOPE_READ_H
#define RETROSCOPE_READ_H

/* READ(p, a, b): p->a->b, or 0 where that cannot be read. */
#define READ(p, ...)                                                                                  \
	(bpf_ksym_exists(bpf_rdonly_cast) ? ___arrow(bpf_core_cast((p), typeof(*(p))), __VA_ARGS__) : \
					    BPF_CORE_READ((p), __VA_ARGS__))

/* The 8 bytes at a kernel address, or 0; by way of a type that begins with a number. */
static __always_inline u64 read_word(u64 at)
{
	return READ((struct timespec64 *)at, tv_sec);
}

/*
 * A pointer that the verifier knows the type of, as the number that a global function takes, or that one can reckon with: a
 * difference of two pointers is one. Where it cannot be had that way it is read from the stack.
 */
static __always_inline u64 untyped(const void *pointer)
{
	u64 value = 0;

	if (bpf_ksym_exists(bpf_rdonly_cast)) {
		value = (u64)pointer;
		asm("%0 -= %1" : "+r"(value) : "r"(bpf_core_cast(NULL, struct list_head)));
		return value;
	}
	bpf_probe_read_kernel(&value, sizeof(value), &pointer);
	return value;
}

#endif
