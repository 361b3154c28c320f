// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * far.c - far memory as the program sees it.
 */
#include "far.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context.h"

#define WINDOW_MAX 64

/* ---- creation ---- */

void rmr_far_options_init(struct rmr_far_options *options)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->threads = cpus < 1 ? 1 : cpus > 4 ? 4 : (uint32_t)cpus;
	options->window_pages = WINDOW_MAX;
}

static bool options_valid(const struct rmr_far_options *o)
{
	return o->threads && o->threads <= FAR_THREADS_MAX && o->window_pages <= WINDOW_MAX;
}

/* A program that was compiled against another version has fewer fields, or more. */
static void take_options(struct rmr_far_options *to, const struct rmr_far_options *from)
{
	rmr_far_options_init(to);
	if (from)
		memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
}

static void init_locks(struct rmr_far *f)
{
	u32 i;

	for (i = 0; i < FAR_LOCKS; i++) {
		pthread_mutex_init(&f->locks[i].mutex, NULL);
		rmr_cond_init(&f->locks[i].idle);
	}
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->room_lock, NULL);
	rmr_cond_init(&f->room);
}

static void uninit_locks(struct rmr_far *f)
{
	u32 i;

	for (i = 0; i < FAR_LOCKS; i++) {
		pthread_mutex_destroy(&f->locks[i].mutex);
		pthread_cond_destroy(&f->locks[i].idle);
	}
	pthread_mutex_destroy(&f->lock);
	pthread_mutex_destroy(&f->room_lock);
	pthread_cond_destroy(&f->room);
}

static void set_limits(struct rmr_far *f, size_t limit)
{
	u32 window = f->options.window_pages;

	f->limit = limit / FAR_PAGE;
	if (window > f->limit / 16)
		window = (u32)(f->limit / 16);
	far_window_init(&f->window, window);
	/* room for what one stream fetches ahead and for some faults beside it */
	f->low = window + 2 * FAR_RESERVE;
	f->high = 2 * f->low;
	f->clock = (struct far_clock){ .flags = f->flags, .pages = (f->pages + 7) & ~7ull };
}

static void stop(struct rmr_far *f)
{
	u32 i;

	__atomic_store_n(&f->stopping, true, __ATOMIC_RELAXED);
	/* the evictor first: it wakes fault threads */
	rmr_worker_stop(&f->evictor);
	for (i = 0; i < f->nthreads; i++)
		far_thread_stop(&f->threads[i]);
}

static int start(struct rmr_far *f)
{
	u32 i;
	int err;

	/* in zeroed memory: none of them is seen before it is there */
	for (i = 0; i < f->options.threads; i++) {
		err = far_thread_start(&f->threads[i], f);
		if (err)
			goto stop_threads;
		f->nthreads++;
	}
	err = rmr_worker_start(&f->evictor);
	if (!err)
		return 0;
stop_threads:
	__atomic_store_n(&f->stopping, true, __ATOMIC_RELAXED);
	for (i = 0; i < f->nthreads; i++)
		far_thread_stop(&f->threads[i]);
	return err;
}

static size_t flags_bytes(const struct rmr_far *f)
{
	return (f->pages + 7) & ~7ull;
}

/* What does not go by itself when its parts are made in this order. */
static int build(struct rmr_far *f, size_t size, size_t limit)
{
	int err;

	f->pages = size / FAR_PAGE;
	f->flags = mmap(NULL, flags_bytes(f), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->flags == MAP_FAILED)
		return -ENOMEM;
	set_limits(f, limit);
	err = far_uffd_init(&f->uffd, size, f->log);
	if (err)
		goto unmap;
	err = rmr_pool_create(f->fabric, RMR_PERSISTENT, FAR_PAGE, &f->pool);
	if (err)
		goto close_uffd;
	err = far_lane_init(&f->store, f->fabric);
	if (err)
		goto destroy_pool;
	rmr_worker_init(&f->evictor, far_evict_turn, f);
	init_locks(f);
	err = start(f);
	if (!err)
		return 0;
	uninit_locks(f);
	rmr_worker_uninit(&f->evictor);
	far_lane_uninit(&f->store);
destroy_pool:
	rmr_pool_destroy(f->pool);
close_uffd:
	far_uffd_uninit(&f->uffd);
unmap:
	munmap(f->flags, flags_bytes(f));
	return err;
}

