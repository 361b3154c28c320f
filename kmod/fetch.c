// SPDX-License-Identifier: GPL-2.0-only
/*
 * fetch.c - one page, now.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "fetch.h"
#include "io.h"

/* So many fetches always find memory; more wait for one of them to end. */
#define RESERVE 16
/* While a donor does not answer: how often to ask. */
#define RETRY_MS 10

struct fetch {
	struct completion done;
	struct rmk_io io;
};

static struct kmem_cache *cache; /* an io is too large for kmalloc() to keep at hand */
static mempool_t *fetches;

static void fetch_done(struct rmk_io *io)
{
	complete(&container_of(io, struct fetch, io)->done);
}

static int fetch_once(struct fetch *f)
{
	struct rmk_store *store = f->io.store;
	u64 ns;

	reinit_completion(&f->done);
	f->io.start = ktime_get_ns();
	rmk_poll_begin(&store->poll);
	rmk_io_get(&f->io);
	rmk_poll_wait(&store->poll, &f->done, f->io.start);
	ns = ktime_get_ns() - f->io.start;
	rmk_poll_end(&store->poll, ns);
	rmk_stats_latency(store->stats, false, ns);
	if (!f->io.err && core_entry_where(f->io.page[0].entry) == CORE_EMPTY)
		return -ENOENT;
	return f->io.err;
}

int rmk_fetch(struct rmk_store *store, u32 nr, struct page *page, unsigned long patience)
{
	unsigned long end = jiffies + patience;
	struct fetch *f = mempool_alloc(fetches, GFP_NOIO | __GFP_NOWARN);
	int err;

	init_completion(&f->done);
	rmk_io_init(&f->io, store, fetch_done);
	f->io.lane = RMK_LANE_DEMAND;
	f->io.npages = 1;
	f->io.page[0].page = page;
	f->io.page[0].nr = nr;
	while ((err = fetch_once(f)) == -EAGAIN && time_before(jiffies, end)) {
		rmk_count(store->stats, RMK_RETRIES, 1);
		msleep(RETRY_MS);
	}
	mempool_free(f, fetches);
	return err;
}

int rmk_fetch_module_init(void)
{
	cache = KMEM_CACHE(fetch, 0);
	if (!cache)
		return -ENOMEM;
	fetches = mempool_create_slab_pool(RESERVE, cache);
	if (fetches)
		return 0;
	kmem_cache_destroy(cache);
	return -ENOMEM;
}

void rmk_fetch_module_exit(void)
{
	mempool_destroy(fetches);
	kmem_cache_destroy(cache);
}
