/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h - small calls that differ between 5.10 and 7.2.
 */
#ifndef RMK_COMPAT_KERNEL_H
#define RMK_COMPAT_KERNEL_H

#include <linux/highmem.h>
#include <linux/hrtimer.h>
#include <linux/timer.h>

#include "version.h"

#ifdef timer_container_of
#define rmk_from_timer(var, timer, field) timer_container_of(var, timer, field)
#else
#define rmk_from_timer(var, timer, field) from_timer(var, timer, field)
#endif

static inline void rmk_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*function)(struct hrtimer *),
				     clockid_t clock, enum hrtimer_mode mode)
{
#if !RMK_KERNEL_BEFORE(6, 13)
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

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

#endif /* RMK_COMPAT_KERNEL_H */
