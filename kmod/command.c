// SPDX-License-Identifier: GPL-2.0-only
/*
 * command.c - bios to ios, retries, the end.
 *
 * A bio whose donor is being reconnected, or that waits for room, stays in its
 * command and is tried again when something changed, at the latest after
 * RETRY_MS; after PATIENCE it fails.
 * Locks: rmk_commands.lock guards the list of those that wait; the work
 * queue's own are taken in it. A swap-out comes by its place among SWAP_OUTS
 * before it takes a command.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bio.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/sbitmap.h>
#include <linux/sched/task_stack.h>
#include <linux/semaphore.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "command.h"
#include "compat/blk.h"
#include "compat/kernel.h"
#include "io.h"

#define RETRY_MS 10
/*
 * Commands that swap out at a time, so 4 MiB at most. Reclaim in a small memory
 * cgroup calls the OOM killer once all of the group's memory is on its way out:
 * it must wait here instead, while a donor is slow. At 15 us a command that is
 * still 2 million lone pages a second.
 */
#define SWAP_OUTS 32
/* Longer than a session tries to recover (session.c), so that it decides first. */
#define PATIENCE (30 * HZ)
/* Reads up to this many pages are somebody's page fault; longer ones are streams. */
#define DEMAND_PAGES 8

struct rmk_command {
	struct rmk_commands *all;
	u32 ends;		 /* of its io, for the one who waits on the spot */
	unsigned long since;	 /* jiffies when the first bio came */
	unsigned long accounted; /* what the kernel's I/O accounting said then */
	struct bio_list bios;	 /* side by side, in order */
	struct list_head waiting;
	struct rmk_io io;
};

struct rmk_commands {
	struct rmk_store *store;
	u32 n;
	struct rmk_command *commands;
	struct sbitmap_queue used; /* by index */
	wait_queue_head_t freed;
	struct semaphore swap_outs; /* how many more may begin */
	struct workqueue_struct *wq;
	struct delayed_work retry;

	spinlock_t lock; /* guards the list */
	struct list_head waiting;
};

static bool is_write(const struct rmk_command *cmd)
{
	return op_is_write(bio_op(cmd->bios.head));
}

/* ---- the end ---- */

/* Under RCU: with the last command back, all may go. */
static void give_back(struct rmk_command *cmd)
{
	struct rmk_commands *all = cmd->all;

	rcu_read_lock();
	if (cmd->io.reclaim)
		up(&all->swap_outs);
	sbitmap_queue_clear(&all->used, cmd - all->commands, raw_smp_processor_id());
	if (wq_has_sleeper(&all->freed))
		wake_up(&all->freed);
	rcu_read_unlock();
}

static u32 pages_of(const struct bio *bio)
{
	return bio->bi_iter.bi_size >> PAGE_SHIFT;
}

static void end_bio(struct rmk_command *cmd, struct bio *bio, int err)
{
	struct rmk_stats __percpu *stats = cmd->all->store->stats;
	bool write = op_is_write(bio_op(bio));

	rmk_count(stats, write ? RMK_WRITES : RMK_READS, pages_of(bio));
	if (err)
		rmk_count(stats, write ? RMK_WRITE_ERRORS : RMK_READ_ERRORS, pages_of(bio));
	bio->bi_status = errno_to_blk_status(err);
	bio_end_io_acct(bio, cmd->accounted);
	bio_endio(bio);
}

static void count_end(struct rmk_command *cmd, bool write, u64 ns)
{
	struct rmk_store *store = cmd->all->store;

	rmk_stats_latency(store->stats, write, ns);
	if (!write)
		rmk_poll_end(&store->poll, ns);
}

static void try_later(struct rmk_command *cmd)
{
	struct rmk_commands *all = cmd->all;
	unsigned long flags;

	rmk_count(all->store->stats, RMK_RETRIES, 1);
	/* both under the lock, which RCU respects: a retry may be the command's end */
	spin_lock_irqsave(&all->lock, flags);
	list_add_tail(&cmd->waiting, &all->waiting);
	queue_delayed_work(all->wq, &all->retry, msecs_to_jiffies(RETRY_MS));
	spin_unlock_irqrestore(&all->lock, flags);
}

/* What n pages have come to. What is decided counts before what may be tried again. */
static int result_of(const struct rmk_io_page *p, u32 n)
{
	int err = 0;

	for (; n && (!err || err == -EAGAIN); n--, p++)
		if (p->state == RMK_PAGE_FAILED)
			err = p->err;
	return err;
}

/*
 * Each bio ends as its own pages did: they were gathered for being neighbours, and one of them
 * may be lost, or lie at a donor that is away. Those to be tried again stay.
 */
