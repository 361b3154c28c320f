/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lookup.h - a page comes out of a share.
 */
#ifndef RMK_LOOKUP_H
#define RMK_LOOKUP_H

#include "share.h"

/*
 * Fill page with what the share holds under that name; it stays there. -ENOENT:
 * it has no such page, or not for us now; page is then undefined. Sleeps, but
 * never for memory.
 */
int rmk_lookup(struct rmk_store *store, struct rmk_share *share, const struct rmk_share_name *name,
	       struct page *page);

int rmk_lookup_init(void);
void rmk_lookup_exit(void);

#endif /* RMK_LOOKUP_H */
