// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * far_evict.c - pages go out, ahead of need.
 *
 * A clean page (no FAR_DIRTY) is write-protected and the pool has it, or it is zeroes: it is
 * dropped. For a dirty page the order is
 *
 *   under the page's lock: FAR_DIRTY off, write-protect, copy
 *   put the copy
 *   under the page's lock: still clean? then drop it
 *
 * and no write is lost, because a write
 *   - before the write-protection is in the copy: the ioctl ends when no CPU has a writable
 *     translation any more;
 *   - after it faults, and a fault thread sets FAR_DIRTY under the page's lock before it lets
 *     the page be written. Either it has the lock before our second time: we see FAR_DIRTY and
 *     keep the page, its old copy in the pool will be put over. Or we have: the page is gone,
 *     with all its writes in the copy, and the writer, told to look again, faults for a missing
 *     page and gets that copy.
 * Copying before the write-protection, or dropping without the second look, would lose writes.
 */
#include "far.h"

/* A donor or tier may have room after this long. */
#define FULL_MS 100
/* Puts that go to the device together. */
#define TOGETHER 16

/* ---- frames ---- */

bool far_frame_take(struct rmr_far *f, u64 reserve)
{
	u64 n = __atomic_load_n(&f->resident, __ATOMIC_SEQ_CST), peak;

	do {
		if (n + reserve >= f->limit) {
			rmr_worker_kick(&f->evictor);
			return false;
		}
	} while (!__atomic_compare_exchange_n(&f->resident, &n, n + 1, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_SEQ_CST));
	n++;
	peak = __atomic_load_n(&f->peak, __ATOMIC_RELAXED);
	while (n > peak && !__atomic_compare_exchange_n(&f->peak, &peak, n, true, __ATOMIC_RELAXED,
							__ATOMIC_RELAXED))
		;
	if (f->limit - n < f->low)
		rmr_worker_kick(&f->evictor);
	return true;
}

void far_frame_give(struct rmr_far *f)
{
	u32 i;

	/* sequentially consistent: who waits has said so before it looked the last time */
	__atomic_fetch_sub(&f->resident, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < f->nthreads; i++) {
		if (__atomic_load_n(&f->threads[i].waiting, __ATOMIC_SEQ_CST) &&
		    __atomic_exchange_n(&f->threads[i].waiting, false, __ATOMIC_SEQ_CST))
			far_thread_wake(&f->threads[i]);
	}
	if (__atomic_load_n(&f->room_waiters, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&f->room_lock);
		pthread_cond_broadcast(&f->room);
		pthread_mutex_unlock(&f->room_lock);
	}
}

/* ---- pages ---- */

/* Unmap a clean page, with its lock held. */
static void drop(struct rmr_far *f, u64 page)
{
	if (far_uffd_drop(&f->uffd, page))
		return;
	far_clear(f, page, FAR_RESIDENT | FAR_USED);
	far_frame_give(f);
}

/* Write-protect and copy a dirty page, with its lock held. */
static bool take_copy(struct rmr_far *f, u64 page, struct far_slot *slot)
{
	if (far_uffd_protect(&f->uffd, page))
		return false;
	far_set(f, page, FAR_BUSY);
	far_clear(f, page, FAR_DIRTY);
	memcpy(slot->data, f->uffd.base + page * FAR_PAGE, FAR_PAGE);
	return true;
}

static void put_done(struct rmr_far *f, struct far_slot *slot, int err)
{
	u64 page = slot->page;
	u8 flags;

	f->store.spare[f->store.nspare++] = slot;
	if (err && err != __atomic_load_n(&f->put_error, __ATOMIC_RELAXED))
		rmr_log(f->log, RMR_LOG_WARNING,
			"far memory: no room for pages of it (error %d): donate more, or it will fail",
			-err);
	__atomic_store_n(&f->put_error, err, __ATOMIC_RELAXED);
	if (err)
		f->full_until = rmr_now_ms() + FULL_MS;
	far_lock(f, page);
	if (err) { /* a failed put leaves nothing behind: the page here is the only one */
		far_clear(f, page, FAR_STORED);
		far_set(f, page, FAR_DIRTY);
	} else {
		far_set(f, page, FAR_STORED);
		far_count(f, FAR_WRITTEN);
	}
	far_idle(f, page);
	flags = far_flags(f, page);
	if (!(flags & (FAR_DIRTY | FAR_PINNED)))
		drop(f, page);
	else if (!err)
		far_count(f, FAR_RESCUED);
	far_unlock(f, page);
}

static void put_start(struct rmr_far *f, struct far_slot *slot)
{
	struct rmr_page p = { .index = slot->page, .addr = slot->data, .buf = f->store.buf };
	int err = rmr_queue_put(f->store.queue, f->pool, &p, slot);

	if (err)
		put_done(f, slot, err);
}

/* Let a page go, now or when it is stored. */
static void evict(struct rmr_far *f, u64 page)
{
	struct far_slot *slot = f->store.nspare ? f->store.spare[f->store.nspare - 1] : NULL;
	bool store = false;
	u8 flags;

	far_lock(f, page);
	flags = far_flags(f, page);
	if ((flags & (FAR_RESIDENT | FAR_BUSY | FAR_PINNED)) == FAR_RESIDENT) {
		if (!(flags & FAR_DIRTY)) {
			drop(f, page);
			far_count(f, FAR_DROPPED);
		} else if (slot && rmr_now_ms() >= f->full_until) {
			store = take_copy(f, page, slot);
		}
	}
	far_unlock(f, page);
	if (!store)
		return;
	f->store.nspare--;
	slot->page = page;
	rmr_queue_batch(f->store.queue); /* until collect() */
	put_start(f, slot);
}

static int collect(struct rmr_far *f, u32 timeout_ms)
{
	struct rmr_done done[16];
	int i, n = timeout_ms ? rmr_queue_wait(f->store.queue, done, 16, timeout_ms) :
				rmr_queue_poll(f->store.queue, done, 16);

	for (i = 0; i < n; i++)
		put_done(f, done[i].tag, done[i].result);
	return n;
}

/* Make frames free, until there are enough or the hand has been everywhere twice. */
u32 far_evict_turn(void *arg)
{
	struct rmr_far *f = arg;
	u64 budget = far_free_frames(f) < f->low ? 2 * f->clock.pages : 0, page;
	bool stuck = false; /* all buffers wait, for a donor it seems: clean pages may go */
	u32 busy;

	while (!__atomic_load_n(&f->stopping, __ATOMIC_RELAXED)) {
		/* puts go together, but not while somebody waits for a frame, or they cannot */
		if (!(f->store.nspare % TOGETHER) || !far_free_frames(f) ||
		    rmr_now_ms() < f->full_until)
			collect(f, 0);
		busy = FAR_DEPTH - f->store.nspare;
		page = FAR_NONE;
		if ((f->store.nspare && far_free_frames(f) + busy < f->high) ||
		    (stuck && !far_free_frames(f)))
			page = far_clock_next(&f->clock, &budget);
		if (page != FAR_NONE)
			evict(f, page);
		else if (busy)
			stuck = !collect(f, 100);
		else
			break;
		if (stuck && !budget)
			budget = 2 * f->clock.pages;
	}
	return far_free_frames(f) < f->low ? 20 : 1000;
}