static void io_done(struct rmk_io *io)
{
	struct rmk_command *cmd = container_of(io, struct rmk_command, io);
	bool write = is_write(cmd), patient = !time_after(jiffies, cmd->since + PATIENCE);
	u64 ns = ktime_get_ns() - io->start;
	struct bio_list bios = cmd->bios;
	u32 at = 0, kept = 0, n;
	struct bio *bio;
	int err;

	if (!io->err) /* before anybody is woken, and reads again */
		count_end(cmd, write, ns);
	WRITE_ONCE(cmd->ends, cmd->ends + 1);
	bio_list_init(&cmd->bios);
	for (; (bio = bio_list_pop(&bios)); at += n) {
		n = pages_of(bio);
		err = io->err ? result_of(&io->page[at], n) : 0;
		if (err != -EAGAIN || !patient) {
			end_bio(cmd, bio, err == -EAGAIN ? -EIO : err);
			continue;
		}
		memmove(&io->page[kept], &io->page[at], n * sizeof(io->page[0]));
		kept += n;
		bio_list_add(&cmd->bios, bio);
	}
	io->npages = kept;
	if (kept) {
		try_later(cmd);
		return;
	}
	if (io->err)
		count_end(cmd, write, ns);
	give_back(cmd);
}

/* ---- running ---- */

static enum rmk_lane lane_of_read(const struct rmk_command *cmd)
{
	return cmd->bios.head->bi_opf & REQ_RAHEAD || cmd->io.npages > DEMAND_PAGES ?
		       RMK_LANE_BULK :
		       RMK_LANE_DEMAND;
}

static void start(struct rmk_command *cmd)
{
	struct rmk_io *io = &cmd->io;

	if (is_write(cmd)) {
		rmk_io_put(io);
	} else {
		io->lane = lane_of_read(cmd);
		rmk_io_get(io);
	}
}

static void retry(struct work_struct *work)
{
	struct rmk_commands *all = container_of(to_delayed_work(work), struct rmk_commands, retry);
	struct rmk_command *cmd, *next;
	LIST_HEAD(now);

	spin_lock_irq(&all->lock);
	list_splice_init(&all->waiting, &now);
	spin_unlock_irq(&all->lock);
	list_for_each_entry_safe(cmd, next, &now, waiting)
		start(cmd); /* and the command may be on the list again, or somebody else's */
}

/* Swap-in locks its page and waits for it; direct I/O does not lock the user's. */
static bool is_swap_in(const struct rmk_io *io)
{
	return PageLocked(io->page[0].page) && rmk_page_swapbacked(io->page[0].page);
}

/*
 * A synchronous direct read marks its bio with the task that sleeps for it, or
 * since 6.3 (submit_bio_wait) with a completion on that task's stack. Only
 * compared, never followed: a bio that looks so by chance costs a short wait.
 */
static bool submitter_waits(struct rmk_command *cmd)
{
	const void *mark = cmd->bios.head->bi_private;

	return mark == current || object_is_on_stack(mark);
}

/*
 * Only where the submitter sleeps until the read has ended: with asynchronous
 * I/O it may be about to submit more. The command may end, and serve another
 * reader, while we look: then ends moves on.
 */
static void wait_briefly(struct rmk_command *cmd, u32 ends, u64 since)
{
	while (READ_ONCE(cmd->ends) == ends && rmk_poll_on(&cmd->all->store->poll, since))
		cpu_relax();
}

void rmk_command_run(struct rmk_command *cmd)
{
	u64 since = cmd->io.start;
	u32 ends = cmd->ends;
	bool wait = !is_write(cmd) && lane_of_read(cmd) == RMK_LANE_DEMAND &&
		    (submitter_waits(cmd) || is_swap_in(&cmd->io));

	rcu_read_lock(); /* with the last command back, all may go */
	start(cmd);	 /* from here on the command may be somebody else's */
	if (wait)
		wait_briefly(cmd, ends, since);
	rcu_read_unlock();
}

/* ---- gathering ---- */

static void append(struct rmk_io *io, struct bio *bio, u32 nr)
{
	struct bvec_iter iter;
	struct bio_vec bv;
	u32 off;

	bio_for_each_bvec(bv, bio, iter) {
		for (off = bv.bv_offset; off < bv.bv_offset + bv.bv_len; off += PAGE_SIZE) {
			struct rmk_io_page *p = &io->page[io->npages++];

			p->page = bv.bv_page + (off >> PAGE_SHIFT);
			p->nr = nr++;
		}
	}
}

/* Only for swap may a put use the reserves. */
static bool alike(const struct bio *a, const struct bio *b)
{
	return !((a->bi_opf ^ b->bi_opf) & (REQ_OP_MASK | REQ_SWAP));
}

