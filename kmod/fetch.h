/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fetch.h - one page, now: what fronts that may sleep read with.
 */
#ifndef RMK_FETCH_H
#define RMK_FETCH_H

#include "store.h"

struct page;

/*
 * Fill page with page nr. 0; -ENOENT: nothing is stored there; -EIO: it is
 * lost, or came back wrong; -EAGAIN: its donor did not answer in patience
 * jiffies. On failure the content of page is undefined. Sleeps, but never for
 * memory.
 */
int rmk_fetch(struct rmk_store *store, u32 nr, struct page *page, unsigned long patience);

int rmk_fetch_module_init(void);
void rmk_fetch_module_exit(void);

#endif /* RMK_FETCH_H */
