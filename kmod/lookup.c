// SPDX-License-Identifier: GPL-2.0-only
/*
 * lookup.c - a page comes out of a share: one READ of the directory's bucket,
 * one of the page, which must prove itself (docs/protocol.md).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/xxhash.h>

#include "compat/kernel.h"
#include "lookup.h"
#include "../core/dir.h"

/* So many lookups always find memory; more wait for one of them to end. */
#define RESERVE 16

struct lookup {
	struct rmk_share *share;
	struct rmk_share_view view;
	struct rmk_wr wr;
	struct rmk_span span;
	struct completion done;
	int err;
	u8 bucket[RAMSTER_DIR_BUCKET_SIZE] ____cacheline_aligned; /* written by the device */
};

static struct kmem_cache *cache;
static mempool_t *lookups;

static void lookup_done(struct rmk_wr *wr, int err)
{
	struct lookup *l = container_of(wr, struct lookup, wr);

	l->err = err;
	complete(&l->done);
}

static int read(struct rmk_store *store, struct lookup *l, u64 raddr, u32 rkey)
{
	u64 start = ktime_get_ns();
	int err;

	reinit_completion(&l->done);
	l->wr.spans = &l->span;
	l->wr.nspans = 1;
	l->wr.write = false;
	l->wr.done = lookup_done;
	rmk_poll_begin(&store->poll);
	err = rmk_share_post(l->share, &l->view, RMK_LANE_DEMAND, &l->wr, raddr, rkey);
	if (!err) {
		rmk_poll_wait(&store->poll, &l->done, start);
		err = l->err;
	}
	rmk_poll_end(&store->poll, ktime_get_ns() - start);
	return err;
}

static bool proven(struct page *page, u64 seed, u64 check)
{
	void *addr = rmk_kmap(page);
	bool same = xxh64(addr, PAGE_SIZE, seed) == check;

	rmk_kunmap(addr);
	return same;
}

static int look(struct rmk_store *store, struct lookup *l, const struct rmk_share_name *name,
		struct page *page)
{
	const struct rmk_share_view *view = &l->view;
	u64 check;
	u32 slot;

	l->span = (struct rmk_span){
		.page = virt_to_page(l->bucket),
		.off = offset_in_page(l->bucket),
		.len = sizeof(l->bucket),
	};
	if (read(store, l, view->dir_addr + core_dir_offset(name->tag, view->slots),
		 view->dir_rkey))
		return -ENOENT;
	if (!core_dir_find(l->bucket, name->tag, view->slots, &slot, &check))
		return -ENOENT;
	l->span = (struct rmk_span){ .page = page, .len = PAGE_SIZE };
	if (read(store, l, view->page_addr + ((u64)slot << PAGE_SHIFT), view->page_rkey))
		return -ENOENT;
	if (proven(page, name->seed, check))
		return 0;
	/* its slot serves another page by now; or somebody has spoilt it */
	rmk_count(store->stats, RMK_SHARE_UNPROVEN, 1);
	return -ENOENT;
}

int rmk_lookup(struct rmk_store *store, struct rmk_share *share, const struct rmk_share_name *name,
	       struct page *page)
{
	struct rmk_share_view view;
	struct lookup *l;
	int err;

	if (!rmk_share_hold(share, true, &view))
		return -ENOENT;
	l = mempool_alloc(lookups, GFP_NOIO | __GFP_NOWARN);
	l->share = share;
	l->view = view;
	init_completion(&l->done);
	err = look(store, l, name, page);
	mempool_free(l, lookups);
	rmk_share_release(share);
	rmk_count(store->stats, err ? RMK_SHARE_MISSES : RMK_SHARE_HITS, 1);
	return err;
}

int rmk_lookup_init(void)
{
	cache = KMEM_CACHE(lookup, SLAB_HWCACHE_ALIGN);
	if (!cache)
		return -ENOMEM;
	lookups = mempool_create_slab_pool(RESERVE, cache);
	if (lookups)
		return 0;
	kmem_cache_destroy(cache);
	return -ENOMEM;
}

void rmk_lookup_exit(void)
{
	mempool_destroy(lookups);
	kmem_cache_destroy(cache);
}
