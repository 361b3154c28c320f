// SPDX-License-Identifier: GPL-2.0-only
/*
 * mover.c - empties revoked slabs, writes off fenced ones, ships compressed
 * pages to donors that have room again.
 *
 * Every move is a get followed by a put that publishes only if the page's
 * entry is still the one that was read: a page that is overwritten or freed
 * meanwhile simply stays as its owner made it. One work, one batch of memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "io.h"
#include "mover.h"
#include "trace.h"

/* While there is something to move: soon if some of it did, later if there was no room. */
#define RETRY_MS 20
#define STUCK_MS 200
/* So few pages are not worth a slab of a donor's: they may lie here, in 256 KiB at most. */
#define HOME_PAGES 64
/* While compressed pages wait for room: how often to look. */
#define SHIP_MS 250
/* Pages that may vanish and do, each time compressed ones find no room. */
#define EVICT_PAGES 256
/* Index entries looked at per turn in search of compressed pages: some milliseconds. */
#define SCAN_PAGES BIT(18)

struct rmk_mover {
	struct rmk_store *store;
	struct workqueue_struct *wq;
	struct delayed_work work;
	bool stopping;
	struct completion moved;
	u64 cursor; /* of the search for compressed pages */
	struct page *pages[RMK_IO_PAGES];
	struct rmk_io io;
};

static void io_done(struct rmk_io *io)
{
	complete(&container_of(io, struct rmk_mover, io)->moved);
}

static void wait_moved(struct rmk_mover *m)
{
	/* Work requests end by themselves, or when the session gives up on the donor. */
	while (!wait_for_completion_timeout(&m->moved, 30 * HZ))
		pr_warn_ratelimited("moving %u pages takes long\n", m->io.npages);
}

static void batch_add(struct rmk_mover *m, u32 nr)
{
	struct rmk_io_page *p = &m->io.page[m->io.npages];

	p->page = m->pages[m->io.npages++];
	p->nr = nr;
}

/*
 * Drop from the batch what could not be read or has come to lie elsewhere; and
 * what may vanish, which has taken the number since it was gathered.
 */
static void keep_read(struct rmk_io *io, enum core_where where)
{
	u32 i, n = 0;

	for (i = 0; i < io->npages; i++) {
		struct rmk_io_page *p = &io->page[i];

		if (p->state != RMK_PAGE_DONE || core_entry_where(p->entry) != where ||
		    rmk_store_is_ephemeral(io->store, p->nr))
			continue;
		p->expect = p->entry;
		swap(io->page[n].page, p->page);
		io->page[n].nr = p->nr;
		io->page[n].expect = p->expect;
		io->page[n].crc = p->crc;
		n++;
	}
	io->npages = n;
}

/* Read the batch and store it anew. Returns how many pages were moved. */
static u32 move_batch(struct rmk_mover *m, enum core_where from, enum rmk_put_to to)
{
	struct rmk_io *io = &m->io;
	u32 i, moved = 0;

	io->lane = RMK_LANE_BULK;
	rmk_io_get(io);
	wait_moved(m);
	keep_read(io, from);
	if (!io->npages)
		return 0;
	io->to = to;
	rmk_io_put(io);
	wait_moved(m);
	for (i = 0; i < io->npages; i++)
		moved += io->page[i].state == RMK_PAGE_DONE;
	return moved;
}

static bool lies_in(const struct rmk_slab *slab, struct core_entry e, u32 slot)
{
	struct core_remote where;

	if (core_entry_where(e) != CORE_REMOTE)
		return false;
	where = core_entry_get_remote(e);
	return where.slab == slab->index && where.slot == slot;
}

/* Such a page goes at once; its name finds nothing then. */
static void vanish(struct rmk_mover *m, u32 nr, struct core_entry e)
{
	struct core_entry old;

	if (!rmk_store_publish(m->store, nr, core_entry_empty(), &e, &old))
		return;
	trace_ramster_flush(nr, CORE_REMOTE);
	rmk_store_free_entry(m->store, old);
	rmk_count(m->store->stats, RMK_VANISHED, 1);
}

