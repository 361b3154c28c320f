/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * far_books.h - what far memory decides without touching memory: which page goes next, which
 * pages come next.
 */
#ifndef RMR_FAR_BOOKS_H
#define RMR_FAR_BOOKS_H

#include "../core/port.h"

/* A page of far memory: one byte, read by anybody, changed atomically under the page's lock. */
#define FAR_RESIDENT 0x01 /* mapped; it has a frame */
#define FAR_DIRTY    0x02 /* newer than what the pool has; without this it is write-protected */
#define FAR_USED     0x04 /* since the hand came by: asked for, or written */
#define FAR_PINNED   0x08
#define FAR_BUSY     0x10 /* resident: being stored; else: being loaded, and has a frame */
#define FAR_STORED   0x20 /* the pool has it */
#define FAR_LOST     0x40 /* to touch it is SIGBUS */
#define FAR_WANTED   0x80 /* being loaded, and somebody waits for it */

#define FAR_NONE (~0ull)

/* A hand that goes around all pages. Only one thread turns it. */
struct far_clock {
	u8 *flags; /* of pages, aligned to 8 */
	u64 pages; /* a multiple of 8 */
	u64 hand;
};

/*
 * The next page to go: resident, idle, not pinned, and not used since the hand came by last;
 * used ones get another turn. *budget: steps of the hand that are left; FAR_NONE when it is 0.
 */
u64 far_clock_next(struct far_clock *clock, u64 *budget);

#define FAR_STREAMS	 16
#define FAR_WINDOW_FIRST 4

/* A run of faults at pages that follow each other; [begin, end) has been asked for ahead. */
struct far_stream {
	u64 begin, end;
	u32 window; /* pages asked for at a time; 0: one fault so far */
	u32 used;   /* when */
};

struct far_window {
	struct far_stream streams[FAR_STREAMS];
	u32 max; /* of a window; 0: nothing is asked for ahead */
	u32 now; /* counts faults */
};

void far_window_init(struct far_window *w, u32 max);
/* A fault at page. Returns how many pages to fetch ahead, from *from on. */
u32 far_window_fault(struct far_window *w, u64 page, u64 *from);

#endif /* RMR_FAR_BOOKS_H */
