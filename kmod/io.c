// SPDX-License-Identifier: GPL-2.0-only
/*
 * io.c - get and put: pages to runs, runs to work requests, and back.
 *
 * A get looks every page up, fills in what lies here (zeros, same-filled,
 * compressed) and posts READs straight into the pages for the rest. A put
 * keeps same-filled pages in the index, takes slots side by side for the rest
 * and posts WRITEs straight from the pages; what finds no slot is compressed.
 *
 * io.pending counts posted runs plus one for the submitter. The last one out
 * finishes: in softirq if nothing is left but to say so, else in the io's work,
 * because the compressed tier may not be touched from softirq.
 */
#include <linux/crc32c.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "compat/kernel.h"
#include "io.h"
#include "trace.h"

static struct workqueue_struct *io_wq;

u32 rmk_page_crc(const void *addr)
{
	return crc32c(~0u, addr, PAGE_SIZE);
}

bool rmk_page_same_filled(const void *addr, u64 *word)
{
	const u64 *p = addr;
	const u32 last = PAGE_SIZE / sizeof(*p) - 1;
	u32 i;

	if (p[0] != p[last]) /* most pages end here */
		return false;
	for (i = 1; i < last; i++)
		if (p[i] != p[0])
			return false;
	*word = p[0];
	return true;
}

static void fill_page(struct page *page, u64 word)
{
	void *addr = rmk_kmap(page);

	memset64(addr, word, PAGE_SIZE / sizeof(word));
	rmk_kunmap(addr);
}

/* The worse one wins: data that is gone is not worth waiting for. */
static void note_error(struct rmk_io *io, int err)
{
	if (READ_ONCE(io->err) != -EIO)
		WRITE_ONCE(io->err, err);
}

/* ---- runs ---- */

static bool can_extend(const struct rmk_io *io, const struct rmk_io_run *run, u32 i,
		       const struct rmk_slab *slab, u32 slot, u32 max_spans)
{
	const struct rmk_span *last = &io->span[io->nspans - 1];

	if (run->slab != slab || run->slot + run->n != slot || run->first + run->n != i)
		return false;
	return run->wr.nspans < max_spans ||
	       page_to_pfn(last->page) + (last->len >> PAGE_SHIFT) == page_to_pfn(io->page[i].page);
}

static void extend(struct rmk_io *io, struct rmk_io_run *run, struct page *page)
{
	struct rmk_span *last = run->wr.nspans ? &io->span[io->nspans - 1] : NULL;

	run->n++;
	if (last && page_to_pfn(last->page) + (last->len >> PAGE_SHIFT) == page_to_pfn(page)) {
		last->len += PAGE_SIZE;
		return;
	}
	io->span[io->nspans++] = (struct rmk_span){ .page = page, .len = PAGE_SIZE };
	run->wr.nspans++;
}

static void run_done(struct rmk_wr *wr, int err);

/* Takes over the caller's reference on slab. */
static struct rmk_io_run *begin(struct rmk_io *io, u32 i, struct rmk_slab *slab, u32 slot,
				bool write)
{
	struct rmk_io_run *run = &io->run[io->nruns++];

	run->io = io;
	run->slab = slab;
	run->slot = slot;
	run->first = i;
	run->n = 0;
	run->wr.done = run_done;
	run->wr.write = write;
	run->wr.spans = &io->span[io->nspans];
	run->wr.nspans = 0;
	return run;
}

static void post(struct rmk_io *io, struct rmk_io_run *run)
{
	bool write = run->wr.write;
	int err;

	atomic_inc(&io->pending);
	rmk_count(io->store->stats, write ? RMK_WRITE_REQUESTS : RMK_READ_REQUESTS, 1);
	err = rmk_slab_post(run->slab, write ? RMK_LANE_WRITE : io->lane, &run->wr, run->slot);
	if (err)
		run_done(&run->wr, err);
}

