/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pool.h - the pages of one device: the index over the tiers.
 *
 * Contexts: looking up, publishing and freeing may happen in process and
 * softirq context with interrupts on or off, but an entry of the compressed
 * tier may be freed or read in process context only.
 */
#ifndef RMK_POOL_H
#define RMK_POOL_H

#include <linux/spinlock.h>

#include "remote.h"
#include "stats.h"
#include "ztier.h"

#define RMK_POOL_LOCKS 256

struct rmk_pool {
	u64 npages;
	struct core_entry *index; /* [npages], each guarded by rmk_pool_lock() */
	struct rmk_remote *remote;
	struct rmk_slabs *slabs; /* the remote's */
	struct rmk_ztier *ztier;
	struct rmk_stats __percpu *stats;
	spinlock_t locks[RMK_POOL_LOCKS]; /* of the index, see rmk_pool_lock() */
};

/* npages of nothing. The tiers are attached by the caller. ERR_PTR(-ENOMEM). May sleep. */
struct rmk_pool *rmk_pool_create(u64 npages);
/* Forget every page: phase one, while the tiers still stand. Process context, may sleep. */
void rmk_pool_drop_all(struct rmk_pool *pool);
void rmk_pool_destroy(struct rmk_pool *pool);

/*
 * Neighbours share a lock, so that a request takes few of them; distant pages
 * rarely do. Interrupts go off because slots are freed from the swap code with
 * interrupts off and published from softirq. the
 * compressed tier's locks must not, they are not to be taken under what softirq takes.
 */
static inline spinlock_t *rmk_pool_lock(struct rmk_pool *pool, u64 nr)
{
	return &pool->locks[(nr >> 5) % RMK_POOL_LOCKS];
}

struct core_entry rmk_pool_peek(struct rmk_pool *pool, u64 nr);

/*
 * Publish e for page nr. With expect, only if the page's entry is still that.
 * Returns whether e was published; *old is then what it replaced, now the
 * caller's to free.
 */
bool rmk_pool_publish(struct rmk_pool *pool, u64 nr, struct core_entry e,
		      const struct core_entry *expect, struct core_entry *old);

/* Give back what an entry, no longer in the index, holds. */
void rmk_pool_free_entry(struct rmk_pool *pool, struct core_entry e);
static inline bool rmk_pool_needs_process(struct core_entry e)
{
	return core_entry_where(e) == CORE_ZSTD;
}

/* Forget n pages. Process context, does not sleep; interrupts may be off. */
void rmk_pool_discard(struct rmk_pool *pool, u64 nr, u64 n);

/* Bytes of metadata: the index, and slot maps and owners of the slabs held. */
u64 rmk_pool_metadata_bytes(struct rmk_pool *pool);

#endif /* RMK_POOL_H */
