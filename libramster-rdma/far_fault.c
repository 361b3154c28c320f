// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * far_fault.c - pages come in: because somebody waits for them, or ahead of that.
 *
 * A fault thread has up to FAR_DEPTH gets under way and goes on to take faults meanwhile. A
 * fault for which there is no frame or buffer stalls the thread: it takes no more faults
 * until there is, but ends its gets, whose pages the evictor may need.
 */
#include "far.h"

#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "queue.h"

/* Ends of gets that are taken at once. */
#define FAR_BATCH 16

/* ---- lanes ---- */

int far_lane_init(struct far_lane *lane, struct rmr *fabric)
{
	u32 i;
	int err;

	lane->memory = aligned_alloc(FAR_PAGE, FAR_DEPTH * FAR_PAGE);
	if (!lane->memory)
		return -ENOMEM;
	err = rmr_buf_register(fabric, lane->memory, FAR_DEPTH * FAR_PAGE, &lane->buf);
	if (err)
		goto free_memory;
	err = rmr_queue_create(fabric, FAR_DEPTH, &lane->queue);
	if (err)
		goto unregister;
	for (i = 0; i < FAR_DEPTH; i++) {
		lane->slots[i].data = lane->memory + i * FAR_PAGE;
		lane->spare[i] = &lane->slots[i];
	}
	lane->nspare = FAR_DEPTH;
	return 0;

unregister:
	rmr_buf_unregister(lane->buf);
free_memory:
	free(lane->memory);
	return err;
}

void far_lane_uninit(struct far_lane *lane)
{
	rmr_queue_destroy(lane->queue);
	rmr_buf_unregister(lane->buf);
	free(lane->memory);
}

/* ---- the end of a fault ---- */

int far_map(struct rmr_far *f, u64 page, const void *data, bool write)
{
	static const u8 zeroes[FAR_PAGE];
	int err = far_uffd_copy(&f->uffd, page, data ? data : zeroes, !write);

	if (err)
		return err;
	far_set(f, page, FAR_RESIDENT | (write ? FAR_DIRTY : 0));
	far_idle(f, page);
	return 0;
}

void far_lose(struct rmr_far *f, u64 page, int err)
{
	void *addr = f->uffd.base + page * FAR_PAGE;
	bool only_this;
	u64 n;

	n = __atomic_add_fetch(&f->counters[FAR_LOSSES], 1, __ATOMIC_RELAXED);
	if (!(n & (n - 1))) /* a donor may take thousands with it */
		rmr_log(f->log, RMR_LOG_WARNING,
			"far memory: page %llu at %p, %llu. of its kind, cannot be had (error %d): "
			"SIGBUS for who touches it",
			(unsigned long long)page, addr, (unsigned long long)n, -err);
	if (f->options.lost)
		f->options.lost(f->options.lost_arg, addr, err);
	far_lock(f, page);
	far_set(f, page, FAR_LOST);
	only_this = far_uffd_poison(&f->uffd, page);
	far_idle(f, page);
	far_unlock(f, page);
	far_frame_give(f);
	if (!only_this)
		rmr_log(f->log, RMR_LOG_WARNING,
			"far memory: too many mappings (sysctl vm.max_map_count) for so many lost "
			"pages: all of it is given up");
}

/* A get has ended. */
static void loaded(struct far_thread *t, struct far_slot *slot, int err)
{
	struct rmr_far *f = t->far;
	u64 page = slot->page;
	bool wanted;

	far_lock(f, page);
	wanted = far_flags(f, page) & FAR_WANTED;
	if (!err)
		err = far_map(f, page, slot->data, slot->why == FAR_FOR_WRITE);
	if (err && !wanted) { /* who wants it will try again, and be told */
		far_idle(f, page);
		far_frame_give(f);
	}
	far_unlock(f, page);
	if (err && wanted)
		far_lose(f, page, err == -ENOENT ? -EIO : err);
	t->awaited -= slot->why != FAR_FOR_LATER;
	t->lane.spare[t->lane.nspare++] = slot;
}