static u32 max_spans(struct rmk_io *io, struct rmk_slab *slab, bool write)
{
	u32 n = rmk_session_max_spans(slab->session, write ? RMK_LANE_WRITE : io->lane);

	return max(n, 1u); /* not connected: posting will say so */
}

static void finish(struct rmk_io *io)
{
	if (!atomic_dec_and_test(&io->pending))
		return;
	if (io->again)
		queue_work(io_wq, &io->work);
	else
		io->done(io);
}

/* ---- get ---- */

/* Where p lies now; if that is a slab, with a reference on it. */
static struct rmk_slab *look_up(struct rmk_io *io, struct rmk_io_page *p)
{
	struct rmk_store *store = io->store;
	spinlock_t *lock = rmk_store_lock(store, p->nr);
	struct rmk_slab *slab = NULL;
	struct core_remote where;
	struct core_entry *at;
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	at = rmk_store_entry(store, p->nr);
	p->entry = at ? *at : core_entry_empty();
	if (core_entry_where(p->entry) == CORE_REMOTE) {
		where = core_entry_get_remote(p->entry);
		slab = rmk_slabs_find(store->slabs, &where);
		WARN_ON_ONCE(!slab);
	}
	spin_unlock_irqrestore(lock, flags);
	return slab;
}

/* While the tier holds the handle, it is ours if the index still has it. */
static int decompress(struct rmk_io *io, struct rmk_io_page *p)
{
	struct rmk_ztier *tier = io->store->ztier;
	u64 handle = core_entry_get_handle(p->entry);
	int err = -EAGAIN;
	void *addr;

	rmk_ztier_hold(tier, handle);
	if (core_entry_equal(rmk_store_peek(io->store, p->nr), p->entry)) {
		addr = rmk_kmap(p->page);
		err = rmk_ztier_get(tier, handle, addr);
		rmk_kunmap(addr);
	}
	rmk_ztier_release(tier, handle);
	return err;
}

static int unstage(struct rmk_io *io, struct rmk_io_page *p)
{
	void *addr = rmk_kmap(p->page);
	bool there = rmk_stage_read(io->store->stage, p->entry, addr);

	rmk_kunmap(addr);
	return there ? 0 : -EAGAIN;
}

/*
 * Does the page hold what was stored? If not: corrupt (-EIO), or overwritten
 * meanwhile (-EAGAIN).
 */
static int verify(struct rmk_io *io, struct rmk_io_page *p)
{
	void *addr = rmk_kmap(p->page);
	u32 crc = rmk_page_crc(addr);

	rmk_kunmap(addr);
	p->crc = core_entry_get_crc(p->entry);
	if (likely(crc == p->crc))
		return 0;
	if (!core_entry_equal(rmk_store_peek(io->store, p->nr), p->entry))
		return -EAGAIN;
	rmk_count(io->store->stats, RMK_CRC_ERRORS, 1);
	pr_err_ratelimited(KBUILD_MODNAME ": page %u came back wrong: crc %08x, stored %08x\n",
			   p->nr, crc, p->crc);
	return -EIO;
}

static void page_result(struct rmk_io *io, struct rmk_io_page *p, int err)
{
	p->state = err ? RMK_PAGE_FAILED : RMK_PAGE_DONE;
	p->err = err;
	if (err)
		note_error(io, err);
}

/*
 * Nothing of a page that cannot be had is left to see. Kernels before 5.19 map
 * a page at swapoff without looking whether it could be read.
 */
static void get_result(struct rmk_io *io, struct rmk_io_page *p, int err)
{
	if (err)
		fill_page(p->page, 0);
	page_result(io, p, err);
	if (trace_ramster_get_enabled() && !io->move)
		trace_ramster_get(p->nr, core_entry_where(p->entry), err,
				  ktime_get_ns() - io->start);
}

/* n pages came together; n may be 0. */
static void count_gets(struct rmk_io *io, enum core_where where, u32 n, u64 now)
{
	if (n && !io->move)
		rmk_stats_op(io->store->stats, RMK_GET, where, now - io->start, n);
}

