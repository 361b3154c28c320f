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
 *
 * A file system that cannot change also joins the share of its UUID, at its
 * first get, which is the first call that tells us which one it is. Once joined, pages are
 * put there; the pool is looked into first, it may have some from before. The
 * share keeps a page that is got: so it may be in the page cache as well, but
 * it cannot be older.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "cleancache.h"
#include "compat/cleancache.h"
#include "compat/kernel.h"
#include "fetch.h"
#include "lookup.h"
#include "offer.h"

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

static bool cleancache_shared = true;
module_param(cleancache_shared, bool, 0644);
MODULE_PARM_DESC(
	cleancache_shared,
	"share clean pages of a file system that is mounted read-only, on a device that cannot be written, with others that have mounted it, where a donor allows it (default 1)");

#if RMK_HAVE_CLEANCACHE

#include <linux/bitmap.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/page-flags.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include <linux/xxhash.h>

/* Filesystems mounted at once; more do without. */
#define MAX_MOUNTS RMK_MAX_SHARES

/* A mounted filesystem. */
struct mount {
	int id;			      /* its place, and how many were before it; -1: unmounted */
	struct rmk_pool *pool;	      /* NULL: it is not in use */
	struct rmk_share *share;      /* NULL: none */
	unsigned long looked;	      /* bit 0: whether it may have one has been looked at */
	const struct super_block *sb; /* told by the first get, only compared; NULL: none yet */
	bool forgotten;		      /* by the kernel, which has another id for sb */
};

static struct {
	struct rmk_store *store;
	struct rmk_writer *writer;
	struct rmk_shares *shares;
	struct mutex lock; /* guards what follows, and a pool against going while evicted from */
	DECLARE_BITMAP(used, MAX_MOUNTS);
	struct mount mount[MAX_MOUNTS]; /* read under RCU, by gets SRCU */
	u32 created;
	u32 hand; /* where evicting goes on */
} front = { .lock = __MUTEX_INITIALIZER(front.lock) };

DEFINE_STATIC_SRCU(gets);

/* NULL: none, or unmounted meanwhile. */
static struct mount *mount_of(int id)
{
	struct mount *m = &front.mount[(u32)id % MAX_MOUNTS];

	/* with init_fs(): who sees the id sees the pool */
	return id >= 0 && smp_load_acquire(&m->id) == id ? m : NULL;
}

static struct rmk_pool_key key_of(const struct cleancache_filekey *file)
{
	struct rmk_pool_key key;

	BUILD_BUG_ON(sizeof(key) != sizeof(file->u));
	memcpy(&key, &file->u, sizeof(key));
	return key;
}

/* ---- mounts that the kernel forgets ---- */

static void invalidate_fs(int id);

static void forget_mounts(struct work_struct *work)
{
	u32 i;

	for (i = 0; i < MAX_MOUNTS; i++)
		if (READ_ONCE(front.mount[i].forgotten))
			invalidate_fs(READ_ONCE(front.mount[i].id));
}

static DECLARE_WORK(forget_work, forget_mounts);

/*
 * ext4 is given a new id when it is remounted to be written, and never ends the old one. init_fs()
 * does not say which file system it is for, but the first get does.
 */
static void recognize(struct mount *m, const struct super_block *sb)
{
	struct mount *other;

	if (READ_ONCE(m->sb) == sb)
		return;
	mutex_lock(&front.lock);
	WRITE_ONCE(m->sb, sb);
	for (other = front.mount; other < front.mount + MAX_MOUNTS; other++)
		if (other->sb == sb && other->id / MAX_MOUNTS < m->id / MAX_MOUNTS)
			WRITE_ONCE(other->forgotten, true);
	mutex_unlock(&front.lock);
	schedule_work(&forget_work);
}

/* ---- shares ---- */

/* NULL: not yet. Messages come before all is up. */
static struct rmk_shares *shares_here(void)
{
	return smp_load_acquire(&front.shares); /* with rmk_cleancache_start() */
}

/* Can its files not change, whoever tries? Its device must be set read-only for that. */
static bool unchanging(const struct super_block *sb)
{
	return sb_rdonly(sb) && sb->s_bdev && bdev_read_only(sb->s_bdev);
}

/* XXH64 of the first 4 KiB of the device, as the filesystem itself sees them. */
static int fingerprint(struct super_block *sb, u64 *out)
{
	struct buffer_head *bh;
	struct xxh64_state state;
	u32 at;

	xxh64_reset(&state, 0);
	for (at = 0; at < RAMSTER_SHARE_PAGE; at += sb->s_blocksize) {
		bh = sb_bread(sb, at / sb->s_blocksize);
		if (!bh)
			return -EIO;
		xxh64_update(&state, bh->b_data, min_t(u32, bh->b_size, RAMSTER_SHARE_PAGE - at));
		brelse(bh);
	}
	*out = xxh64_digest(&state);
	return 0;
}

