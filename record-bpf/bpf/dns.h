/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* DNS: the payload of a message on port 53, as it was sent or received. User space parses it. */
#ifndef RETROSCOPE_DNS_H
#define RETROSCOPE_DNS_H

#define DNS_PIECES_MAX 8 /* buffers of one message that are looked at */

/* Appends a buffer of user memory to the payload; 0 when it is complete or memory is missing. */
__noinline int gather(u64 address, u64 len)
{
	struct message *m = message();
	u64 have, n;

	if (!m)
		return 0;
	have = m->have;
	n = m->want - have;
	if (len < n)
		n = len;
	barrier_var(have); /* the verifier must see the bounds on the registers that are used */
	barrier_var(n);
	if (have >= RS_DNS_PAYLOAD_MAX || n > RS_DNS_PAYLOAD_MAX)
		return 0;
	if (bpf_probe_read_user(&m->payload[have], n, (void *)address)) {
		m->fault = 1;
		return 0;
	}
	m->have = have + n;
	return m->have < m->want;
}

static __always_inline void gather_all(struct message *m)
{
	struct {
		u64 base, len;
	} piece;
	u32 i;

	m->have = 0;
	m->fault = 0;
	m->want = m->bytes < RS_DNS_PAYLOAD_MAX ? m->bytes : RS_DNS_PAYLOAD_MAX;
	if (m->buf) {
		gather(m->buf, m->iov_len);
		return;
	}
	for (i = 0; i < DNS_PIECES_MAX; i++) {
		if (i >= m->iov_len || bpf_probe_read_user(&piece, sizeof(piece), (void *)(m->iov + i * sizeof(piece))))
			break;
		if (!gather(piece.base, piece.len))
			break;
	}
}

static __always_inline void emit_dns(struct message *m, struct cpu_state *cpu)
{
	u64 size;

	gather_all(m);
	if (m->fault)
		cpu->counters.read_fault++;
	m->dns.inode = m->inode;
	m->dns.family = m->family;
	m->dns.protocol = m->protocol;
	m->dns.fd = m->fd;
	m->dns.bytes = m->bytes;
	m->dns.data_len = m->have;
	if (m->out)
		m->dns.flags |= RS_DNS_SENT;
	size = m->have;
	barrier_var(size);
	if (size > RS_DNS_PAYLOAD_MAX)
		return;
	header(&m->dns.h, cpu, RS_CLASS_DNS, RS_DNS_SEGMENT, &cpu->subject, cpu->exec_id);
	submit(cpu, RS_CLASS_DNS, &m->dns, sizeof(m->dns) + size);
}

#endif
