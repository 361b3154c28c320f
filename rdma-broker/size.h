/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * size.h - sizes and durations as people write them.
 */
#ifndef RMB_SIZE_H
#define RMB_SIZE_H

#include <stdint.h>

#define RMB_SIZE_STR 24 /* room for rmb_size_format(), with its NUL */

/*
 * "4096", "512M", "64MiB", "1g", "1.5G": bytes, powers of 1024.
 * Returns 0, -EINVAL (not a size) or -ERANGE (over 2^63).
 */
int rmb_size_parse(const char *text, uint64_t *bytes);

/* "10s", "500ms", "2m", "1h", "10" (seconds): milliseconds, at most a day. Errors as above. */
int rmb_duration_parse(const char *text, uint32_t *ms);

/* "512 MiB", "1.5 GiB", "0 B". Returns out. */
const char *rmb_size_format(uint64_t bytes, char out[RMB_SIZE_STR]);

#endif /* RMB_SIZE_H */
