/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ztier.h - the compressed tier: pages held in local memory as zstd streams.
 *
 * Contents are opaque to the tier: callers keep the checksum and check it.
 * Every function but create and destroy may be called in process context with
 * interrupts on or off, and never in softirq or hardirq context or under a lock
 * taken there: zsmalloc's locks are not softirq-safe. None of them sleeps or
 * waits on reclaim.
 */
#ifndef RMK_ZTIER_H
#define RMK_ZTIER_H

#include <linux/types.h>

struct rmk_ztier;

struct rmk_ztier_stats {
	u64 pages;	      /* pages held */
	u64 compressed_bytes; /* sum of their stored lengths */
	u64 used_bytes;	      /* memory that zsmalloc holds for them */
	u64 max_used_bytes;   /* at once, since creation */
	u64 limit_bytes;
	u64 incompressible; /* pages now held raw: compressed they take as much memory */
	u64 refused;	    /* puts refused since creation: limit or no memory */
};

/*
 * limit_bytes is the most that zsmalloc may hold (0: the tier takes nothing).
 * Preallocates a zstd workspace and a bounce buffer per possible CPU. May
 * sleep. Returns ERR_PTR(-ENOMEM) on failure.
 */
struct rmk_ztier *rmk_ztier_create(u64 limit_bytes);

/* Every handle must have been freed; warns once and goes on if not. May sleep. */
void rmk_ztier_destroy(struct rmk_ztier *t);

/* May be lower than what is held: then nothing more is taken until enough is freed. */
void rmk_ztier_set_limit(struct rmk_ztier *t, u64 limit_bytes);

/*
 * Keep a copy of the page at src (PAGE_SIZE bytes, mapped). On success stores
 * a handle, non-zero, its low three bits clear. -ENOSPC: at the limit;
 * -ENOMEM: the kernel had no memory to give without waiting. For a page on its
 * way out of memory call it under memalloc_noreclaim_save(): a worker has no
 * access to the reserves of its own, and at the min watermark every put fails.
 */
int rmk_ztier_put(struct rmk_ztier *t, const void *src, u64 *handle);

/*
 * Between hold and release nobody frees the handle: rmk_ztier_free() waits. A
 * reader holds it, looks whether its index still has it, gets it and releases.
 * Not under a lock that softirq takes: somebody with zsmalloc's locks may be
 * interrupted by a softirq that waits for that lock, and we for him. Nothing
 * sleeps in between.
 */
void rmk_ztier_hold(struct rmk_ztier *t, u64 handle);
void rmk_ztier_release(struct rmk_ztier *t, u64 handle);

/*
 * Restore the page to dst (PAGE_SIZE bytes, mapped). The caller holds the
 * handle or is the only one who could free it. -EIO: the stream does not decode.
 */
int rmk_ztier_get(struct rmk_ztier *t, u64 handle, void *dst);

/* The caller took the handle out of its index, so nobody else frees it. */
void rmk_ztier_free(struct rmk_ztier *t, u64 handle);

/* Approximate while others are changing the tier. */
void rmk_ztier_stats(struct rmk_ztier *t, struct rmk_ztier_stats *out);

#endif /* RMK_ZTIER_H */
