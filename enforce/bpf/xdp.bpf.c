/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a container sends, judged where it arrives: at the host's end of its veth pair. No hook in the container's own network
 * namespace is asked, so that a raw or a packet socket there changes nothing.
 *
 * `known` holds the trie of the policy in force and `refused` the table that is being filled. User space puts others there: the
 * kernel returns from that only when no program can still use the old ones (maybe_wait_bpf_programs() in kernel/bpf/syscall.c).
 * So every packet is judged by the old policy or by the new one, and counted once.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "packet.h"
#include "known.h"

#define XDP_DROP 1

#define SECOND 1000000000ULL

/* Packets in a second of one peer's that pass; 0: any number. */
const volatile u64 max_connections = 0;
const volatile u64 max_packets = 0;

/* What became of a packet; as in refused.rs. */
enum fate {
	PASSED,
	UNKNOWN,     /* no rule has the peer, at that port */
	CONNECTIONS, /* of a known peer, too many a second */
	PACKETS,
	FRAGMENT, /* one whose datagram's first did not pass */
	UNREAD,	  /* cut off, or with a header that is not read */
	FATES,
};

struct refused_key {
	u8 peer[16];
	u16 ethertype;
	u16 port; /* of the service: the peer's, or of what answers one's own */
	u8 protocol;
	u8 answer;
	u8 fate;
	u8 _pad;
};

struct refused_value {
	u64 packets;
	u64 bytes; /* from the link-layer header on */
	u64 first; /* CLOCK_BOOTTIME, ns */
	u64 last;
};

struct refused_table {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct refused_key);
	__type(value, struct refused_value);
};

struct refused_table refused_even SEC(".maps");
struct refused_table refused_odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct refused_table);
} refused SEC(".maps") = {
	.values = { &refused_even },
};

struct total {
	u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FATES);
	__type(key, u32);
	__type(value, struct total);
} totals SEC(".maps");

/* A peer's last second that began with a packet. */
struct rate {
	u64 begun; /* CLOCK_BOOTTIME, ns */
	u64 connections;
	u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u8[16]);
	__type(value, struct rate);
} rates SEC(".maps");

/* A datagram of which the first fragment passed. */
struct datagram {
	u8 src[16], dst[16];
	u32 id;
	u8 protocol;
	u8 _pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct datagram);
	__type(value, u8);
} datagrams SEC(".maps");

