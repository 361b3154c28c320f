/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ztier.h - compressed pages in the memory of this process, up to a limit.
 *
 * A handle is a reference-counted block; the index holds one reference, and who
 * decompresses another.
 */
#ifndef RMR_ZTIER_H
#define RMR_ZTIER_H

#include "../core/port.h"

struct rmr_ztier {
	u64 limit;
	u64 bytes; /* atomic */
};

void rmr_ztier_init(struct rmr_ztier *z, u64 limit);
/* Compress len bytes. -ENOSPC: the limit; -ENOMEM. */
int rmr_ztier_put(struct rmr_ztier *z, const void *data, u32 len, u64 *handle);
/* Decompress len bytes, with a reference held. -EIO: it is damaged. -ENOMEM. */
int rmr_ztier_get(u64 handle, void *data, u32 len);
void rmr_ztier_hold(u64 handle);
void rmr_ztier_release(struct rmr_ztier *z, u64 handle);
u64 rmr_ztier_bytes(const struct rmr_ztier *z);

#endif /* RMR_ZTIER_H */
