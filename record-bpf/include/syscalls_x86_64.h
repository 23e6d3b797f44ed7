/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The x86-64 system calls that carry events (arch/x86/entry/syscalls/syscall_64.tbl; a stable ABI). */
#ifndef RETROSCOPE_SYSCALLS_H
#define RETROSCOPE_SYSCALLS_H

#define NR_read 0
#define NR_write 1
#define NR_open 2
#define NR_close 3
#define NR_pread64 17
#define NR_pwrite64 18
#define NR_readv 19
#define NR_writev 20
#define NR_dup2 33
#define NR_sendfile 40
#define NR_connect 42
#define NR_accept 43
#define NR_sendto 44
#define NR_recvfrom 45
#define NR_sendmsg 46
#define NR_recvmsg 47
#define NR_bind 49
#define NR_listen 50
#define NR_rename 82
#define NR_rmdir 84
#define NR_creat 85
#define NR_unlink 87
#define NR_chmod 90
#define NR_fchmod 91
#define NR_openat 257
#define NR_unlinkat 263
#define NR_renameat 264
#define NR_fchmodat 268
#define NR_splice 275
#define NR_accept4 288
#define NR_dup3 292
#define NR_preadv 295
#define NR_pwritev 296
#define NR_renameat2 316
#define NR_copy_file_range 326
#define NR_preadv2 327
#define NR_pwritev2 328
#define NR_close_range 436
#define NR_openat2 437
#define NR_fchmodat2 452
#define NR_MAX 512 /* table size, a power of two */

#endif