int rmr_far_create(struct rmr *r, size_t size, size_t local_limit,
		   const struct rmr_far_options *options, struct rmr_far **out)
{
	struct rmr_far *f;
	int err;

	if (!size || size % FAR_PAGE || local_limit < RMR_FAR_LIMIT_MIN || local_limit % FAR_PAGE)
		return -EINVAL;
	if (sysconf(_SC_PAGESIZE) != (long)FAR_PAGE) {
		rmr_log(&r->log, RMR_LOG_WARNING, "far memory: needs pages of 4 KiB");
		return -ENOSYS;
	}
	f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);
	if (!f)
		return -ENOMEM;
	memset(f, 0, sizeof(*f));
	f->fabric = r;
	f->log = &r->log;
	f->timeout_ms = r->options.timeout_ms;
	take_options(&f->options, options);
	err = options_valid(&f->options) ? build(f, size, local_limit) : -EINVAL;
	if (err)
		free(f);
	else
		*out = f;
	return err;
}

void rmr_far_destroy(struct rmr_far *f)
{
	stop(f);
	uninit_locks(f);
	rmr_worker_uninit(&f->evictor);
	far_lane_uninit(&f->store);
	far_uffd_uninit(&f->uffd);
	rmr_pool_destroy(f->pool);
	munmap(f->flags, flags_bytes(f));
	free(f);
}

void *rmr_far_addr(const struct rmr_far *f)
{
	return f->uffd.base;
}

/* ---- advice ---- */

/* Until nothing happens to the page, whose lock is held. */
static int wait_idle(struct rmr_far *f, u64 page)
{
	struct far_lock *l = far_lock_of(f, page);
	u64 deadline = rmr_now_ms() + 2ull * f->timeout_ms;

	while (far_flags(f, page) & FAR_BUSY) {
		if (!rmr_cond_wait(&l->idle, &l->mutex, deadline))
			return -ETIMEDOUT;
	}
	return 0;
}

static int wait_room(struct rmr_far *f)
{
	u64 deadline = rmr_now_ms() + f->timeout_ms;
	bool in_time = true;

	pthread_mutex_lock(&f->room_lock);
	__atomic_fetch_add(&f->room_waiters, 1, __ATOMIC_SEQ_CST);
	while (in_time && !far_free_frames(f))
		in_time = rmr_cond_wait(&f->room, &f->room_lock, deadline);
	__atomic_fetch_sub(&f->room_waiters, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&f->room_lock);
	return in_time ? 0 : -ENOSPC;
}

/* Bring a page that is not here, with its lock and a frame held. Returns with the lock. */
static int bring(struct rmr_far *f, u64 page)
{
	u8 data[FAR_PAGE] __attribute__((aligned(16)));
	bool stored = far_flags(f, page) & FAR_STORED, wanted;
	int err = 0;

	far_set(f, page, FAR_BUSY);
	if (stored) {
		far_unlock(f, page);
		err = rmr_get(f->pool, 0, page, data);
		far_lock(f, page);
	}
	if (!err)
		err = far_map(f, page, stored ? data : NULL, false);
	if (!err)
		return 0;
	wanted = far_flags(f, page) & FAR_WANTED;
	if (wanted) {
		far_unlock(f, page);
		far_lose(f, page, err);
		far_lock(f, page);
	} else {
		far_idle(f, page);
		far_frame_give(f);
	}
	return err;
}

/* With the page's lock held. */
static int make_resident(struct rmr_far *f, u64 page)
{
	int err;

	for (;;) {
		err = wait_idle(f, page);
		if (err)
			return err;
		if (far_flags(f, page) & FAR_LOST)
			return -EIO;
		if (far_flags(f, page) & FAR_RESIDENT)
			return 0;
		if (far_frame_take(f, 0))
			return bring(f, page);
		far_unlock(f, page);
		err = wait_room(f);
		far_lock(f, page);
		if (err)
			return err;
	}
}

static int pin(struct rmr_far *f, u64 page)
{
	int err = 0;

	far_lock(f, page);
	if (far_flags(f, page) & FAR_PINNED)
		goto out;
	/* the rest must be able to come and go */
	if (__atomic_add_fetch(&f->pinned, 1, __ATOMIC_RELAXED) > f->limit - f->limit / 4)
		err = -ENOMEM;
	else
		err = make_resident(f, page);
	if (!err)
		far_set(f, page, FAR_PINNED);
	else
		__atomic_fetch_sub(&f->pinned, 1, __ATOMIC_RELAXED);
out:
	far_unlock(f, page);
	return err;
}

