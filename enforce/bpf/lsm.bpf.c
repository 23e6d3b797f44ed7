/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the processes of a cgroup do, judged by the kernel's security hooks: programs that are run, files that are opened, peers that are
 * connected or sent to. Everybody else is let through at once.
 *
 * `paths` and `known` hold the tries of the policy in force, `refused` the table that is being filled. User space puts others there, each
 * between two questions.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "known.h"

#define BPF_MAP_TYPE_CGROUP_ARRAY 8
#define BPF_MAP_TYPE_TASK_STORAGE 29
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1

#define EPERM 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define MSG_FASTOPEN 0x20000000
#define IPPROTO_MPTCP 262
#define O_ACCMODE 3
#define O_TRUNC 01000
#define FMODE_EXEC 0x20 /* the kernel's own opening of a program, which is judged as one */
#define FMODE_NOACCOUNT 0x20000000
#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFDIR 0040000

#define PATH_SIZE 255 /* as in paths.rs */

/* Say what would be refused, and refuse nothing. */
const volatile bool dry_run = false;

/* What is asked; as in refused.rs. */
enum act {
	RUN,
	READ,
	WRITE,
	CONNECT,
	ACTS,
};

/* 256 bytes are what a trie takes at most. Of whole paths the final zero counts too. */
struct path_key {
	u32 bits;
	u8 act;
	char path[PATH_SIZE];
};

struct path_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1); /* each has what its policy needs */
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct path_key);
	__type(value, u8);
};

/* Until there is a policy: nothing is known. */
struct path_trie paths_nothing SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct path_trie);
} paths SEC(".maps") = {
	.values = { &paths_nothing },
};

