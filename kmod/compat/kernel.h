/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h - small calls that differ between 5.10 and 7.2, and the floor.
 *
 * Everything that depends on the kernel's version lives in this directory. A
 * feature that leaves a macro behind is probed for; the rest goes by number.
 * Newer kernels than CEILING (blk.c) build without complaint but untested.
 */
#ifndef RMK_COMPAT_KERNEL_H
#define RMK_COMPAT_KERNEL_H

#include <linux/version.h>
#include <linux/highmem.h>
#include <linux/hrtimer.h>
#include <linux/timer.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "ramster_rdma needs Linux 5.10 or newer"
#endif

#ifdef timer_container_of
#define rmk_from_timer(var, timer, field) timer_container_of(var, timer, field)
#else
#define rmk_from_timer(var, timer, field) from_timer(var, timer, field)
#endif

static inline void rmk_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*function)(struct hrtimer *),
				     clockid_t clock, enum hrtimer_mode mode)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

/* Map a page for a while. Last mapped, first unmapped; no sleeping in between. */
static inline void *rmk_kmap(struct page *page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	return kmap_local_page(page);
#else
	return kmap_atomic(page);
#endif
}

static inline void rmk_kunmap(void *addr)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	kunmap_local(addr);
#else
	kunmap_atomic(addr);
#endif
}

#endif /* RMK_COMPAT_KERNEL_H */
