// SPDX-License-Identifier: GPL-2.0-only
/*
 * frontswap.c - swap pages by type and offset.
 *
 * Each swap area has segments of page numbers for the stretches of offsets that
 * were stored, taken with the first page of a stretch and given back at
 * swapoff. The swap code keeps store, load and invalidate of one offset apart,
 * and all of them from swapoff (5.10, mm/frontswap.c).
 *
 * With write-through the kernel writes each page to the swap device as well. It
 * is the default because a load has no way to say that a page is lost: after a
 * failed one the kernel reads the swap device, whatever lies there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "compat/blk.h"
#include "compat/frontswap.h"
#include "compat/kernel.h"
#include "fetch.h"
#include "frontswap.h"

static bool frontswap = true;
module_param(frontswap, bool, 0444);
MODULE_PARM_DESC(
	frontswap,
	"take pages before they reach any swap device (default 1), on kernels up to 5.16; the kernel has no way to undo this, so the module stays until reboot");

static bool frontswap_writethrough_param = true;
module_param_named(frontswap_writethrough, frontswap_writethrough_param, bool, 0444);
MODULE_PARM_DESC(
	frontswap_writethrough,
	"write pages to the swap device too (default 1), so that a lost donor costs no data; 0: who asks for a page that a donor took with it is killed, and swapoff after such a loss puts zeros in its place");

static bool frontswap_exclusive;
module_param(frontswap_exclusive, bool, 0444);
MODULE_PARM_DESC(
	frontswap_exclusive,
	"forget a page once it is loaded (default 0: keep it, so that a page that stays clean need not be stored again)");

#if RMK_HAVE_FRONTSWAP

#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/xarray.h>

/* Longer than a session tries to recover (session.c), so that it decides first. */
#define PATIENCE (30 * HZ)
/* How long a store waits for a buffer before the page goes to the swap device. */
#define ROOM_PATIENCE (2 * HZ)

/* Pages brought home at a time, and how long that may take. */
#define SHRINK_MAX  2048
#define SHRINK_TIME (5 * HZ)
#define SLOT_CACHES (64u * num_online_cpus()) /* SWAP_SLOTS_CACHE_SIZE is 64 */

struct area {
	struct xarray segments; /* offset >> RMK_SEGMENT_SHIFT: first number */
	atomic_long_t pages;
	bool active; /* swap is on; there is no waiting for that to change */
};

static struct {
	struct rmk_store *store;
	struct rmk_writer *writer;
	const struct gendisk *disk;
	struct area area[MAX_SWAPFILES];
	struct mutex shrinking; /* one at a time */
} front = { .shrinking = __MUTEX_INITIALIZER(front.shrinking) };

/* ---- numbers ---- */

static bool number_of(unsigned int type, pgoff_t offset, u32 *nr)
{
	void *first = xa_load(&front.area[type].segments, offset >> RMK_SEGMENT_SHIFT);

	if (!first)
		return false;
	*nr = xa_to_value(first) + offset % RMK_SEGMENT;
	return true;
}

/* Reclaim waits for the store: no reclaim here. The reserves may serve: one page for 256. */
static int make_number(unsigned int type, pgoff_t offset, u32 *nr)
{
	void *there;
	u32 first;
	int err;

	if (number_of(type, offset, nr))
		return 0;
	err = rmk_store_take(front.store, 1, GFP_NOWAIT, &first);
	if (err)
		return err;
	there = xa_cmpxchg(&front.area[type].segments, offset >> RMK_SEGMENT_SHIFT, NULL,
			   xa_mk_value(first), GFP_NOWAIT | __GFP_NOWARN);
	if (there)
		rmk_store_give_back(front.store, first);
	if (xa_is_err(there))
		return xa_err(there);
	if (there)
		first = xa_to_value(there);
	*nr = first + offset % RMK_SEGMENT;
	return 0;
}

/* ---- the operations ---- */

static void forget(unsigned int type, u32 nr)
{
	atomic_long_sub(rmk_store_discard(front.store, nr, 1), &front.area[type].pages);
}

