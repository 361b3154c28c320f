/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * crc32c.h - the checksum by which a page proves itself.
 */
#ifndef RMR_CRC32C_H
#define RMR_CRC32C_H

#include "../core/port.h"

/* Of len bytes, a multiple of 8, at an address that is one too or not; starts from ~0. */
u32 rmr_crc32c(const void *data, size_t len);
/* The same without the processor's help, for tests and other processors. */
u32 rmr_crc32c_table(const void *data, size_t len);

#endif /* RMR_CRC32C_H */