/* A page that does not lie in a slab. */
static void get_local(struct rmk_io *io, struct rmk_io_page *p)
{
	int err = 0;

	switch (core_entry_where(p->entry)) {
	case CORE_EMPTY:
		fill_page(p->page, 0);
		break;
	case CORE_SAME:
		fill_page(p->page, core_entry_get_word(p->entry));
		break;
	case CORE_ZSTD:
		err = decompress(io, p) ?: verify(io, p);
		break;
	case CORE_STAGED:
		err = unstage(io, p) ?: verify(io, p);
		break;
	default: /* lost; or remote in a slab that there is not */
		err = -EIO;
		break;
	}
	get_result(io, p, err);
}

/*
 * What to tell the front: a connection may come back; and a page whose slab was fenced may lie
 * elsewhere in a moment, because the mover has read it, else the mover writes it off.
 */
static int get_error(struct rmk_io *io, struct rmk_io_run *run, int err)
{
	if (err == -EACCES)
		rmk_remote_refused(io->store->remote, run->slab);
	return io->move && err == -EIO ? -EIO : -EAGAIN;
}

static void get_run_done(struct rmk_io *io, struct rmk_io_run *run, int err)
{
	u32 i, got = 0;

	if (err)
		err = get_error(io, run, err);
	else
		rmk_count(io->store->stats, RMK_REMOTE_READS, run->n);
	for (i = run->first; i < run->first + run->n; i++) {
		get_result(io, &io->page[i], err ?: verify(io, &io->page[i]));
		got += io->page[i].state == RMK_PAGE_DONE;
	}
	count_gets(io, CORE_REMOTE, got, ktime_get_ns());
}

/* got: how many pages that lay here were read, by where. */
static void count_local_gets(struct rmk_io *io, const u8 *got)
{
	u64 now = ktime_get_ns();
	int where;

	for (where = 0; where < CORE_WHERES; where++)
		count_gets(io, where, got[where], now);
}

void rmk_io_get(struct rmk_io *io)
{
	struct rmk_io_run *run = NULL;
	struct core_remote where;
	struct rmk_slab *slab;
	u32 i, spans = 0;
	u8 got[CORE_WHERES] = { 0 };
	bool local = false;

	io->err = 0;
	io->again = false;
	io->nruns = 0;
	io->nspans = 0;
	atomic_set(&io->pending, 1);
	for (i = 0; i < io->npages; i++) {
		struct rmk_io_page *p = &io->page[i];

		slab = look_up(io, p);
		if (!slab) {
			get_local(io, p);
			local = true;
			got[core_entry_where(p->entry)] += p->state == RMK_PAGE_DONE;
			continue;
		}
		where = core_entry_get_remote(p->entry);
		p->state = RMK_PAGE_FLYING;
		if (run && can_extend(io, run, i, slab, where.slot, spans)) {
			rmk_slab_put(slab);
		} else {
			if (run)
				post(io, run);
			spans = max_spans(io, slab, false);
			run = begin(io, i, slab, where.slot, false);
		}
		extend(io, run, p->page);
	}
	if (run)
		post(io, run);
	if (local)
		count_local_gets(io, got);
	finish(io);
}

/* ---- put ---- */

static const struct core_entry *expected(const struct rmk_io *io, const struct rmk_io_page *p)
{
	return io->move ? &p->expect : NULL;
}

static void trace_published(const struct rmk_io *io, u32 nr, struct core_entry old,
			    struct core_entry e)
{
	if (io->move && trace_ramster_move_enabled())
		trace_ramster_move(nr, core_entry_where(old), core_entry_where(e));
	else if (!io->move && trace_ramster_put_enabled())
		trace_ramster_put(nr, core_entry_where(e), 0);
}

/*
 * p->entry goes into the index, or if a move came too late, is dropped. What is
 * to be freed afterwards is left in p->entry when that needs process context.
 */
