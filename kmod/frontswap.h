/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * frontswap.h - the front that takes swap pages before they reach the swap
 * device, on kernels that have the hooks (compat/frontswap.h).
 */
#ifndef RMK_FRONTSWAP_H
#define RMK_FRONTSWAP_H

#include "store.h"
#include "writer.h"

struct gendisk;

/*
 * Register, unless frontswap=0 or the kernel has no frontswap. There is no way
 * back: the module is pinned, so this comes last. disk: our own; swap
 * on it is left to it. May sleep.
 */
void rmk_frontswap_start(struct rmk_store *store, struct rmk_writer *writer,
			 const struct gendisk *disk);

/* Numbers that it may need beside the disk's. */
u64 rmk_frontswap_capacity(void);

/* Pages that the swap code believes to be here; 0 without the front. */
u64 rmk_frontswap_pages(void);
/*
 * Pull pages back into memory until target are left, as far as memory goes: a
 * partial swapoff. The last 64 per CPU stay, and all while a swap area that has
 * no more than those is on. Slow; sleeps. -EOPNOTSUPP without the front, -EINTR,
 * -EIO if pages are lost that the swap device does not have.
 */
int rmk_frontswap_shrink(u64 target);

#endif /* RMK_FRONTSWAP_H */
