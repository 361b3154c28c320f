// SPDX-License-Identifier: GPL-2.0-only
/*
 * cleancache.c - clean pages by filesystem, file and offset.
 *
 * Each mounted filesystem has an ephemeral private pool. A get takes the page
 * out: it is then in the page cache, and comes back when it leaves that. So a
 * page is never in both, and nothing here can be older than what is there.
 *
 * The kernel keeps the calls for one page apart (its lock, or the page cache's
 * with interrupts off), but not those of a filesystem from its unmounting:
 * reclaim still puts then, and threads of btrfs still get. So a pool goes when
 * nobody is in a call any more (gets sleep: SRCU, the others do not: RCU), and
 * ids are not used again soon: who has read one from the superblock may be late.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "cleancache.h"
#include "compat/cleancache.h"
#include "compat/kernel.h"
#include "fetch.h"

static bool cleancache;
module_param(cleancache, bool, 0444);
MODULE_PARM_DESC(
	cleancache,
	"keep clean pages of files with the donors (default 0), on kernels up to 5.16 built with CLEANCACHE; the kernel has no way to undo this, so the module stays until reboot");

static bool cleancache_filter = true;
module_param(cleancache_filter, bool, 0644);
MODULE_PARM_DESC(
	cleancache_filter,
	"keep only pages that were used more than once (default 1), so that reading a large file once does not fill the wire; 0: all");

#if RMK_HAVE_CLEANCACHE

#include <linux/bitmap.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/page-flags.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>

/* Filesystems mounted at once; more do without. */
#define MAX_POOLS 64

static struct {
	struct rmk_store *store;
	struct rmk_writer *writer;
	struct mutex lock; /* guards what follows, and a pool against going while evicted from */
	DECLARE_BITMAP(used, MAX_POOLS);
	struct rmk_pool *pool[MAX_POOLS]; /* read under RCU, by gets SRCU */
	int id[MAX_POOLS];		  /* of the pool: its place, and how many were before it */
	u32 created;
	u32 hand; /* where evicting goes on */
} front = { .lock = __MUTEX_INITIALIZER(front.lock) };

DEFINE_STATIC_SRCU(gets);

static struct rmk_pool *pool_of(int id)
{
	u32 at = (u32)id % MAX_POOLS;

	return id >= 0 && READ_ONCE(front.id[at]) == id ? READ_ONCE(front.pool[at]) : NULL;
}

static struct rmk_pool_key key_of(const struct cleancache_filekey *file)
{
	struct rmk_pool_key key;

	BUILD_BUG_ON(sizeof(key) != sizeof(file->u));
	memcpy(&key, &file->u, sizeof(key));
	return key;
}

/* Interrupts off, under the page cache's lock; the page is nobody's any more. */
static void put_page_here(int id, struct cleancache_filekey file, pgoff_t index, struct page *page)
{
	struct rmk_stats __percpu *stats = front.store->stats;
	struct rmk_pool_key key = key_of(&file);
	struct rmk_pool *pool = pool_of(id); /* interrupts are off: an RCU section */
	void *src;
	int err;

	if (!pool)
		return;
	/* Set when a page leaves the active list: it was asked for a second time. */
	if (READ_ONCE(cleancache_filter) && !PageWorkingset(page)) {
		rmk_pool_flush_page(pool, &key, index);
		rmk_count(stats, RMK_CLEANCACHE_FILTERED_PUTS, 1);
		return;
	}
	src = rmk_kmap(page);
	err = rmk_pool_put(pool, &key, index, src);
	rmk_kunmap(src);
	rmk_count(stats,
		  !err		 ? RMK_CLEANCACHE_PUTS :
		  err == -EAGAIN ? RMK_CLEANCACHE_DROPPED_PUTS :
				   RMK_CLEANCACHE_FAILED_PUTS,
		  1);
}

/*
 * A put cannot wait for the wire, but who reads makes room for what it reads by
 * puts: so it waits here, until most buffers are free for the next burst, and not long.
 */
static void keep_pace(void)
{
	struct rmk_stage *stage = front.store->stage;

	if (!rmk_stage_roomy(stage) && !rmk_writer_stuck(front.writer))
		rmk_stage_wait(stage, true, 1);
}

/*
 * Process context, page locked. 5.10's btrfs asks for pages, but does not mark
 * those it reads as lying on disk, and only such are put: so we mark them. Who
 * else asks does so for such pages only. It stops where blocks are smaller.
 */
static int get_page_here(int id, struct cleancache_filekey file, pgoff_t index, struct page *page)
{
	struct rmk_stats __percpu *stats = front.store->stats;
	struct rmk_pool_key key = key_of(&file);
	struct rmk_pool *pool;
	int err = -ENOENT, section;
	u32 nr;

	if (i_blocksize(page->mapping->host) == PAGE_SIZE)
		SetPageMappedToDisk(page);
	keep_pace();
	section = srcu_read_lock(&gets);
	pool = pool_of(id);
	if (pool && rmk_pool_take(pool, &key, index, &nr)) {
		err = rmk_fetch(front.store, nr, page, 0);
		rmk_pool_release(pool, nr);
	}
	srcu_read_unlock(&gets, section);
	rmk_count(stats, err ? RMK_CLEANCACHE_MISSES : RMK_CLEANCACHE_HITS, 1);
	return err;
}