/* Swap on /dev/ramster0 needs no front: it would be stored twice. */
static bool swaps_to_our_disk(struct page *page)
{
	struct inode *inode = page_file_mapping(page)->host;

	return S_ISBLK(inode->i_mode) && I_BDEV(inode)->bd_disk == front.disk;
}

/* Waits for a buffer for a while: pages leave them at the wire's speed. */
static int put(u32 nr, struct page *page)
{
	unsigned long end = jiffies + ROOM_PATIENCE;
	void *src;
	int err;

	for (;;) {
		src = rmk_kmap(page);
		err = rmk_writer_put(front.writer, nr, src);
		rmk_kunmap(src);
		if (err != -EAGAIN || rmk_writer_stuck(front.writer) || time_after(jiffies, end))
			return err;
		rmk_stage_wait(front.store->stage, false, HZ / 10);
	}
}

/* Process context, page locked and in the swap cache; a failure drops the old copy. */
static int store(unsigned int type, pgoff_t offset, struct page *page)
{
	struct rmk_stats __percpu *stats = front.store->stats;
	u32 nr;
	int err;

	if (PageTransHuge(page) || swaps_to_our_disk(page))
		return -EOPNOTSUPP;
	rmk_remote_want(front.store->remote);
	err = make_number(type, offset, &nr);
	if (!err) {
		err = put(nr, page);
		if (err)
			forget(type, nr);
		else
			atomic_long_inc(&front.area[type].pages);
	}
	rmk_count(stats, err ? RMK_FRONTSWAP_FAILED_STORES : RMK_FRONTSWAP_STORES, 1);
	return err;
}

/*
 * Nothing can be said but "loaded" or "read the device", and the device has
 * something else. So whoever asked does not live to see the page. That is not
 * always whose page it is: swapoff asks for all.
 */
static int lost(struct page *page)
{
	pr_err_ratelimited("%s[%d] killed: a page of its memory is gone with its donor\n",
			   current->comm, task_pid_nr(current));
	clear_highpage(page);
	send_sig(SIGKILL, current, 1);
	return 0;
}

/* Process context, page locked. */
static int load(unsigned int type, pgoff_t offset, struct page *page)
{
	struct rmk_stats __percpu *stats = front.store->stats;
	u32 nr;
	int err = -ENOENT;

	if (number_of(type, offset, &nr))
		err = rmk_fetch(front.store, nr, page, PATIENCE);
	rmk_count(stats, err ? RMK_FRONTSWAP_FAILED_LOADS : RMK_FRONTSWAP_LOADS, 1);
	if (err == -ENOENT)
		return err; /* another backend's */
	if (err)
		return frontswap_writethrough_param ? err : lost(page);
	if (frontswap_exclusive)
		forget(type, nr);
	return 0;
}

/* Under the swap code's locks, interrupts may be off. */
static void invalidate_page(unsigned int type, pgoff_t offset)
{
	u32 nr;

	if (!number_of(type, offset, &nr))
		return;
	forget(type, nr);
	rmk_count(front.store->stats, RMK_FRONTSWAP_INVALIDATES, 1);
}

static void drop_area(struct area *area)
{
	unsigned long at;
	void *first;

	xa_for_each(&area->segments, at, first) {
		xa_erase(&area->segments, at);
		rmk_store_give_back(front.store, xa_to_value(first));
		cond_resched();
	}
	rmk_store_reap(front.store);
	atomic_long_set(&area->pages, 0);
}

/* Swapoff. */
static void invalidate_area(unsigned int type)
{
	WRITE_ONCE(front.area[type].active, false);
	drop_area(&front.area[type]);
}

/* Swapon. */
static void init(unsigned int type)
{
	drop_area(&front.area[type]);
	WRITE_ONCE(front.area[type].active, true);
	rmk_remote_want(front.store->remote);
}

static struct frontswap_ops ops = {
	.init = init,
	.store = store,
	.load = load,
	.invalidate_page = invalidate_page,
	.invalidate_area = invalidate_area,
};

/* ---- life ---- */

