// SPDX-License-Identifier: GPL-2.0-only
/*
 * writer.c - write-behind.
 *
 * A staged page is stored by a move: it is published only over the entry that
 * names its buffer. What was overwritten or forgotten meanwhile stays so, and
 * the copy that was made in vain is dropped.
 *
 * Lock: rmk_writer.lock, a leaf, interrupts off: the idle batches.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat/kernel.h"
#include "io.h"
#include "trace.h"
#include "writer.h"

/* Batches on their way at once: one is being filled while others are on the wire. */
#define BATCHES 4
/* So many pages go at once; fewer after a tick. */
#define KICK_PAGES 16
/* When no tier took a page: how soon to try again. */
#define PAUSE_MS 20

struct batch {
	struct rmk_writer *w;
	struct list_head node; /* of idle, or of nothing */
	u32 buffer[RMK_IO_PAGES];
	struct rmk_io io;
};

struct rmk_writer {
	struct rmk_store *store;
	struct workqueue_struct *wq;
	struct delayed_work work;
	bool stopping;
	bool pause; /* no tier took the last batch, yet */
	bool stuck; /* nor is one about to */
	bool evict; /* no donor took one of the others: room must be made */
	spinlock_t lock;
	struct list_head idle;
	u32 nidle;
	wait_queue_head_t done;
	struct batch batch[BATCHES];
};

static struct batch *take_idle(struct rmk_writer *w)
{
	struct batch *b;

	spin_lock_irq(&w->lock);
	b = list_first_entry_or_null(&w->idle, struct batch, node);
	if (b) {
		list_del_init(&b->node);
		w->nidle--;
	}
	spin_unlock_irq(&w->lock);
	return b;
}

/*
 * Idle first, then the kick: a work that finds no idle batch leaves it to the
 * next that ends. All under the lock: destroy looks at nidle under it.
 */
static void put_idle(struct rmk_writer *w, struct batch *b)
{
	u32 ms = READ_ONCE(w->pause) ? PAUSE_MS : 0;
	unsigned long flags;

	spin_lock_irqsave(&w->lock, flags);
	list_add(&b->node, &w->idle);
	w->nidle++;
	if (rmk_stage_queued(w->store->stage) && !READ_ONCE(w->stopping))
		mod_delayed_work(w->wq, &w->work, msecs_to_jiffies(ms));
	wake_up(&w->done);
	spin_unlock_irqrestore(&w->lock, flags);
}

/* Few pages wait for more to come: a work that runs for each costs a context switch for each. */
static void kick(struct rmk_writer *w, u32 queued)
{
	if (READ_ONCE(w->stopping))
		return;
	if (READ_ONCE(w->pause))
		queue_delayed_work(w->wq, &w->work, msecs_to_jiffies(PAUSE_MS));
	else if (queued < KICK_PAGES)
		queue_delayed_work(w->wq, &w->work, 1);
	else if (queued % KICK_PAGES == 0)
		mod_delayed_work(w->wq, &w->work, 0);
}

static bool ephemeral(const struct batch *b)
{
	return b->io.to == RMK_PUT_REMOTE;
}

/* No donor has room for the page, which need not be kept. */
static void vanish(struct rmk_store *store, struct rmk_io_page *p)
{
	struct core_entry old;

	if (rmk_store_publish(store, p->nr, core_entry_empty(), &p->expect, &old)) {
		trace_ramster_flush(p->nr, CORE_STAGED);
		rmk_store_free_entry(store, old);
		rmk_count(store->stats, RMK_VANISHED, 1);
	}
}

/* Softirq or process context. */
static void batch_done(struct rmk_io *io)
{
	struct batch *b = container_of(io, struct batch, io);
	struct rmk_stage *stage = io->store->stage;
	struct rmk_writer *w = b->w;
	bool hopeful = rmk_remote_hopeful(io->store->remote), failed = false;
	u32 i, written = 0;

	for (i = io->npages; i-- > 0;) { /* backwards: what goes back keeps its order */
		if (io->page[i].state != RMK_PAGE_FAILED) {
			written += io->page[i].state == RMK_PAGE_DONE;
			rmk_stage_release(stage, b->buffer[i]);
			continue;
		}
		/* more room may be on its way */
		if (ephemeral(b) && !hopeful) {
			vanish(w->store, &io->page[i]);
			rmk_stage_release(stage, b->buffer[i]);
			WRITE_ONCE(w->evict, true);
			continue;
		}
		/* who would keep what nobody will ask for? */
		if (!core_entry_equal(rmk_store_peek(w->store, io->page[i].nr),
				      io->page[i].expect)) {
			rmk_stage_release(stage, b->buffer[i]);
			continue;
		}
		failed = true;
		rmk_stage_queue(stage, b->buffer[i], true);
	}
	rmk_count(w->store->stats, RMK_WRITTEN_BEHIND, written);
	WRITE_ONCE(w->pause, failed);
	WRITE_ONCE(w->stuck, failed && !hopeful);
	put_idle(w, b);
}

static void batch_add(struct batch *b, const struct rmk_staged *s)
{
	u32 i = b->io.npages++;

	b->buffer[i] = s->buffer;
	b->io.page[i].page = s->page;
	b->io.page[i].nr = s->nr;
	b->io.page[i].expect = s->entry;
	b->io.page[i].crc = core_entry_get_crc(s->entry);
}

