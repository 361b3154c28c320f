// SPDX-License-Identifier: GPL-2.0-only
/*
 * store.c - the index of a device: which tier holds each page.
 *
 * Locks: rmk_store_lock(nr) guards one entry. Whoever takes an entry out of the
 * index (publishing over it, discarding it) owns what it held and frees it;
 * nobody else can, so nothing is freed twice and nothing stale is read.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "store.h"

struct rmk_store *rmk_store_create(u64 npages)
{
	struct rmk_store *store = kzalloc(sizeof(*store), GFP_KERNEL);
	int i;

	if (!store)
		return ERR_PTR(-ENOMEM);
	store->npages = npages;
	/* Zero is CORE_EMPTY. A size that is too large is refused, not got by killing programs. */
	store->index = __vmalloc(npages * sizeof(*store->index),
				 GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	store->stats = alloc_percpu(struct rmk_stats);
	if (!store->index || !store->stats) {
		rmk_store_destroy(store);
		return ERR_PTR(-ENOMEM);
	}
	for (i = 0; i < RMK_STORE_LOCKS; i++)
		spin_lock_init(&store->locks[i]);
	return store;
}

void rmk_store_destroy(struct rmk_store *store)
{
	free_percpu(store->stats);
	vfree(store->index);
	kfree(store);
}

struct core_entry rmk_store_peek(struct rmk_store *store, u64 nr)
{
	spinlock_t *lock = rmk_store_lock(store, nr);
	struct core_entry e;
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	e = store->index[nr];
	spin_unlock_irqrestore(lock, flags);
	return e;
}

static void account(struct rmk_store *store, struct core_entry from, struct core_entry to)
{
	this_cpu_dec(store->stats->pages[core_entry_where(from)]);
	this_cpu_inc(store->stats->pages[core_entry_where(to)]);
}

bool rmk_store_publish(struct rmk_store *store, u64 nr, struct core_entry e,
		       const struct core_entry *expect, struct core_entry *old)
{
	spinlock_t *lock = rmk_store_lock(store, nr);
	unsigned long flags;
	bool done = true;

	spin_lock_irqsave(lock, flags);
	if (!expect) {
		*old = core_index_set(&store->index[nr], e);
	} else {
		*old = *expect;
		done = core_index_replace(&store->index[nr], *expect, e);
	}
	spin_unlock_irqrestore(lock, flags);
	if (done)
		account(store, *old, e);
	return done;
}

static void free_remote(struct rmk_store *store, struct core_entry e)
{
	struct core_remote where = core_entry_get_remote(e);
	struct rmk_slab *slab = rmk_slabs_find(store->slabs, &where);

	/* the slot is still in use, so the slab is there */
	if (WARN_ON_ONCE(!slab))
		return;
	rmk_slab_free_slots(slab, where.slot, 1);
	rmk_slab_put(slab);
}

void rmk_store_free_entry(struct rmk_store *store, struct core_entry e)
{
	switch (core_entry_where(e)) {
	case CORE_REMOTE:
		free_remote(store, e);
		break;
	case CORE_ZSTD:
		rmk_ztier_free(store->ztier, core_entry_get_handle(e));
		break;
	default:
		break;
	}
}

void rmk_store_discard(struct rmk_store *store, u64 nr, u64 n)
{
	struct core_entry old;
	u64 freed = 0;

	for (; n; n--, nr++) {
		/*
		 * a hint without the lock: discards of what was never written are the common
		 * case
		 */
		struct core_entry hint = { .word0 = READ_ONCE(store->index[nr].word0) };

		if (core_entry_where(hint) == CORE_EMPTY)
			continue;
		rmk_store_publish(store, nr, core_entry_empty(), NULL, &old);
		rmk_store_free_entry(store, old);
		freed++;
	}
	rmk_count(store->stats, RMK_DISCARDS, freed);
}

void rmk_store_drop_all(struct rmk_store *store)
{
	const u64 step = 4096;
	u64 nr;

	for (nr = 0; nr < store->npages; nr += step) {
		rmk_store_discard(store, nr, min(step, store->npages - nr));
		cond_resched();
	}
}

u64 rmk_store_metadata_bytes(struct rmk_store *store)
{
	struct rmk_slabs_stats remote;

	rmk_slabs_stats(store->slabs, &remote);
	return store->npages * sizeof(*store->index) + remote.total_slots * sizeof(u32) +
	       remote.total_slots / 8 + remote.slabs * sizeof(struct rmk_slab);
}
