// SPDX-License-Identifier: GPL-2.0-only
/*
 * pool.c - the index of a device: which tier holds each page.
 *
 * Locks: rmk_pool_lock(nr) guards one entry. Whoever takes an entry out of the
 * index (publishing over it, discarding it) owns what it held and frees it;
 * nobody else can, so nothing is freed twice and nothing stale is read.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "pool.h"

struct rmk_pool *rmk_pool_create(u64 npages)
{
	struct rmk_pool *pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	int i;

	if (!pool)
		return ERR_PTR(-ENOMEM);
	pool->npages = npages;
	/* Zero is CORE_EMPTY. A size that is too large is refused, not got by killing programs. */
	pool->index = __vmalloc(npages * sizeof(*pool->index),
				GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	pool->stats = alloc_percpu(struct rmk_stats);
	if (!pool->index || !pool->stats) {
		rmk_pool_destroy(pool);
		return ERR_PTR(-ENOMEM);
	}
	for (i = 0; i < RMK_POOL_LOCKS; i++)
		spin_lock_init(&pool->locks[i]);
	return pool;
}

void rmk_pool_destroy(struct rmk_pool *pool)
{
	free_percpu(pool->stats);
	vfree(pool->index);
	kfree(pool);
}

struct core_entry rmk_pool_peek(struct rmk_pool *pool, u64 nr)
{
	spinlock_t *lock = rmk_pool_lock(pool, nr);
	struct core_entry e;
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	e = pool->index[nr];
	spin_unlock_irqrestore(lock, flags);
	return e;
}

static void account(struct rmk_pool *pool, struct core_entry from, struct core_entry to)
{
	this_cpu_dec(pool->stats->pages[core_entry_where(from)]);
	this_cpu_inc(pool->stats->pages[core_entry_where(to)]);
}

bool rmk_pool_publish(struct rmk_pool *pool, u64 nr, struct core_entry e,
		      const struct core_entry *expect, struct core_entry *old)
{
	spinlock_t *lock = rmk_pool_lock(pool, nr);
	unsigned long flags;
	bool done = true;

	spin_lock_irqsave(lock, flags);
	if (!expect) {
		*old = core_index_set(&pool->index[nr], e);
	} else {
		*old = *expect;
		done = core_index_replace(&pool->index[nr], *expect, e);
	}
	spin_unlock_irqrestore(lock, flags);
	if (done)
		account(pool, *old, e);
	return done;
}

static void free_remote(struct rmk_pool *pool, struct core_entry e)
{
	struct core_remote where = core_entry_get_remote(e);
	struct rmk_slab *slab = rmk_slabs_find(pool->slabs, &where);

	/* the slot is still in use, so the slab is there */
	if (WARN_ON_ONCE(!slab))
		return;
	rmk_slab_free_slots(slab, where.slot, 1);
	rmk_slab_put(slab);
}

void rmk_pool_free_entry(struct rmk_pool *pool, struct core_entry e)
{
	switch (core_entry_where(e)) {
	case CORE_REMOTE:
		free_remote(pool, e);
		break;
	case CORE_ZSTD:
		rmk_ztier_free(pool->ztier, core_entry_get_handle(e));
		break;
	default:
		break;
	}
}

void rmk_pool_discard(struct rmk_pool *pool, u64 nr, u64 n)
{
	struct core_entry old;
	u64 freed = 0;

	for (; n; n--, nr++) {
		/*
		 * a hint without the lock: discards of what was never written are the common
		 * case
		 */
		struct core_entry hint = { .word0 = READ_ONCE(pool->index[nr].word0) };

		if (core_entry_where(hint) == CORE_EMPTY)
			continue;
		rmk_pool_publish(pool, nr, core_entry_empty(), NULL, &old);
		rmk_pool_free_entry(pool, old);
		freed++;
	}
	rmk_count(pool->stats, RMK_DISCARDS, freed);
}

void rmk_pool_drop_all(struct rmk_pool *pool)
{
	const u64 step = 4096;
	u64 nr;

	for (nr = 0; nr < pool->npages; nr += step) {
		rmk_pool_discard(pool, nr, min(step, pool->npages - nr));
		cond_resched();
	}
}

u64 rmk_pool_metadata_bytes(struct rmk_pool *pool)
{
	struct rmk_slabs_stats remote;

	rmk_slabs_stats(pool->slabs, &remote);
	return pool->npages * sizeof(*pool->index) + remote.total_slots * sizeof(u32) +
	       remote.total_slots / 8 + remote.slabs * sizeof(struct rmk_slab);
}