static void publish(struct rmk_io *io, struct rmk_io_page *p, bool process)
{
	struct core_entry e = p->entry, old;

	p->state = RMK_PAGE_DONE;
	if (!rmk_store_publish(io->store, p->nr, e, expected(io, p), &old)) {
		p->state = RMK_PAGE_STALE;
		rmk_count(io->store->stats, RMK_LATE_MOVES, 1);
		old = e;
	} else {
		trace_published(io, p->nr, old, e);
	}
	if (!process && rmk_store_needs_process(old)) {
		p->entry = old;
		io->again = true;
		return;
	}
	rmk_store_free_entry(io->store, old);
	p->entry = core_entry_empty();
}

/* n pages went there together; n may be 0. */
static void count_puts(struct rmk_io *io, enum core_where where, u32 n)
{
	if (n && !io->move)
		rmk_stats_op(io->store->stats, RMK_PUT, where, ktime_get_ns() - io->start, n);
}

static void put_failed(struct rmk_io *io, struct rmk_io_page *p, int err)
{
	if (!io->move)
		trace_ramster_put(p->nr, CORE_EMPTY, err);
	page_result(io, p, err);
}

static void put_run_done(struct rmk_io *io, struct rmk_io_run *run, int err)
{
	u32 i;

	if (!err) {
		rmk_count(io->store->stats, RMK_REMOTE_WRITES, run->n);
		for (i = run->first; i < run->first + run->n; i++)
			publish(io, &io->page[i], false);
		count_puts(io, CORE_REMOTE, run->n);
		return;
	}
	if (err == -EACCES)
		rmk_remote_refused(io->store->remote, run->slab);
	for (i = run->first; i < run->first + run->n; i++) {
		io->page[i].entry = core_entry_empty();
		io->page[i].state = RMK_PAGE_FAILED;
	}
	io->again = true;
	rmk_slab_free_slots(run->slab, run->slot, run->n);
}

static void run_done(struct rmk_wr *wr, int err)
{
	struct rmk_io_run *run = container_of(wr, struct rmk_io_run, wr);
	struct rmk_io *io = run->io;

	if (wr->write)
		put_run_done(io, run, err);
	else
		get_run_done(io, run, err);
	rmk_slab_put(run->slab);
	finish(io);
}

/* No slot was to be had, or the donor did not take it. */
static void put_local(struct rmk_io *io, struct rmk_io_page *p)
{
	unsigned int noreclaim = 0;
	u64 handle;
	void *addr;
	int err;

	if (io->to == RMK_PUT_REMOTE) {
		put_failed(io, p, -ENOSPC);
		return;
	}
	addr = rmk_kmap(p->page);
	/* Swap-out may use the reserves, it gives back more; others would drain them. */
	if (io->reclaim)
		noreclaim = memalloc_noreclaim_save();
	err = rmk_ztier_put(io->store->ztier, addr, &handle);
	if (io->reclaim)
		memalloc_noreclaim_restore(noreclaim);
	rmk_kunmap(addr);
	if (err && io->to == RMK_PUT_LOCAL) {
		put_failed(io, p, -ENOSPC);
		return;
	}
	if (err) {
		rmk_remote_want(io->store->remote);
		put_failed(io, p, rmk_remote_hopeful(io->store->remote) ? -EAGAIN : -ENOSPC);
		return;
	}
	p->entry = core_entry_zstd(handle, p->crc);
	publish(io, p, true);
	count_puts(io, CORE_ZSTD, 1);
}

/* Checksum; same-filled pages are done with it, which is what it returns. */
static bool prepare(struct rmk_io *io, struct rmk_io_page *p)
{
	void *addr;
	bool same;
	u64 word;

	p->state = RMK_PAGE_TODO;
	p->entry = core_entry_empty();
	if (io->move)
		return false;
	addr = rmk_kmap(p->page);
	same = rmk_page_same_filled(addr, &word);
	if (same) {
		p->entry = core_entry_same(word);
		publish(io, p, true);
	} else {
		p->crc = rmk_page_crc(addr);
	}
	rmk_kunmap(addr);
	return same;
}