bool rmk_command_full(const struct rmk_command *cmd)
{
	return cmd->io.npages == RMK_IO_PAGES;
}

bool rmk_command_add(struct rmk_command *cmd, struct bio *bio, u32 nr)
{
	struct rmk_io *io = &cmd->io;

	if (nr != io->page[io->npages - 1].nr + 1 || !alike(cmd->bios.head, bio) ||
	    io->npages + (bio->bi_iter.bi_size >> PAGE_SHIFT) > RMK_IO_PAGES)
		return false;
	bio_start_io_acct(bio);
	bio_list_add(&cmd->bios, bio);
	append(io, bio, nr);
	return true;
}

static struct rmk_command *take(struct rmk_commands *all)
{
	int i = __sbitmap_queue_get(&all->used);

	return i < 0 ? NULL : &all->commands[i];
}

/* What is under way ends within the sessions' time-outs, and so do the waits. */
static struct rmk_command *wait_for_one(struct rmk_commands *all)
{
	struct rmk_command *cmd = NULL;

	while (!wait_event_timeout(all->freed, (cmd = take(all)), PATIENCE))
		pr_warn_ratelimited("all %u commands are taken for long\n", all->n);
	return cmd;
}

static bool begin_swap_out(struct rmk_commands *all, bool wait)
{
	if (!wait)
		return !down_trylock(&all->swap_outs);
	while (down_timeout(&all->swap_outs, PATIENCE))
		pr_warn_ratelimited("%u commands swap out for long\n", SWAP_OUTS);
	return true;
}

struct rmk_command *rmk_command_get(struct rmk_commands *all, struct bio *bio, u32 nr, bool wait)
{
	bool reclaim = op_is_write(bio_op(bio)) && bio->bi_opf & REQ_SWAP;
	struct rmk_command *cmd;

	if (reclaim && !begin_swap_out(all, wait))
		return NULL;
	cmd = take(all);
	if (!cmd && wait)
		cmd = wait_for_one(all);
	if (!cmd) {
		if (reclaim)
			up(&all->swap_outs);
		return NULL;
	}
	cmd->since = jiffies;
	cmd->io.start = ktime_get_ns();
	cmd->io.npages = 0;
	cmd->io.reclaim = reclaim;
	cmd->accounted = bio_start_io_acct(bio);
	bio_list_init(&cmd->bios);
	bio_list_add(&cmd->bios, bio);
	append(&cmd->io, bio, nr);
	if (!is_write(cmd))
		rmk_poll_begin(&all->store->poll);
	return cmd;
}

/* ---- life ---- */

void rmk_commands_kick(struct rmk_commands *all)
{
	mod_delayed_work(all->wq, &all->retry, 0);
}

struct rmk_commands *rmk_commands_create(struct rmk_store *store, u32 n)
{
	struct rmk_commands *all = kzalloc(sizeof(*all), GFP_KERNEL);
	int err = -ENOMEM;
	u32 i;

	if (!all)
		return ERR_PTR(-ENOMEM);
	all->store = store;
	all->n = n;
	init_waitqueue_head(&all->freed);
	sema_init(&all->swap_outs, SWAP_OUTS);
	INIT_DELAYED_WORK(&all->retry, retry);
	spin_lock_init(&all->lock);
	INIT_LIST_HEAD(&all->waiting);
	all->commands = kvcalloc(n, sizeof(*all->commands), GFP_KERNEL);
	if (!all->commands)
		goto free;
	for (i = 0; i < n; i++) {
		all->commands[i].all = all;
		rmk_io_init(&all->commands[i].io, store, io_done);
	}
	err = sbitmap_queue_init_node(&all->used, n, -1, false, GFP_KERNEL, NUMA_NO_NODE);
	if (err)
		goto free;
	all->wq = alloc_ordered_workqueue("ramster_retry", WQ_MEM_RECLAIM);
	if (all->wq)
		return all;
	err = -ENOMEM;
	sbitmap_queue_free(&all->used);
free:
	kvfree(all->commands);
	kfree(all);
	return ERR_PTR(err);
}

static bool all_back(struct rmk_commands *all)
{
	return !sbitmap_any_bit_set(&all->used.sb);
}

void rmk_commands_destroy(struct rmk_commands *all)
{
	while (!wait_event_timeout(all->freed, all_back(all), PATIENCE))
		pr_warn_ratelimited("commands under way take long\n");
	synchronize_rcu(); /* whoever brought the last one back, or looks at it, is done */
	cancel_delayed_work_sync(&all->retry); /* a late kick */
	destroy_workqueue(all->wq);
	sbitmap_queue_free(&all->used);
	kvfree(all->commands);
	kfree(all);
}
