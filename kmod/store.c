// SPDX-License-Identifier: GPL-2.0-only
/*
 * store.c - the index: which tier holds each page.
 *
 * Locks: rmk_store_lock(nr) guards one entry. Whoever takes an entry out of the
 * index (publishing over it, discarding it) owns what it held and frees it;
 * nobody else can, so nothing is freed twice and nothing stale is read.
 *
 * A segment that is given back may still be looked at by who found it under
 * such a lock, that is with interrupts off: it is freed after a grace period.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "store.h"
#include "trace.h"

static u32 max_segments(const struct rmk_store *store)
{
	return DIV_ROUND_UP_ULL(store->capacity, RMK_SEGMENT);
}

struct rmk_store *rmk_store_create(u64 capacity)
{
	/* A size that is too large is refused, not got by killing programs. */
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	struct rmk_store *store = kzalloc(sizeof(*store), GFP_KERNEL);
	int i;

	BUILD_BUG_ON(RMK_SEGMENT * sizeof(struct core_entry) != PAGE_SIZE);
	if (!store)
		return ERR_PTR(-ENOMEM);
	store->capacity = capacity;
	store->segments = __vmalloc(max_segments(store) * sizeof(*store->segments), gfp);
	store->taken = __vmalloc(BITS_TO_LONGS(max_segments(store)) * sizeof(long), gfp);
	store->ephemeral = __vmalloc(BITS_TO_LONGS(max_segments(store)) * sizeof(long), gfp);
	store->stats = alloc_percpu(struct rmk_stats);
	if (!store->segments || !store->taken || !store->ephemeral || !store->stats) {
		rmk_store_destroy(store);
		return ERR_PTR(-ENOMEM);
	}
	spin_lock_init(&store->taking);
	for (i = 0; i < RMK_STORE_LOCKS; i++)
		spin_lock_init(&store->locks[i]);
	return store;
}

void rmk_store_destroy(struct rmk_store *store)
{
	u32 i;

	rmk_store_reap(store);
	for (i = 0; i < store->end; i++)
		free_page((unsigned long)store->segments[i]);
	free_percpu(store->stats);
	vfree(store->ephemeral);
	vfree(store->taken);
	vfree(store->segments);
	kfree(store);
}

/* ---- segments ---- */

static int claim(struct rmk_store *store, u32 n, u32 *at)
{
	unsigned long flags, found;
	int err = -ENOSPC;

	spin_lock_irqsave(&store->taking, flags);
	found = bitmap_find_next_zero_area(store->taken, max_segments(store), 0, n, 0);
	if (found + n <= max_segments(store)) {
		bitmap_set(store->taken, found, n);
		store->nsegments += n;
		store->end = max_t(u32, store->end, found + n);
		*at = found;
		err = 0;
	}
	spin_unlock_irqrestore(&store->taking, flags);
	return err;
}

static void unclaim(struct rmk_store *store, u32 at, u32 n)
{
	unsigned long flags;

	spin_lock_irqsave(&store->taking, flags);
	bitmap_clear(store->taken, at, n);
	store->nsegments -= n;
	spin_unlock_irqrestore(&store->taking, flags);
}

int rmk_store_take(struct rmk_store *store, u32 n, gfp_t gfp, u32 *first)
{
	u32 at, i;
	int err = claim(store, n, &at);

	if (err)
		return err;
	for (i = at; i < at + n; i++) {
		/* zero is CORE_EMPTY; whoever sees the segment sees it empty */
		smp_store_release(&store->segments[i], (struct core_entry *)__get_free_page(
							       gfp | __GFP_ZERO | __GFP_NOWARN));
		if (!store->segments[i])
			break;
		if (gfpflags_allow_blocking(gfp))
			cond_resched();
	}
	if (i < at + n) {
		while (i-- > at)
			free_page((unsigned long)xchg(&store->segments[i], NULL));
		unclaim(store, at, n);
		return -ENOMEM;
	}
	*first = at << RMK_SEGMENT_SHIFT;
	return 0;
}

