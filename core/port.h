/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * port.h - the few names that core/ needs from its surroundings.
 *
 * core/ is compiled into the kernel module and into userspace. It allocates
 * nothing, takes no lock, logs nothing and knows no clock: callers give it
 * memory and time and serialise their calls.
 */
#ifndef CORE_PORT_H
#define CORE_PORT_H

#ifdef __KERNEL__

#include <linux/types.h>
#include <linux/string.h>
#include <linux/errno.h>
#include <linux/bitops.h>
#include <asm/byteorder.h>
#include <linux/build_bug.h>

#define core_le16(x)	le16_to_cpu(x)
#define core_le32(x)	le32_to_cpu(x)
#define core_le64(x)	le64_to_cpu(x)
#define core_to_le16(x) cpu_to_le16(x)
#define core_to_le32(x) cpu_to_le32(x)
#define core_to_le64(x) cpu_to_le64(x)
#define core_ctz64(x)	((unsigned int)__ffs64(x))
/* 0 for 0, else 1 + index of the top bit */
#define core_fls64(x) ((unsigned int)fls64(x))

#define core_static_assert(expr, msg) static_assert(expr, msg)

#else

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define core_le16(x)	le16toh(x)
#define core_le32(x)	le32toh(x)
#define core_le64(x)	le64toh(x)
#define core_to_le16(x) htole16(x)
#define core_to_le32(x) htole32(x)
#define core_to_le64(x) htole64(x)
#define core_ctz64(x)	((unsigned int)__builtin_ctzll(x))
#define core_fls64(x)	((x) ? 64u - (unsigned int)__builtin_clzll(x) : 0u)

#define core_static_assert(expr, msg) _Static_assert(expr, msg)

#endif

#endif /* CORE_PORT_H */