/* The cgroup whose processes are judged, and those below it. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} inside SEC(".maps");

struct refused_key {
	u8 act;
	u8 protocol;
	u16 port;
	u8 peer[16];
	char path[PATH_SIZE + 1];
};

struct refused_value {
	u64 times;
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

/* Answers, by act: [act] passed, [ACTS + act] refused. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * ACTS);
	__type(key, u32);
	__type(value, u64);
} totals SEC(".maps");

/* Of each task, since a program can be preempted by another's. */
struct scratch {
	struct path_key path;
	struct refused_key refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Whether a hook was ever called, for anybody: a kernel whose `lsm=` lacks bpf attaches programs and calls none. */
u32 asked = 0;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct linux_binprm___lsm {
	struct file *file;
};

struct msghdr___lsm {
	void *msg_name;
	int msg_namelen;
	unsigned int msg_flags;
};

struct socket___lsm {
	short type;
	struct sock *sk;
};

struct task_struct___lsm {
	const void *cred, *real_cred;
};

struct file___lsm {
	unsigned int f_mode;
};

struct mount___lsm {
	struct vfsmount mnt;
	void *mnt_ns;
};

#pragma clang attribute pop

/* Of uapi/linux/in.h and in6.h, as far as they are alike. */
struct address {
	u16 family;
	__be16 port;
	__be32 flow_or_ip4;
	u8 ip6[16];
};

static __always_inline bool is_judged(void)
{
	/* Once, for every process of the machine comes by here. */
	if (!asked)
		asked = 1;
	return bpf_current_task_under_cgroup(&inside, 0) == 1;
}

static __always_inline struct scratch *scratch(void)
{
	return bpf_task_storage_get(&scratches, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * Overlayfs opens a file of a layer, or copies one up, within the task that opened its own, with the credentials of who mounted it: at a mount of
 * its own that is in no namespace, or without accounting. The task's own opening has been judged.
 */
static __always_inline bool is_inner(struct file *file)
{
	struct task_struct___lsm *task = (void *)bpf_get_current_task_btf();
	struct mount___lsm *mount;
	unsigned long namespace;

	if (task->cred == task->real_cred)
		return false;
	if (((struct file___lsm *)file)->f_mode & FMODE_NOACCOUNT)
		return true;
	mount = (void *)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount___lsm, mnt);
	namespace = (unsigned long)BPF_CORE_READ(mount, mnt_ns);
	return !namespace || namespace >= -4095UL;
}

/* `key`: NULL where there was no room for one. */
static __always_inline int answer(bool allowed, u32 act, struct refused_key *key)
{
	struct refused_value *value, fresh = {};
	u32 zero = 0, at = allowed ? act : ACTS + act;
	u64 now, *total;
	void *table;

	total = bpf_map_lookup_elem(&totals, &at);
	if (total)
		*total += 1;
	if (allowed)
		return 0;
	table = bpf_map_lookup_elem(&refused, &zero);
	if (table && key) {
		now = bpf_ktime_get_boot_ns();
		value = bpf_map_lookup_elem(table, key);
		if (!value) {
			fresh.first = now;
			bpf_map_update_elem(table, key, &fresh, BPF_NOEXIST);
			value = bpf_map_lookup_elem(table, key);
		}
		if (value) {
			__sync_fetch_and_add(&value->times, 1);
			value->last = now;
		}
	}
	return dry_run ? 0 : -EPERM;
}

/* A path that cannot be had, or is longer than a policy's, is unknown. */
static __always_inline int judge_path(struct path *path, u32 act)
{
	struct scratch *own = scratch();
	bool allowed = false;
	u32 zero = 0;
	long length;
	void *trie;

	if (!own)
		return answer(false, act, NULL);
	own->path.act = act;
	length = bpf_d_path(path, own->path.path, PATH_SIZE);
	trie = bpf_map_lookup_elem(&paths, &zero);
	if (trie && length > 0 && length <= PATH_SIZE) {
		own->path.bits = (1 + length) * 8;
		allowed = bpf_map_lookup_elem(trie, &own->path) != NULL;
	}
	if (!allowed) {
		__builtin_memset(&own->refused, 0, sizeof(own->refused));
		own->refused.act = act;
		if (length > 0)
			bpf_probe_read_kernel_str(own->refused.path, PATH_SIZE, own->path.path);
	}
	return answer(allowed, act, &own->refused);
}

/* `sends`: datagrams, which may answer, and take an address of no family for one of IPv4. */
static __always_inline int judge_peer(struct socket___lsm *socket, const void *to, int length, bool sends)
{
	struct scratch *own;
	struct address address = {};
	struct sock *sk = socket->sk;
	u8 peer[16] = {}, protocol;
	u16 number, port;
	bool allowed = false;
	u32 zero = 0;
	void *trie;

	if (!sk || length < 8)
		return 0;
	bpf_probe_read_kernel(&address, 8, to);
	if (address.family == AF_INET || (sends && !address.family && sk->__sk_common.skc_family == AF_INET)) {
		peer[10] = peer[11] = 0xff;
		__builtin_memcpy(peer + 12, &address.flow_or_ip4, 4);
	} else if (address.family == AF_INET6 && length >= 24) {
		bpf_probe_read_kernel(peer, sizeof(peer), to + 8);
	} else {
		return 0; /* of other families, and connect(2) that takes a peer away */
	}
	/* Of one's own: 127.0.0.0/8, also as IPv6 has it, and ::1; what is no address is sent there too. */
	{
		u64 high, low;

		__builtin_memcpy(&high, peer, 8);
		__builtin_memcpy(&low, peer + 8, 8);
		low = bpf_be64_to_cpu(low);
		if (!high && (low <= 1 || low == 0xffff00000000ULL || low >> 24 == 0xffff7fULL))
			return 0;
	}
	number = sk->sk_protocol;
	protocol = number == IPPROTO_MPTCP ? IPPROTO_TCP : number;
	port = bpf_ntohs(address.port);
	trie = bpf_map_lookup_elem(&known, &zero);
	if (trie)
		allowed = is_allowed(trie, SENDS, protocol, peer, port) ||
			  (sends && is_allowed(trie, ANSWERS, protocol, peer, sk->__sk_common.skc_num));
	own = allowed ? NULL : scratch();
	if (!own)
		return answer(allowed, CONNECT, NULL);
	__builtin_memset(&own->refused, 0, sizeof(own->refused));
	own->refused.act = CONNECT;
	own->refused.protocol = protocol;
	own->refused.port = port;
	__builtin_memcpy(own->refused.peer, peer, sizeof(peer));
	return answer(false, CONNECT, &own->refused);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(on_run, struct linux_binprm___lsm *bprm)
{
	return is_judged() ? judge_path(&bprm->file->f_path, RUN) : 0;
}

SEC("lsm/file_open")
int BPF_PROG(on_open, struct file *file)
{
	u32 kind, flags;

	if (!is_judged())
		return 0;
	flags = file->f_flags;
	kind = file->f_inode->i_mode & S_IFMT;
	if ((flags & FMODE_EXEC) || (kind != S_IFREG && kind != S_IFDIR) || is_inner(file))
		return 0;
	return judge_path(&file->f_path, (flags & O_ACCMODE) || (flags & O_TRUNC) ? WRITE : READ);
}

SEC("lsm/socket_connect")
int BPF_PROG(on_connect, struct socket___lsm *socket, void *to, int length)
{
	return is_judged() ? judge_peer(socket, to, length, false) : 0;
}

/* Datagrams with a peer of their own, and connections that begin with data. A stream of TCP that is connected was judged then. */
SEC("lsm/socket_sendmsg")
int BPF_PROG(on_send, struct socket___lsm *socket, struct msghdr___lsm *message, int size)
{
	struct sock *sk;
	bool stream;

	if (!is_judged() || !message->msg_name)
		return 0;
	stream = socket->type == SOCK_STREAM;
	sk = socket->sk;
	if (stream && sk && sk->sk_protocol != IPPROTO_SCTP && !(message->msg_flags & MSG_FASTOPEN))
		return 0;
	return judge_peer(socket, message->msg_name, message->msg_namelen, !stream);
}

/* bpf_d_path() asks for it. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