/* Post n pages from i on into slots side by side, in as few work requests as spans allow. */
static void put_slots(struct rmk_io *io, u32 i, u32 n, struct rmk_slab *slab, u32 slot)
{
	u32 spans = max_spans(io, slab, true), end = i + n;
	struct rmk_io_run *run = NULL;

	for (; i < end; i++, slot++) {
		struct rmk_io_page *p = &io->page[i];
		const struct core_remote where = {
			.slab = slab->index,
			.slot = slot,
			.generation = slab->generation,
			.crc = p->crc,
		};

		p->entry = core_entry_remote(&where);
		p->state = RMK_PAGE_FLYING;
		slab->owner[slot] = p->nr;
		if (!run || !can_extend(io, run, i, slab, slot, spans)) {
			if (run)
				post(io, run);
			rmk_slab_get(slab);
			run = begin(io, i, slab, slot, true);
		}
		extend(io, run, p->page);
	}
	post(io, run);
}

static u32 todo_from(const struct rmk_io *io, u32 i)
{
	u32 n = 0;

	while (i + n < io->npages && io->page[i + n].state == RMK_PAGE_TODO)
		n++;
	return n;
}

/* Pages that may vanish make room for those that must not, but for no others. */
static u32 take_slots(struct rmk_io *io, u32 want, struct rmk_slab **slab, u32 *slot)
{
	struct rmk_remote *remote = io->store->remote;
	u32 got;

	if (io->to == RMK_PUT_LOCAL)
		return 0;
	got = rmk_remote_alloc(remote, want, slab, slot);
	if (!got && io->to == RMK_PUT_ANYWHERE && rmk_store_evict(io->store, RMK_IO_PAGES))
		got = rmk_remote_alloc(remote, want, slab, slot);
	return got;
}

void rmk_io_put(struct rmk_io *io)
{
	struct rmk_slab *slab;
	u32 i, n, slot, same = 0;

	io->err = 0;
	io->again = false;
	io->nruns = 0;
	io->nspans = 0;
	atomic_set(&io->pending, 1);
	for (i = 0; i < io->npages; i++)
		same += prepare(io, &io->page[i]);
	count_puts(io, CORE_SAME, same);
	for (i = 0; i < io->npages; i += n) {
		n = todo_from(io, i);
		if (!n) {
			n = 1;
			continue;
		}
		n = take_slots(io, n, &slab, &slot);
		if (n) {
			put_slots(io, i, n, slab, slot);
			rmk_slab_put(slab);
		} else {
			n = 1;
			put_local(io, &io->page[i]);
		}
	}
	finish(io);
}

/* What a put could not do in softirq. */
static void put_rest(struct work_struct *work)
{
	struct rmk_io *io = container_of(work, struct rmk_io, work);
	u32 i;

	io->err = 0; /* every page that failed is tried again here */
	for (i = 0; i < io->npages; i++) {
		struct rmk_io_page *p = &io->page[i];

		if (p->state == RMK_PAGE_FAILED)
			put_local(io, p);
		else if (rmk_store_needs_process(p->entry))
			rmk_store_free_entry(io->store, p->entry);
	}
	io->done(io);
}

/* ---- life ---- */

void rmk_io_init(struct rmk_io *io, struct rmk_store *store, void (*done)(struct rmk_io *io))
{
	io->store = store;
	io->done = done;
	io->move = false;
	io->to = RMK_PUT_ANYWHERE;
	io->reclaim = false;
	INIT_WORK(&io->work, put_rest);
}

int rmk_io_module_init(void)
{
	io_wq = alloc_workqueue("ramster_io", WQ_MEM_RECLAIM | WQ_HIGHPRI | RMK_WQ_PERCPU, 0);
	return io_wq ? 0 : -ENOMEM;
}

void rmk_io_module_exit(void)
{
	destroy_workqueue(io_wq);
}
