/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Peers and ports that a policy knows: a trie of prefixes, where the longest one decides (src/known.rs). `known` holds the one in force;
 * user space puts another there, and every question is answered by the old one or by the new one.
 */
#ifndef RETROSCOPE_KNOWN_H
#define RETROSCOPE_KNOWN_H

#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_F_NO_PREALLOC 1

#define RANGES_MAX 4 /* as in known.rs */

/* What an entry of the trie is about. A peer is allowed if the one at the port or that of a range with the port says so. */
enum about {
	SENDS = 0,   /* to a peer at a port */
	ANSWERS = 1, /* to a peer, from a port of the container's own */
	RANGE = 2,   /* with one of the two: the port is the number of a range */
	RANGES = 4,  /* the range of that number itself */
};

struct known_key {
	u32 bits; /* of what follows, that count */
	u8 about;
	u8 protocol;
	u16 port;
	u8 peer[16];
};

#define KEY_BITS ((sizeof(struct known_key) - sizeof(u32)) * 8)

struct known_value {
	u16 from, until; /* of a range, both included */
	u8 allowed;	 /* of a peer; 0: a block within a larger one that is allowed */
	u8 _pad[3];
};

struct known_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1); /* each has what its policy needs */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct known_key);
	__type(value, struct known_value);
};

/* Until there is a policy: nothing is known. */
struct known_trie known_nothing SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct known_trie);
} known SEC(".maps") = {
	.values = { &known_nothing },
};

static __always_inline bool is_allowed(void *trie, u8 about, u8 protocol, const u8 *peer, u16 port)
{
	struct known_key number = { .bits = KEY_BITS, .about = RANGES };
	struct known_key key = { .bits = KEY_BITS, .about = about, .protocol = protocol, .port = port };
	struct known_value *value, *range;
	int i;

	__builtin_memcpy(key.peer, peer, sizeof(key.peer));
	value = bpf_map_lookup_elem(trie, &key);
	if (value && value->allowed)
		return true;
	for (i = 0; i < RANGES_MAX; i++) {
		number.port = i;
		range = bpf_map_lookup_elem(trie, &number);
		if (!range)
			return false;
		if (port < range->from || port > range->until)
			continue;
		key.about = about | RANGE;
		key.port = i;
		value = bpf_map_lookup_elem(trie, &key);
		if (value && value->allowed)
			return true;
	}
	return false;
}

#endif
