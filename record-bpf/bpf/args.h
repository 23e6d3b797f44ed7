/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Arguments of a system call, from `regs`: the registers it was made with. */
#ifndef RETROSCOPE_ARGS_H
#define RETROSCOPE_ARGS_H

#define ARG1 READ(regs, di)
#define ARG2 READ(regs, si)
#define ARG3 READ(regs, dx)
#define ARG4 READ(regs, r10)
#define ARG5 READ(regs, r8)

#endif