/* Once for each mount; the page that is asked for keeps it from going. */
static void look_for_share(struct mount *m, struct super_block *sb)
{
	struct rmk_shares *shares = shares_here();
	struct rmk_share *share;
	u64 print;

	if (!shares || test_and_set_bit(0, &m->looked))
		return;
	if (!READ_ONCE(cleancache_shared) || uuid_is_null(&sb->s_uuid) || !unchanging(sb) ||
	    fingerprint(sb, &print))
		return;
	share = rmk_share_create(shares, sb->s_uuid.b, print);
	if (!IS_ERR(share))
		WRITE_ONCE(m->share, share);
}

/* The share of a page's filesystem, if it has one and still cannot change. */
static struct rmk_share *share_of(const struct mount *m, const struct page *page)
{
	struct rmk_share *share = READ_ONCE(m->share);

	return share && unchanging(page->mapping->host->i_sb) ? share : NULL;
}

static int get_shared(struct rmk_share *share, const struct rmk_pool_key *key, pgoff_t index,
		      struct page *page)
{
	struct rmk_share_name name;

	if (!rmk_share_joined(share))
		return -ENOENT;
	rmk_share_name(key, index, &name);
	return rmk_lookup(front.store, share, &name, page);
}

static int put_shared(struct rmk_share *share, const struct rmk_pool_key *key, pgoff_t index,
		      const void *src)
{
	struct rmk_share_name name;

	rmk_share_name(key, index, &name);
	return rmk_offer(rmk_shares_offers(front.shares), share, &name, src);
}

/* With index NULL all pages of the file. */
static void flush_shared(struct rmk_share *share, const struct rmk_pool_key *key,
			 const pgoff_t *index)
{
	struct rmk_share_name name;

	rmk_share_name(key, index ? *index : 0, &name);
	rmk_share_flush(share, name.object, index ? name.tag : 0);
}

void rmk_cleancache_message(struct rmk_session *s, const struct core_msg *msg)
{
	struct rmk_shares *shares = shares_here();

	if (shares)
		rmk_shares_message(shares, s, msg);
}

void rmk_cleancache_broken(struct rmk_session *s)
{
	struct rmk_shares *shares = shares_here();

	if (shares)
		rmk_shares_broken(shares, s);
}

ssize_t rmk_cleancache_show_shares(char *buf)
{
	struct rmk_shares *shares = shares_here();

	return shares ? rmk_shares_show(shares, buf) : 0;
}

/* ---- the kernel's calls ---- */

/*
 * A direct write to the file is under way: the page may be older than what the disk has at its
 * end, and then the kernel calls only where the page cache still has pages of the file.
 */
static bool written_directly(const struct page *page)
{
	return atomic_read(&page->mapping->host->i_dio_count);
}

/* Interrupts off, under the page cache's lock; the page is nobody's any more. */
static void put_page_here(int id, struct cleancache_filekey file, pgoff_t index, struct page *page)
{
	struct rmk_stats __percpu *stats = front.store->stats;
	struct rmk_pool_key key = key_of(&file);
	struct mount *m = mount_of(id); /* interrupts are off: an RCU section */
	struct rmk_share *share;
	void *src;
	int err;

	if (!m)
		return;
	/* to read a poisoned one would stop the machine */
	if (PageHWPoison(page) || written_directly(page)) {
		rmk_pool_flush_page(m->pool, &key, index);
		rmk_count(stats, RMK_CLEANCACHE_FAILED_PUTS, 1);
		return;
	}
	/* Set when a page leaves the active list: it was asked for a second time. */
	if (READ_ONCE(cleancache_filter) && !PageWorkingset(page)) {
		/* a share's copy cannot be older */
		rmk_pool_flush_page(m->pool, &key, index);
		rmk_count(stats, RMK_CLEANCACHE_FILTERED_PUTS, 1);
		return;
	}
	share = share_of(m, page);
	src = rmk_kmap(page);
	if (share && rmk_share_joined(share)) {
		/* the pool may have it from before the share was joined, and is asked first */
		rmk_pool_flush_page(m->pool, &key, index);
		err = put_shared(share, &key, index, src);
	} else {
		err = rmk_pool_put(m->pool, &key, index, src);
	}
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
	struct rmk_share *share;
	int err = -ENOENT, section;
	struct mount *m;
	u32 nr;

	if (i_blocksize(page->mapping->host) == PAGE_SIZE)
		SetPageMappedToDisk(page);
	keep_pace();
	section = srcu_read_lock(&gets);
	m = mount_of(id);
	if (m)
		recognize(m, page->mapping->host->i_sb);
	if (m && rmk_pool_take(m->pool, &key, index, &nr)) {
		err = rmk_fetch(front.store, nr, page, 0);
		rmk_pool_release(m->pool, nr);
	}
	if (m && err) {
		look_for_share(m, page->mapping->host->i_sb);
		share = share_of(m, page);
		if (share)
			err = get_shared(share, &key, index, page);
	}
	srcu_read_unlock(&gets, section);
	rmk_count(stats, err ? RMK_CLEANCACHE_MISSES : RMK_CLEANCACHE_HITS, 1);
	return err;
}

