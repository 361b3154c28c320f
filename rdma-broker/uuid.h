/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * uuid.h - UUIDs of file systems, as people write them.
 */
#ifndef RMB_UUID_H
#define RMB_UUID_H

#include <stdint.h>

#define RMB_UUID_STR 37 /* one as text, with its NUL */

/* As blkid prints it; not all zero. 0 or -EINVAL. */
int rmb_uuid_parse(const char *text, uint8_t uuid[16]);
/* Returns out. */
const char *rmb_uuid_format(const uint8_t uuid[16], char out[RMB_UUID_STR]);

#endif /* RMB_UUID_H */
