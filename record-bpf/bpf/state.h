/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Maps, load-time settings, and the per-CPU state every program shares. */
#ifndef RETROSCOPE_STATE_H
#define RETROSCOPE_STATE_H

#define FILTER_TREE 0x1	  /* follow the processes in `tree` and their descendants */
#define FILTER_CGROUP 0x2 /* follow cgroups judged VERDICT_FOLLOW; unjudged ones are pending */

#define VERDICT_IGNORE 0
#define VERDICT_FOLLOW 1
#define VERDICT(v) ((v)&0xffff)

/* Data area of one record: up to five paths and the fixed part, then argv. */
#define PATHS_MAX 32768 /* power of two, > sizeof(largest struct) + 5 * (RS_PATH_MAX + RS_NAME_MAX) + RS_NAME_MAX */
#define SCRATCH_SIZE (PATHS_MAX + RS_NAME_MAX + RS_ARGV_MAX)

#define FD_SCAN_MAX 1024 /* descriptors looked at when a process execs or exits */

/* A path walk under way; see path.h. */
struct walk {
	u64 dentry, mnt;
	u64 root, root_mnt;
	u64 left;   /* dentry at which the walk left the mount it began in, or reached the root */
	u32 inside; /* bytes stored before that */
	u32 start;  /* offset in data */
	u32 len;
	u32 flags; /* PATH_* */
	u32 steps;
	u32 _pad;
};

struct scratch {
	struct walk walk;
	char data[SCRATCH_SIZE];
};

/* Who an event is about, and whether we want it; see filter.h. */
struct subject {
	u64 cgroup_id;
	u32 flags; /* RS_F_* */
	bool followed;
	u16 profile; /* of known behaviour; 0: none */
};

/* Whether the ring has room for what is not critical; see thin.h. */
struct crowd {
	u32 is;
	u32 looks;
};

/* When a stream wakes the consumer; see emit.h. */
struct waker {
	u64 since; /* events since it did */
	u64 at;	   /* when it did, CLOCK_BOOTTIME, ns */
};

struct cpu_state {
	struct rs_counters counters;
	u64 next_exec;
	struct waker waker;
	/*
	 * Of the event at hand: found once by the program (begin() in filter.h, enter() in process.h), read by the functions it
	 * calls. It holds for the next event too while task, cgroup and both epochs are the same.
	 */
	u64 task, task_start, css_set, epoch;
	u64 exec_id; /* 0: not introduced */
	struct subject subject;
	u32 tgid, tid;
	u32 fd_row, max_fd; /* the process's; max_fd may be less */
	u64 regs; /* of the system call: as a number, since a kernel pointer is no argument for a global function */
	struct crowd crowd;
};

struct proc {
	u64 exec_id;
	u64 parent_exec_id;
	u32 max_fd;    /* highest descriptor tracked */
	u32 fd_row;    /* its part of fd_rows; 0: it has none */
	u64 known_exe; /* hash of its program's path; 0: not one that the filter of known behaviour looks at */
};

struct fd_key {
	u32 tgid;
	s32 fd;
};

enum fd_kind { FD_OTHER, FD_FILE, FD_SOCKET };

struct fd_state {
	u64 file; /* the struct file, to notice a reused descriptor */
	u64 rx, tx;
	u64 inode;
	u32 reads, writes;
	u32 dev;
	u32 open_flags;
	u32 choice;   /* enum choice: of the open (or socket) and the close */
	u32 protocol; /* AF_PACKET: the ethertype asked for */
	u16 mode;
	u8 kind;  /* enum fd_kind */
	u8 watch; /* sockets: WATCH_* */
	u8 told;  /* files: the open is in the ring, with the path */
	u8 _pad[3];
}; /* a cache line */

/*
 * The lower descriptors of a process are a row of an array, and looking one up takes no hash: reading and writing is most
 * of what most programs do. A row is taken from a stack when the process is first seen, and given back when it ends. Processes
 * beyond the rows, and higher descriptors, are in the table `fds`.
 */
#define FD_ROW 64
#define FD_ROWS 2048 /* row 0 is not used */

/* Set by user space before loading. */
const volatile u32 self_tgid = 0;
const volatile u32 filter_mode = 0;
const volatile u32 wakeup_batch = 128;
const volatile u64 wakeup_gap = 0;    /* ns between two wake-ups from one CPU, at least */
const volatile s32 hierarchy_id = 0;  /* as in /proc/PID/cgroup; 0: the v2 hierarchy */
const volatile u32 classes = ~0u;     /* bit per enum rs_class */
const volatile u32 file_io_calls = 0; /* an event per read and write, besides the sums at close */
/* Controller of the v1 hierarchy: 0 v2, 1 pids, 2 memory, 3 cpu, 4 cpuset, 5 devices, 6 freezer. */
const volatile u32 controller = 0;

/* What was found out about a task holds until one of these moves: a process ran another program, or went to another cgroup; user
 * space changed what is followed. */
u64 task_epoch = 0;
u64 user_epoch SEC(".data.user") = 0;

/* The recorder's own root, learnt when it makes a system call: paths under it are the host's. */
u64 host_root = 0, host_root_mnt = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20); /* resized by user space */
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_state);
} cpu_states SEC(".maps");

/*
 * One scratch record per possible CPU. Not a per-CPU map: those hold at most 32 KiB a value.
 * The programs run in process context with preemption off, so a CPU's record has one user at a time.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* resized by user space to the number of possible CPUs */
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32); /* tgid */
	__type(value, struct proc);
} procs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct fd_key);
	__type(value, struct fd_state);
} fds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FD_ROWS *FD_ROW);
	__type(key, u32);
	__type(value, struct fd_state);
} fd_rows SEC(".maps");

/* Rows that no process has; filled by user space before the programs run. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, FD_ROWS);
	__uint(value_size, sizeof(u32));
} free_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32); /* tgid */
	__type(value, u32);
} tree SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);   /* cgroup id */
	__type(value, u32); /* VERDICT_*, and in the upper half the profile of known behaviour */
} verdicts SEC(".maps");

static __always_inline struct cpu_state *cpu_state(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&cpu_states, &zero);
}

static __always_inline struct scratch *scratch(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&scratches, &cpu);
}

/* A tracepoint's argument as a number: a pointer of a known type may not be passed to a global function. */
static __always_inline u64 argument(void *ctx, u32 i)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + i * sizeof(value));
	return value;
}

static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

#endif
