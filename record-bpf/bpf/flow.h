/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Flows: packets, bytes and TCP flags per 5-tuple at one interface, by XDP or tc. These programs run in softirq and touch
 * nothing but the flow maps: user space reads them at the end of every interval and makes the rows.
 *
 * There are two tables, and `flows` holds the one being filled. User space puts the other there: the kernel returns from
 * that only when no program can still use the old one (maybe_wait_bpf_programs() in kernel/bpf/syscall.c), which user space
 * then reads and empties at leisure. So no packet is lost or counted twice between intervals.
 */
#ifndef RETROSCOPE_FLOW_H
#define RETROSCOPE_FLOW_H

#define ETH_HLEN 14
#define VLAN_HLEN 4
#define IP6_HLEN 40
#define IP6_EXTENSIONS_MAX 4
#define HEADERS_MAX 0xff /* offsets looked at: Ethernet, two VLAN tags, IPv6 and its extensions, transport */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct flow_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* resized by user space */
	__type(key, struct rs_flow_key);
	__type(value, struct rs_flow);
};

struct flow_table flows_even SEC(".maps");
struct flow_table flows_odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct flow_table);
} flows SEC(".maps") = {
	.values = { &flows_even },
};

static __always_inline void flow_add(struct rs_flow *flow, u64 now, u64 packets, u64 bytes, u8 tcp_flags)
{
	/* The same flow may arrive on two CPUs at a time. */
	__sync_fetch_and_add(&flow->packets, packets);
	__sync_fetch_and_add(&flow->bytes, bytes);
	if ((tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		__sync_fetch_and_add(&flow->syn, packets);
	if ((tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		__sync_fetch_and_add(&flow->syn_ack, packets);
	if (tcp_flags & TCP_FIN)
		__sync_fetch_and_add(&flow->fin, 1);
	if (tcp_flags & TCP_RST)
		__sync_fetch_and_add(&flow->rst, 1);
	if (!flow->first)
		flow->first = now;
	flow->last = now;
}

static __always_inline void flow_count(struct rs_flow_key *key, u64 packets, u64 bytes, u8 tcp_flags)
{
	/* Of those that found no room: user space makes this entry before the table is filled. */
	struct rs_flow_key rest = { .ifindex = key->ifindex, .egress = key->egress };
	u64 now = bpf_ktime_get_boot_ns();
	struct rs_flow *flow, fresh = {};
	u32 zero = 0;
	void *table;

	table = bpf_map_lookup_elem(&flows, &zero);
	if (!table)
		return;
	flow = bpf_map_lookup_elem(table, key);
	if (!flow) {
		/* Another CPU may be first: then its entry is the one to add to. */
		bpf_map_update_elem(table, key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(table, key);
	}
	if (!flow)
		flow = bpf_map_lookup_elem(table, &rest);
	if (flow)
		flow_add(flow, now, packets, bytes, tcp_flags);
}

/* Reads `len` (a constant) bytes of the packet. */
static __always_inline bool packet_load(void *ctx, bool xdp, u32 off, void *to, u32 len)
{
	struct xdp_md *md = ctx;
	void *from;

	if (!xdp)
		return !bpf_skb_load_bytes(ctx, off, to, len);
	off &= HEADERS_MAX;
	from = (void *)(long)md->data + off;
	if (from + len > (void *)(long)md->data_end)
		return false;
	__builtin_memcpy(to, from, len);
	return true;
}

/* The transport protocol behind IPv6 extension headers, and where it begins. */
static __always_inline u8 skip_extensions(void *ctx, bool xdp, u8 next, u32 *off, bool *later_fragment)
{
	u8 head[4];
	int i;

	for (i = 0; i < IP6_EXTENSIONS_MAX; i++) {
		if (next != 0 && next != 43 && next != 44 &&
		    next != 60) /* hop-by-hop, routing, fragment, destination */
			break;
		if (!packet_load(ctx, xdp, *off, head, sizeof(head)))
			break;
		if (next == 44 && ((head[2] << 8 | head[3]) & 0xfff8))
			*later_fragment = true;
		*off += next == 44 ? 8 : (head[1] + 1) * 8;
		next = head[0];
	}
	return next;
}

static __always_inline void flow_packet(void *ctx, bool xdp, struct rs_flow_key *key, u64 packets, u64 bytes)
{
	u8 ip4[20], tcp_flags = 0;
	u32 off = ETH_HLEN, ports_off;
	bool later_fragment = false;
	__be16 ports[2];
	int i;

	if (!packet_load(ctx, xdp, 12, &key->ethertype, sizeof(key->ethertype)))
		goto count;
	for (i = 0; i < 2; i++) { /* 802.1Q, 802.1ad */
		if (key->ethertype != bpf_htons(0x8100) && key->ethertype != bpf_htons(0x88a8))
			break;
		if (!packet_load(ctx, xdp, off + 2, &key->ethertype, sizeof(key->ethertype)))
			goto count;
		off += VLAN_HLEN;
	}
	if (key->ethertype == bpf_htons(0x0800)) {
		if (!packet_load(ctx, xdp, off, ip4, sizeof(ip4)))
			goto count;
		__builtin_memcpy(key->src_addr, ip4 + 12, 4);
		__builtin_memcpy(key->dst_addr, ip4 + 16, 4);
		key->protocol = ip4[9];
		later_fragment = (ip4[6] & 0x1f) || ip4[7];
		ports_off = off + (ip4[0] & 0xf) * 4;
	} else if (key->ethertype == bpf_htons(0x86dd)) {
		if (!packet_load(ctx, xdp, off + 6, &key->protocol, 1) ||
		    !packet_load(ctx, xdp, off + 8, key->src_addr, sizeof(key->src_addr)) ||
		    !packet_load(ctx, xdp, off + 24, key->dst_addr, sizeof(key->dst_addr)))
			goto count;
		ports_off = off + IP6_HLEN;
		key->protocol = skip_extensions(ctx, xdp, key->protocol, &ports_off, &later_fragment);
	} else {
		goto count;
	}
	if (later_fragment)
		goto count;
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP || key->protocol == IPPROTO_SCTP) {
		if (!packet_load(ctx, xdp, ports_off, ports, sizeof(ports)))
			goto count;
		key->src_port = bpf_ntohs(ports[0]);
		key->dst_port = bpf_ntohs(ports[1]);
	}
	if (key->protocol == IPPROTO_TCP)
		packet_load(ctx, xdp, ports_off + 13, &tcp_flags, 1);
count:
	key->ethertype = bpf_ntohs(key->ethertype);
	flow_count(key, packets, bytes, tcp_flags);
}

SEC("xdp")
int on_flow_xdp(struct xdp_md *ctx)
{
	struct rs_flow_key key = { .ifindex = ctx->ingress_ifindex };

	flow_packet(ctx, true, &key, 1, ctx->data_end - ctx->data);
	return XDP_PASS;
}

static __always_inline int flow_skb(struct __sk_buff *ctx, u8 egress)
{
	struct rs_flow_key key = { .ifindex = ctx->ifindex, .egress = egress };
	u32 segments = ctx->gso_segs;

	flow_packet(ctx, false, &key, segments ? segments : 1, ctx->len);
	return TC_ACT_UNSPEC; /* whatever other filters say holds */
}

SEC("tc")
int on_flow_ingress(struct __sk_buff *ctx)
{
	return flow_skb(ctx, 0);
}

SEC("tc")
int on_flow_egress(struct __sk_buff *ctx)
{
	return flow_skb(ctx, 1);
}

#endif
