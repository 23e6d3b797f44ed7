/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is left out on purpose, and counted: by the sampler when there is too much, by the filter of known behaviour (known.h)
 * when it is nothing new. Asked as early as possible, before a path is walked or memory copied. An event that is left out
 * takes its number like any other.
 *
 * Only the following may be left out by the sampler; everything else is critical and never is: processes, security, bind,
 * listen, connect, accept, the first datagram exchanged with a peer, DNS, TLS, and sets of system calls.
 *  - file: an open and the close of the same descriptor together; any other call by itself
 *  - network: socket() and the close of the same descriptor together; changes of state and retransmissions of a TCP
 *    socket together
 *  - syscall: calls, evenly for each number and thread
 */
#ifndef RETROSCOPE_THIN_H
#define RETROSCOPE_THIN_H

/* Set by user space before loading. */
const volatile u32 sampling = 0;     /* classes may be thinned */
const volatile u32 ring_reserve = 0; /* bytes of the ring in use from which on only critical kinds get in */
const volatile u32 knows = 0;	     /* there is a filter of known behaviour */

/* By class: one in 2^n is kept. Written by user space at any time. */
u32 thin_levels[RS_CLASS_MAX] SEC(".data.thin") = {};

/* What was decided for things that stay together: a descriptor, a TCP socket. */
enum choice { UNDECIDED, KEPT, SAMPLED_OUT, KNOWN };

static __always_inline void count_out(struct rs_counters *counters, enum rs_class class, u32 choice)
{
	counters->next_seq++;
	counters->emitted[class]++;
	if (choice == KNOWN)
		counters->known[class]++;
	else
		counters->sampled_out[class]++;
}

/* Whether this one is not among the one in 2^level. */
static __always_inline bool drawn_out(enum rs_class class)
{
	u32 level = *(volatile u32 *)&thin_levels[class];

	return level && (bpf_get_prandom_u32() & ((1u << (level & 31)) - 1));
}

#define LOOK_EVERY 16 /* events between two looks at the ring, while there is room */

/*
 * The last part of the ring is for critical kinds. Others find it full, and are counted so: user space needs a moment to
 * see a storm and thin it, and what must not be lost must not be lost in that moment either.
 */
static __always_inline bool crowded(struct crowd *crowd, struct rs_counters *counters, enum rs_class class)
{
	if (crowd->is || !(++crowd->looks % LOOK_EVERY))
		crowd->is = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > ring_reserve;
	if (!crowd->is)
		return false;
	counters->next_seq++;
	counters->emitted[class]++;
	counters->dropped_ring[class]++;
	return true;
}

/* An event that stands for itself. */
static __always_inline bool left_out(struct cpu_state *cpu, enum rs_class class)
{
	if (!sampling)
		return false;
	if (drawn_out(class)) {
		count_out(&cpu->counters, class, SAMPLED_OUT);
		return true;
	}
	return crowded(&cpu->crowd, &cpu->counters, class);
}

/* An event of something that stays together: the first one decides. `choice` is in a table, and outlives the event. */
static __always_inline bool left_out_with(struct crowd *crowd, struct rs_counters *counters, enum rs_class class,
					  u32 *choice)
{
	if (!sampling && !knows)
		return false;
	if (sampling && *choice == UNDECIDED)
		*choice = drawn_out(class) ? SAMPLED_OUT : KEPT;
	if (*choice == SAMPLED_OUT || *choice == KNOWN) {
		count_out(counters, class, *choice);
		return true;
	}
	return sampling && crowded(crowd, counters, class);
}

#define THIN_STRATA 4096 /* a power of two; 16 KiB a CPU */

/*
 * How often each thread made each call on this CPU, modulo 2^32. Every 2^n-th is kept, from a random one on: so each call
 * has the same chance, and a number that a thread calls 2^n times in a row is not missed, as it might be by drawing. Threads
 * and numbers that share an entry are thinned as one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, THIN_STRATA);
	__type(key, u32);
	__type(value, u32);
} strata SEC(".maps");

/* Whether a system call is left out. */
static __always_inline bool left_out_call(struct cpu_state *cpu, u64 nr)
{
	u32 level, tid, at, *count;

	if (!sampling)
		return false;
	level = *(volatile u32 *)&thin_levels[RS_CLASS_SYSCALL];
	if (level) {
		tid = cpu->tid;
		at = ((tid * 2654435761u + (u32)nr * 2246822519u) >> 20) & (THIN_STRATA - 1); /* xxHash's primes */
		count = bpf_map_lookup_elem(&strata, &at);
		if (!count)
			return false;
		if (!*count)
			*count = bpf_get_prandom_u32();
		if (++*count & ((1u << (level & 31)) - 1)) {
			count_out(&cpu->counters, RS_CLASS_SYSCALL, SAMPLED_OUT);
			return true;
		}
	}
	return crowded(&cpu->crowd, &cpu->counters, RS_CLASS_SYSCALL);
}

#endif