/*
 * Used slots whose pages are published there; a slot just taken by a put is not
 * yet, and waits for the next turn. Pages that may vanish do.
 */
static u32 gather(struct rmk_mover *m, struct rmk_slab *slab, u32 slot)
{
	m->io.npages = 0;
	for (slot = rmk_slab_next_used(slab, slot);
	     slot < slab->slots.n && m->io.npages < RMK_IO_PAGES;
	     slot = rmk_slab_next_used(slab, slot + 1)) {
		u32 nr = READ_ONCE(slab->owner[slot]);
		struct core_entry e;

		cond_resched(); /* many may vanish, of many slabs */
		if (nr >= m->store->capacity)
			continue;
		e = rmk_store_peek(m->store, nr);
		if (!lies_in(slab, e, slot))
			continue;
		if (rmk_store_is_ephemeral(m->store, nr))
			vanish(m, nr, e);
		else
			batch_add(m, nr);
	}
	return slot;
}

/*
 * Returns whether anything moved. What cannot be read is left; with no room for a batch, or
 * no connection, the next would not move either.
 */
static bool evacuate(struct rmk_mover *m, struct rmk_slab *slab, enum rmk_put_to to)
{
	u32 slot = 0, n;
	bool moved = false;

	while (slot < slab->slots.n && !READ_ONCE(m->stopping)) {
		slot = gather(m, slab, slot);
		if (!m->io.npages)
			break;
		n = move_batch(m, CORE_REMOTE, to);
		if (!n && (m->io.npages || m->io.err == -EAGAIN))
			break;
		rmk_count(m->store->stats, RMK_EVACUATED, n);
		moved |= n;
	}
	return moved;
}

/* The donor has destroyed the slab: say so for each page that it held. */
static void write_off(struct rmk_mover *m, struct rmk_slab *slab)
{
	struct core_entry e, old;
	u64 lost = 0;
	u32 slot;

	for (slot = rmk_slab_next_used(slab, 0); slot < slab->slots.n;
	     slot = rmk_slab_next_used(slab, slot + 1)) {
		u32 nr = READ_ONCE(slab->owner[slot]);

		cond_resched(); /* a donor takes all its slabs with it */
		if (nr >= m->store->capacity)
			continue;
		e = rmk_store_peek(m->store, nr);
		if (!lies_in(slab, e, slot))
			continue;
		if (rmk_store_is_ephemeral(m->store, nr)) {
			vanish(m, nr, e);
			continue;
		}
		if (!rmk_store_publish(m->store, nr, core_entry_lost(), &e, &old))
			continue;
		trace_ramster_move(nr, CORE_REMOTE, CORE_LOST);
		rmk_slab_free_slots(slab, slot, 1);
		lost++;
	}
	rmk_count(m->store->stats, RMK_LOST, lost);
	if (lost)
		pr_warn("%llu pages were lost with a slab of donor %s\n", lost,
			rmk_session_name(slab->session));
}

/* Returns in how many ms to look again; 0: there is nothing to empty. */
static u32 empty_slabs(struct rmk_mover *m)
{
	bool fenced, any = false, moved = false;
	struct rmk_slab *slab;
	u32 cursor = 0;

	while (!READ_ONCE(m->stopping) &&
	       (slab = rmk_slabs_next_to_empty(m->store->slabs, &cursor, &fenced))) {
		any = true;
		if (fenced) {
			write_off(m, slab);
			moved = true;
		} else {
			moved |= evacuate(m, slab, RMK_PUT_ANYWHERE);
		}
		rmk_slab_put(slab);
	}
	return moved ? RETRY_MS : any ? STUCK_MS : 0;
}