void rmk_store_give_back(struct rmk_store *store, u32 nr)
{
	u32 at = nr >> RMK_SEGMENT_SHIFT;

	rmk_store_discard(store, nr, RMK_SEGMENT);
	clear_bit(at, store->ephemeral);
	llist_add((struct llist_node *)xchg(&store->segments[at], NULL), &store->dropped);
	unclaim(store, at, 1);
}

void rmk_store_set_ephemeral(struct rmk_store *store, u32 nr)
{
	set_bit(nr >> RMK_SEGMENT_SHIFT, store->ephemeral);
}

void rmk_store_reap(struct rmk_store *store)
{
	struct llist_node *node = llist_del_all(&store->dropped), *next;

	if (!node)
		return;
	synchronize_rcu();
	for (; node; node = next) {
		next = node->next;
		free_page((unsigned long)node);
	}
}

/* ---- entries ---- */

struct core_entry rmk_store_peek(struct rmk_store *store, u32 nr)
{
	spinlock_t *lock = rmk_store_lock(store, nr);
	struct core_entry e = core_entry_empty(), *at;
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	at = rmk_store_entry(store, nr);
	if (at)
		e = *at;
	spin_unlock_irqrestore(lock, flags);
	return e;
}

static void account(struct rmk_store *store, struct core_entry from, struct core_entry to)
{
	this_cpu_dec(store->stats->pages[core_entry_where(from)]);
	this_cpu_inc(store->stats->pages[core_entry_where(to)]);
}

bool rmk_store_publish(struct rmk_store *store, u32 nr, struct core_entry e,
		       const struct core_entry *expect, struct core_entry *old)
{
	spinlock_t *lock = rmk_store_lock(store, nr);
	struct core_entry *at;
	unsigned long flags;
	bool done = true;

	spin_lock_irqsave(lock, flags);
	at = rmk_store_entry(store, nr);
	if (!at) {
		done = false; /* given back while somebody moved the page */
		*old = core_entry_empty();
	} else if (!expect) {
		*old = core_index_set(at, e);
	} else {
		*old = *expect;
		done = core_index_replace(at, *expect, e);
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
	case CORE_STAGED:
		rmk_stage_release(store->stage, core_entry_get_buffer(e));
		break;
	default:
		break;
	}
}

/* A hint without the lock: discards of what was never written are the common case. */
static bool looks_empty(struct rmk_store *store, u32 nr)
{
	struct core_entry hint = core_entry_empty(), *at;

	rcu_read_lock();
	at = rmk_store_entry(store, nr);
	if (at)
		hint.word0 = READ_ONCE(at->word0);
	rcu_read_unlock();
	return core_entry_where(hint) == CORE_EMPTY;
}

u64 rmk_store_discard(struct rmk_store *store, u32 nr, u64 n)
{
	struct core_entry old;
	u64 freed = 0;

	for (; n; n--, nr++) {
		if (looks_empty(store, nr))
			continue;
		if (!rmk_store_publish(store, nr, core_entry_empty(), NULL, &old))
			continue;
		if (trace_ramster_flush_enabled())
			trace_ramster_flush(nr, core_entry_where(old));
		rmk_store_free_entry(store, old);
		freed++;
	}
	rmk_count(store->stats, RMK_DISCARDS, freed);
	return freed;
}

void rmk_store_drop_all(struct rmk_store *store)
{
	u32 i;

	for (i = 0; i < store->end; i++) {
		if (store->segments[i])
			rmk_store_discard(store, i << RMK_SEGMENT_SHIFT, RMK_SEGMENT);
		cond_resched();
	}
}

u64 rmk_store_metadata_bytes(struct rmk_store *store)
{
	struct rmk_slabs_stats remote;

	rmk_slabs_stats(store->slabs, &remote);
	return (u64)READ_ONCE(store->nsegments) * PAGE_SIZE +
	       max_segments(store) * sizeof(*store->segments) + remote.total_slots * sizeof(u32) +
	       remote.total_slots / 8 + remote.slabs * sizeof(struct rmk_slab);
}