/* With the page's lock held. */
static void unpin_locked(struct rmr_far *f, u64 page)
{
	if (!(far_flags(f, page) & FAR_PINNED))
		return;
	far_clear(f, page, FAR_PINNED);
	__atomic_fetch_sub(&f->pinned, 1, __ATOMIC_RELAXED);
}

static int unpin(struct rmr_far *f, u64 page)
{
	far_lock(f, page);
	unpin_locked(f, page);
	far_unlock(f, page);
	return 0;
}

static int forget(struct rmr_far *f, u64 page)
{
	int err;
	u8 flags;

	far_lock(f, page);
	err = wait_idle(f, page);
	if (err)
		goto out;
	flags = far_flags(f, page);
	if (flags & FAR_LOST)
		err = far_uffd_restore(&f->uffd, page);
	else if (flags & FAR_RESIDENT)
		err = far_uffd_drop(&f->uffd, page);
	if (err)
		goto out;
	unpin_locked(f, page);
	if (flags & FAR_STORED)
		rmr_flush_page(f->pool, 0, page);
	far_clear(f, page, FAR_RESIDENT | FAR_DIRTY | FAR_USED | FAR_STORED | FAR_LOST);
	if (flags & FAR_RESIDENT)
		far_frame_give(f);
out:
	far_unlock(f, page);
	return err;
}

static int each(struct rmr_far *f, u64 page, u64 end, int (*call)(struct rmr_far *, u64))
{
	int err = 0;

	for (; !err && page < end; page++)
		err = call(f, page);
	return err;
}

/* Set the fault threads to fetching; more than fits would only drive out what came first. */
static void fetch(struct rmr_far *f, u64 page, u64 end)
{
	u64 most = f->limit - f->limit / 4;

	far_ahead(f, page, end - page > most ? page + most : end, false);
	far_thread_wake(&f->threads[0]);
}

int rmr_far_advise(struct rmr_far *f, void *addr, size_t len, int advice)
{
	u64 offset = (u64)(uintptr_t)addr - (u64)(uintptr_t)f->uffd.base;
	u64 page = offset / FAR_PAGE, end = page + len / FAR_PAGE;
	int err;

	if (offset > f->uffd.bytes || len > f->uffd.bytes - offset || (offset | len) % FAR_PAGE)
		return -EINVAL;
	switch (advice) {
	case RMR_FAR_WILLNEED:
		fetch(f, page, end);
		return 0;
	case RMR_FAR_DONTNEED:
		return each(f, page, end, forget);
	case RMR_FAR_PIN:
		if (end - page > f->limit - f->limit / 4)
			return -ENOMEM;
		fetch(f, page, end);
		err = each(f, page, end, pin);
		if (err)
			each(f, page, end, unpin);
		return err;
	case RMR_FAR_UNPIN:
		return each(f, page, end, unpin);
	default:
		return -EINVAL;
	}
}

/* ---- statistics ---- */

static u64 counter(const struct rmr_far *f, enum far_counter what)
{
	return __atomic_load_n(&f->counters[what], __ATOMIC_RELAXED);
}

void rmr_far_stats(struct rmr_far *f, struct rmr_far_stats *stats, size_t size)
{
	const struct rmr_far_stats s = {
		.size = f->uffd.bytes,
		.limit = f->limit * FAR_PAGE,
		.resident = __atomic_load_n(&f->resident, __ATOMIC_RELAXED) * FAR_PAGE,
		.resident_peak = __atomic_load_n(&f->peak, __ATOMIC_RELAXED) * FAR_PAGE,
		.pinned = __atomic_load_n(&f->pinned, __ATOMIC_RELAXED) * FAR_PAGE,
		.faults = counter(f, FAR_FAULTS),
		.write_faults = counter(f, FAR_WRITE_FAULTS),
		.zeroed = counter(f, FAR_ZEROED),
		.fetched = counter(f, FAR_FETCHED),
		.fetched_ahead = counter(f, FAR_AHEAD),
		.dropped = counter(f, FAR_DROPPED),
		.written = counter(f, FAR_WRITTEN),
		.rescued = counter(f, FAR_RESCUED),
		.stalls = counter(f, FAR_STALLS),
		.lost = counter(f, FAR_LOSSES),
		.user_mode_only = f->uffd.user_only,
	};

	memset(stats, 0, size);
	memcpy(stats, &s, size < sizeof(s) ? size : sizeof(s));
}