/* Pages that must be kept and pages that need not go to different tiers. */
static void fill_batch(struct rmk_writer *w, struct batch *b)
{
	struct rmk_stage *stage = w->store->stage;
	enum rmk_put_to to;
	struct rmk_staged s;

	b->io.npages = 0;
	while (b->io.npages < RMK_IO_PAGES && rmk_stage_next(stage, &s)) {
		to = rmk_store_is_ephemeral(w->store, s.nr) ? RMK_PUT_REMOTE : RMK_PUT_ANYWHERE;
		if (b->io.npages && to != b->io.to) {
			rmk_stage_queue(stage, s.buffer, true);
			return;
		}
		b->io.to = to;
		batch_add(b, &s);
	}
}

static void writer_work(struct work_struct *work)
{
	struct rmk_writer *w = container_of(to_delayed_work(work), struct rmk_writer, work);
	struct batch *b;

	while (!READ_ONCE(w->stopping) && rmk_stage_queued(w->store->stage)) {
		b = take_idle(w);
		if (!b)
			return; /* the one that ends next kicks us */
		if (xchg(&w->evict, false))
			rmk_store_evict(w->store, RMK_IO_PAGES);
		fill_batch(w, b);
		if (!b->io.npages) {
			put_idle(w, b);
			return;
		}
		rmk_count(w->store->stats, RMK_WRITER_BATCHES, 1);
		rmk_io_put(&b->io);
		if (READ_ONCE(w->pause))
			return;
	}
}

void rmk_writer_kick(struct rmk_writer *w)
{
	if (READ_ONCE(w->pause) && !READ_ONCE(w->stopping))
		mod_delayed_work(w->wq, &w->work, 0);
}

bool rmk_writer_stuck(const struct rmk_writer *w)
{
	return READ_ONCE(w->stuck);
}

int rmk_writer_stage(struct rmk_writer *w, const void *src, struct rmk_staged *s)
{
	struct rmk_stage *stage = w->store->stage;
	u64 start = ktime_get_ns(), word;
	void *dst;
	u32 crc;

	if (rmk_page_same_filled(src, &word)) {
		*s = (struct rmk_staged){ .entry = core_entry_same(word), .start = start };
		return 0;
	}
	if (!rmk_stage_take(stage, s)) {
		rmk_count(w->store->stats, RMK_NO_BUFFER, 1);
		return -EAGAIN;
	}
	dst = rmk_kmap(s->page);
	memcpy(dst, src, PAGE_SIZE);
	crc = rmk_page_crc(dst);
	rmk_kunmap(dst);
	rmk_stage_filled(stage, s, crc);
	s->start = start;
	return 0;
}

static bool has_buffer(const struct rmk_staged *s)
{
	return core_entry_where(s->entry) == CORE_STAGED;
}

int rmk_writer_publish(struct rmk_writer *w, u32 nr, const struct rmk_staged *s)
{
	enum core_where where = core_entry_where(s->entry);
	struct rmk_store *store = w->store;
	struct core_entry old;

	if (has_buffer(s))
		rmk_stage_named(store->stage, s->buffer, nr);
	if (!rmk_store_publish(store, nr, s->entry, NULL, &old)) {
		rmk_store_free_entry(store, s->entry);
		return -ENOENT;
	}
	trace_ramster_put(nr, where, 0);
	rmk_stats_op(store->stats, RMK_PUT, where, ktime_get_ns() - s->start, 1);
	rmk_store_free_entry(store, old);
	if (has_buffer(s))
		kick(w, rmk_stage_queue(store->stage, s->buffer, false));
	return 0;
}

void rmk_writer_drop(struct rmk_writer *w, const struct rmk_staged *s)
{
	if (has_buffer(s))
		rmk_stage_release(w->store->stage, s->buffer);
}

int rmk_writer_put(struct rmk_writer *w, u32 nr, const void *src)
{
	struct rmk_staged s;
	int err = rmk_writer_stage(w, src, &s);

	if (err)
		return err;
	err = rmk_writer_publish(w, nr, &s);
	if (err)
		rmk_writer_drop(w, &s);
	return err;
}

/* ---- life ---- */

struct rmk_writer *rmk_writer_create(struct rmk_store *store)
{
	struct rmk_writer *w = vzalloc(sizeof(*w));
	u32 i;

	if (!w)
		return ERR_PTR(-ENOMEM);
	w->wq = alloc_workqueue("ramster_writer", WQ_MEM_RECLAIM | WQ_HIGHPRI | RMK_WQ_PERCPU, 1);
	if (!w->wq) {
		vfree(w);
		return ERR_PTR(-ENOMEM);
	}
	w->store = store;
	spin_lock_init(&w->lock);
	INIT_LIST_HEAD(&w->idle);
	init_waitqueue_head(&w->done);
	INIT_DELAYED_WORK(&w->work, writer_work);
	for (i = 0; i < BATCHES; i++) {
		struct batch *b = &w->batch[i];

		b->w = w;
		rmk_io_init(&b->io, store, batch_done);
		b->io.move = true;
		b->io.reclaim = true;
		list_add(&b->node, &w->idle);
		w->nidle++;
	}
	return w;
}

static bool all_idle(struct rmk_writer *w)
{
	bool idle;

	spin_lock_irq(&w->lock);
	idle = w->nidle == BATCHES;
	spin_unlock_irq(&w->lock);
	return idle;
}

void rmk_writer_destroy(struct rmk_writer *w)
{
	WRITE_ONCE(w->stopping, true);
	cancel_delayed_work_sync(&w->work);
	/* Work requests end by themselves, or when the session gives up on the donor. */
	while (!wait_event_timeout(w->done, all_idle(w), 30 * HZ))
		pr_warn_ratelimited("writing staged pages takes long\n");
	cancel_delayed_work_sync(&w->work); /* a batch may have kicked it just before */
	destroy_workqueue(w->wq);
	vfree(w);
}
