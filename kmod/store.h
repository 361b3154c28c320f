/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * store.h - the pages of one device: the index over the tiers.
 *
 * Contexts: looking up, publishing and freeing may happen in process and
 * softirq context with interrupts on or off, but an entry of the compressed
 * tier may be freed or read in process context only.
 */
#ifndef RMK_STORE_H
#define RMK_STORE_H

#include <linux/spinlock.h>

#include "remote.h"
#include "stats.h"
#include "ztier.h"

#define RMK_STORE_LOCKS 256

struct rmk_store {
	u64 npages;
	struct core_entry *index; /* [npages], each guarded by rmk_store_lock() */
	struct rmk_remote *remote;
	struct rmk_slabs *slabs; /* the remote's */
	struct rmk_ztier *ztier;
	struct rmk_stats __percpu *stats;
	spinlock_t locks[RMK_STORE_LOCKS]; /* of the index, see rmk_store_lock() */
};

/* npages of nothing. The tiers are attached by the caller. ERR_PTR(-ENOMEM). May sleep. */
struct rmk_store *rmk_store_create(u64 npages);
/* Forget every page: phase one, while the tiers still stand. Process context, may sleep. */
void rmk_store_drop_all(struct rmk_store *store);
void rmk_store_destroy(struct rmk_store *store);

/*
 * Neighbours share a lock, so that a request takes few of them; distant pages
 * rarely do. Interrupts go off because slots are freed from the swap code with
 * interrupts off and published from softirq. The
 * compressed tier's locks must not, they are not to be taken under what softirq takes.
 */
static inline spinlock_t *rmk_store_lock(struct rmk_store *store, u64 nr)
{
	return &store->locks[(nr >> 5) % RMK_STORE_LOCKS];
}

struct core_entry rmk_store_peek(struct rmk_store *store, u64 nr);

/*
 * Publish e for page nr. With expect, only if the page's entry is still that.
 * Returns whether e was published; *old is then what it replaced, now the
 * caller's to free.
 */
bool rmk_store_publish(struct rmk_store *store, u64 nr, struct core_entry e,
		       const struct core_entry *expect, struct core_entry *old);

/* Give back what an entry, no longer in the index, holds. */
void rmk_store_free_entry(struct rmk_store *store, struct core_entry e);
static inline bool rmk_store_needs_process(struct core_entry e)
{
	return core_entry_where(e) == CORE_ZSTD;
}

/* Forget n pages. Process context, does not sleep; interrupts may be off. */
void rmk_store_discard(struct rmk_store *store, u64 nr, u64 n);

/* Bytes of metadata: the index, and slot maps and owners of the slabs held. */
u64 rmk_store_metadata_bytes(struct rmk_store *store);

#endif /* RMK_STORE_H */
