/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * store.h - numbered pages, and where each lies: the index over the tiers.
 *
 * Numbers come in segments of RMK_SEGMENT. A front takes segments, uses their
 * numbers as it likes, and gives them back empty.
 *
 * Contexts: looking up, publishing and freeing may happen in process and
 * softirq context with interrupts on or off, but an entry of the compressed
 * tier may be freed or read in process context only.
 */
#ifndef RMK_STORE_H
#define RMK_STORE_H

#include <linux/llist.h>
#include <linux/spinlock.h>

#include "poll.h"
#include "remote.h"
#include "stage.h"
#include "stats.h"
#include "ztier.h"

/* Numbers, and entries, of a segment: the entries are one page of memory. */
#define RMK_SEGMENT_SHIFT 8
#define RMK_SEGMENT	  BIT(RMK_SEGMENT_SHIFT)

/* Numbers are kept in 32 bits, one per slot of a slab. */
#define RMK_MAX_PAGES BIT_ULL(32)

#define RMK_STORE_LOCKS 256

struct rmk_store {
	struct rmk_remote *remote;
	struct rmk_slabs *slabs; /* the remote's */
	struct rmk_ztier *ztier;
	struct rmk_stage *stage;
	struct rmk_stats __percpu *stats;
	struct rmk_poll poll;
	u64 capacity;		      /* numbers are below */
	struct core_entry **segments; /* by number >> RMK_SEGMENT_SHIFT; NULL: none */
	unsigned long *taken;	      /* which segments are; taking */
	unsigned long *ephemeral;     /* of which segments the pages may vanish */
	u32 nsegments;		      /* that are taken; taking */
	u32 end;		      /* all taken ones are below; taking, or a hint */
	spinlock_t taking;	      /* leaf */
	/* Forget up to n pages that may vanish; returns how many. NULL: there are none. */
	u32 (*evict)(u32 n);
	struct llist_head dropped;	   /* segments that a lookup may still see */
	spinlock_t locks[RMK_STORE_LOCKS]; /* of the entries, see rmk_store_lock() */
};

/* No numbers yet, at most capacity. The tiers are attached by the caller. ERR_PTR. May sleep. */
struct rmk_store *rmk_store_create(u64 capacity);
/* Forget every page: phase one, while the tiers still stand. Process context, may sleep. */
void rmk_store_drop_all(struct rmk_store *store);
void rmk_store_destroy(struct rmk_store *store);

/*
 * Take n segments side by side, of empty pages; *first: the first number.
 * -ENOSPC: beyond the capacity; -ENOMEM. Sleeps only if gfp allows it.
 */
int rmk_store_take(struct rmk_store *store, u32 n, gfp_t gfp, u32 *first);
/*
 * Forget a segment's pages and give it back; nr: its first number. Nobody but
 * the mover uses the numbers any more. The memory goes with rmk_store_reap().
 * Process context, does not sleep.
 */
void rmk_store_give_back(struct rmk_store *store, u32 nr);
/* The pages of this segment may vanish, and are never compressed. */
void rmk_store_set_ephemeral(struct rmk_store *store, u32 nr);
static inline bool rmk_store_is_ephemeral(const struct rmk_store *store, u32 nr)
{
	return test_bit(nr >> RMK_SEGMENT_SHIFT, store->ephemeral);
}

/* Make room by forgetting such pages; returns how many. Process context, does not sleep. */
static inline u32 rmk_store_evict(struct rmk_store *store, u32 n)
{
	u32 (*evict)(u32 n) = READ_ONCE(store->evict);

	return evict ? evict(n) : 0;
}

/* Free what was given back. May sleep. */
void rmk_store_reap(struct rmk_store *store);

/*
 * Neighbours share a lock, so that a request takes few of them; distant pages
 * rarely do. Interrupts go off because slots are freed from the swap code with
 * interrupts off and published from softirq. The compressed tier's locks must
 * not, they are not to be taken under what softirq takes.
 */
static inline spinlock_t *rmk_store_lock(struct rmk_store *store, u32 nr)
{
	return &store->locks[(nr >> 5) % RMK_STORE_LOCKS];
}

/* The place of a page's entry, under its lock; NULL: there is no such page (any more). */
static inline struct core_entry *rmk_store_entry(struct rmk_store *store, u32 nr)
{
	struct core_entry *segment = READ_ONCE(store->segments[nr >> RMK_SEGMENT_SHIFT]);

	return segment ? &segment[nr % RMK_SEGMENT] : NULL;
}

/* Of no page: empty. */
struct core_entry rmk_store_peek(struct rmk_store *store, u32 nr);

/*
 * Publish e for page nr. With expect, only if the page's entry is still that.
 * Returns whether e was published; *old is then what it replaced, now the
 * caller's to free.
 */
bool rmk_store_publish(struct rmk_store *store, u32 nr, struct core_entry e,
		       const struct core_entry *expect, struct core_entry *old);

/* Give back what an entry, no longer in the index, holds. */
void rmk_store_free_entry(struct rmk_store *store, struct core_entry e);
static inline bool rmk_store_needs_process(struct core_entry e)
{
	return core_entry_where(e) == CORE_ZSTD;
}

/*
 * Forget n pages. Returns how many of them were something. Process context, does
 * not sleep; interrupts may be off.
 */
u64 rmk_store_discard(struct rmk_store *store, u32 nr, u64 n);

/* Bytes of metadata: the index, and slot maps and owners of the slabs held. */
u64 rmk_store_metadata_bytes(struct rmk_store *store);

#endif /* RMK_STORE_H */
