/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Headers of a frame that an XDP program is given. Whatever is not read to its end is not taken for something else: every
 * function says whether it could read what it was asked for.
 */
#ifndef RETROSCOPE_PACKET_H
#define RETROSCOPE_PACKET_H

#define ETH_HLEN 14
#define VLAN_HLEN 4
#define IP4_HLEN 20
#define IP6_HLEN 40
#define IP6_EXTENSIONS_MAX 4
#define HEADERS_MAX 0xff /* offsets looked at */

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021AD 0x88a8

#define IPPROTO_HOPOPTS 0
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6 58
#define IPPROTO_DSTOPTS 60

#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define SCTP_INIT 1 /* RFC 9260, 3.3.2 */

struct packet {
	u8 src[16], dst[16]; /* network byte order, IPv4 as ::ffff:a.b.c.d */
	u32 id;		     /* of the datagram that it is a fragment of */
	u16 offset;	     /* of a fragment, in units of 8 bytes; 0: the first, or no fragment */
	__be16 ethertype;
	u16 sport, dport;
	u8 protocol;
	u8 hops;   /* left */
	u8 flags;  /* TCP: as in the header; SCTP: type of the first chunk; ICMP: type */
	bool more; /* fragments come */
};

/* Reads `len` (a constant) bytes. */
static __always_inline bool load(struct xdp_md *ctx, u32 off, void *to, u32 len)
{
	void *from;

	if (off > HEADERS_MAX)
		return false;
	/* The verifier is to see the bound in the register that is added. */
	barrier_var(off);
	from = (void *)(long)ctx->data + (off & HEADERS_MAX);
	if (from + len > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(to, from, len);
	return true;
}

/* An address of IPv4 as one of IPv6 (RFC 4291, 2.5.5.2). */
static __always_inline void map_ip4(u8 *to, const u8 *from)
{
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, from, 4);
}

/* Not one with options: a source route among them names another peer than the header does. */
static __always_inline bool load_ip4(struct xdp_md *ctx, u32 *off, struct packet *packet)
{
	u8 head[IP4_HLEN];

	if (!load(ctx, *off, head, sizeof(head)) || head[0] != 0x45)
		return false;
	packet->id = head[4] << 8 | head[5];
	packet->offset = (head[6] << 8 | head[7]) & 0x1fff;
	packet->more = head[6] & 0x20;
	packet->hops = head[8];
	packet->protocol = head[9];
	map_ip4(packet->src, head + 12);
	map_ip4(packet->dst, head + 16);
	*off += IP4_HLEN;
	return true;
}

/* Behind hop-by-hop and destination options and a fragment header; a routing header is left as the protocol that it is. */
static __always_inline bool load_ip6(struct xdp_md *ctx, u32 *off, struct packet *packet)
{
	u8 head[8];
	int i;

	if (!load(ctx, *off, head, sizeof(head)) || head[0] >> 4 != 6 ||
	    !load(ctx, *off + 8, packet->src, sizeof(packet->src)) ||
	    !load(ctx, *off + 24, packet->dst, sizeof(packet->dst)))
		return false;
	packet->protocol = head[6];
	packet->hops = head[7];
	*off += IP6_HLEN;
	for (i = 0; i < IP6_EXTENSIONS_MAX; i++) {
		if (packet->protocol != IPPROTO_HOPOPTS && packet->protocol != IPPROTO_DSTOPTS &&
		    packet->protocol != IPPROTO_FRAGMENT)
			return true;
		if (packet->offset) /* what follows is the middle of something */
			return true;
		if (!load(ctx, *off, head, sizeof(head)))
			return false;
		if (packet->protocol == IPPROTO_FRAGMENT) {
			packet->offset = (head[2] << 8 | head[3]) >> 3;
			packet->more = head[3] & 1;
			__builtin_memcpy(&packet->id, head + 4, 4);
			*off += 8;
		} else {
			*off += (head[1] + 1) * 8;
		}
		packet->protocol = head[0];
	}
	return true;
}

static __always_inline bool load_transport(struct xdp_md *ctx, u32 off, struct packet *packet)
{
	__be16 ports[2];
	u32 flags = 0;

	switch (packet->protocol) {
	case IPPROTO_ICMPV6: return load(ctx, off, &packet->flags, 1);
	case IPPROTO_TCP: flags = 13; break;
	case IPPROTO_SCTP: flags = 12; break;
	case IPPROTO_UDP: break;
	default: return true;
	}
	if (!load(ctx, off, ports, sizeof(ports)))
		return false;
	packet->sport = bpf_ntohs(ports[0]);
	packet->dport = bpf_ntohs(ports[1]);
	return !flags || load(ctx, off + flags, &packet->flags, 1);
}

/* Down to the transport header of what is IP, unless it is a later fragment. */
static __always_inline bool load_packet(struct xdp_md *ctx, struct packet *packet)
{
	u32 off = ETH_HLEN;
	bool known;
	int i;

	if (!load(ctx, 12, &packet->ethertype, sizeof(packet->ethertype)))
		return false;
	for (i = 0; i < 2; i++) {
		if (packet->ethertype != bpf_htons(ETH_P_8021Q) && packet->ethertype != bpf_htons(ETH_P_8021AD))
			break;
		if (!load(ctx, off + 2, &packet->ethertype, sizeof(packet->ethertype)))
			return false;
		off += VLAN_HLEN;
	}
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		known = load_ip4(ctx, &off, packet);
	else if (packet->ethertype == bpf_htons(ETH_P_IPV6))
		known = load_ip6(ctx, &off, packet);
	else
		return true;
	return known && (packet->offset || load_transport(ctx, off, packet));
}

#endif
