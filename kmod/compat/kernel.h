/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h - small calls that differ between 5.10 and 7.2.
 */
#ifndef RMK_COMPAT_KERNEL_H
#define RMK_COMPAT_KERNEL_H

#include <linux/highmem.h>
#include <linux/page-flags.h>
#include <linux/workqueue.h>

#include "version.h"

/* A workqueue that is not unbound must say so since this flag exists; before, it need not. */
#if RMK_KERNEL_BEFORE(6, 18)
#define RMK_WQ_PERCPU 0
#else
#define RMK_WQ_PERCPU WQ_PERCPU
#endif

/* Map a page for a while. Last mapped, first unmapped; no sleeping in between. */
static inline void *rmk_kmap(struct page *page)
{
#if !RMK_KERNEL_BEFORE(5, 11)
	return kmap_local_page(page);
#else
	return kmap_atomic(page);
#endif
}

static inline void rmk_kunmap(void *addr)
{
#if !RMK_KERNEL_BEFORE(5, 11)
	kunmap_local(addr);
#else
	kunmap_atomic(addr);
#endif
}

/* Would swap, not a file, hold the page if it had to go? */
static inline bool rmk_page_swapbacked(struct page *page)
{
#ifdef page_folio
	return folio_test_swapbacked(page_folio(page));
#else
	return PageSwapBacked(page);
#endif
}

#endif /* RMK_COMPAT_KERNEL_H */
