/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * far.h - a range of memory larger than the RAM it may use.
 *
 * Pages are brought by fault threads (far_fault.c), which also fetch ahead, and taken out by
 * one thread that keeps some frames free (far_evict.c). A frame is the right to have one page
 * resident: there are as many as the limit says, and who maps a page has taken one before.
 *
 * A page's byte of flags and what is mapped at it change together, under the page's lock. So
 * system calls that map, unmap or protect a page are made under it. Locks are striped. Order:
 * a page's lock, then lock or room_lock; those two are never held together.
 */
#ifndef RMR_FAR_H
#define RMR_FAR_H

#include <sys/queue.h>

#include "../include/ramster/ramster_rdma.h"
#include "far_books.h"
#include "far_uffd.h"

#define FAR_LOCKS	64
#define FAR_THREADS_MAX 16
/* Pages that a thread has under way, and as many buffers. */
#define FAR_DEPTH 64
/* Frames and buffers that fetching ahead leaves alone: for those who wait. */
#define FAR_RESERVE 8
#define FAR_RANGES  32

struct far_range {
	u64 next, end; /* pages */
};

/* What a page is brought for: nobody waits for it yet, or somebody does and is about to... */
enum far_why { FAR_FOR_LATER, FAR_FOR_READ, FAR_FOR_WRITE };

/* Registered memory for FAR_DEPTH pages under way, and their queue. */
struct far_slot {
	u64 page;
	u8 *data;
	enum far_why why;
};

struct far_lane {
	struct rmr_queue *queue;
	struct rmr_buf *buf;
	u8 *memory;
	struct far_slot slots[FAR_DEPTH];
	struct far_slot *spare[FAR_DEPTH];
	u32 nspare;
};

struct far_thread {
	struct rmr_far *far;
	pthread_t thread;
	struct far_lane lane;
	int epoll;	/* faults, ends of calls, event */
	int epoll_full; /* the same without faults: for when nothing can be done for more */
	int event;	/* room, or ranges to fetch, or the end */
	u32 awaited;	/* gets under way that were begun for somebody who waits */
	bool waiting;	/* atomic: event shall be told of room */
	bool stalled;	/* the fault below waits for room */
	u64 stalled_page, stalled_since;
	bool stalled_write;
};

struct far_lock {
	pthread_mutex_t mutex;
	pthread_cond_t idle; /* a page of the stripe is not FAR_BUSY any more */
} __attribute__((aligned(64)));

enum far_counter {
	FAR_FAULTS,
	FAR_WRITE_FAULTS,
	FAR_ZEROED,
	FAR_FETCHED,
	FAR_AHEAD,
	FAR_DROPPED,
	FAR_WRITTEN,
	FAR_RESCUED,
	FAR_STALLS,
	FAR_LOSSES,
	FAR_COUNTERS,
};

struct rmr_far {
	struct rmr *fabric;
	const struct rmr_log *log;
	struct rmr_far_options options;
	struct rmr_pool *pool;
	struct far_uffd uffd;
	u64 pages, limit;
	u32 timeout_ms;
	u8 *flags; /* of each page; see far_books.h */
	struct far_lock locks[FAR_LOCKS];

	u64 resident;		    /* atomic: frames taken */
	u64 peak, pinned;	    /* atomic */
	u64 low, high;		    /* free frames: below low the evictor begins, at high it ends */
	u64 counters[FAR_COUNTERS]; /* atomic */
	bool stopping;		    /* atomic */

	pthread_mutex_t lock; /* guards what follows */
	struct far_window window;
	struct far_range ranges[FAR_RANGES]; /* to fetch ahead: the last one first */
	u32 nranges;

	pthread_mutex_t room_lock; /* of room: calls of the program wait for frames */
	pthread_cond_t room;
	u32 room_waiters; /* atomic */

	struct rmr_worker evictor;
	struct far_clock clock; /* the evictor's, as what follows */
	struct far_lane store;
	u64 full_until; /* ms: no page can be stored before */
	int put_error;	/* atomic: of the last put; 0 */

	u32 nthreads;
	struct far_thread threads[FAR_THREADS_MAX];
};

static inline u8 far_flags(const struct rmr_far *f, u64 page)
{
	return __atomic_load_n(&f->flags[page], __ATOMIC_RELAXED);
}

static inline void far_set(struct rmr_far *f, u64 page, u8 flags)
{
	__atomic_fetch_or(&f->flags[page], flags, __ATOMIC_RELAXED);
}

static inline void far_clear(struct rmr_far *f, u64 page, u8 flags)
{
	__atomic_fetch_and(&f->flags[page], (u8)~flags, __ATOMIC_RELAXED);
}

static inline void far_count(struct rmr_far *f, enum far_counter what)
{
	__atomic_fetch_add(&f->counters[what], 1, __ATOMIC_RELAXED);
}

/* Neighbours share a lock, so that a stream takes few and random faults many. */
static inline struct far_lock *far_lock_of(struct rmr_far *f, u64 page)
{
	return &f->locks[page / 8 % FAR_LOCKS];
}

static inline void far_lock(struct rmr_far *f, u64 page)
{
	pthread_mutex_lock(&far_lock_of(f, page)->mutex);
}

static inline void far_unlock(struct rmr_far *f, u64 page)
{
	pthread_mutex_unlock(&far_lock_of(f, page)->mutex);
}

/* The page is not busy any more. Its lock is held. */
static inline void far_idle(struct rmr_far *f, u64 page)
{
	far_clear(f, page, FAR_BUSY | FAR_WANTED);
	pthread_cond_broadcast(&far_lock_of(f, page)->idle);
}

/* ---- frames, far_evict.c ---- */

static inline u64 far_free_frames(const struct rmr_far *f)
{
	u64 resident = __atomic_load_n(&f->resident, __ATOMIC_SEQ_CST);

	return resident < f->limit ? f->limit - resident : 0;
}

/* Take a frame, unless only reserve are left; then, and when few are, the evictor is woken. */
bool far_frame_take(struct rmr_far *f, u64 reserve);
void far_frame_give(struct rmr_far *f);
u32 far_evict_turn(void *arg);

/* ---- far_fault.c ---- */

int far_lane_init(struct far_lane *lane, struct rmr *fabric);
void far_lane_uninit(struct far_lane *lane);
int far_thread_start(struct far_thread *t, struct rmr_far *f);
/* far.stopping is set. */
void far_thread_stop(struct far_thread *t);
void far_thread_wake(const struct far_thread *t);
/* Fetch pages when there is time; on_top: before all others. Forgotten if there are too many. */
void far_ahead(struct rmr_far *f, u64 next, u64 end, bool on_top);
/* A page with a frame cannot be had: tell the program, then let it have SIGBUS. */
void far_lose(struct rmr_far *f, u64 page, int err);
/* Map a page that is busy, with its lock held. Zeroes: data NULL. */
int far_map(struct rmr_far *f, u64 page, const void *data, bool write);

#endif /* RMR_FAR_H */