/* Whether it can only be the beginning of an exchange. */
static __always_inline bool begins(const struct packet *packet)
{
	if (packet->protocol == IPPROTO_TCP)
		return (packet->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	return packet->protocol == IPPROTO_SCTP && packet->flags == SCTP_INIT;
}

/* Whether it can be an answer: no segment of TCP but the first has no ACK, other than a reset. */
static __always_inline bool may_answer(const struct packet *packet)
{
	if (packet->protocol == IPPROTO_TCP && !(packet->flags & (TCP_ACK | TCP_RST)))
		return false;
	return !begins(packet);
}

/* Whether it is known for one. */
static __always_inline bool is_answer(const struct packet *packet)
{
	u8 flags = packet->flags;

	return packet->protocol == IPPROTO_TCP &&
	       ((flags & TCP_RST) || (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK));
}

/* What makes a network of Ethernet: neighbours, groups, an address. */
static __always_inline bool is_of_the_link(const struct packet *packet)
{
	static const u8 servers6[16] = { 0xff, 0x02, [13] = 1, [15] = 2 }; /* ff02::1:2 (RFC 8415, 7.1) */
	int i;

	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return true;
	if (packet->offset || packet->more)
		return false;
	if (packet->protocol == IPPROTO_ICMPV6 && packet->ethertype == bpf_htons(ETH_P_IPV6)) {
		u8 type = packet->flags;

		/* Neighbour discovery (RFC 4861, 4), which comes from no router; reports of groups (RFC 3810, 5), to the link. */
		if (type >= 133 && type <= 136)
			return packet->hops == 255;
		return (type == 131 || type == 132 || type == 143) && packet->dst[0] == 0xff && packet->dst[1] == 0x02;
	}
	if (packet->protocol != IPPROTO_UDP)
		return false;
	/* DHCP to any server of the link. A renewal to one by its address is asked of all later (RFC 2131, 4.4.5). */
	if (packet->sport == 68 && packet->dport == 67) {
		u32 all;

		__builtin_memcpy(&all, packet->dst + 12, sizeof(all));
		return packet->ethertype == bpf_htons(ETH_P_IP) && all == ~0U;
	}
	if (packet->sport != 546 || packet->dport != 547)
		return false;
	for (i = 0; i < 16; i++)
		if (packet->dst[i] != servers6[i])
			return false;
	return true;
}

/* Counts it for its peer's second. */
static __always_inline u32 rate_of(const struct packet *packet)
{
	struct rate *rate, fresh = {};
	u64 now;

	if (!max_connections && !max_packets)
		return PASSED;
	now = bpf_ktime_get_boot_ns();
	rate = bpf_map_lookup_elem(&rates, packet->dst);
	if (!rate) {
		fresh.begun = now;
		/* Another CPU may be first: then its entry is the one to add to. */
		bpf_map_update_elem(&rates, packet->dst, &fresh, BPF_NOEXIST);
		rate = bpf_map_lookup_elem(&rates, packet->dst);
	}
	if (!rate)
		return PASSED;
	if (now - rate->begun >= SECOND) {
		rate->begun = now;
		rate->connections = 0;
		rate->packets = 0;
	}
	/* Atomic additions give no result before 5.12. What another CPU adds between the two refuses one more, never one less. */
	if (max_connections && begins(packet)) {
		__sync_fetch_and_add(&rate->connections, 1);
		if (rate->connections > max_connections)
			return CONNECTIONS;
	}
	if (max_packets) {
		__sync_fetch_and_add(&rate->packets, 1);
		if (rate->packets > max_packets)
			return PACKETS;
	}
	return PASSED;
}

static __always_inline u32 judge(struct xdp_md *ctx, struct packet *packet)
{
	struct datagram datagram = {};
	u32 zero = 0, fate;
	u8 one = 1;
	void *trie;

	if (!load_packet(ctx, packet))
		return UNREAD;
	if (is_of_the_link(packet))
		return PASSED;
	__builtin_memcpy(datagram.src, packet->src, sizeof(datagram.src));
	__builtin_memcpy(datagram.dst, packet->dst, sizeof(datagram.dst));
	datagram.id = packet->id;
	datagram.protocol = packet->protocol;
	if (packet->offset) {
		/* The second 8 bytes would replace the flags that were judged (RFC 1858, 4.2). */
		if (packet->protocol == IPPROTO_TCP && packet->offset == 1)
			return FRAGMENT;
		return bpf_map_lookup_elem(&datagrams, &datagram) ? rate_of(packet) : FRAGMENT;
	}
	trie = bpf_map_lookup_elem(&known, &zero);
	if (!trie)
		return UNKNOWN;
	if (!is_allowed(trie, SENDS, packet->protocol, packet->dst, packet->dport) &&
	    !(may_answer(packet) && is_allowed(trie, ANSWERS, packet->protocol, packet->dst, packet->sport)))
		return UNKNOWN;
	fate = rate_of(packet);
	if (fate == PASSED && packet->more)
		bpf_map_update_elem(&datagrams, &datagram, &one, BPF_ANY);
	return fate;
}

static __always_inline void remember(const struct packet *packet, u32 fate, u64 bytes)
{
	struct refused_key key = { .ethertype = bpf_ntohs(packet->ethertype), .fate = fate };
	struct refused_value *value, fresh = {};
	u64 now = bpf_ktime_get_boot_ns();
	u32 zero = 0;
	void *table;

	__builtin_memcpy(key.peer, packet->dst, sizeof(key.peer));
	key.protocol = packet->protocol;
	key.answer = is_answer(packet);
	key.port = key.answer ? packet->sport : packet->dport;
	table = bpf_map_lookup_elem(&refused, &zero);
	if (!table)
		return;
	value = bpf_map_lookup_elem(table, &key);
	if (!value) {
		fresh.first = now;
		bpf_map_update_elem(table, &key, &fresh, BPF_NOEXIST);
		value = bpf_map_lookup_elem(table, &key);
	}
	if (!value)
		return;
	__sync_fetch_and_add(&value->packets, 1);
	__sync_fetch_and_add(&value->bytes, bytes);
	value->last = now;
}

SEC("xdp")
int on_sent(struct xdp_md *ctx)
{
	u64 bytes = ctx->data_end - ctx->data;
	struct packet packet = {};
	struct total *total;
	u32 fate;

	fate = judge(ctx, &packet);
	total = bpf_map_lookup_elem(&totals, &fate);
	if (total) {
		total->packets++;
		total->bytes += bytes;
	}
	if (fate == PASSED)
		return XDP_PASS;
	remember(&packet, fate, bytes);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
