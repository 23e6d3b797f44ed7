/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Arguments of a system call, from `regs`: the registers it was made with. */
#ifndef RETROSCOPE_ARGS_H
#define RETROSCOPE_ARGS_H

#define ARG1 BPF_CORE_READ(regs, di)
#define ARG2 BPF_CORE_READ(regs, si)
#define ARG3 BPF_CORE_READ(regs, dx)
#define ARG4 BPF_CORE_READ(regs, r10)
#define ARG5 BPF_CORE_READ(regs, r8)

#endif