static void load(struct far_thread *t, u64 page, enum far_why why)
{
	struct far_slot *slot = t->lane.spare[--t->lane.nspare];
	struct rmr_page p = { .index = page, .addr = slot->data, .buf = t->lane.buf };
	int err;

	slot->page = page;
	slot->why = why;
	t->awaited += why != FAR_FOR_LATER;
	err = rmr_queue_get(t->lane.queue, t->far->pool, &p, slot);
	if (err)
		loaded(t, slot, err);
}

/* ---- fetching ahead ---- */

void far_ahead(struct rmr_far *f, u64 next, u64 end, bool on_top)
{
	struct far_range range = { next, end < f->pages ? end : f->pages };

	if (range.next >= range.end)
		return;
	pthread_mutex_lock(&f->lock);
	if (f->nranges < FAR_RANGES) {
		if (on_top) {
			f->ranges[f->nranges] = range;
		} else {
			memmove(f->ranges + 1, f->ranges, f->nranges * sizeof(range));
			f->ranges[0] = range;
		}
		f->nranges++;
	}
	pthread_mutex_unlock(&f->lock);
}

static u64 next_ahead(struct rmr_far *f)
{
	struct far_range *range;
	u64 page = FAR_NONE;

	if (!__atomic_load_n(&f->nranges, __ATOMIC_RELAXED))
		return FAR_NONE;
	pthread_mutex_lock(&f->lock);
	if (f->nranges) {
		range = &f->ranges[f->nranges - 1];
		page = range->next++;
		if (range->next >= range->end)
			f->nranges--;
	}
	pthread_mutex_unlock(&f->lock);
	return page;
}

/* Fetch what was asked for ahead, as far as there is room. */
static void run_ahead(struct far_thread *t)
{
	struct rmr_far *f = t->far;
	u64 page;
	bool get;
	u8 flags;

	while (t->lane.nspare > FAR_RESERVE && __atomic_load_n(&f->nranges, __ATOMIC_RELAXED)) {
		if (!far_frame_take(f, FAR_RESERVE)) {
			__atomic_store_n(&t->waiting, true, __ATOMIC_SEQ_CST);
			if (!far_frame_take(f, FAR_RESERVE))
				return;
		}
		page = next_ahead(f);
		get = false;
		if (page != FAR_NONE) {
			far_lock(f, page);
			flags = far_flags(f, page) &
				(FAR_RESIDENT | FAR_BUSY | FAR_STORED | FAR_LOST);
			get = flags == FAR_STORED;
			if (get)
				far_set(f, page, FAR_BUSY);
			far_unlock(f, page);
		}
		if (!get) {
			far_frame_give(f);
			continue;
		}
		far_count(f, FAR_AHEAD);
		rmr_queue_batch(t->lane.queue); /* until collect() */
		load(t, page, FAR_FOR_LATER);
	}
}

static void watch_streams(struct rmr_far *f, u64 page)
{
	u64 from = 0;
	u32 n;

	pthread_mutex_lock(&f->lock);
	n = far_window_fault(&f->window, page, &from);
	pthread_mutex_unlock(&f->lock);
	if (n)
		far_ahead(f, from, from + n, true);
}

/* ---- the beginning of a fault ---- */

static void stall(struct far_thread *t, u64 page, bool write)
{
	if (!t->stalled) {
		t->stalled = true;
		t->stalled_since = rmr_now_ms();
		far_count(t->far, FAR_STALLS);
	}
	t->stalled_page = page;
	t->stalled_write = write;
}

/* Bring a page that is not here, with its lock and a frame held; unlocks. */
static void bring(struct far_thread *t, u64 page, bool write)
{
	struct rmr_far *f = t->far;
	bool stored = far_flags(f, page) & FAR_STORED;
	int err = 0;

	far_set(f, page, FAR_BUSY | FAR_WANTED | FAR_USED);
	if (!stored)
		err = far_map(f, page, NULL, write);
	far_unlock(f, page);
	far_count(f, stored ? FAR_FETCHED : FAR_ZEROED);
	if (stored)
		load(t, page, write ? FAR_FOR_WRITE : FAR_FOR_READ);
	else if (err)
		far_lose(f, page, err);
}

