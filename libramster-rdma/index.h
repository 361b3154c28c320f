/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * index.h - where each page lies: (pool, object, index) to an entry of core/index.h.
 *
 * A hash table in shards, each with a lock of its own. In a shard a page hangs
 * in two chains: one finds the page, the other all pages of its object.
 *
 * Coherence: a put takes a ticket when it starts. What it has stored is
 * published only if the page's newest ticket is still its own, so that of
 * several puts the one started last counts, whichever ends first, and a flush
 * ends those under way. Who moves a page publishes only over what it has read.
 */
#ifndef RMR_INDEX_H
#define RMR_INDEX_H

#include <pthread.h>

#include "../core/index.h"

struct rmr_key {
	u64 object, index;
	u32 pool;
};

#define RMR_SHARDS 256

struct rmr_shard;

struct rmr_index {
	struct rmr_shard *shards;
	/* Under the shard's lock: the entry is about to be used, keep what it names. */
	void (*hold)(void *owner, struct core_entry e);
	void *owner;
};

int rmr_index_init(struct rmr_index *x, void (*hold)(void *owner, struct core_entry e),
		   void *owner);
/* release is called with each entry that is left. */
void rmr_index_uninit(struct rmr_index *x, void (*release)(void *owner, struct core_entry e));

/* The page's entry, held; empty if there is none. Marks the page as used. */
struct core_entry rmr_index_get(struct rmr_index *x, const struct rmr_key *key);
/* The same, not held, for comparing. */
struct core_entry rmr_index_peek(struct rmr_index *x, const struct rmr_key *key);

/* A put begins: its ticket, or 0: no memory. */
u64 rmr_index_begin(struct rmr_index *x, const struct rmr_key *key);
/* Publish; true: *old is the caller's to free. False: too late, e is. */
bool rmr_index_publish(struct rmr_index *x, const struct rmr_key *key, u64 ticket,
		       struct core_entry e, struct core_entry *old);
/* The put with this ticket has failed: forget the page, unless a later one began. */
struct core_entry rmr_index_abort(struct rmr_index *x, const struct rmr_key *key, u64 ticket);
/* Publish e over expect, if the page is still that; e empty: forget the page. */
bool rmr_index_replace(struct rmr_index *x, const struct rmr_key *key, struct core_entry expect,
		       struct core_entry e);

/* Forget a page; returns the entry, the caller's to free; empty: there was none. */
struct core_entry rmr_index_remove(struct rmr_index *x, const struct rmr_key *key);
/*
 * Forget up to max pages of an object in a shard; returns how many, their entries being
 * the caller's to free. max: there may be more.
 */
u32 rmr_index_remove_object(struct rmr_index *x, const struct rmr_key *key, u32 shard,
			    struct core_entry *entries, u32 max);
/* The same for all of a pool, from bucket *bucket on, which moves on; 0 at first. */
u32 rmr_index_remove_pool(struct rmr_index *x, u32 pool, u32 shard, u32 *bucket,
			  struct core_entry *entries, u32 max);
/* Has the page been read since the last call? For those who choose what is to go. */
bool rmr_index_test_used(struct rmr_index *x, const struct rmr_key *key);

/*
 * Walk: the keys of up to max pages in a shard that lie at where, from the bucket *bucket on,
 * which moves on; ~0 when the shard is done. Returns how many. Of a bucket with more than
 * max of them it tells max.
 */
u32 rmr_index_walk(struct rmr_index *x, u32 shard, u32 *bucket, enum core_where where,
		   struct rmr_key *keys, struct core_entry *entries, u32 max);

/* How many pages lie where. */
void rmr_index_count(struct rmr_index *x, u64 *pages);

#endif /* RMR_INDEX_H */