void rmk_frontswap_start(struct rmk_store *s, struct rmk_writer *writer, const struct gendisk *disk)
{
	int i;

	if (!frontswap)
		return;
	front.store = s;
	front.writer = writer;
	front.disk = disk;
	for (i = 0; i < MAX_SWAPFILES; i++)
		xa_init(&front.area[i].segments);
	__module_get(THIS_MODULE);
	frontswap_writethrough(frontswap_writethrough_param);
	frontswap_tmem_exclusive_gets(frontswap_exclusive);
	frontswap_register_ops(&ops);
	pr_info("frontswap is on, %s; the module stays until reboot (frontswap=0 avoids that)\n",
		frontswap_writethrough_param ? "pages go to the swap device too" :
					       "what a donor takes with it is lost");
}

u64 rmk_frontswap_capacity(void)
{
	/* Far more than is ever worth borrowing; costs 8 bytes for 256 pages. */
	return frontswap ? 16 * totalram_pages() : 0;
}

u64 rmk_frontswap_pages(void)
{
	return front.store ? frontswap_curr_pages() : 0;
}

/* ---- shrinking ---- */

struct shrinking {
	unsigned long target;
	struct completion done;
};

static int shrink_thread(void *opaque)
{
	struct shrinking *s = opaque;

	allow_signal(SIGINT);
	frontswap_shrink(s->target);
	complete(&s->done);
	return 0;
}

/*
 * 5.10's try_to_unuse() does not end before it has found as many pages as it was
 * asked for, and they may be gone meanwhile; but it looks for signals. So it runs
 * in a thread that gets one when it takes long.
 */
static int shrink_to(unsigned long target, bool *late)
{
	struct shrinking s = { .target = target };
	struct task_struct *task;

	init_completion(&s.done);
	task = kthread_create(shrink_thread, &s, "ramster_shrink");
	if (IS_ERR(task))
		return PTR_ERR(task);
	get_task_struct(task);
	wake_up_process(task);
	*late = false;
	while (!wait_for_completion_timeout(&s.done, SHRINK_TIME)) {
		*late = true;
		send_sig(SIGINT, task, 1);
	}
	put_task_struct(task);
	return 0;
}

/*
 * It looks in one area, we do not know which, and if that has no more pages than
 * asked for, it waits for the area to be empty. Freed slots that lie in the
 * per-CPU caches count as pages there, but are not found.
 */
static u64 may_shrink(void)
{
	u64 least = SHRINK_MAX + SLOT_CACHES;
	int i;

	for (i = 0; i < MAX_SWAPFILES; i++)
		if (READ_ONCE(front.area[i].active))
			least = min_t(u64, least, atomic_long_read(&front.area[i].pages));
	return least > SLOT_CACHES ? least - SLOT_CACHES : 0;
}

int rmk_frontswap_shrink(u64 target)
{
	u64 pages, n, unseen = 0;
	bool late = false;
	int err;

	if (!front.store)
		return -EOPNOTSUPP;
	if (!frontswap_writethrough_param && rmk_stats_pages(front.store->stats, CORE_LOST))
		return -EIO; /* it would put zeros in their place */
	err = mutex_lock_interruptible(&front.shrinking);
	if (err)
		return err;
	while (!err && (pages = frontswap_curr_pages()) > target) {
		n = min(pages - target, may_shrink());
		if (!n)
			break;
		err = shrink_to(pages - n, &late);
		/* freed slots may lie in the per-CPU caches until those are full */
		unseen = frontswap_curr_pages() < pages ? 0 : unseen + n;
		if (unseen > SLOT_CACHES || (unseen && late))
			break; /* no memory for them, or more came than went */
		if (signal_pending(current))
			err = -EINTR;
	}
	mutex_unlock(&front.shrinking);
	return err;
}

#else

void rmk_frontswap_start(struct rmk_store *store, struct rmk_writer *writer,
			 const struct gendisk *disk)
{
}

u64 rmk_frontswap_capacity(void)
{
	return 0;
}

u64 rmk_frontswap_pages(void)
{
	return 0;
}

int rmk_frontswap_shrink(u64 target)
{
	return -EOPNOTSUPP;
}

#endif /* RMK_HAVE_FRONTSWAP */