/* Somebody waits for a page that was missing. */
static void missing(struct far_thread *t, u64 page, bool write)
{
	struct rmr_far *f = t->far;
	u8 flags;

	far_lock(f, page);
	flags = far_flags(f, page);
	if (flags & (FAR_RESIDENT | FAR_LOST)) {
		/* it came between the fault and now, for another one's fault */
		far_uffd_wake(&f->uffd, page);
		far_unlock(f, page);
	} else if (flags & FAR_BUSY) {
		far_set(f, page, FAR_WANTED | FAR_USED);
		far_unlock(f, page);
	} else if (!t->lane.nspare || !far_frame_take(f, 0)) {
		far_unlock(f, page);
		stall(t, page, write);
		return;
	} else {
		bring(t, page, write);
	}
	t->stalled = false;
	watch_streams(f, page);
}

/* Somebody waits to write to a page that was write-protected. */
static void protected(struct far_thread *t, u64 page)
{
	struct rmr_far *f = t->far;

	far_count(f, FAR_WRITE_FAULTS);
	far_lock(f, page);
	if (far_flags(f, page) & FAR_RESIDENT) {
		far_set(f, page, FAR_DIRTY | FAR_USED);
		far_uffd_unprotect(&f->uffd, page);
	} else {
		far_uffd_wake(&f->uffd, page); /* dropped meanwhile: it will fault again */
	}
	far_unlock(f, page);
}

/* Take a fault, if there is one. */
static bool next_fault(void *arg)
{
	struct far_thread *t = arg;
	struct rmr_far *f = t->far;
	struct uffd_msg msg;
	u64 page;

	if (read(f->uffd.fd, &msg, sizeof(msg)) != (ssize_t)sizeof(msg))
		return false;
	if (msg.event != UFFD_EVENT_PAGEFAULT)
		return true;
	page = (msg.arg.pagefault.address - (u64)(uintptr_t)f->uffd.base) / FAR_PAGE;
	if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
		protected(t, page);
		return true;
	}
	far_count(f, FAR_FAULTS);
	missing(t, page, msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE);
	return true;
}

/* ---- threads ---- */

/* Make a page busy that is not here; false: somebody has brought it, or is about to, or lost it. */
static bool claim(struct rmr_far *f, u64 page)
{
	bool claimed;

	far_lock(f, page);
	claimed = !(far_flags(f, page) & (FAR_RESIDENT | FAR_BUSY | FAR_LOST));
	if (claimed)
		far_set(f, page, FAR_BUSY);
	far_unlock(f, page);
	return claimed;
}

/* The fault for which there was no room, once more. It may not wait forever. */
static void retry(struct far_thread *t)
{
	struct rmr_far *f = t->far;
	int err = __atomic_load_n(&f->put_error, __ATOMIC_RELAXED);

	missing(t, t->stalled_page, t->stalled_write);
	if (!t->stalled || !err || rmr_now_ms() < t->stalled_since + f->timeout_ms ||
	    !claim(f, t->stalled_page))
		return;
	/* all frames are taken by pages that no donor and no tier has room for */
	t->stalled = false;
	__atomic_fetch_add(&f->resident, 1, __ATOMIC_SEQ_CST); /* far_lose() gives a frame */
	far_lose(f, t->stalled_page, err);
}

static void loaded_all(struct far_thread *t, const struct rmr_done *done, int n)
{
	int i;

	for (i = 0; i < n; i++)
		loaded(t, done[i].tag, done[i].result);
}