/* Mostly with interrupts off. */
static void invalidate_page(int id, struct cleancache_filekey file, pgoff_t index)
{
	struct rmk_pool_key key = key_of(&file);
	struct rmk_pool *pool;

	rcu_read_lock();
	pool = pool_of(id);
	if (pool) {
		rmk_pool_flush_page(pool, &key, index);
		rmk_count(front.store->stats, RMK_CLEANCACHE_INVALIDATES, 1);
	}
	rcu_read_unlock();
}

static void invalidate_inode(int id, struct cleancache_filekey file)
{
	struct rmk_pool_key key = key_of(&file);
	struct rmk_pool *pool;

	rcu_read_lock();
	pool = pool_of(id);
	if (pool)
		rmk_pool_flush_object(pool, &key);
	rcu_read_unlock();
}

/* Process context, as the next one. */
static int init_fs(size_t page_size)
{
	struct rmk_pool *pool;
	int id = -ENOSPC;
	u32 at;

	if (page_size != PAGE_SIZE)
		return -EINVAL;
	rmk_remote_want(front.store->remote);
	pool = rmk_pool_create(front.store, front.writer, rmk_cleancache_capacity());
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	mutex_lock(&front.lock);
	at = find_first_zero_bit(front.used, MAX_POOLS);
	if (at < MAX_POOLS) {
		__set_bit(at, front.used);
		id = front.created++ % (INT_MAX / MAX_POOLS) * MAX_POOLS + at;
		WRITE_ONCE(front.id[at], id);
		WRITE_ONCE(front.pool[at], pool);
	}
	mutex_unlock(&front.lock);
	if (id < 0)
		rmk_pool_destroy(pool);
	return id;
}

/* Sharing needs a donor that knows who has put what. */
static int init_shared_fs(uuid_t *uuid, size_t page_size)
{
	return init_fs(page_size);
}

static void invalidate_fs(int id)
{
	struct rmk_pool *pool = pool_of(id);
	u32 at = id % MAX_POOLS;

	if (!pool)
		return;
	mutex_lock(&front.lock);
	WRITE_ONCE(front.pool[at], NULL);
	mutex_unlock(&front.lock);
	synchronize_srcu(&gets);
	synchronize_rcu();
	rmk_pool_destroy(pool);
	mutex_lock(&front.lock);
	__clear_bit(at, front.used);
	mutex_unlock(&front.lock);
}

static const struct cleancache_ops ops = {
	.init_fs = init_fs,
	.init_shared_fs = init_shared_fs,
	.get_page = get_page_here,
	.put_page = put_page_here,
	.invalidate_page = invalidate_page,
	.invalidate_inode = invalidate_inode,
	.invalidate_fs = invalidate_fs,
};

/* From one pool after the other. If a filesystem is just coming or going, the next time will do. */
static u32 evict(u32 n)
{
	struct rmk_pool *pool;
	u32 i, done = 0;

	if (!mutex_trylock(&front.lock))
		return 0;
	for (i = 0; i < MAX_POOLS && done < n; i++) {
		pool = front.pool[front.hand++ % MAX_POOLS];
		if (pool)
			done += rmk_pool_evict(pool, n - done);
	}
	mutex_unlock(&front.lock);
	return done;
}

void rmk_cleancache_start(struct rmk_store *store, struct rmk_writer *writer)
{
	if (!cleancache)
		return;
	front.store = store;
	front.writer = writer;
	if (cleancache_register_ops(&ops)) {
		pr_warn("cleancache is another backend's already: on without it\n");
		front.store = NULL;
		return;
	}
	__module_get(THIS_MODULE);
	WRITE_ONCE(store->evict, evict);
	pr_info("cleancache is on; the module stays until reboot (cleancache=0 avoids that)\n");
}

u64 rmk_cleancache_capacity(void)
{
	/* Metadata of some 50 bytes a page: 5 % of the RAM when all is used. */
	return cleancache ? 4 * totalram_pages() : 0;
}

void rmk_cleancache_stats(struct rmk_pool_stats *out)
{
	struct rmk_pool_stats one;
	int id;

	*out = (struct rmk_pool_stats){ 0 };
	mutex_lock(&front.lock);
	for (id = 0; id < MAX_POOLS; id++) {
		if (!front.pool[id])
			continue;
		rmk_pool_stats(front.pool[id], &one);
		out->pages += one.pages;
		out->objects += one.objects;
		out->evicted += one.evicted;
		out->metadata_bytes += one.metadata_bytes;
	}
	mutex_unlock(&front.lock);
}

#else

void rmk_cleancache_start(struct rmk_store *store, struct rmk_writer *writer)
{
	if (cleancache)
		pr_warn("cleancache=1, but this kernel has no cleancache\n");
}

u64 rmk_cleancache_capacity(void)
{
	return 0;
}

void rmk_cleancache_stats(struct rmk_pool_stats *out)
{
	*out = (struct rmk_pool_stats){ 0 };
}

#endif /* RMK_HAVE_CLEANCACHE */