/* Mostly with interrupts off. */
static void invalidate_page(int id, struct cleancache_filekey file, pgoff_t index)
{
	struct rmk_pool_key key = key_of(&file);
	struct rmk_share *share;
	struct mount *m;

	rcu_read_lock();
	m = mount_of(id);
	if (m) {
		rmk_pool_flush_page(m->pool, &key, index);
		share = READ_ONCE(m->share);
		if (share)
			flush_shared(share, &key, &index);
		rmk_count(front.store->stats, RMK_CLEANCACHE_INVALIDATES, 1);
	}
	rcu_read_unlock();
}

static void invalidate_inode(int id, struct cleancache_filekey file)
{
	struct rmk_pool_key key = key_of(&file);
	struct rmk_share *share;
	struct mount *m;

	rcu_read_lock();
	m = mount_of(id);
	if (m) {
		rmk_pool_flush_object(m->pool, &key);
		share = READ_ONCE(m->share);
		if (share)
			flush_shared(share, &key, NULL);
	}
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
	at = find_first_zero_bit(front.used, MAX_MOUNTS);
	if (at < MAX_MOUNTS) {
		__set_bit(at, front.used);
		id = front.created++ % (INT_MAX / MAX_MOUNTS) * MAX_MOUNTS + at;
		front.mount[at].looked = 0;
		front.mount[at].pool = pool;
		smp_store_release(&front.mount[at].id, id); /* with mount_of() */
	}
	mutex_unlock(&front.lock);
	if (id < 0)
		rmk_pool_destroy(pool);
	return id;
}

/*
 * A cluster filesystem, where another machine may write: it flushes before it lets
 * the other do so, and would have to wait for the donor. So its pages stay ours.
 */
static int init_shared_fs(uuid_t *uuid, size_t page_size)
{
	return init_fs(page_size);
}

static void invalidate_fs(int id)
{
	struct mount *m = mount_of(id);
	struct rmk_pool *pool;

	if (!m)
		return;
	WRITE_ONCE(m->id, -1);
	synchronize_srcu(&gets);
	synchronize_rcu();
	mutex_lock(&front.lock);
	pool = m->pool;
	m->pool = NULL; /* nobody evicts from it any more */
	mutex_unlock(&front.lock);
	rmk_pool_destroy(pool);
	if (m->share)
		rmk_share_end(m->share);
	m->share = NULL;
	mutex_lock(&front.lock);
	m->sb = NULL;
	m->forgotten = false;
	__clear_bit(m - front.mount, front.used);
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
	for (i = 0; i < MAX_MOUNTS && done < n; i++) {
		pool = front.mount[front.hand++ % MAX_MOUNTS].pool;
		if (pool)
			done += rmk_pool_evict(pool, n - done);
	}
	mutex_unlock(&front.lock);
	return done;
}

void rmk_cleancache_start(struct rmk_store *store, struct rmk_writer *writer)
{
	struct rmk_shares *shares;

	if (!cleancache)
		return;
	shares = rmk_lookup_init() ? ERR_PTR(-ENOMEM) : rmk_shares_create(store);
	if (IS_ERR(shares)) {
		pr_warn("no memory for cleancache: on without it\n");
		return;
	}
	front.store = store;
	front.writer = writer;
	if (cleancache_register_ops(&ops)) {
		pr_warn("cleancache is another backend's already: on without it\n");
		rmk_shares_destroy(shares);
		rmk_lookup_exit();
		return;
	}
	smp_store_release(&front.shares, shares); /* with shares_here() */
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
	int i;

	*out = (struct rmk_pool_stats){ 0 };
	mutex_lock(&front.lock);
	for (i = 0; i < MAX_MOUNTS; i++) {
		if (!front.mount[i].pool)
			continue;
		rmk_pool_stats(front.mount[i].pool, &one);
		out->pages += one.pages;
		out->objects += one.objects;
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

void rmk_cleancache_message(struct rmk_session *s, const struct core_msg *msg)
{
}

void rmk_cleancache_broken(struct rmk_session *s)
{
}

ssize_t rmk_cleancache_show_shares(char *buf)
{
	return 0;
}

void rmk_cleancache_stats(struct rmk_pool_stats *out)
{
	*out = (struct rmk_pool_stats){ 0 };
}

#endif /* RMK_HAVE_CLEANCACHE */