static void gather_compressed(struct rmk_mover *m)
{
	struct rmk_store *store = m->store;
	u64 end = (u64)READ_ONCE(store->end) << RMK_SEGMENT_SHIFT;
	u32 n;

	m->io.npages = 0;
	for (n = 0; n < min_t(u64, SCAN_PAGES, end) && m->io.npages < RMK_IO_PAGES; n++) {
		if (m->cursor >= end)
			m->cursor = 0;
		if (core_entry_where(rmk_store_peek(store, m->cursor)) == CORE_ZSTD)
			batch_add(m, m->cursor);
		m->cursor++;
	}
}

static bool few_pages(struct rmk_store *store)
{
	return rmk_slabs_used(store->slabs) + rmk_stats_pages(store->stats, CORE_ZSTD) <=
	       HOME_PAGES;
}

/* Once nobody writes, the last pages come home, so that the donors get the last slabs back. */
static void bring_home(struct rmk_mover *m)
{
	struct rmk_store *store = m->store;
	struct rmk_slab *slab;
	u32 cursor = 0;

	while (!READ_ONCE(m->stopping) && rmk_remote_idle(store->remote) && few_pages(store) &&
	       (slab = rmk_slabs_next_used(store->slabs, &cursor))) {
		evacuate(m, slab, RMK_PUT_LOCAL);
		rmk_slab_put(slab);
	}
}

/* Returns whether compressed pages are left. */
static bool ship(struct rmk_mover *m)
{
	struct rmk_store *store = m->store;
	u32 moved;

	while (!READ_ONCE(m->stopping) && rmk_stats_pages(store->stats, CORE_ZSTD) &&
	       !few_pages(store)) {
		rmk_remote_want(store->remote);
		if (!rmk_slabs_room(store->slabs)) {
			rmk_store_evict(store, EVICT_PAGES);
			return true;
		}
		gather_compressed(m);
		if (!m->io.npages)
			return true;
		moved = move_batch(m, CORE_ZSTD, RMK_PUT_REMOTE);
		rmk_count(store->stats, RMK_SHIPPED, moved);
		/* kicked: what has a deadline comes first */
		if (!moved || delayed_work_pending(&m->work))
			return true;
	}
	return false;
}

static void mover_work(struct work_struct *work)
{
	struct rmk_mover *m = container_of(to_delayed_work(work), struct rmk_mover, work);
	u32 again = empty_slabs(m);

	bring_home(m);
	if (ship(m) && !again)
		again = SHIP_MS;
	if (again && !READ_ONCE(m->stopping))
		queue_delayed_work(m->wq, &m->work, msecs_to_jiffies(again));
}

void rmk_mover_kick(struct rmk_mover *m)
{
	if (!READ_ONCE(m->stopping))
		mod_delayed_work(m->wq, &m->work, 0);
}

static void mover_free(struct rmk_mover *m)
{
	int i;

	for (i = 0; i < RMK_IO_PAGES; i++)
		if (m->pages[i])
			__free_page(m->pages[i]);
	if (m->wq)
		destroy_workqueue(m->wq);
	kvfree(m);
}

struct rmk_mover *rmk_mover_create(struct rmk_store *store)
{
	struct rmk_mover *m = kvzalloc(sizeof(*m), GFP_KERNEL);
	int i;

	if (!m)
		return ERR_PTR(-ENOMEM);
	m->wq = alloc_workqueue("ramster_mover", WQ_MEM_RECLAIM | WQ_UNBOUND, 1);
	if (!m->wq)
		goto free;
	for (i = 0; i < RMK_IO_PAGES; i++) {
		m->pages[i] = alloc_page(GFP_KERNEL);
		if (!m->pages[i])
			goto free;
	}
	m->store = store;
	init_completion(&m->moved);
	rmk_io_init(&m->io, store, io_done);
	m->io.move = true;
	INIT_DELAYED_WORK(&m->work, mover_work);
	return m;
free:
	mover_free(m);
	return ERR_PTR(-ENOMEM);
}

void rmk_mover_destroy(struct rmk_mover *m)
{
	WRITE_ONCE(m->stopping, true);
	cancel_delayed_work_sync(&m->work);
	mover_free(m);
}