/* Take the ends of gets. True: there were some. */
static bool collect(struct far_thread *t)
{
	struct rmr_done done[FAR_BATCH];
	bool any = false;
	int n;

	do {
		n = rmr_queue_poll(t->lane.queue, done, FAR_BATCH);
		loaded_all(t, done, n);
		any = any || n;
	} while (n == FAR_BATCH);
	return any;
}

/* Wait on the spot, for a get or a fault, if somebody waits for us. False: there was neither. */
static bool spin(struct far_thread *t)
{
	struct rmr_done done[FAR_BATCH];
	int n;

	/* a fault that stalls waits for frames; who waits for nothing may want the processor */
	if (!t->awaited || t->stalled)
		return false;
	n = rmr_queue_spin(t->lane.queue, done, FAR_BATCH, next_fault, t);
	loaded_all(t, done, n);
	return n != 0;
}

/* True: there may be a fault. */
static bool sleep_until_told(struct far_thread *t)
{
	struct epoll_event event;
	int timeout = 1000;
	u64 count;

	if (t->lane.nspare < FAR_DEPTH) {
		if (rmr_queue_arm(t->lane.queue))
			return false;
		timeout = 100; /* what waits for a donor is tried again */
	}
	if (epoll_wait(t->stalled ? t->epoll_full : t->epoll, &event, 1, timeout) <= 0)
		return false;
	if (event.data.fd == t->event && read(t->event, &count, sizeof(count)) < 0)
		return false; /* somebody else's word came at once with ours */
	return event.data.fd == t->far->uffd.fd;
}

static void *run(void *arg)
{
	struct far_thread *t = arg;
	struct rmr_far *f = t->far;
	/* for a fault; to look for one in vain delays the page that came */
	bool look = true;

	while (!__atomic_load_n(&f->stopping, __ATOMIC_RELAXED)) {
		if (t->stalled) {
			/* first say that we wait, then look: see far_frame_give() */
			__atomic_store_n(&t->waiting, true, __ATOMIC_SEQ_CST);
			retry(t);
		}
		while (look && !t->stalled && next_fault(t))
			;
		run_ahead(t);
		/* who has its page may have run into the next fault by now */
		look = collect(t) || spin(t) || sleep_until_told(t);
	}
	return NULL;
}

static int watch(int epoll, int fd, u32 events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int init_epoll(struct far_thread *t)
{
	const int queue = rmr_queue_fd(t->lane.queue);
	int err;

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	t->epoll_full = epoll_create1(EPOLL_CLOEXEC);
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->epoll < 0 || t->epoll_full < 0 || t->event < 0)
		return -errno;
	/*
	 * Of several threads one is woken by a fault. A queue without calls under way may stay
	 * readable: its word counts once.
	 */
	err = watch(t->epoll, t->far->uffd.fd, EPOLLIN | EPOLLEXCLUSIVE);
	if (!err)
		err = watch(t->epoll, queue, EPOLLIN | EPOLLET);
	if (!err)
		err = watch(t->epoll, t->event, EPOLLIN);
	if (!err)
		err = watch(t->epoll_full, queue, EPOLLIN | EPOLLET);
	if (!err)
		err = watch(t->epoll_full, t->event, EPOLLIN);
	return err;
}

static void uninit_thread(struct far_thread *t)
{
	const int fds[] = { t->epoll, t->epoll_full, t->event };
	u32 i;

	for (i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	far_lane_uninit(&t->lane);
}

int far_thread_start(struct far_thread *t, struct rmr_far *f)
{
	int err;

	t->far = f;
	err = far_lane_init(&t->lane, f->fabric);
	if (err)
		return err;
	err = init_epoll(t);
	if (!err)
		err = rmr_thread_start(&t->thread, run, t);
	if (err)
		uninit_thread(t);
	return err;
}

void far_thread_wake(const struct far_thread *t)
{
	const u64 one = 1;

	if (write(t->event, &one, sizeof(one)) < 0)
		return; /* full: it is awake anyway */
}

void far_thread_stop(struct far_thread *t)
{
	far_thread_wake(t);
	pthread_join(t->thread, NULL);
	uninit_thread(t);
}
