/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pool.h - pages named by pool, object and index: ephemeral private pools.
 *
 * A page of such a pool may vanish at any time: when its donor goes or wants
 * its memory back, when something that must not vanish needs the room, when a
 * new one finds none. Until then a get returns what was put last.
 *
 * All calls but create and destroy: any context but NMI, interrupts on or off.
 */
#ifndef RMK_POOL_H
#define RMK_POOL_H

#include "store.h"
#include "writer.h"

#define RMK_POOL_KEY_WORDS 6

/* Names an object, such as a file, for good. */
struct rmk_pool_key {
	u32 word[RMK_POOL_KEY_WORDS];
};

struct rmk_pool;

struct rmk_pool_stats {
	u64 pages; /* that have a name; some may have vanished */
	u64 objects;
	u64 metadata_bytes;
};

/* At most max_pages. May sleep. ERR_PTR(-ENOMEM). */
struct rmk_pool *rmk_pool_create(struct rmk_store *store, struct rmk_writer *writer, u64 max_pages);
/* With all pages. Nobody else uses it any more. May sleep. */
void rmk_pool_destroy(struct rmk_pool *pool);

/*
 * Keep a copy of the page at src. On failure the name has no page: -EAGAIN: no
 * buffer is free; -ENOSPC, -ENOMEM.
 */
int rmk_pool_put(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index, const void *src);

/*
 * Take the page out of the pool: *nr is then the caller's to fetch, and to give
 * back with rmk_pool_release(). False: there is none.
 */
bool rmk_pool_take(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index, u32 *nr);
void rmk_pool_release(struct rmk_pool *pool, u32 nr);

void rmk_pool_flush_page(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index);
/* All pages of the object; they go a little later, but none is found from here on. */
void rmk_pool_flush_object(struct rmk_pool *pool, const struct rmk_pool_key *key);

/* Forget about n pages, by age as far as it is known. Returns how many. */
u32 rmk_pool_evict(struct rmk_pool *pool, u32 n);

void rmk_pool_stats(struct rmk_pool *pool, struct rmk_pool_stats *out);

#endif /* RMK_POOL_H */
